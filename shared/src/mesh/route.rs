//! How a peer is spoken to before there is a channel: over the tracker, between the tabs of a profile, or over a member that is
//! linked to both.
//!
//! Only greetings and signals go over a member, never the node's messages. A member forwards to its direct neighbours only and
//! a forwarded packet is never forwarded again, so a packet makes two hops at most. Each neighbour's packets are counted in a
//! token bucket ([`FORWARDS_BURST`](super::limits::FORWARDS_BURST)); what exceeds it is dropped.

use alloc::vec::Vec;

use crate::hash::sha256;
use crate::ids::{PeerId, TimestampMs};

use super::limits::PACKET_BYTES_MAX;
use super::link::{Link, Stage};
use super::packet::{Ends, Greeting, Packet, Wish};
use super::signal::{Signal, SignalKind};
use super::wire::{Incarnation, LinkMessage};
use super::{LinkId, Mesh, MeshError, Output};

/// One way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Over the tracker, which also carries the node's messages.
    Tracker,
    /// To another tab of this profile.
    Local,
    /// Over this linked peer.
    Member(PeerId),
}

impl Mesh {
    /// The best way to a peer. A link keeps its member while that is there.
    pub(super) fn route_to(&self, peer: PeerId) -> Option<Route> {
        if self.present.contains(&peer) {
            return Some(Route::Tracker);
        }
        if self.local.contains_key(&peer) {
            return Some(Route::Local);
        }
        let link = self.links.get(&peer);
        let via = link.and_then(|link| link.via);
        if let Some(member) = via.filter(|member| self.channel_to(*member).is_some()) {
            return Some(Route::Member(member));
        }
        let tries = link.map_or(0, |link| match link.stage {
            Stage::Greeting { tries, .. } => u64::from(tries),
            Stage::Up { .. } => link.dial.attempt,
        });
        self.member_between(peer, tries).map(Route::Member)
    }

    /// Whether a peer can be spoken to somehow.
    pub(super) fn is_reachable(&self, peer: PeerId) -> bool {
        self.route_to(peer).is_some()
    }

    /// One of the members that are linked to the peer; with each try the next one.
    fn member_between(&self, peer: PeerId, tries: u64) -> Option<PeerId> {
        let members = || {
            self.links
                .iter()
                .filter(|(_, link)| link.is_proven() && link.neighbours.contains(&peer))
        };
        let count = u64::try_from(members().count()).unwrap_or(u64::MAX);
        let [first, ..] = sha256(&[&self.config.seed, &peer.0.0]).0;
        let turn = tries.wrapping_add(u64::from(first)).checked_rem(count)?;
        let (member, _) = members().nth(usize::try_from(turn).ok()?)?;
        Some(*member)
    }

    /// The proven channel to a linked peer.
    pub(super) fn channel_to(&self, peer: PeerId) -> Option<LinkId> {
        let link = self.links.get(&peer).filter(|link| link.is_proven())?;
        link.channel.as_ref().map(|channel| channel.link)
    }

    /// Says `Hello` or `Bye` to a peer.
    pub(super) fn send_greeting(
        &mut self,
        route: Route,
        to: PeerId,
        wish: Wish,
        (mine, theirs): (Incarnation, Incarnation),
    ) {
        if route == Route::Tracker {
            let message = match wish {
                Wish::Link => LinkMessage::Hello,
                Wish::NoLink => LinkMessage::Bye,
            };
            self.relay(to, mine, theirs, &message.chunk());
            return;
        }
        let ends = Ends {
            chain: self.config.chain,
            from: self.own,
            to,
        };
        let greeting = Greeting::sign(&self.config.identity, &ends, wish, mine, theirs);
        self.send_packet(route, to, &Packet::Greeting(greeting));
    }

    /// Sends a signal by the best way there is.
    pub(super) fn send_signal(&mut self, to: PeerId, kind: SignalKind, signal: Signal) {
        match self.route_to(to) {
            Some(Route::Tracker) => self.relay_signal(to, kind, signal),
            Some(route) => self.send_packet(route, to, &Packet::Signal(kind, signal)),
            None => {}
        }
    }

    pub(super) fn send_packet(&mut self, route: Route, to: PeerId, packet: &Packet) {
        let packet = packet.encode();
        if packet.len() > PACKET_BYTES_MAX {
            return;
        }
        match route {
            Route::Tracker => {}
            Route::Local => self.push(Output::Local {
                to: Some(to),
                packet,
            }),
            Route::Member(member) => {
                if let Some(link) = self.channel_to(member) {
                    let bytes = LinkMessage::Forward { to, packet }.chunk();
                    self.push(Output::SendChannel { link, bytes });
                }
            }
        }
    }

    /// A neighbour wants a packet forwarded.
    pub(super) fn on_forward(
        &mut self,
        now: TimestampMs,
        from: PeerId,
        to: PeerId,
        packet: Vec<u8>,
    ) {
        let Some(link) = self.links.get_mut(&from).filter(|link| link.is_proven()) else {
            return;
        };
        let is_allowed = link.forwards.take(now, cost(&packet), 0);
        if !is_allowed || to == from || Packet::decode(&packet).is_none() {
            return;
        }
        if let Some(link) = self.channel_to(to) {
            let bytes = LinkMessage::Forwarded { from, packet }.chunk();
            self.push(Output::SendChannel { link, bytes });
        }
    }

    /// A neighbour brings a packet of another peer.
    pub(super) fn on_forwarded(
        &mut self,
        now: TimestampMs,
        member: PeerId,
        from: PeerId,
        packet: &[u8],
    ) -> Result<(), MeshError> {
        let Some(link) = self.links.get_mut(&member).filter(|link| link.is_proven()) else {
            return Ok(());
        };
        if !link.brings.take(now, cost(packet), 0) || from == member {
            return Ok(());
        }
        self.on_packet(now, Route::Member(member), from, packet)
    }

    /// A packet came by another way than the tracker.
    pub(super) fn on_packet(
        &mut self,
        now: TimestampMs,
        route: Route,
        from: PeerId,
        packet: &[u8],
    ) -> Result<(), MeshError> {
        if from == self.own || packet.len() > PACKET_BYTES_MAX {
            return Ok(());
        }
        match Packet::decode(packet) {
            Some(Packet::Greeting(greeting)) => self.on_greeting(now, route, from, &greeting),
            Some(Packet::Signal(kind, signal)) => self.on_signalled(now, from, kind, signal),
            Some(Packet::Presence) | None => Ok(()),
        }
    }

    fn on_greeting(
        &mut self,
        now: TimestampMs,
        route: Route,
        from: PeerId,
        greeting: &Greeting,
    ) -> Result<(), MeshError> {
        if !self.is_worth_checking(now, from, greeting) {
            return Ok(());
        }
        let ends = Ends {
            chain: self.config.chain,
            from,
            to: self.own,
        };
        greeting
            .check(&ends)
            .map_err(|reason| MeshError::Signal { peer: from, reason })?;
        match greeting.wish {
            Wish::Link => self.on_hello(now, route, from, (greeting.from, greeting.to)),
            Wish::NoLink => self.on_bye(now, from, greeting.to),
        }
        Ok(())
    }

    /// Whether a greeting could change anything. What works is not given up for one: a channel is tried first, and an attempt
    /// under way goes on unless the greeting names our own incarnation, which an old one can't.
    fn is_worth_checking(&mut self, now: TimestampMs, from: PeerId, greeting: &Greeting) -> bool {
        let Some(link) = self.links.get_mut(&from) else {
            return greeting.wish == Wish::Link;
        };
        let is_known = link.stage
            == (Stage::Up {
                theirs: greeting.from,
            });
        if is_known {
            return true;
        }
        if link.has_open_channel() {
            if greeting.wish == Wish::Link {
                self.probe(now, from);
            }
            return false;
        }
        let is_under_way = link.is_told || link.channel.is_some();
        !is_under_way || greeting.to == link.mine
    }

    /// Notes the member that a peer was heard through.
    pub(super) fn note_route(link: &mut Link, route: Route) {
        if let Route::Member(member) = route {
            link.via = Some(member);
        }
    }
}

/// What a packet takes from the bucket.
fn cost(packet: &[u8]) -> u64 {
    1 + u64::try_from(packet.len() / 1024).unwrap_or(u64::MAX)
}
