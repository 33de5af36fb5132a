//! What a tracker repeats to the others, in slices, so that the driver's bounded queue loses none of it.
//!
//! Every [`PRESENCE_MS`] a round begins: first where browsers reach this tracker, and a digest of its registry; then room by room
//! the order to hear of it, should the driver have lost the first, and who its members are. After [`SLICES`] slices all rooms are
//! told, however many there are.
//!
//! Who hears a digest and has networks in a share that differs tells that share to the asker alone. What gets lost on the way
//! is seen at the next digest, and told anew [`TELL_AGAIN_MS`] after the last telling began.
//!
//! Limits: [`limits::TOLD_ROOMS`] rooms and [`limits::TOLD_NETWORKS_MAX`] networks a slice; [`limits::TOLD_TRACKERS_MAX`] trackers that
//! are told networks, beyond, a digest is passed over until the next; each at most one telling at a time.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use shared::ids::{ChainId, PeerId, TimestampMs};

use super::cluster::PRESENCE_MS;
use super::{Hub, Network, Output};
use crate::backplane::{Content, Digest, Message, Shares, Subject, TrackerId};
use crate::limits;

/// Time between two slices, in ms.
const SLICE_MS: u64 = 50;
/// Slices of one round at most; they take a part of [`PRESENCE_MS`] only, as a timer may be late.
const SLICES: usize = 60;
/// How long after a telling of networks began the same tracker may have another, in ms.
pub(super) const TELL_AGAIN_MS: u64 = 30_000;

/// What is being told.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// When the next slice is due.
    pub(super) next_at: TimestampMs,
    /// When the next round begins.
    round_at: TimestampMs,
    /// The rooms of this round that are not told yet.
    rooms: Option<Rooms>,
    /// Who is told networks, or was a moment ago.
    networks: BTreeMap<TrackerId, Networks>,
}

#[derive(Clone, Copy, Debug)]
struct Rooms {
    /// The last one that was told.
    after: Option<ChainId>,
    /// How many make a slice.
    at_once: usize,
    /// Whether the others are asked for their members, too.
    asks: bool,
}

#[derive(Clone, Copy, Debug)]
struct Networks {
    shares: Shares,
    /// The last one that was told.
    after: Option<ChainId>,
    is_done: bool,
    again_at: TimestampMs,
}

impl Hub {
    /// The backplane is there (again): a round begins at once, and the others are asked.
    pub(super) fn on_cluster_up(&mut self, now: TimestampMs) {
        self.begin_round(now, true);
        self.tell_slice(now);
    }

    /// Tells the next slice if it is time, and forgets who was not repeated.
    pub(super) fn on_slice_due(&mut self, now: TimestampMs) {
        let Some(telling) = self.cluster.as_ref().map(|cluster| &cluster.telling) else {
            return;
        };
        if telling.next_at > now {
            return;
        }
        if telling.round_at <= now && telling.rooms.is_none() {
            self.begin_round(now, false);
            self.forget_trackers(now);
            self.forget_members(now);
        }
        self.tell_slice(now);
    }

    /// Another tracker says which networks it has: it is told what it lacks.
    pub(super) fn on_registry_elsewhere(
        &mut self,
        now: TimestampMs,
        from: TrackerId,
        theirs: &Digest,
    ) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let told = &mut cluster.telling.networks;
        told.retain(|_, networks| !networks.is_done || networks.again_at > now);
        if told.contains_key(&from) || told.len() >= limits::TOLD_TRACKERS_MAX {
            return;
        }
        let Some(shares) = Digest::of(self.networks.keys()).differing(theirs) else {
            return;
        };
        let networks = Networks {
            shares,
            after: None,
            is_done: false,
            again_at: now.plus_ms(TELL_AGAIN_MS),
        };
        told.insert(from, networks);
        let soon = now.plus_ms(SLICE_MS);
        cluster.telling.next_at = cluster.telling.next_at.min(soon);
    }

    fn begin_round(&mut self, now: TimestampMs, asks: bool) {
        let at_once = self.rooms.len().div_ceil(SLICES).max(limits::TOLD_ROOMS);
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        cluster.telling.round_at = now.plus_ms(PRESENCE_MS);
        cluster.telling.rooms = Some(Rooms {
            after: None,
            at_once,
            asks,
        });
        self.publish_address();
        let digest = Box::new(Digest::of(self.networks.keys()));
        self.publish(Subject::Networks, Message::Registry(digest));
    }

    fn tell_slice(&mut self, now: TimestampMs) {
        self.tell_rooms();
        self.tell_networks();
        if let Some(Telling {
            next_at,
            round_at,
            rooms,
            networks,
        }) = self.cluster.as_mut().map(|cluster| &mut cluster.telling)
        {
            let goes_on = rooms.is_some() || networks.values().any(|told| !told.is_done);
            let slice_at = now.plus_ms(SLICE_MS);
            *next_at = if goes_on { slice_at } else { *round_at };
        }
    }

    fn tell_rooms(&mut self) {
        let cluster = self.cluster.as_mut();
        let Some(rooms) = cluster.and_then(|cluster| cluster.telling.rooms.take()) else {
            return;
        };
        let next = self.rooms.range((start(rooms.after), Unbounded));
        let slice: Vec<(ChainId, Vec<PeerId>)> = next
            .take(rooms.at_once)
            .map(|(chain_id, room)| (*chain_id, room.keys().copied().collect()))
            .collect();
        let (is_done, last) = (slice.len() < rooms.at_once, slice.last());
        let after = last.map(|(chain_id, _)| *chain_id);
        for (chain_id, peers) in slice {
            self.outputs.push_back(Output::Follow { chain_id });
            if rooms.asks {
                self.publish_about(chain_id, Content::Hello);
            }
            self.publish_about(chain_id, Content::Members(peers));
        }
        if let Some(cluster) = self.cluster.as_mut().filter(|_| !is_done) {
            cluster.telling.rooms = Some(Rooms { after, ..rooms });
        }
    }

    fn tell_networks(&mut self) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let told = cluster.telling.networks.iter_mut();
        let told: Vec<_> = told.filter(|(_, networks)| !networks.is_done).collect();
        let at_once = limits::TOLD_NETWORKS_MAX / told.len().max(1);
        for (tracker, networks) in told {
            let next = self.networks.range((start(networks.after), Unbounded));
            let slice = next
                .filter(|(chain_id, _)| networks.shares.hold(chain_id))
                .take(at_once);
            let (mut count, mut after) = (0, networks.after);
            for (chain_id, network) in slice {
                (count, after) = (count + 1, Some(*chain_id));
                if let Some(message) = message_of(network) {
                    let to = Subject::Tracker(*tracker);
                    self.outputs.push_back(Output::Publish { to, message });
                }
            }
            (networks.after, networks.is_done) = (after, count < at_once);
        }
    }
}

fn start(after: Option<ChainId>) -> std::ops::Bound<ChainId> {
    after.map_or(Unbounded, Excluded)
}

/// What others are told of a network.
pub(super) fn message_of(network: &Network) -> Option<Message> {
    Some(Message::Network {
        label: network.label.to_string(),
        is_listed: network.listing.is_listed(),
        genesis: hex::decode(&*network.genesis).ok()?,
    })
}
