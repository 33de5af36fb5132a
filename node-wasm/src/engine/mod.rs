//! Mesh and node of one network as one machine.
//!
//! Invariant: the node's orders keep their order, so a `persist` stays before the sends that it allows. The mesh's orders that
//! answer a fact come after it; an order of the mesh that carries a node's message is queued where the node's order was.
//!
//! What peers and the tracker do wrong is told as an event, never as an error; an error means that the driver's input can't be
//! used.

use std::collections::VecDeque;

use api::ws::IceServer;
use serde_bytes::ByteBuf;
use shared::block::Block;
use shared::frame::Lane;
use shared::genesis::{Access, Genesis};
use shared::header::Solution;
use shared::identity::Identity;
use shared::ids::TimestampMs;
use shared::mesh::signal::{SignalError, SignalKind};
use shared::mesh::{self, LinkId, Listing, Mesh, MeshError};
use shared::node::{self, JobId, Node, VerifyId};
use shared::private::NetworkKeys;
use shared::transaction::Payload;

use crate::private;
use crate::seam::{
    Config, DescriptionKind, Event, Input, MiningWhen, Output, PayloadKind, RecordChange,
    StoredRecord, TrackerState,
};

mod export;
mod import;
mod links;
mod pace;
mod pairing;
mod reported;
mod status;
mod succession;
mod tracker;

use pace::Pace;
use reported::Room;

pub use export::{WINDOW_BLOCKS_MAX, WINDOW_BYTES_MAX};
pub use import::IMPORT_BYTES_MAX;
pub use pairing::Invited;
pub use succession::{Move, Moved, Successor};

/// One network's mesh and node.
#[derive(Debug)]
pub struct Engine {
    mesh: Mesh,
    node: Node,
    tracker_host: String,
    identity: Identity,
    /// What a private network has beside its chain.
    room: Option<Room>,
    /// What was read of the chain in search of a successor.
    look: succession::Look,
    outputs: VecDeque<Output>,
    /// Orders that wait for nothing.
    free: VecDeque<Output>,
    /// Whether what is ordered now waits for nothing.
    is_free: bool,
    ice_servers: Vec<IceServer>,
    update_bytes_max: usize,
    is_reporting: bool,
    anchored_height: u32,
    node_wake: Option<TimestampMs>,
    mesh_wake: Option<TimestampMs>,
    /// What waits for the tracker's limits, and until when.
    pace: Pace,
    pace_wake: Option<TimestampMs>,
    /// The import whose blocks are being offered.
    importing: Option<import::Tally>,
}

/// An input or a configuration that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The genesis bytes are malformed or break a rule.
    #[error("the genesis can't be used: {0}")]
    Genesis(String),
    /// The key is not that of the genesis, or there is none for a private one.
    #[error("{0}")]
    NetworkKey(String),
    /// A seed has the wrong length.
    #[error("{field} has {found} bytes, 32 are needed")]
    Seed {
        /// Which.
        field: &'static str,
        /// Its length.
        found: usize,
    },
    /// A submission without its content.
    #[error("a {0} was submitted without its content")]
    EmptySubmission(&'static str),
    /// The node refused the input.
    #[error("{0}")]
    Node(String),
}

impl Engine {
    /// A machine that has not been given its stored records yet.
    ///
    /// # Errors
    /// The genesis is invalid or a seed has not 32 bytes.
    pub fn new(config: Config) -> Result<Self, EngineError> {
        let genesis = Genesis::decode(&config.genesis)
            .map_err(|error| EngineError::Genesis(error.to_string()))?;
        let identity = Identity::from_seed(seed_of("identitySeed", &config.identity_seed)?);
        let seed = seed_of("seed", &config.seed)?;
        let keys = keys_of(&genesis, config.network_key.as_ref().map(|key| &key[..]))?;
        let mesh = Mesh::new(mesh::Config {
            identity: identity.clone(),
            chain: genesis.chain_id(),
            network: genesis.network_id.clone(),
            genesis: config.genesis.into_vec(),
            listing: if config.listed.unwrap_or(true) {
                Listing::Listed
            } else {
                Listing::Unlisted
            },
            keys: keys.clone(),
            seed,
        });
        Ok(Self {
            mesh,
            tracker_host: String::new(),
            identity: identity.clone(),
            room: keys.map(Room::new),
            look: succession::Look::default(),
            node: Node::new(node::Config {
                genesis,
                identity,
                seed,
                keep: config
                    .recent_blocks
                    .map_or(node::Keep::Archive, |blocks| node::Keep::Recent { blocks }),
                helpers: config.helpers.unwrap_or_default(),
            }),
            outputs: VecDeque::new(),
            free: VecDeque::new(),
            is_free: false,
            ice_servers: Vec::new(),
            update_bytes_max: tracker::UPDATE_BYTES_DEFAULT,
            is_reporting: false,
            anchored_height: 0,
            node_wake: None,
            mesh_wake: None,
            pace: Pace::new(),
            pace_wake: None,
            importing: None,
        })
    }

    /// Takes one fact in. Drain [`Self::poll`] afterwards, also after an error.
    ///
    /// # Errors
    /// The input can't be used; what strangers do wrong is an event instead.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all others concern one machine only"
    )]
    pub fn handle(&mut self, now: TimestampMs, input: Input) -> Result<(), EngineError> {
        if matches!(input, Input::TrackerOpen { .. } | Input::TrackerClosed) {
            self.pace.stop();
        }
        match input {
            Input::TrackerOpen { host } => {
                self.tracker_host = host;
                self.mesh_fact(now, mesh::Input::TrackerOpened);
            }
            Input::TrackerMessage { text } => self.on_tracker_message(now, &text),
            Input::Import { request, text } => self.on_import(now, request, &text),
            Input::InvitationTaken { request, text } => match pairing::bytes_of(&text) {
                Ok(bytes) => {
                    self.mesh_fact(now, mesh::Input::InvitationReceived { request, bytes });
                }
                Err(reason) => self.event(Event::PairingRefused { request, reason }),
            },
            Input::AnswerTaken { request, text } => match pairing::bytes_of(&text) {
                Ok(bytes) => self.mesh_fact(now, mesh::Input::AnswerReceived { request, bytes }),
                Err(reason) => self.event(Event::PairingRefused { request, reason }),
            },
            Input::Reset { request, from } => {
                self.on_reset_wanted(now, request, from);
                self.drain(now);
            }
            Input::Woken => return self.on_woken(now),
            Input::Verified { job, valid } => {
                let job = VerifyId(job);
                // Whom the verdict blames is told by the node's own event.
                self.node_fact(now, node::Input::Verified { job, valid });
                self.drain(now);
            }
            other => match sorted(other)? {
                Sorted::Mesh(input) => self.mesh_fact(now, input),
                Sorted::Node(input) => return self.node_demand(now, input),
            },
        }
        Ok(())
    }

    /// The next order, oldest first.
    pub fn poll(&mut self) -> Option<Output> {
        self.poll_free().or_else(|| self.outputs.pop_front())
    }

    /// The next of those orders that need nothing durable before them.
    pub fn poll_free(&mut self) -> Option<Output> {
        self.free.pop_front()
    }

    fn on_woken(&mut self, now: TimestampMs) -> Result<(), EngineError> {
        let is_due = |at: Option<TimestampMs>| at.is_some_and(|at| at <= now);
        if is_due(self.mesh_wake) {
            self.mesh_wake = None;
            self.mesh_fact(now, mesh::Input::Woken);
        }
        self.flush(now);
        if is_due(self.node_wake) {
            self.node_wake = None;
            self.node_demand(now, node::Input::Woken)?;
        }
        // The driver keeps one timer: what is still to come is ordered again.
        if let Some(at) = [self.mesh_wake, self.node_wake, self.pace_wake]
            .into_iter()
            .flatten()
            .min()
        {
            self.push(Output::WakeAt { at: at.0 });
        }
        Ok(())
    }

    /// Gives the node a fact that the driver may be told off for.
    fn node_demand(&mut self, now: TimestampMs, input: node::Input) -> Result<(), EngineError> {
        let result = self
            .node
            .handle(now, input)
            .map_err(|error| EngineError::Node(error.to_string()));
        self.drain(now);
        result
    }

    /// Gives the node a fact about strangers; their faults are events of the node.
    fn node_fact(&mut self, now: TimestampMs, input: node::Input) {
        // A refusal of a peer is reported by the node's own event.
        let _blamed = self.node.handle(now, input);
    }

    fn mesh_fact(&mut self, now: TimestampMs, input: mesh::Input) {
        if let Err(error) = self.mesh.handle(now, input) {
            self.on_mesh_error(&error);
        }
        self.drain(now);
    }

    /// Late signals are normal while links change; what is forged or broken is shown.
    fn on_mesh_error(&mut self, error: &MeshError) {
        if matches!(
            error,
            MeshError::Signal {
                reason: SignalError::Stale,
                ..
            }
        ) {
            return;
        }
        self.event(Event::Refused {
            reason: error.to_string(),
            source: String::from("peer"),
        });
    }

    /// Carries orders between the machines until both are at rest.
    fn drain(&mut self, now: TimestampMs) {
        loop {
            if let Some(output) = self.mesh.poll() {
                self.on_mesh_output(now, output);
            } else if let Some(output) = self.node.poll_free() {
                self.is_free = true;
                self.on_node_output(now, output);
                self.is_free = false;
            } else if let Some(output) = self.node.poll() {
                self.on_node_output(now, output);
            } else {
                return;
            }
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is about connections and pairing has a place of its own"
    )]
    fn on_mesh_output(&mut self, now: TimestampMs, output: mesh::Output) {
        match output {
            mesh::Output::Tracker(message) => {
                let lane = if let mesh::ToTracker::Relay { lane, .. } = &message {
                    *lane
                } else {
                    Lane::Urgent
                };
                self.send_to_tracker(now, &tracker::wire_message(message), lane);
            }
            mesh::Output::CloseTracker { reason } => self.push(Output::TrackerClose { reason }),
            mesh::Output::TrackerJoined => self.tracker_event(TrackerState::Joined, None),
            mesh::Output::TrackerRefused { reason } => {
                self.tracker_event(TrackerState::Refused, Some(reason))
            }
            mesh::Output::TrackerLost => {
                self.is_reporting = false;
                self.forget_asked("the tracker was lost; it may still carry the reset out");
                self.tracker_event(TrackerState::Offline, None);
                self.node_fact(now, node::Input::TrackerLost);
            }
            mesh::Output::PeerUp { peer } => {
                self.node_fact(now, node::Input::PeerConnected { peer })
            }
            mesh::Output::PeerDown { peer } => self.node_fact(now, node::Input::PeerLost { peer }),
            mesh::Output::Deliver { peer, bytes } => {
                self.node_fact(now, node::Input::MessageReceived { peer, bytes })
            }
            mesh::Output::PeersChanged => {
                let peers = self.peer_statuses();
                self.event(Event::Peers { peers });
            }
            mesh::Output::WakeAt { at } => {
                self.mesh_wake = Some(at);
                self.push(Output::WakeAt { at: at.0 });
            }
            other => self.on_link_output(other),
        }
    }

    fn on_node_output(&mut self, now: TimestampMs, output: node::Output) {
        match output {
            node::Output::Send { peer, bytes } => {
                self.mesh_order(now, mesh::Input::SendRequested { peer, bytes })
            }
            node::Output::Persist { records } => {
                let change = |record: node::Change| RecordChange {
                    key: record.key,
                    value: record.value.map(ByteBuf::from),
                };
                self.push(Output::Persist {
                    records: records.into_iter().map(change).collect(),
                });
            }
            node::Output::WakeAt { at } => {
                self.node_wake = Some(at);
                self.push(Output::WakeAt { at: at.0 });
            }
            node::Output::Mine { job } => self.push(Output::Mine {
                job: job.id.0,
                header: ByteBuf::from(job.header.encode()),
                target: ByteBuf::from(job.target.to_be_bytes()),
            }),
            node::Output::Verify { job, blocks } => self.push(Output::Verify {
                job: job.0,
                blocks: blocks.into_iter().map(ByteBuf::from).collect(),
            }),
            node::Output::AskProof { size, known } => {
                if !self.ask_proof(now, size, known) {
                    let known = known.as_ref().map(ToString::to_string);
                    self.push(Output::AskProof { size, known });
                }
            }
            node::Output::AskReset { number } => self.ask_reset(now, number),
            node::Output::StopMining => self.push(Output::StopMining),
            node::Output::Report { blocks } => self.report(now, &blocks),
            node::Output::Disconnect { peer, .. } => {
                self.mesh_order(now, mesh::Input::DisconnectRequested { peer })
            }
            node::Output::Event(event) => self.on_node_event(event),
        }
    }

    /// Gives the mesh an order of the node; its outputs follow at once, so they keep the place of the order.
    fn mesh_order(&mut self, now: TimestampMs, input: mesh::Input) {
        if let Err(error) = self.mesh.handle(now, input) {
            self.on_mesh_error(&error);
        }
        while let Some(output) = self.mesh.poll() {
            self.on_mesh_output(now, output);
        }
    }

    fn report(&mut self, now: TimestampMs, blocks: &[Block]) {
        let message = match &self.room {
            _ if !self.mesh.is_joined() => None,
            Some(room) => self.reports_message(room, blocks),
            None => self.update_message(blocks),
        };
        match message {
            Some(message) => {
                self.is_reporting = true;
                self.send_to_tracker(now, &message, Lane::Normal);
            }
            None => self.node_fact(now, node::Input::ReportFailed),
        }
    }

    fn on_node_event(&mut self, event: node::Event) {
        if let node::Event::FinalityReset { from, .. } = event {
            self.anchored_height = self.anchored_height.min(from.0.saturating_sub(1));
        }
        if let Some(event) = self.count_import(event).and_then(status::seam_event) {
            self.event(event);
        }
    }

    fn tracker_event(&mut self, state: TrackerState, message: Option<String>) {
        let code = message.is_some().then(|| String::from("refused"));
        self.event(Event::Tracker {
            state,
            code,
            message,
        });
    }

    fn event(&mut self, event: Event) {
        self.push(Output::Event { event });
    }

    fn push(&mut self, output: Output) {
        if self.is_free {
            self.free.push_back(output);
        } else {
            self.outputs.push_back(output);
        }
    }
}

fn seed_of(field: &'static str, bytes: &[u8]) -> Result<[u8; 32], EngineError> {
    bytes.try_into().map_err(|_| EngineError::Seed {
        field,
        found: bytes.len(),
    })
}

/// The keys of a private network; an open one has none.
fn keys_of(genesis: &Genesis, key: Option<&[u8]>) -> Result<Option<NetworkKeys>, EngineError> {
    let is_private = matches!(genesis.access, Access::Private { .. });
    let Some(key) = key.filter(|_| is_private) else {
        let text = "this network is private: it opens with its invite or passphrase";
        return if is_private {
            Err(EngineError::NetworkKey(text.into()))
        } else {
            Ok(None)
        };
    };
    let key = private::network_key(key).map_err(EngineError::NetworkKey)?;
    if private::fits(&key, genesis) {
        Ok(Some(key.keys()))
    } else {
        let text = "the key is not that of this private network";
        Err(EngineError::NetworkKey(text.into()))
    }
}

/// A fact that only one of the machines needs.
enum Sorted {
    Mesh(mesh::Input),
    Node(node::Input),
}

fn restored(records: Vec<StoredRecord>) -> node::Input {
    let record = |record: StoredRecord| node::Record {
        key: record.key,
        value: record.value.into_vec(),
    };
    node::Input::Restored {
        records: records.into_iter().map(record).collect(),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what both machines need is handled by the caller"
)]
fn sorted(input: Input) -> Result<Sorted, EngineError> {
    Ok(match input {
        Input::TrackerClosed => Sorted::Mesh(mesh::Input::TrackerClosed),
        Input::RtcLocal { link, kind, sdp } => Sorted::Mesh(mesh::Input::LocalDescribed {
            link: LinkId(link),
            kind: kind.into(),
            sdp,
        }),
        Input::RtcCandidate { link, candidate } => Sorted::Mesh(mesh::Input::CandidateGathered {
            link: LinkId(link),
            candidate,
        }),
        Input::RtcOpen { link } => Sorted::Mesh(mesh::Input::ChannelOpened { link: LinkId(link) }),
        Input::RtcData { link, bytes } => Sorted::Mesh(mesh::Input::ChannelReceived {
            link: LinkId(link),
            bytes: bytes.into_vec(),
        }),
        Input::RtcClosed { link, .. } => {
            Sorted::Mesh(mesh::Input::ChannelClosed { link: LinkId(link) })
        }
        Input::RtcInterrupted { link } => {
            Sorted::Mesh(mesh::Input::ChannelInterrupted { link: LinkId(link) })
        }
        Input::Invite { request } => Sorted::Mesh(mesh::Input::InvitationRequested { request }),
        Input::NetworkChanged => Sorted::Mesh(mesh::Input::NetworkChanged),
        Input::LocalOpen => Sorted::Mesh(mesh::Input::LocalOpened),
        Input::LocalMessage { from, bytes } => Sorted::Mesh(mesh::Input::LocalReceived {
            from: from
                .parse()
                .map_err(|_| EngineError::Node(String::from("the tab's peer is no id")))?,
            packet: bytes.into_vec(),
        }),
        Input::Restored { records } => Sorted::Node(restored(records)),
        Input::Submit {
            request,
            kind,
            text,
            payload,
        } => {
            let payload = payload_of(kind, text, payload)?;
            Sorted::Node(node::Input::Submitted { request, payload })
        }
        Input::Mining { when } => Sorted::Node(node::Input::MiningSet { when: when.into() }),
        Input::NonceFound {
            job,
            version,
            nonce,
        } => Sorted::Node(node::Input::NonceFound {
            job: JobId(job),
            solution: Solution { version, nonce },
        }),
        Input::ProofReceived { bytes } => Sorted::Node(node::Input::ProofReceived {
            bytes: bytes.into_vec(),
        }),
        Input::ProofFailed => Sorted::Node(node::Input::ProofFailed),
        Input::Reporting { on } => Sorted::Node(node::Input::ReportingSet {
            reporting: reported::choice(on),
        }),
        Input::JobExhausted { job } => Sorted::Node(node::Input::JobExhausted { job: JobId(job) }),
        Input::BlockOffered { bytes } => Sorted::Node(node::Input::BlockOffered {
            bytes: bytes.into_vec(),
        }),
        Input::TransactionOffered { bytes } => Sorted::Node(node::Input::TransactionOffered {
            bytes: bytes.into_vec(),
        }),
        _ => return Err(EngineError::Node(String::from("the input has no receiver"))),
    })
}

fn payload_of(
    kind: PayloadKind,
    text: Option<String>,
    payload: Option<ByteBuf>,
) -> Result<Payload, EngineError> {
    match kind {
        PayloadKind::Message => text
            .map(Payload::Message)
            .ok_or(EngineError::EmptySubmission("message")),
        PayloadKind::Record => payload
            .map(|bytes| Payload::Record(bytes.into_vec()))
            .ok_or(EngineError::EmptySubmission("record")),
    }
}

impl From<DescriptionKind> for SignalKind {
    fn from(kind: DescriptionKind) -> Self {
        match kind {
            DescriptionKind::Offer => Self::Offer,
            DescriptionKind::Answer => Self::Answer,
        }
    }
}

impl From<SignalKind> for DescriptionKind {
    fn from(kind: SignalKind) -> Self {
        match kind {
            SignalKind::Answer => Self::Answer,
            // The mesh sets no candidate as a description.
            SignalKind::Offer | SignalKind::Candidate => Self::Offer,
        }
    }
}

impl From<MiningWhen> for node::MiningWhen {
    fn from(when: MiningWhen) -> Self {
        match when {
            MiningWhen::Off => Self::Off,
            MiningWhen::Pending => Self::WhenPending,
            MiningWhen::Always => Self::Always,
        }
    }
}
