//! Mesh and mind of one party as one machine, composed as the browser's engine composes mesh and node: orders stay in one
//! queue, and an order of the mesh that carries a node's message stands where the node's order stood.

use std::collections::VecDeque;

use shared::{
    block::Block,
    ids::{PeerId, TimestampMs},
    mesh::{
        self, LinkId, Mesh, ToTracker,
        signal::{Role, SignalKind},
    },
    node::{self, Change, Event, Job, Node, VerifyId},
};

use crate::actors::Actor;

/// What speaks through a mesh.
#[derive(Debug)]
pub(crate) enum Mind {
    Honest(Box<Node>),
    Hostile(Box<dyn Actor>),
}

/// An order for the world, in the order in which they may be performed.
#[derive(Debug)]
pub(crate) enum Order {
    Tracker(ToTracker),
    CloseTracker,
    TrackerJoined,
    TrackerLost,
    CreateLink {
        link: LinkId,
        role: Role,
    },
    SetRemote {
        link: LinkId,
        kind: SignalKind,
        sdp: String,
    },
    SendChannel {
        link: LinkId,
        bytes: Vec<u8>,
    },
    CloseLink {
        link: LinkId,
    },
    WakeAt {
        at: TimestampMs,
    },
    Persist {
        changes: Vec<Change>,
    },
    /// The node sends this message: the orders that follow carry it.
    Says {
        bytes: Vec<u8>,
    },
    Verify {
        job: VerifyId,
        blocks: Vec<Vec<u8>>,
    },
    Mine {
        job: Job,
    },
    StopMining,
    Report {
        blocks: Vec<Block>,
    },
    Event(Event),
    PeerUp(PeerId),
    PeerDown(PeerId),
}

/// One party's machines.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) mesh: Mesh,
    pub(crate) mind: Mind,
    orders: VecDeque<Order>,
    mesh_wake: Option<TimestampMs>,
    node_wake: Option<TimestampMs>,
}

impl Stack {
    pub(crate) const fn new(mesh: Mesh, mind: Mind) -> Self {
        Self {
            mesh,
            mind,
            orders: VecDeque::new(),
            mesh_wake: None,
            node_wake: None,
        }
    }

    pub(crate) const fn node(&self) -> Option<&Node> {
        match &self.mind {
            Mind::Honest(node) => Some(node),
            Mind::Hostile(_) => None,
        }
    }

    /// The next order, oldest first.
    pub(crate) fn poll(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// A fact for the mesh. What strangers do wrong there is refused, and the mesh goes on.
    pub(crate) fn mesh_fact(&mut self, now: TimestampMs, input: mesh::Input) -> Result<(), String> {
        // The mesh names whom to blame; nothing of its state has changed.
        let _refused = self.mesh.handle(now, input);
        self.drain(now)
    }

    /// A fact for the node.
    pub(crate) fn node_fact(&mut self, now: TimestampMs, input: node::Input) -> Result<(), String> {
        let told = self.tell(now, input);
        self.drain(now)?;
        told
    }

    /// The time of the last wake-up has come.
    pub(crate) fn woken(&mut self, now: TimestampMs) -> Result<(), String> {
        if self.mesh_wake.is_some_and(|at| at <= now) {
            self.mesh_wake = None;
            self.mesh_fact(now, mesh::Input::Woken)?;
        }
        if self.node_wake.is_some_and(|at| at <= now) {
            self.node_wake = None;
            self.node_fact(now, node::Input::Woken)?;
        }
        if let Some(at) = self.mesh_wake.into_iter().chain(self.node_wake).min() {
            self.orders.push_back(Order::WakeAt { at });
        }
        Ok(())
    }

    /// A hostile party's turn.
    pub(crate) fn turn(&mut self, now: TimestampMs) -> Result<(), String> {
        let peers: Vec<PeerId> = self.mesh.peers().map(|(peer, _)| peer).collect();
        if let Mind::Hostile(actor) = &mut self.mind {
            let said = actor.on_turn(now.0, &peers);
            self.say(now, said);
        }
        self.drain(now)
    }

    fn tell(&mut self, now: TimestampMs, input: node::Input) -> Result<(), String> {
        let Mind::Honest(node) = &mut self.mind else {
            return Ok(());
        };
        match node.handle(now, input) {
            // A blamed peer is named by an event of the node.
            Ok(()) | Err(node::NodeError::Blamed { .. } | node::NodeError::UnknownPeer { .. }) => {
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn drain(&mut self, now: TimestampMs) -> Result<(), String> {
        loop {
            if let Some(output) = self.mesh.poll() {
                self.on_mesh_output(now, output)?;
                continue;
            }
            let Mind::Honest(node) = &mut self.mind else {
                return Ok(());
            };
            match node.poll() {
                Some(output) => self.on_node_output(now, output)?,
                None => return Ok(()),
            }
        }
    }

    fn on_mesh_output(&mut self, now: TimestampMs, output: mesh::Output) -> Result<(), String> {
        let order = match output {
            mesh::Output::Tracker(message) => Order::Tracker(message),
            mesh::Output::CloseTracker { .. } => Order::CloseTracker,
            mesh::Output::TrackerJoined => Order::TrackerJoined,
            mesh::Output::TrackerRefused { reason } => {
                return Err(format!("the tracker refused an honest join: {reason}"));
            }
            mesh::Output::TrackerLost => {
                self.tell(now, node::Input::TrackerLost)?;
                Order::TrackerLost
            }
            mesh::Output::CreateLink { link, role, .. } => Order::CreateLink { link, role },
            mesh::Output::SetRemote { link, kind, sdp } => Order::SetRemote { link, kind, sdp },
            mesh::Output::SendChannel { link, bytes } => Order::SendChannel { link, bytes },
            mesh::Output::CloseLink { link } => Order::CloseLink { link },
            mesh::Output::PeerUp { peer } => {
                self.tell(now, node::Input::PeerConnected { peer })?;
                Order::PeerUp(peer)
            }
            mesh::Output::PeerDown { peer } => {
                self.tell(now, node::Input::PeerLost { peer })?;
                Order::PeerDown(peer)
            }
            mesh::Output::Deliver { peer, bytes } => return self.deliver(now, peer, bytes),
            // Channels of the simulation need no candidates, and no two parties are tabs of one profile.
            mesh::Output::AddCandidate { .. }
            | mesh::Output::PeersChanged
            | mesh::Output::CreatePairing { .. }
            | mesh::Output::PairingReady { .. }
            | mesh::Output::Paired { .. }
            | mesh::Output::PairingRefused { .. }
            | mesh::Output::Local { .. } => return Ok(()),
            mesh::Output::WakeAt { at } => {
                self.mesh_wake = Some(at);
                Order::WakeAt { at }
            }
        };
        self.orders.push_back(order);
        Ok(())
    }

    fn deliver(&mut self, now: TimestampMs, peer: PeerId, bytes: Vec<u8>) -> Result<(), String> {
        if let Mind::Hostile(actor) = &mut self.mind {
            let said = actor.on_message(now.0, peer, &bytes);
            self.say(now, said);
            return Ok(());
        }
        self.tell(now, node::Input::MessageReceived { peer, bytes })
    }

    fn on_node_output(&mut self, now: TimestampMs, output: node::Output) -> Result<(), String> {
        let order = match output {
            node::Output::Send { peer, bytes } => {
                self.orders.push_back(Order::Says {
                    bytes: bytes.clone(),
                });
                return self.mesh_order(now, mesh::Input::SendRequested { peer, bytes });
            }
            node::Output::Disconnect { peer, .. } => {
                return self.mesh_order(now, mesh::Input::DisconnectRequested { peer });
            }
            node::Output::WakeAt { at } => {
                self.node_wake = Some(at);
                Order::WakeAt { at }
            }
            node::Output::Persist { records } => Order::Persist { changes: records },
            node::Output::Verify { job, blocks } => Order::Verify { job, blocks },
            node::Output::Mine { job } => Order::Mine { job },
            node::Output::StopMining => Order::StopMining,
            node::Output::Report { blocks } => Order::Report { blocks },
            // No enterprise chain is simulated here; no genesis names one.
            node::Output::AskProof { .. } | node::Output::AskReset { .. } => return Ok(()),
            node::Output::Event(event) => Order::Event(event),
        };
        self.orders.push_back(order);
        Ok(())
    }

    fn say(&mut self, now: TimestampMs, said: Vec<(PeerId, Vec<u8>)>) {
        for (peer, bytes) in said {
            // A peer that is gone meanwhile hears nothing.
            let _gone = self
                .mesh
                .handle(now, mesh::Input::SendRequested { peer, bytes });
        }
    }

    fn mesh_order(&mut self, now: TimestampMs, input: mesh::Input) -> Result<(), String> {
        if let Err(error) = self.mesh.handle(now, input) {
            return Err(format!("the mesh refuses its node: {error}"));
        }
        while let Some(output) = self.mesh.poll() {
            self.on_mesh_output(now, output)?;
        }
        Ok(())
    }
}
