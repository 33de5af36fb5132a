//! The tracker as its members see it: lets them into one room after a proof of their key, forwards signals and frames, checks
//! reports and confirms them by hash; loses some, is away at times.

use std::collections::BTreeMap;

use shared::{
    block::Block,
    chain::Chain,
    hash::{Hash, sha256},
    identity,
    ids::{Height, PeerId, TimestampMs},
    mesh::{FromTracker, JOIN_DOMAIN, ToTracker},
    node::Input,
};

use crate::{Random, wire::Party};

/// What the tracker holds.
#[derive(Debug)]
pub(crate) struct Tracker {
    pub(crate) chain: Chain,
    pub(crate) is_up: bool,
    is_registered: bool,
    /// The connections that are open: the party's newest.
    connections: BTreeMap<Party, u64>,
    made: u64,
    room: BTreeMap<PeerId, Party>,
}

impl Tracker {
    /// A tracker with what it holds of the chain; with none, the network is not registered yet.
    pub(crate) fn new(chain: Chain) -> Self {
        Self {
            is_up: true,
            is_registered: chain.tip().height > Height::GENESIS,
            chain,
            connections: BTreeMap::new(),
            made: 0,
            room: BTreeMap::new(),
        }
    }

    pub(crate) fn tip(&self) -> Option<(Height, Hash)> {
        let tip = self.chain.tip();
        (tip.height > Height::GENESIS).then_some((tip.height, tip.hash))
    }

    /// Accepts a connection; answers its number and the first message on it. None while the tracker is away.
    pub(crate) fn connect(&mut self, party: Party) -> Option<(u64, FromTracker)> {
        if !self.is_up {
            return None;
        }
        self.made += 1;
        self.connections.insert(party, self.made);
        let (provisional, nonce) = challenge(self.made);
        Some((
            self.made,
            FromTracker::Welcomed {
                provisional,
                nonce,
                host: String::from("tracker"),
            },
        ))
    }

    /// A party's connection is gone; answers who hears of it and what.
    pub(crate) fn disconnect(&mut self, party: Party) -> Vec<(Party, FromTracker)> {
        self.connections.remove(&party);
        let left: Vec<PeerId> = self
            .room
            .iter()
            .filter(|(_, member)| **member == party)
            .map(|(peer, _)| *peer)
            .collect();
        self.room.retain(|_, member| *member != party);
        let tell = |peer: PeerId| {
            self.room
                .values()
                .map(move |member| (*member, FromTracker::PeerLeft(peer)))
        };
        left.into_iter().flat_map(tell).collect()
    }

    /// The tracker goes away with all its connections; what is registered stays. Answers whose were open.
    pub(crate) fn go(&mut self) -> Vec<Party> {
        self.is_up = false;
        self.room.clear();
        core::mem::take(&mut self.connections).into_keys().collect()
    }

    pub(crate) fn is_open(&self, party: Party, connection: u64) -> bool {
        self.connections.get(&party) == Some(&connection)
    }

    /// Takes a message of a member; answers who is told what, in order.
    pub(crate) fn take(
        &mut self,
        party: Party,
        connection: u64,
        message: ToTracker,
    ) -> Vec<(Party, FromTracker)> {
        match message {
            ToTracker::Create { .. } => {
                self.is_registered = true;
                vec![(
                    party,
                    FromTracker::Created {
                        chain: self.chain.chain_id(),
                    },
                )]
            }
            ToTracker::Join {
                chain,
                key,
                signature,
                ..
            } => {
                if !self.is_registered || chain != self.chain.chain_id() {
                    return vec![(party, FromTracker::NetworkUnknown)];
                }
                let (provisional, nonce) = challenge(connection);
                let proof = [provisional, nonce].concat();
                if identity::verify(JOIN_DOMAIN, chain, &key, &proof, &signature).is_err() {
                    return vec![(
                        party,
                        FromTracker::JoinRefused {
                            message: String::from("a false proof"),
                        },
                    )];
                }
                self.join(party, PeerId::of(&key))
            }
            ToTracker::Signal { to, kind, signal } => self.forward(party, to, |from| {
                FromTracker::Signalled { from, kind, signal }
            }),
            // No network of the simulation is private.
            ToTracker::Enter { .. } => Vec::new(),
            ToTracker::Relay { to, frame, .. } => {
                self.forward(party, to, |from| FromTracker::Relayed { from, frame })
            }
        }
    }

    fn join(&mut self, party: Party, peer: PeerId) -> Vec<(Party, FromTracker)> {
        let others: Vec<(PeerId, Party)> = self
            .room
            .iter()
            .map(|(peer, member)| (*peer, *member))
            .collect();
        self.room.insert(peer, party);
        let peers = others.iter().map(|(peer, _)| *peer).collect();
        let joined = FromTracker::Joined {
            chain: self.chain.chain_id(),
            peers,
        };
        let mut told = vec![(party, joined)];
        told.extend(
            others
                .into_iter()
                .map(|(_, member)| (member, FromTracker::PeerJoined(peer))),
        );
        told
    }

    fn forward(
        &self,
        party: Party,
        to: PeerId,
        message: impl FnOnce(PeerId) -> FromTracker,
    ) -> Vec<(Party, FromTracker)> {
        let from = self
            .room
            .iter()
            .find(|(_, member)| **member == party)
            .map(|(peer, _)| *peer);
        match (from, self.room.get(&to)) {
            (Some(from), Some(member)) => vec![(*member, message(from))],
            _ => Vec::new(),
        }
    }

    /// Takes a report; answers what the reporter hears, if anything.
    pub(crate) fn report(
        &mut self,
        random: &mut Random,
        now: u64,
        blocks: Vec<Block>,
    ) -> Option<Input> {
        if !self.is_up || random.chance(20) {
            return None;
        }
        for block in blocks {
            // The tracker's clock may be behind some miners': it judges leniently.
            if self.chain.insert(block, TimestampMs(now + 60_000)).is_err() {
                return Some(Input::ReportFailed);
            }
        }
        // What it holds, which may be another branch than the one reported.
        let (height, hash) = self.tip()?;
        Some(Input::ReportConfirmed { height, hash })
    }
}

/// Provisional peer id and nonce of a connection.
fn challenge(connection: u64) -> (Vec<u8>, Vec<u8>) {
    let digest = sha256(&[b"welcome", &connection.to_be_bytes()]).0;
    (digest.to_vec(), digest.into_iter().rev().take(16).collect())
}
