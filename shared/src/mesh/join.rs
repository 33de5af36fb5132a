//! Joining the network's room at the tracker, anew on every connection.
//!
//! `welcome` → `join_network` with a proof over this connection's nonce → `joined`. A private network's member enters its room
//! instead, admitted by the join key ([`crate::private`]), and the tracker is never given a genesis. A tracker that does not know the network is
//! given the genesis (`create_network`) and asked again. Where another chain holds our label, ours is registered beside it as
//! `label~<first 8 digits of the chain id>`; rooms are entered by chain id, and a room of another chain is refused. Each
//! step has ten seconds, then the connection is given up; a refusal is tried again on a new one after a minute.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::ids::{ChainId, PeerId, TimestampMs};
use crate::private::{NetworkKeys, SealError};

use super::limits::{JOIN_STEP_MS, PRESENT_MAX, REFUSED_MS};
use super::link::ShunReason;
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
        creation: Creation,
    },
    /// In the room.
    Joined,
    /// Connected, but not let in; tried again on a new connection.
    Refused { deadline: TimestampMs },
}

/// How the genesis was given to the tracker on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Creation {
    /// Not yet.
    Untried,
    /// Under its own label.
    Own,
    /// Beside the network that holds its label.
    Beside,
}

impl Join {
    pub(super) const fn deadline(&self) -> Option<TimestampMs> {
        match self {
            Self::Opened { deadline }
            | Self::Refused { deadline }
            | Self::Entering { deadline, .. }
            | Self::Creating { deadline, .. } => Some(*deadline),
            Self::Closed | Self::Joined => None,
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
        if was_joined {
            self.announce_without_tracker(now);
        }
        self.fill_links(now);
    }

    pub(super) fn on_tracker_received(
        &mut self,
        now: TimestampMs,
        message: FromTracker,
    ) -> Result<(), MeshError> {
        match message {
            FromTracker::Welcomed {
                provisional,
                nonce,
                host,
            } => {
                if matches!(self.join, Join::Opened { .. }) {
                    match self.config.keys.clone() {
                        Some(keys) => self.enter_room(now, &keys, &nonce, &host),
                        None => self.enter(now, [provisional, nonce].concat(), Creation::Untried),
                    }
                }
            }
            FromTracker::Created { chain } => self.on_created(now, chain),
            FromTracker::Joined { chain, peers } => self.on_joined(now, chain, peers),
            FromTracker::NetworkUnknown => self.on_network_unknown(now),
            FromTracker::NetworkExists => self.on_network_exists(now),
            FromTracker::JoinRefused { message } => {
                if !matches!(
                    self.join,
                    Join::Closed | Join::Joined | Join::Refused { .. }
                ) {
                    self.refuse(now, message);
                }
            }
            FromTracker::PeerJoined(peer) => self.on_peer_joined(now, peer),
            FromTracker::PeerLeft(peer) => self.on_peer_left(now, peer),
            FromTracker::Signalled { from, .. } if self.config.keys.is_some() => {
                let reason = SealError { found: 0 };
                return Err(MeshError::Sealed { peer: from, reason });
            }
            FromTracker::Signalled { from, kind, signal } => {
                return self.on_signalled(now, from, kind, signal);
            }
            FromTracker::Relayed { from, frame } => return self.on_relayed(now, from, &frame),
        }
        Ok(())
    }

    fn enter_room(&mut self, now: TimestampMs, keys: &NetworkKeys, nonce: &[u8], host: &str) {
        let Ok(nonce) = nonce.try_into() else {
            return self.refuse(
                now,
                String::from("the tracker's nonce is not 32 bytes long"),
            );
        };
        self.join = Join::Entering {
            deadline: now.plus_ms(JOIN_STEP_MS),
            proof: Vec::new(),
            creation: Creation::Beside,
        };
        self.push(Output::Tracker(ToTracker::Enter {
            room: keys.room(),
            join_key: keys.join_key(),
            peer: self.own,
            admission: keys.admission(host, self.own, nonce),
        }));
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
        let network = &self.config.network;
        let Join::Entering {
            proof, creation, ..
        } = &mut self.join
        else {
            return;
        };
        let (creation, label) = match creation {
            Creation::Untried => (Creation::Own, None),
            Creation::Own => {
                let digits: String = self.config.chain.to_string().chars().take(8).collect();
                (Creation::Beside, Some(format!("{network}~{digits}")))
            }
            Creation::Beside => {
                let reason = format!("the tracker holds another network under the name {network}");
                return self.refuse(now, reason);
            }
        };
        self.join = Join::Creating {
            deadline: now.plus_ms(JOIN_STEP_MS),
            proof: core::mem::take(proof),
            creation,
        };
        self.push(Output::Tracker(ToTracker::Create {
            genesis: self.config.genesis.clone(),
            listing: self.config.listing,
            label,
        }));
    }

    /// Another member may have registered the same genesis meanwhile, so a join decides.
    fn on_network_exists(&mut self, now: TimestampMs) {
        if let Join::Creating {
            proof, creation, ..
        } = &mut self.join
        {
            let (proof, creation) = (core::mem::take(proof), *creation);
            self.enter(now, proof, creation);
        }
    }

    fn on_created(&mut self, now: TimestampMs, chain: ChainId) {
        if chain == self.config.chain {
            self.on_network_exists(now);
        } else if matches!(self.join, Join::Creating { .. }) {
            self.refuse(
                now,
                format!("the tracker registered chain {chain} instead of ours"),
            );
        }
    }

    fn on_joined(&mut self, now: TimestampMs, chain: ChainId, peers: Vec<PeerId>) {
        if !matches!(self.join, Join::Entering { .. }) {
            return;
        }
        let keys = self.config.keys.as_ref();
        if chain != keys.map_or(self.config.chain, |keys| keys.room().as_chain()) {
            self.refuse(
                now,
                format!("the tracker let us into chain {chain} instead of ours"),
            );
            return;
        }
        self.join = Join::Joined;
        self.present = peers
            .into_iter()
            .filter(|peer| *peer != self.own)
            .take(PRESENT_MAX)
            .collect();
        // Who did not answer over a member may do so over the tracker.
        self.shunned
            .retain(|_, shunned| shunned.reason == ShunReason::Banned);
        self.push(Output::TrackerJoined);
        let linked: Vec<PeerId> = self.links.keys().copied().collect();
        for peer in linked {
            self.tell_if_carried(now, peer);
        }
        self.fill_links(now);
    }

    fn refuse(&mut self, now: TimestampMs, reason: String) {
        self.join = Join::Refused {
            deadline: now.plus_ms(REFUSED_MS),
        };
        self.push(Output::TrackerRefused { reason });
    }

    fn on_peer_joined(&mut self, now: TimestampMs, peer: PeerId) {
        if self.is_joined() && self.note_present(peer) {
            self.tell_if_carried(now, peer);
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
