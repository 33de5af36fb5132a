//! Joining the network's room at the tracker, anew on every connection.
//!
//! `welcome` → `join_network` with a proof over this connection's nonce → `joined`. A tracker that does not know the network is
//! given the genesis once (`create_network`) and asked again. A room of another chain under our label is refused. Each step
//! has ten seconds, then the connection is given up.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::ids::{ChainId, PeerId, TimestampMs};

use super::limits::{JOIN_STEP_MS, PRESENT_MAX};
use super::{FromTracker, JOIN_DOMAIN, Mesh, MeshError, Output, ToTracker};

/// How far we are with the tracker.
#[derive(Debug)]
pub(super) enum Join {
    /// No connection.
    Closed,
    /// Connected; `welcome` is awaited.
    Opened { deadline: TimestampMs },
    /// `join_network` is sent.
    Entering {
        deadline: TimestampMs,
        proof: Vec<u8>,
        creation: Creation,
    },
    /// `create_network` is sent.
    Creating {
        deadline: TimestampMs,
        proof: Vec<u8>,
    },
    /// In the room.
    Joined,
    /// Connected, but not let in.
    Refused,
}

/// Whether the genesis was given to the tracker on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Creation {
    Untried,
    Tried,
}

impl Join {
    pub(super) const fn deadline(&self) -> Option<TimestampMs> {
        match self {
            Self::Opened { deadline }
            | Self::Entering { deadline, .. }
            | Self::Creating { deadline, .. } => Some(*deadline),
            Self::Closed | Self::Joined | Self::Refused => None,
        }
    }
}

impl Mesh {
    pub(super) fn on_tracker_opened(&mut self, now: TimestampMs) {
        self.on_tracker_closed(now);
        self.join = Join::Opened {
            deadline: now.plus_ms(JOIN_STEP_MS),
        };
    }

    pub(super) fn on_tracker_closed(&mut self, now: TimestampMs) {
        let was_joined = self.is_joined();
        self.join = Join::Closed;
        self.present.clear();
        if was_joined {
            self.push(Output::TrackerLost);
        }
        self.drop_unreachable(now);
    }

    pub(super) fn on_tracker_received(
        &mut self,
        now: TimestampMs,
        message: FromTracker,
    ) -> Result<(), MeshError> {
        match message {
            FromTracker::Welcomed { provisional, nonce } => {
                self.on_welcomed(now, [provisional, nonce].concat())
            }
            FromTracker::Created { chain } => self.on_created(now, chain),
            FromTracker::Joined { chain, peers } => self.on_joined(now, chain, peers),
            FromTracker::NetworkUnknown => self.on_network_unknown(now),
            FromTracker::NetworkExists => self.on_network_exists(now),
            FromTracker::JoinRefused { message } => {
                if self.join.deadline().is_some() {
                    self.refuse(message);
                }
            }
            FromTracker::PeerJoined(peer) => self.on_peer_joined(now, peer),
            FromTracker::PeerLeft(peer) => self.on_peer_left(now, peer),
            FromTracker::Signalled { from, kind, signal } => {
                return self.on_signalled(now, from, kind, signal);
            }
            FromTracker::Relayed { from, frame } => return self.on_relayed(now, from, &frame),
        }
        Ok(())
    }

    fn on_welcomed(&mut self, now: TimestampMs, proof: Vec<u8>) {
        if matches!(self.join, Join::Opened { .. }) {
            self.enter(now, proof, Creation::Untried);
        }
    }

    fn enter(&mut self, now: TimestampMs, proof: Vec<u8>, creation: Creation) {
        let signature = self
            .config
            .identity
            .sign(JOIN_DOMAIN, self.config.chain, &proof);
        self.join = Join::Entering {
            deadline: now.plus_ms(JOIN_STEP_MS),
            proof,
            creation,
        };
        self.push(Output::Tracker(ToTracker::Join {
            network: self.config.network.clone(),
            chain: self.config.chain,
            key: self.config.identity.public_key(),
            signature,
        }));
    }

    fn on_network_unknown(&mut self, now: TimestampMs) {
        let Join::Entering {
            proof, creation, ..
        } = &mut self.join
        else {
            return;
        };
        if *creation == Creation::Tried {
            let label = self.config.network.as_str();
            self.refuse(format!(
                "the tracker holds another network under the name {label}"
            ));
            return;
        }
        let proof = core::mem::take(proof);
        self.join = Join::Creating {
            deadline: now.plus_ms(JOIN_STEP_MS),
            proof,
        };
        let (genesis, listing) = (self.config.genesis.clone(), self.config.listing);
        self.push(Output::Tracker(ToTracker::Create { genesis, listing }));
    }

    /// Another member may have registered the same genesis meanwhile, so one more join decides.
    fn on_network_exists(&mut self, now: TimestampMs) {
        if let Join::Creating { proof, .. } = &mut self.join {
            let proof = core::mem::take(proof);
            self.enter(now, proof, Creation::Tried);
        }
    }

    fn on_created(&mut self, now: TimestampMs, chain: ChainId) {
        let Join::Creating { proof, .. } = &mut self.join else {
            return;
        };
        let proof = core::mem::take(proof);
        if chain == self.config.chain {
            self.enter(now, proof, Creation::Tried);
        } else {
            self.refuse(format!(
                "the tracker registered chain {chain} instead of ours"
            ));
        }
    }

    fn on_joined(&mut self, now: TimestampMs, chain: ChainId, peers: Vec<PeerId>) {
        if !matches!(self.join, Join::Entering { .. }) {
            return;
        }
        if chain != self.config.chain {
            self.refuse(format!(
                "the tracker let us into chain {chain} instead of ours"
            ));
            return;
        }
        self.join = Join::Joined;
        self.present = peers
            .into_iter()
            .filter(|peer| *peer != self.own)
            .take(PRESENT_MAX)
            .collect();
        self.push(Output::TrackerJoined);
        self.fill_links(now);
    }

    fn refuse(&mut self, reason: String) {
        self.join = Join::Refused;
        self.push(Output::TrackerRefused { reason });
    }

    fn on_peer_joined(&mut self, now: TimestampMs, peer: PeerId) {
        if self.is_joined() && self.note_present(peer) {
            self.fill_links(now);
        }
    }

    /// Remembers a peer as reachable through the tracker; `false` if it is ourselves or one too many.
    pub(super) fn note_present(&mut self, peer: PeerId) -> bool {
        if peer == self.own || (self.present.len() >= PRESENT_MAX && !self.present.contains(&peer))
        {
            return false;
        }
        self.present.insert(peer);
        true
    }

    fn on_peer_left(&mut self, now: TimestampMs, peer: PeerId) {
        self.present.remove(&peer);
        self.drop_unreachable(now);
        self.fill_links(now);
    }
}
