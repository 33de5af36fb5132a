//! Links over the tracker's relay: greeting, choosing peers, sending, starting over.
//!
//! Handshake: either end sends `Hello` naming its own incarnation and the other's as far as known. Who receives a `Hello` that
//! does not name its current incarnation answers with one that does. An end is up when it knows the other's incarnation; a
//! `Hello` with a new one means that the other end started over (a reloaded page, a failed direct channel) and takes the
//! old link down first. The relay keeps order, so nothing of a new life can arrive before its `Hello`.

use alloc::vec::Vec;

use crate::frame::{FrameKind, Reassembler, split};
use crate::hash::sha256;
use crate::ids::{PeerId, TimestampMs};

use super::limits::{
    BACKOFF_MAX_MS, BANNED_MS, CHOSEN_PEERS_MIN, DIALLED_PEERS, LINKS_MAX, SHUNNED_MAX,
};
use super::link::{Alive, Dial, Link, Origin, ShunReason, Shunned, Stage, backoff_ms};
use super::signal::Role;
use super::wire::{Incarnation, LinkMessage, unwrap, wrap};
use super::{Mesh, MeshError, Output, ToTracker};

impl Mesh {
    /// Greets further peers until there are enough: everyone in a small network, [`DIALLED_PEERS`] in a larger one, of which
    /// at least [`CHOSEN_PEERS_MIN`] by our own seeded choice, so that strangers can't fill all places.
    pub(super) fn fill_links(&mut self, now: TimestampMs) {
        if !self.is_joined() {
            return;
        }
        let is_candidate =
            |peer: &&PeerId| !self.links.contains_key(peer) && !self.shunned.contains_key(peer);
        let mut candidates: Vec<PeerId> =
            self.present.iter().filter(is_candidate).copied().collect();
        let chosen = self
            .links
            .values()
            .filter(|link| link.origin == Origin::Chosen)
            .count();
        let wanted = DIALLED_PEERS
            .saturating_sub(self.links.len())
            .max(CHOSEN_PEERS_MIN.saturating_sub(chosen))
            .min(LINKS_MAX.saturating_sub(self.links.len()));
        if wanted < candidates.len() {
            candidates.sort_by_cached_key(|peer| sha256(&[&self.config.seed, &peer.0.0]));
        }
        for peer in candidates.into_iter().take(wanted) {
            let mut link = Link::new(now, Incarnation(self.draw().max(1)), Origin::Chosen);
            self.greet(now, peer, &mut link);
            self.links.insert(peer, link);
            self.push(Output::PeersChanged);
        }
    }

    /// Sends `Hello` and plans the next.
    pub(super) fn greet(&mut self, now: TimestampMs, peer: PeerId, link: &mut Link) {
        if let Stage::Greeting { tries, again_at } = &mut link.stage {
            *again_at = now.plus_ms(backoff_ms(*tries + 1, self.draw()));
            *tries += 1;
        }
        self.relay(
            peer,
            link.mine,
            Incarnation::NONE,
            &LinkMessage::Hello.chunk(),
        );
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
        self.push(Output::Tracker(ToTracker::Relay { to, frame }));
    }

    pub(super) fn on_relayed(
        &mut self,
        now: TimestampMs,
        peer: PeerId,
        frame: &[u8],
    ) -> Result<(), MeshError> {
        if !self.is_joined() || !self.note_present(peer) {
            return Ok(());
        }
        let Some((from, to, chunk)) = unwrap(frame) else {
            return Ok(());
        };
        // A link message is one chunk of its own; anything else is for the link's reassembler.
        if let Ok(Some((FrameKind::Mesh, bytes))) = Reassembler::new().receive(chunk) {
            match LinkMessage::decode(&bytes) {
                Some(LinkMessage::Hello) => self.on_hello(now, peer, from, to),
                Some(LinkMessage::Bye) => self.on_bye(now, peer, to),
                Some(message @ (LinkMessage::Ping(_) | LinkMessage::Pong(_))) => {
                    self.on_relayed_life(now, peer, from, to, message);
                }
                None => {}
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
            Ok(Some((FrameKind::Node, bytes))) => self.push(Output::Deliver { peer, bytes }),
            Ok(_) => {}
            Err(reason) => return Err(MeshError::Frame { peer, reason }),
        }
        Ok(())
    }

    fn on_hello(&mut self, now: TimestampMs, peer: PeerId, from: Incarnation, to: Incarnation) {
        let is_banned = self
            .shunned
            .get(&peer)
            .is_some_and(|shunned| shunned.reason == ShunReason::Banned);
        if from == Incarnation::NONE || is_banned {
            return;
        }
        if let Some(link) = self.links.get(&peer) {
            if link.stage == (Stage::Up { theirs: from }) {
                if to != link.mine {
                    self.relay(peer, link.mine, from, &LinkMessage::Hello.chunk());
                }
                return;
            }
        } else if self.links.len() >= LINKS_MAX {
            self.relay(peer, Incarnation::NONE, from, &LinkMessage::Bye.chunk());
            return;
        }
        let mut link = match self.links.remove(&peer) {
            Some(link) => self.taken_down(now, peer, link),
            None => Link::new(now, Incarnation(self.draw().max(1)), Origin::Accepted),
        };
        self.shunned.remove(&peer);
        if to != link.mine {
            self.relay(peer, link.mine, from, &LinkMessage::Hello.chunk());
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
        self.push(Output::PeerUp { peer });
        self.push(Output::PeersChanged);
        self.dial_if_due(now, peer);
    }

    /// Closes a link's channel and tells the node if it was up; its incarnation and count of failures stay.
    fn taken_down(&mut self, now: TimestampMs, peer: PeerId, mut link: Link) -> Link {
        if let Some(channel) = link.channel.take() {
            self.push(Output::CloseLink { link: channel.link });
        }
        if link.is_up() {
            self.push(Output::PeerDown { peer });
        }
        link.alive = Alive::new(now);
        link.reassembler = Reassembler::new();
        link.dial = Dial {
            failures: link.dial.failures,
            ..Dial::default()
        };
        link
    }

    fn on_bye(&mut self, now: TimestampMs, peer: PeerId, to: Incarnation) {
        if self.links.get(&peer).is_none_or(|link| link.mine != to) {
            return;
        }
        self.remove_link(now, peer);
        self.shun(
            peer,
            Shunned {
                until: now.plus_ms(BACKOFF_MAX_MS),
                reason: ShunReason::Full,
            },
        );
        self.fill_links(now);
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
            ..
        }) = self.links.get(&peer)
        else {
            return Ok(());
        };
        let (mine, theirs) = (*mine, *theirs);
        let number = self.messages_sent.wrapping_add(1);
        let chunks = split(FrameKind::Node, number, bytes)
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

    fn shun(&mut self, peer: PeerId, shunned: Shunned) {
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

    fn remove_link(&mut self, now: TimestampMs, peer: PeerId) {
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
        if self.present.contains(&peer) {
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

    /// Drops the links that neither the relay nor an open channel reaches.
    pub(super) fn drop_unreachable(&mut self, now: TimestampMs) {
        let is_lost = |(peer, link): &(&PeerId, &Link)| {
            !self.present.contains(peer) && !link.has_open_channel()
        };
        let lost: Vec<PeerId> = self
            .links
            .iter()
            .filter(is_lost)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in lost {
            self.remove_link(now, peer);
        }
    }
}
