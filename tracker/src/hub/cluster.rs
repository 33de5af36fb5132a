//! Rooms that reach over several trackers: who is where, and what crosses.
//!
//! Each tracker tells the others that have members in a network which peers it has; what it hears is soft state, forgotten when it
//! is not repeated for [`PRESENCE_MS_MAX`]. A message to a peer elsewhere goes to that peer's tracker alone, a message to a room to
//! the trackers with members in it. A peer is in one place: where it joined last. How all of it is repeated is in `telling.rs`.
//!
//! Every receipt is judged again: a network's message reaches only members of that network here, and only if its sender is known to
//! be a member there.

use std::collections::{BTreeMap, BTreeSet};

use shared::ids::{ChainId, PeerId, TimestampMs};

use super::message::{Listing, Wish};
use super::telling::{Telling, message_of};
use super::trackers::{Other, PublicUrl};
use super::{Hub, Network, Output};
use crate::backplane::{Content, Message, Subject, TrackerId};
use crate::ending::Ending;
use crate::label::Label;

/// How often a tracker repeats who its members are, in ms.
pub const PRESENCE_MS: u64 = 5_000;
/// How long a peer elsewhere counts without being repeated, in ms.
pub const PRESENCE_MS_MAX: u64 = 16_000;

/// What this tracker knows of the others.
#[derive(Debug)]
pub(super) struct Cluster {
    own: TrackerId,
    remote: BTreeMap<ChainId, BTreeMap<PeerId, Remote>>,
    /// What is told again, and when.
    pub(super) telling: Telling,
    /// Where browsers reach this tracker.
    pub(super) public_url: Option<PublicUrl>,
    /// Where they reach the others.
    pub(super) others: BTreeMap<TrackerId, Other>,
}

#[derive(Clone, Copy, Debug)]
struct Remote {
    at: TrackerId,
    until: TimestampMs,
}

impl Hub {
    /// From now on this hub is one of several; its driver carries what it publishes. Browsers of the others are told of
    /// `public_url`.
    pub fn join_cluster(&mut self, own: TrackerId, public_url: Option<PublicUrl>) {
        self.cluster = Some(Cluster {
            own,
            remote: BTreeMap::new(),
            telling: Telling::default(),
            public_url,
            others: BTreeMap::new(),
        });
    }

    /// Peers of a network at other trackers.
    pub(super) fn remote_peers(&self, chain_id: ChainId) -> impl Iterator<Item = &PeerId> {
        let cluster = self.cluster.as_ref();
        let room = cluster.and_then(|cluster| cluster.remote.get(&chain_id));
        room.into_iter().flat_map(BTreeMap::keys)
    }

    /// How many peers a network has, here and elsewhere.
    pub(super) fn peer_count(&self, chain_id: ChainId) -> usize {
        let here = self.rooms.get(&chain_id).map_or(0, BTreeMap::len);
        let cluster = self.cluster.as_ref();
        let elsewhere = cluster.and_then(|cluster| cluster.remote.get(&chain_id));
        here.saturating_add(elsewhere.map_or(0, BTreeMap::len))
    }

    pub(super) fn publish(&mut self, to: Subject, message: Message) {
        if self.cluster.is_some() {
            self.outputs.push_back(Output::Publish { to, message });
        }
    }

    pub(super) fn publish_about(&mut self, chain_id: ChainId, content: Content) {
        self.publish(
            Subject::Network(chain_id),
            Message::About(chain_id, content),
        );
    }

    /// A peer joined here: it is nowhere else any more.
    pub(super) fn publish_joined(&mut self, chain_id: ChainId, peer: PeerId) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let is_first = self
            .rooms
            .get(&chain_id)
            .is_some_and(|room| room.len() == 1);
        if let Some(room) = cluster.remote.get_mut(&chain_id) {
            room.remove(&peer);
        }
        if is_first {
            self.outputs.push_back(Output::Follow { chain_id });
            self.publish_about(chain_id, Content::Hello);
        }
        self.publish_about(chain_id, Content::Joined(peer));
    }

    /// A peer left here; without members here, the network is no business of this tracker.
    pub(super) fn publish_left(&mut self, chain_id: ChainId, peer: PeerId) {
        if self.cluster.is_none() {
            return;
        }
        self.publish_about(chain_id, Content::Left(peer));
        if !self.rooms.contains_key(&chain_id) {
            self.outputs.push_back(Output::Unfollow { chain_id });
            if let Some(cluster) = &mut self.cluster {
                cluster.remote.remove(&chain_id);
            }
        }
    }

    /// Hands a message to the tracker that has the receiver; false if none has.
    pub(super) fn forward_elsewhere(
        &mut self,
        chain_id: ChainId,
        from: PeerId,
        to: PeerId,
        text: String,
    ) -> bool {
        let Some(at) = self.place_of(chain_id, to) else {
            return false;
        };
        self.relayed.to_trackers.count(&text);
        let content = Content::Forward { from, to, text };
        self.publish(Subject::Tracker(at), Message::About(chain_id, content));
        true
    }

    /// Tells the members elsewhere what those here are told.
    pub(super) fn publish_to_room(&mut self, chain_id: ChainId, text: String) {
        if self.remote_peers(chain_id).next().is_some() {
            self.publish_about(chain_id, Content::Room { text });
        }
    }

    /// A network was registered here.
    pub(super) fn publish_network(&mut self, network: &Network) {
        let message = message_of(network);
        if let Some(message) = message {
            self.publish(Subject::Networks, message);
        }
    }

    /// At which other tracker a peer is.
    pub(super) fn place_of(&self, chain_id: ChainId, peer: PeerId) -> Option<TrackerId> {
        let room = self.cluster.as_ref()?.remote.get(&chain_id)?;
        room.get(&peer).map(|remote| remote.at)
    }

    /// Forgets who was not repeated.
    pub(super) fn forget_members(&mut self, now: TimestampMs) {
        let mut gone = Vec::new();
        for (chain_id, room) in self.cluster.iter().flat_map(|cluster| &cluster.remote) {
            let late = room.iter().filter(|(_, remote)| remote.until <= now);
            gone.extend(late.map(|(peer, _)| (*chain_id, *peer)));
        }
        for (chain_id, peer) in gone {
            self.on_left_elsewhere(now, chain_id, peer, None);
        }
    }

    /// Another tracker says something.
    pub(super) fn on_cluster_message(
        &mut self,
        now: TimestampMs,
        from: TrackerId,
        message: Message,
    ) {
        if self
            .cluster
            .as_ref()
            .is_none_or(|cluster| cluster.own == from)
        {
            return;
        }
        let (chain_id, content) = match message {
            Message::Network {
                label,
                is_listed,
                genesis,
            } => return self.on_network_elsewhere(label, is_listed, genesis),
            Message::Tracker { url } => return self.on_tracker_elsewhere(now, from, &url),
            Message::Registry(digest) => return self.on_registry_elsewhere(now, from, &digest),
            Message::About(chain_id, content) => (chain_id, content),
        };
        if !self.rooms.contains_key(&chain_id) {
            // The driver may have lost the order when the last member left.
            return self.outputs.push_back(Output::Unfollow { chain_id });
        }
        match content {
            Content::Hello => {
                let room = self.rooms.get(&chain_id);
                let peers = room.map(|room| room.keys().copied().collect());
                let content = Content::Members(peers.unwrap_or_default());
                self.publish(Subject::Tracker(from), Message::About(chain_id, content));
            }
            Content::Members(peers) => self.on_members_elsewhere(now, chain_id, from, peers),
            Content::Joined(peer) => self.on_joined_elsewhere(now, chain_id, from, peer, true),
            Content::Left(peer) => self.on_left_elsewhere(now, chain_id, peer, Some(from)),
            Content::Forward {
                from: sender,
                to,
                text,
            } => {
                let room = self.rooms.get(&chain_id);
                let receiver = room.and_then(|room| room.get(&to)).copied();
                if let Some(receiver) = receiver
                    && self.place_of(chain_id, sender) == Some(from)
                {
                    self.relayed.from_trackers.count(&text);
                    self.outputs.push_back(Output::Send {
                        connections: vec![receiver],
                        text,
                    });
                }
            }
            Content::Room { text } => {
                let cluster = self.cluster.as_ref();
                let room = cluster.and_then(|cluster| cluster.remote.get(&chain_id));
                let is_known =
                    room.is_some_and(|room| room.values().any(|remote| remote.at == from));
                if is_known && self.may_pass_on(now, chain_id, &text) {
                    self.send_text_to_room(chain_id, None, text);
                }
            }
        }
    }

    /// What an open network's room is told from elsewhere was shown there, and counts here, too; a private room is told what its
    /// validators confirmed.
    fn may_pass_on(&mut self, now: TimestampMs, chain_id: ChainId, text: &str) -> bool {
        !self.networks.contains_key(&chain_id) || self.may_show(now, chain_id, text)
    }

    fn on_members_elsewhere(
        &mut self,
        now: TimestampMs,
        chain_id: ChainId,
        from: TrackerId,
        peers: Vec<PeerId>,
    ) {
        let told: BTreeSet<PeerId> = peers.iter().copied().collect();
        let cluster = self.cluster.as_ref();
        let room = cluster.and_then(|cluster| cluster.remote.get(&chain_id));
        let gone = room.into_iter().flatten();
        let gone = gone.filter(|(peer, remote)| remote.at == from && !told.contains(*peer));
        let gone: Vec<PeerId> = gone.map(|(peer, _)| *peer).collect();
        for peer in gone {
            self.on_left_elsewhere(now, chain_id, peer, Some(from));
        }
        for peer in peers {
            self.on_joined_elsewhere(now, chain_id, from, peer, false);
        }
    }

    /// A peer is at another tracker. Only a fresh join takes its place here: a list may have crossed it on the way.
    fn on_joined_elsewhere(
        &mut self,
        now: TimestampMs,
        chain_id: ChainId,
        from: TrackerId,
        peer: PeerId,
        is_fresh: bool,
    ) {
        let here = self.rooms.get(&chain_id).and_then(|room| room.get(&peer));
        if let Some(connection) = here.copied() {
            if is_fresh {
                self.leave_room(now, connection);
                self.outputs.push_back(Output::Disconnect {
                    connection,
                    reason: Ending::Replaced,
                });
            } else {
                return;
            }
        }
        // A full room takes nobody new, and forgets nobody whom it has.
        if !self.rooms.contains_key(&chain_id)
            || (self.is_full(chain_id) && self.place_of(chain_id, peer).is_none())
        {
            return;
        }
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let until = now.plus_ms(PRESENCE_MS_MAX);
        let room = cluster.remote.entry(chain_id).or_default();
        let before = room.insert(peer, Remote { at: from, until });
        if before.is_none() {
            if self.may_tell_news(now, chain_id) {
                let told = self.acquaintances(chain_id, peer).told;
                self.tell_joined(peer, told);
            }
            self.on_peer_count_changed(now, chain_id);
        }
    }

    /// A peer is no longer at the tracker that says so, or was not repeated.
    fn on_left_elsewhere(
        &mut self,
        now: TimestampMs,
        chain_id: ChainId,
        peer: PeerId,
        from: Option<TrackerId>,
    ) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let Some(room) = cluster.remote.get_mut(&chain_id) else {
            return;
        };
        let is_there = room
            .get(&peer)
            .is_some_and(|remote| from.is_none_or(|from| remote.at == from));
        if !is_there {
            return;
        }
        room.remove(&peer);
        self.tell_left(now, chain_id, peer);
        self.on_peer_count_changed(now, chain_id);
    }

    fn on_network_elsewhere(&mut self, label: String, is_listed: bool, genesis: Vec<u8>) {
        let Ok(label) = Label::parse(&label) else {
            return;
        };
        let wish = Wish {
            genesis,
            listing: Listing::from_flag(is_listed),
            label: Some(label),
        };
        self.outputs.push_back(Output::Adopt { wish });
    }
}
