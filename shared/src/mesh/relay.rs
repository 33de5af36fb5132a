//! Greeting, messages over the tracker's relay, starting over.
//!
//! Handshake: either end sends `Hello` naming its own incarnation and the other's as far as known. Who receives a `Hello` that
//! does not name its current incarnation answers with one that does. An end is up when it knows the other's incarnation; a
//! `Hello` with a new one means that the other end started over (a reloaded page, a failed direct channel) and takes the
//! old link down first. The relay keeps order, so nothing of a new life can arrive before its `Hello`.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::frame::{FrameKind, Reassembler, split};
use crate::ids::{PeerId, TimestampMs};
use crate::message::lane_of;

use super::limits::{
    ACCEPTED_LINKS_MAX, BACKOFF_MAX_MS, BANNED_MS, SHUNNED_MAX, UNPROVEN_LINKS_PER_MEMBER_MAX,
    WANTED_LINKS_MAX,
};
use super::link::{Alive, Dial, Link, Origin, ShunReason, Shunned, Stage, backoff_ms};
use super::packet::Wish;
use super::route::Route;
use super::signal::Role;
use super::wire::{Incarnation, LinkMessage, unwrap, wrap};
use super::{Mesh, MeshError, Output};

impl Mesh {
    /// Sends `Hello` and plans the next, over another member if it goes over one.
    pub(super) fn greet(&mut self, now: TimestampMs, peer: PeerId, link: &mut Link) {
        link.via = None;
        let route = self.route_to(peer);
        if let Stage::Greeting { tries, again_at } = &mut link.stage {
            *again_at = now.plus_ms(backoff_ms(*tries + 1, self.draw()));
            *tries += 1;
        }
        if let Some(route) = route {
            Self::note_route(link, route);
            self.send_greeting(route, peer, Wish::Link, (link.mine, Incarnation::NONE));
        }
    }

    /// Sends one chunk through the tracker.
    pub(super) fn relay(
        &mut self,
        to: PeerId,
        mine: Incarnation,
        theirs: Incarnation,
        chunk: &[u8],
    ) {
        let frame = wrap(mine, theirs, chunk);
        self.relay_frame(to, crate::frame::lane_of(chunk), frame);
    }

    pub(super) fn on_relayed(
        &mut self,
        now: TimestampMs,
        peer: PeerId,
        frame: &[u8],
    ) -> Result<(), MeshError> {
        if !self.is_joined() {
            return Ok(());
        }
        match self.config.keys.clone() {
            Some(keys) => self.on_sealed(now, peer, &keys, frame),
            None => self.on_relayed_frame(now, peer, frame),
        }
    }

    /// A frame of a link, as open networks relay it.
    pub(super) fn on_relayed_frame(
        &mut self,
        now: TimestampMs,
        peer: PeerId,
        frame: &[u8],
    ) -> Result<(), MeshError> {
        if !self.note_present(peer) {
            return Ok(());
        }
        self.tell_if_carried(now, peer);
        let Some((from, to, chunk)) = unwrap(frame) else {
            return Ok(());
        };
        // A link message is one chunk of its own; anything else is for the link's reassembler.
        if let Ok(Some((FrameKind::Mesh, bytes))) = Reassembler::new().receive(chunk) {
            match LinkMessage::decode(&bytes) {
                Some(LinkMessage::Hello) => self.on_hello(now, Route::Tracker, peer, (from, to)),
                Some(LinkMessage::Bye) => self.on_bye(now, peer, to),
                Some(message @ (LinkMessage::Ping(_) | LinkMessage::Pong(_))) => {
                    self.on_relayed_life(now, peer, from, to, message);
                }
                // The others are for direct channels.
                Some(
                    LinkMessage::Peers(_)
                    | LinkMessage::Forward { .. }
                    | LinkMessage::Forwarded { .. },
                )
                | None => {}
            }
            return Ok(());
        }
        let Some(link) = self.links.get_mut(&peer) else {
            self.relay(peer, Incarnation::NONE, from, &LinkMessage::Bye.chunk());
            return Ok(());
        };
        if link.mine != to || link.stage != (Stage::Up { theirs: from }) {
            return Ok(());
        }
        link.alive.heard(now);
        match link.reassembler.receive(chunk) {
            Ok(Some((FrameKind::Node, bytes))) => {
                link.spoke_at = now;
                self.push(Output::Deliver { peer, bytes });
            }
            Ok(_) => {}
            Err(reason) => return Err(MeshError::Frame { peer, reason }),
        }
        Ok(())
    }

    /// Another end wants a link; `ends` are its incarnation and what it knows of ours.
    pub(super) fn on_hello(
        &mut self,
        now: TimestampMs,
        route: Route,
        peer: PeerId,
        ends: (Incarnation, Incarnation),
    ) {
        let (from, to) = ends;
        let is_banned = self
            .shunned
            .get(&peer)
            .is_some_and(|shunned| shunned.reason == ShunReason::Banned);
        if from == Incarnation::NONE || is_banned {
            return;
        }
        if let Some(link) = self.links.get_mut(&peer) {
            if link.stage == (Stage::Up { theirs: from }) {
                Self::note_route(link, route);
                if to != link.mine {
                    let mine = link.mine;
                    self.send_greeting(route, peer, Wish::Link, (mine, from));
                }
                return;
            }
        } else if !self.has_room(now, route) {
            self.send_greeting(route, peer, Wish::NoLink, (Incarnation::NONE, from));
            return;
        } else if !self.may_pend(route) {
            return;
        }
        let mut link = match self.links.remove(&peer) {
            Some(link) => self.taken_down(now, peer, link),
            None => Link::new(now, Incarnation(self.draw().max(1)), Origin::Accepted),
        };
        self.shunned.remove(&peer);
        Self::note_route(&mut link, route);
        if to != link.mine {
            self.send_greeting(route, peer, Wish::Link, (link.mine, from));
        }
        link.stage = Stage::Up { theirs: from };
        if Role::between(self.own, peer) == Role::Initiator {
            let pause = if link.dial.failures == 0 {
                0
            } else {
                backoff_ms(link.dial.failures, self.draw())
            };
            link.dial.at = Some(now.plus_ms(pause));
        }
        self.links.insert(peer, link);
        self.push(Output::PeersChanged);
        self.tell_if_carried(now, peer);
        self.dial_if_due(now, peer);
    }

    /// Whether a stranger finds a place. What stalled makes room.
    fn has_room(&mut self, now: TimestampMs, route: Route) -> bool {
        let accepted = self
            .links
            .values()
            .filter(|link| link.origin == Origin::Accepted)
            .count();
        let is_wanted = self.links.len() < WANTED_LINKS_MAX && accepted < ACCEPTED_LINKS_MAX;
        is_wanted || (route == Route::Tracker && self.drop_stalled(now))
    }

    /// Whether another attempt over the same member may be under way.
    fn may_pend(&self, route: Route) -> bool {
        let Route::Member(member) = route else {
            return true;
        };
        let is_pending = |link: &&Link| {
            !link.is_told && link.origin == Origin::Accepted && link.via == Some(member)
        };
        self.links.values().filter(is_pending).count() < UNPROVEN_LINKS_PER_MEMBER_MAX
    }

    /// Tells the node of a peer that something can carry messages to.
    pub(super) fn tell_if_carried(&mut self, now: TimestampMs, peer: PeerId) {
        let is_present = self.present.contains(&peer);
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        if link.is_up() && !link.is_told && (is_present || link.is_proven()) {
            link.is_told = true;
            link.spoke_at = now;
            self.push(Output::PeerUp { peer });
            self.push(Output::PeersChanged);
        }
    }

    /// Closes a link's channel and tells the node if it knew of it; its incarnation and count of failures stay.
    fn taken_down(&mut self, now: TimestampMs, peer: PeerId, mut link: Link) -> Link {
        if let Some(channel) = link.channel.take() {
            self.push(Output::CloseLink { link: channel.link });
            self.plan_exchange(now);
        }
        if link.is_told {
            self.push(Output::PeerDown { peer });
        }
        link.is_told = false;
        link.since = now;
        link.patient_until = now;
        link.neighbours = BTreeSet::new();
        link.alive = Alive::on_relay(now);
        link.reassembler = Reassembler::new();
        link.dial = Dial {
            failures: link.dial.failures,
            ..Dial::default()
        };
        link
    }

    pub(super) fn on_bye(&mut self, now: TimestampMs, peer: PeerId, to: Incarnation) {
        let is_meant = |link: &Link| link.mine == to;
        if !self.links.get(&peer).is_some_and(is_meant) {
            return;
        }
        self.leave_alone(now, peer);
        self.fill_links(now);
    }

    /// Gives a peer up for a while; if it greets us, it is welcome.
    pub(super) fn leave_alone(&mut self, now: TimestampMs, peer: PeerId) {
        self.remove_link(now, peer);
        self.shun(
            peer,
            Shunned {
                until: now.plus_ms(BACKOFF_MAX_MS),
                reason: ShunReason::Full,
            },
        );
    }

    fn on_relayed_life(
        &mut self,
        now: TimestampMs,
        peer: PeerId,
        from: Incarnation,
        to: Incarnation,
        message: LinkMessage,
    ) {
        let Some(link) = self.links.get_mut(&peer) else {
            self.relay(peer, Incarnation::NONE, from, &LinkMessage::Bye.chunk());
            return;
        };
        if link.mine != to || link.stage != (Stage::Up { theirs: from }) {
            return;
        }
        link.alive.heard(now);
        if let LinkMessage::Ping(number) = message {
            let mine = link.mine;
            self.relay(peer, mine, from, &LinkMessage::Pong(number).chunk());
        }
    }

    pub(super) fn on_send_requested(
        &mut self,
        peer: PeerId,
        bytes: &[u8],
    ) -> Result<(), MeshError> {
        let Some(Link {
            mine,
            stage: Stage::Up { theirs },
            is_told: true,
            ..
        }) = self.links.get(&peer)
        else {
            return Ok(());
        };
        let (mine, theirs) = (*mine, *theirs);
        let number = self.messages_sent.wrapping_add(1);
        let chunks = split(FrameKind::Node, lane_of(bytes), number, bytes)
            .map_err(|reason| MeshError::Unsendable { peer, reason })?;
        self.messages_sent = number;
        let direct = self.direct_path(peer);
        for chunk in chunks {
            match direct {
                Some(link) => self.push(Output::SendChannel { link, bytes: chunk }),
                None => self.relay(peer, mine, theirs, &chunk),
            }
        }
        Ok(())
    }

    pub(super) fn on_disconnect_requested(&mut self, now: TimestampMs, peer: PeerId) {
        if let Some(Link {
            mine,
            stage: Stage::Up { theirs },
            ..
        }) = self.links.get(&peer)
            && self.present.contains(&peer)
        {
            let (mine, theirs) = (*mine, *theirs);
            self.relay(peer, mine, theirs, &LinkMessage::Bye.chunk());
        }
        self.remove_link(now, peer);
        self.shun(
            peer,
            Shunned {
                until: now.plus_ms(BANNED_MS),
                reason: ShunReason::Banned,
            },
        );
        self.fill_links(now);
    }

    pub(super) fn shun(&mut self, peer: PeerId, shunned: Shunned) {
        if self.shunned.len() >= SHUNNED_MAX
            && let Some(first) = self
                .shunned
                .iter()
                .min_by_key(|(_, shunned)| shunned.until)
                .map(|(peer, _)| *peer)
        {
            self.shunned.remove(&first);
        }
        self.shunned.insert(peer, shunned);
    }

    pub(super) fn remove_link(&mut self, now: TimestampMs, peer: PeerId) {
        if let Some(link) = self.links.remove(&peer) {
            self.taken_down(now, peer, link);
            self.push(Output::PeersChanged);
        }
    }

    /// Starts a link over: the node sees the peer go; if the relay reaches it, it is greeted as a new life of our end.
    pub(super) fn restart(&mut self, now: TimestampMs, peer: PeerId) {
        let Some(link) = self.links.remove(&peer) else {
            return;
        };
        let mut link = self.taken_down(now, peer, link);
        if self.is_reachable(peer) {
            link.mine = Incarnation(self.draw().max(1));
            link.stage = Stage::Greeting {
                tries: 0,
                again_at: now,
            };
            self.greet(now, peer, &mut link);
            self.links.insert(peer, link);
        }
        self.push(Output::PeersChanged);
    }

    /// Drops the links that nothing reaches any more. Where only signals reach the peer, the link starts over.
    pub(super) fn drop_unreachable(&mut self, now: TimestampMs) {
        let is_lost = |(peer, link): &(&PeerId, &Link)| {
            let is_reached = if link.is_told {
                self.present.contains(peer)
            } else {
                self.is_reachable(**peer)
            };
            !is_reached && !link.has_open_channel()
        };
        let lost: Vec<PeerId> = self
            .links
            .iter()
            .filter(is_lost)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in lost {
            self.restart(now, peer);
        }
    }
}
