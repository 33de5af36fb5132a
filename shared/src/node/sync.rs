//! Sync, headers first (PROTOCOL §2): which headers to ask of whom, and answers to peers who ask. Bodies: `bodies`.
//!
//! Header requests: at most one in flight for a peer and [`limits::HEADER_REQUESTS_MAX`] in all, to peers that claim at
//! least the work of the best header known with another tip; those that brought nothing lately last, then most work first. A claim that leads nowhere is remembered (`barren_tip`) and not
//! followed again until it changes.
//!
//! Only main-chain headers are served: they were verified here, so a peer may blame for them.

use alloc::{vec, vec::Vec};

use super::{
    Node, NodeError, limits,
    messages::blame,
    peer::{Best, Peer},
    score::Offence,
};
use crate::{
    chain::{ChainError, HeaderInserted},
    hash::Hash,
    header::Header,
    ids::{PeerId, TimestampMs, Work},
    limits::LOCATOR_MAX,
    message::{Bytes, HEADERS_MAX, Message},
};

impl Node {
    pub(super) fn on_get_headers(
        &mut self,
        peer: PeerId,
        locator: &[Hash],
    ) -> Result<(), NodeError> {
        let headers = self.chain.headers_after(locator, HEADERS_MAX);
        let headers = headers
            .iter()
            .map(|header| Bytes(header.encode().to_vec()))
            .collect();
        self.serve(peer, &Message::Headers { headers });
        Ok(())
    }

    pub(super) fn on_headers(
        &mut self,
        now: TimestampMs,
        from: PeerId,
        headers: &[Bytes],
    ) -> Result<(), NodeError> {
        let headers = decode_linked(from, headers)?;
        let mut is_asked = false;
        if let Some(peer) = self.peers.get_mut(&from) {
            is_asked = peer.headers.deadline.take().is_some();
            peer.headers.wanted = false;
        }
        if !is_asked {
            self.offend(now, from, Offence::UselessHeaders)?;
        }
        let best = self.chain.best_header().work;
        let mut stopped = false;
        let mut beside = None;
        for header in &headers {
            match self.insert_header(now, header) {
                Ok(()) => {}
                Err(ChainError::UnknownParent { .. } | ChainError::TooFarAhead { .. }) => {
                    stopped = true;
                    break;
                }
                Err(ChainError::LeavesFinal { height, .. }) => {
                    beside = Some(height);
                    stopped = true;
                    break;
                }
                Err(error) => return Err(blame(from, &error)),
            }
        }
        // Only a heavier chain is progress: side branches without end must not hold mining up.
        if self.chain.best_header().work > best {
            self.downloads.progress_at = now;
        }
        self.after_headers(now, from, &headers, stopped);
        if let Some(height) = beside {
            self.note_other_branch(now, from, height);
        }
        Ok(())
    }

    /// Goes on asking after a full reply, or notes that this peer has no more to give.
    fn after_headers(&mut self, now: TimestampMs, from: PeerId, headers: &[Header], stopped: bool) {
        let last = headers.last().map(Header::hash);
        if let Some(last) = last
            && headers.len() >= HEADERS_MAX
            && !stopped
        {
            let mut locator = vec![last];
            locator.extend(self.chain.locator());
            return self.ask_headers(now, from, locator);
        }
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        let is_reached = peer
            .best
            .is_some_and(|best| self.chain.work_of(&best.hash).is_some());
        if is_reached {
            peer.headers.failures = 0;
        } else {
            peer.headers.failures = peer.headers.failures.saturating_add(1);
            peer.headers.barren_tip = peer.best.map(|best| best.hash);
            peer.headers.paused_until = now.plus_ms(limits::HEADERS_PAUSE_MS);
        }
    }

    pub(super) fn on_new_header(
        &mut self,
        now: TimestampMs,
        from: PeerId,
        bytes: &Bytes,
    ) -> Result<(), NodeError> {
        let header = Header::decode(&bytes.0).map_err(|error| blame(from, &error))?;
        let hash = header.hash();
        let is_repeated = |peer: &Peer| peer.known_blocks.contains(&hash);
        if self.peers.get(&from).is_some_and(is_repeated) {
            self.offend(now, from, Offence::UselessHeaders)?;
        }
        self.on_header(now, from, &header)
    }

    /// One header of a block that the peer has.
    pub(super) fn on_header(
        &mut self,
        now: TimestampMs,
        from: PeerId,
        header: &Header,
    ) -> Result<(), NodeError> {
        match self.insert_header(now, header) {
            Ok(()) => {
                self.note_block_of(from, header);
                Ok(())
            }
            Err(ChainError::UnknownParent { .. }) => {
                self.want_headers(from);
                self.offend(now, from, Offence::UselessHeaders)
            }
            Err(ChainError::TooFarAhead { .. }) => Ok(()),
            Err(ChainError::LeavesFinal { height, .. }) => {
                self.note_other_branch(now, from, height);
                Ok(())
            }
            Err(error) => Err(blame(from, &error)),
        }
    }

    /// Notes that a peer has the block of a header that is known here.
    pub(super) fn note_block_of(&mut self, from: PeerId, header: &Header) {
        let hash = header.hash();
        let parent_work = self.chain.work_of(&header.previous);
        if let Some(peer) = self.peers.get_mut(&from) {
            match parent_work {
                Some(work) => peer.on_has_block(Best {
                    height: header.height,
                    hash,
                    work: work.plus(header.work()),
                }),
                None => _ = peer.known_blocks.insert(hash),
            }
        }
    }

    /// Has the peer asked for headers, whatever work it claims.
    pub(super) fn want_headers(&mut self, peer: PeerId) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.headers.wanted = true;
        }
    }

    /// Puts a header into the chain, and the body with it if that waited for it.
    pub(super) fn insert_header(
        &mut self,
        now: TimestampMs,
        header: &Header,
    ) -> Result<(), ChainError> {
        let inserted = self
            .chain
            .insert_header(header.clone(), self.clock.corrected(now))?;
        self.on_floor_change(now);
        if matches!(inserted, HeaderInserted::Added) {
            self.retry_waiting(now, header.hash());
        }
        Ok(())
    }

    /// Gives up requests that were not answered in time.
    pub(super) fn expire_requests(&mut self, now: TimestampMs) {
        let mut stalled = Vec::new();
        for (id, peer) in &mut self.peers {
            if peer
                .headers
                .deadline
                .is_some_and(|deadline| deadline <= now)
            {
                peer.headers.deadline = None;
                peer.headers.failures = peer.headers.failures.saturating_add(1);
                peer.headers.paused_until = now.plus_ms(limits::HEADERS_PAUSE_MS);
            }
            if peer.bodies.stalled_at().is_some_and(|at| at <= now) {
                peer.bodies.in_flight = 0;
                peer.bodies.stalls = peer.bodies.stalls.saturating_add(1);
                peer.bodies.last_until =
                    now.plus_ms(limits::STALLED_LAST_MS.saturating_mul(peer.bodies.stalls.into()));
                stalled.push(*id);
            }
        }
        for peer in stalled {
            self.downloads.forget_peer(peer);
            self.on_slow(now, peer);
        }
        self.expire_bodies(now);
    }

    /// A peer did not answer in time; one that does so without end is of no use.
    pub(super) fn on_slow(&mut self, now: TimestampMs, peer: PeerId) {
        if let Err(NodeError::Blamed { peer, reason }) = self.offend(now, peer, Offence::Slowness) {
            self.refuse(now, peer, reason);
        }
    }

    /// When the next request expires or a paused peer may be asked again.
    pub(super) fn requests_due_at(&self, now: TimestampMs) -> Option<TimestampMs> {
        let best = self.work_to_beat(now);
        let times = self.peers.values().flat_map(|peer| {
            let pause_ends = (self.is_ahead(peer, best) && peer.headers.deadline.is_none())
                .then_some(peer.headers.paused_until);
            [peer.headers.deadline, peer.bodies.stalled_at(), pause_ends]
        });
        let asked = self.downloads.asked.values();
        let overdue = asked.map(|asked| asked.since.plus_ms(limits::BODY_MS_MAX));
        let times = times.flatten().chain(overdue);
        times.filter(|at| *at > now).min()
    }

    /// Asks for what is missing.
    pub(super) fn request_missing(&mut self, now: TimestampMs) {
        self.request_headers(now);
        self.request_bodies(now);
    }

    fn request_headers(&mut self, now: TimestampMs) {
        let in_flight = self
            .peers
            .values()
            .filter(|peer| peer.headers.deadline.is_some())
            .count();
        let best = self.work_to_beat(now);
        let free =
            |peer: &Peer| peer.headers.deadline.is_none() && peer.headers.paused_until <= now;
        let able = self
            .peers
            .iter()
            .filter(|(_, peer)| free(peer) && self.is_ahead(peer, best));
        // Those who brought nothing lately come last, however much they claim.
        let rank = |peer: &Peer| {
            (
                peer.headers.failures,
                core::cmp::Reverse(peer.best.map(|claimed| claimed.work)),
            )
        };
        let mut candidates: Vec<_> = able.map(|(id, peer)| (rank(peer), *id)).collect();
        candidates.sort_unstable();
        for (_, peer) in candidates
            .into_iter()
            .take(limits::HEADER_REQUESTS_MAX.saturating_sub(in_flight))
        {
            let locator = self.chain.locator();
            self.ask_headers(now, peer, locator);
        }
    }

    /// Headers of a branch with more work are worth asking for. While nobody gives the bodies of the best branch, that is any
    /// branch with more than ours: a branch held back must not keep the others away.
    fn work_to_beat(&self, now: TimestampMs) -> Work {
        if self.is_best_held_back(now) {
            self.chain.tip().work
        } else {
            self.chain.best_header().work
        }
    }

    /// True if the peer is worth asking for headers.
    fn is_ahead(&self, peer: &Peer, best: Work) -> bool {
        let claims_more = peer.best.is_some_and(|claimed| {
            claimed.work >= best
                && peer.headers.barren_tip != Some(claimed.hash)
                && self.chain.work_of(&claimed.hash).is_none()
        });
        peer.headers.wanted || claims_more
    }

    fn ask_headers(&mut self, now: TimestampMs, peer: PeerId, mut locator: Vec<Hash>) {
        locator.truncate(LOCATOR_MAX);
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.headers.deadline = Some(now.plus_ms(limits::HEADERS_TIMEOUT_MS));
            peer.headers.wanted = false;
            peer.packed_expected = peer.packed_expected.saturating_add(1);
        }
        self.ask(peer, &Message::GetHeaders { locator });
    }
}

/// Parses headers, each of which must continue the one before.
fn decode_linked(from: PeerId, headers: &[Bytes]) -> Result<Vec<Header>, NodeError> {
    let mut linked: Vec<Header> = Vec::with_capacity(headers.len());
    for bytes in headers {
        let header = Header::decode(&bytes.0).map_err(|error| blame(from, &error))?;
        if linked
            .last()
            .is_some_and(|before| before.hash() != header.previous)
        {
            return Err(blame(from, &"headers that do not continue each other"));
        }
        linked.push(header);
    }
    Ok(linked)
}
