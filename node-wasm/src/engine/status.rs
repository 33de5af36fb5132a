//! Where the node stands, and its events in the page's words.

use shared::enterprise::LightClient;
use shared::mesh;
use shared::node;

use super::Engine;
use crate::seam::{
    Counted, Event, MiningStatus, MiningWhen, PeerStatus, SplitStatus, Status, Transport,
};

impl Engine {
    /// The height of the best header known, the tip's at least.
    #[must_use]
    pub fn best_height(&self) -> u32 {
        let chain = self.node.chain();
        chain.best_header().height.max(chain.tip().height).0
    }

    /// Where the node stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let status = self.node.status();
        let (genesis, light) = (self.node.genesis(), self.node.light_client());
        let tip_target = self
            .node
            .chain()
            .header(&status.tip)
            .map_or(genesis.rules.initial_target, |header| header.target);
        Status {
            network_id: genesis.network_id.to_string(),
            chain_id: self.node.chain().chain_id().to_string(),
            peer_id: self.mesh.own_peer().to_string(),
            public_key: self.mesh.public_key().to_string(),
            height: status.height.0,
            best_height: status.best_height.0.max(status.height.0),
            syncing: status.syncing,
            tip_hash: status.tip.to_string(),
            work: status.work.to_string(),
            difficulty: tip_target.work().0.as_f64(),
            pending_count: status.pending,
            peers: self.peer_statuses(),
            tracker: if self.mesh.is_joined() {
                "connected"
            } else {
                "offline"
            },
            mining: MiningStatus {
                when: status.mining_when.into(),
                active: status.job.is_some(),
            },
            synced_height: self.synced_height(),
            anchored_height: self.anchored_height,
            final_height: status.final_height.0,
            reporter: self.node.may_report(),
            reporting: self.node.may_report() && self.node.reporting() == node::Reporting::On,
            resets: self.node.resets(),
            enterprise_height: light.map_or(0, |light| light.height().0),
            signers: light
                .map_or(&[][..], LightClient::signers)
                .iter()
                .map(ToString::to_string)
                .collect(),
            split: self.node.split().map(|split| SplitStatus {
                enterprise_height: split.height().0,
                culprits: split.culprits().iter().map(ToString::to_string).collect(),
                one_round: split.is_of_one_round(),
            }),
            bodies_from: status.bodies_from.0,
            abandoned: status.abandoned,
            conflicts: self.node.conflicts().count(),
            clock_offset_ms: status.clock_offset_ms,
            sent_bytes: status.traffic.sent.into(),
            received_bytes: status.traffic.received.into(),
        }
    }

    pub(super) fn synced_height(&self) -> u32 {
        self.node.status().synced.map_or(0, |(height, _)| height.0)
    }

    pub(super) fn peer_statuses(&self) -> Vec<PeerStatus> {
        self.mesh
            .peers()
            .map(|(peer, transport)| PeerStatus {
                id: peer.to_string(),
                transport: transport.into(),
            })
            .collect()
    }
}

/// The node's event in the page's words; `None` if the page has no use for it.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an event that the page does not know is not for it"
)]
pub(super) fn seam_event(event: node::Event) -> Option<Event> {
    Some(match event {
        node::Event::TipChanged {
            height,
            hash,
            disconnected,
            connected,
        } => Event::Tip {
            height: height.0,
            hash: hash.to_string(),
            disconnected: disconnected.len(),
            connected: connected.len(),
        },
        node::Event::TransactionPending { id } => Event::Pending { id: id.to_string() },
        node::Event::TransactionConfirmed { id, height } => Event::Confirmed {
            id: id.to_string(),
            height: height.0,
        },
        node::Event::Submitted {
            request,
            id,
            sequence,
        } => Event::Submitted {
            request,
            id: id.to_string(),
            sequence: sequence.0,
        },
        node::Event::SubmitRefused { request, reason } => Event::SubmitRefused { request, reason },
        node::Event::BlockRefused { peer, reason } => {
            let source = peer.map_or_else(|| String::from("block"), |peer| format!("peer {peer}"));
            Event::Refused { reason, source }
        }
        node::Event::PeerRefused { peer, reason } => Event::Refused {
            reason,
            source: format!("peer {peer}"),
        },
        node::Event::Conflict(conflict) => Event::Conflict {
            sender: conflict.sender.to_string(),
            sequence: conflict.sequence.0,
            kept: conflict.kept.map(|id| id.to_string()),
            lost: conflict.lost.to_string(),
        },
        node::Event::StorageDamaged { key, reason } => Event::StorageDamaged { key, reason },
        node::Event::ClockOff { offset_ms } => Event::Clock { offset_ms },
        node::Event::Synced { height, hash } => Event::Synced {
            height: height.0,
            hash: hash.to_string(),
        },
        other => return finality_event(other),
    })
}

/// As [`seam_event`], for what finality does.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an event that the page does not know is not for it"
)]
fn finality_event(event: node::Event) -> Option<Event> {
    Some(match event {
        node::Event::Finalised { height, hash } => Event::Final {
            height: height.0,
            hash: hash.to_string(),
        },
        node::Event::FinalityReset { number, from } => Event::Reset {
            number,
            from: from.0,
        },
        node::Event::ResetRefused { number, reason } => Event::Refused {
            reason: format!("the receipt of reset {number} does not hold: {reason}"),
            source: String::from("enterprise chain"),
        },
        node::Event::SnapshotTaken { height, senders } => Event::Snapshot {
            height: height.0,
            senders,
        },
        node::Event::BranchAbandoned(branch) => Event::Abandoned {
            from: branch.from.0,
            to: branch.to.0,
            tip: branch.tip.to_string(),
            final_height: branch.final_height.0,
        },
        node::Event::FinalityRefused { reason, .. } => Event::Refused {
            reason,
            source: String::from("enterprise chain"),
        },
        node::Event::ProofRefused { reason } => Event::Refused {
            reason,
            source: String::from("enterprise chain"),
        },
        node::Event::EnterpriseSplit { height } => Event::Split {
            enterprise_height: height.0,
        },
        node::Event::PeerBesideFinal { peer, height } => Event::Refused {
            reason: format!(
                "it follows a chain that leaves out the final block from height {height} on"
            ),
            source: format!("peer {peer}"),
        },
        _ => return None,
    })
}

impl From<node::Counted> for Counted {
    fn from(counted: node::Counted) -> Self {
        let node::Counted {
            blocks,
            transactions,
            history,
            other,
        } = counted;
        Self {
            blocks,
            transactions,
            history,
            other,
        }
    }
}

impl From<node::MiningWhen> for MiningWhen {
    fn from(when: node::MiningWhen) -> Self {
        match when {
            node::MiningWhen::Off => Self::Off,
            node::MiningWhen::WhenPending => Self::Pending,
            node::MiningWhen::Always => Self::Always,
        }
    }
}

impl From<mesh::Transport> for Transport {
    fn from(transport: mesh::Transport) -> Self {
        match transport {
            mesh::Transport::Connecting => Self::Connecting,
            mesh::Transport::Relay => Self::Relay,
            mesh::Transport::Direct => Self::Direct,
        }
    }
}
