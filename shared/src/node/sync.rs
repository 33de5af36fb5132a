//! Sync, headers first (PROTOCOL §2): which headers and bodies to ask of whom, and answers to peers who ask.
//!
//! Header requests: at most one in flight for a peer and [`limits::HEADER_REQUESTS_MAX`] in all, to peers that claim at
//! least the work of the best header known with another tip; those that brought nothing lately last, then most work first. A claim that leads nowhere is remembered (`barren_tip`) and not
//! followed again until it changes. Bodies: the lowest missing ones of the best header branch, each from one peer at a
//! time, spread over all peers that should have them. A peer that stalled is left out for a while if there are others,
//! and is then tried with one body.
//!
//! Only main-chain headers and bodies are served: they were verified here, so a peer may blame for them.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec,
    vec::Vec,
};

use super::{
    Node, NodeError,
    blocks::header_hash,
    limits,
    messages::blame,
    peer::{Best, Peer},
    recent::Recent,
    score::Offence,
};
use crate::{
    block::Block,
    chain::{ChainError, HeaderInserted},
    compact::Draft,
    hash::Hash,
    header::Header,
    ids::{Height, PeerId, TimestampMs, Work},
    limits::LOCATOR_MAX,
    message::{BLOCKS_BYTES_MAX, BLOCKS_MAX, Bytes, HEADERS_MAX, Message},
};

/// Bodies asked for and not yet received.
#[derive(Debug)]
pub(super) struct Downloads {
    asked: BTreeMap<Hash, Asked>,
    /// Blocks whose short form did not do.
    pub(super) whole: Recent,
    /// When the last new header or body came.
    pub(super) progress_at: TimestampMs,
}

/// One body in flight.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) from: PeerId,
    pub(super) since: TimestampMs,
    /// The block as far as it is here, if only some of its transactions were asked for.
    pub(super) draft: Option<Draft>,
}

impl Default for Downloads {
    fn default() -> Self {
        Self {
            asked: BTreeMap::new(),
            whole: Recent::new(limits::LACKED_BLOCKS_MAX),
            progress_at: TimestampMs::default(),
        }
    }
}

impl Downloads {
    pub(super) fn forget_peer(&mut self, peer: PeerId) {
        self.asked.retain(|_, asked| asked.from != peer);
    }

    pub(super) fn is_asked(&self, hash: &Hash) -> bool {
        self.asked.contains_key(hash)
    }

    pub(super) fn asked(&self, hash: &Hash) -> Option<&Asked> {
        self.asked.get(hash)
    }

    pub(super) fn ask(&mut self, hash: Hash, asked: Asked) {
        self.asked.insert(hash, asked);
    }

    /// How many wait for some of their transactions.
    pub(super) fn drafts(&self) -> usize {
        let has_draft = |asked: &&Asked| asked.draft.is_some();
        self.asked.values().filter(has_draft).count()
    }

    /// The draft for which transactions of a peer were asked.
    pub(super) fn take_draft(&mut self, from: PeerId, hash: &Hash) -> Option<Draft> {
        let asked = self
            .asked
            .get_mut(hash)
            .filter(|asked| asked.from == from)?;
        asked.draft.take()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }
}

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

    pub(super) fn on_get_blocks(&mut self, peer: PeerId, hashes: &[Hash]) -> Result<(), NodeError> {
        let (mut lacking, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
        for hash in hashes {
            let Some(block) = self.main_block(hash).map(Block::encode) else {
                lacking.push(*hash);
                continue;
            };
            if bytes.saturating_add(block.len()) > BLOCKS_BYTES_MAX && !batch.is_empty() {
                let blocks = core::mem::take(&mut batch);
                self.serve(peer, &Message::Blocks { blocks });
                bytes = 0;
            }
            bytes = bytes.saturating_add(block.len());
            batch.push(Bytes(block));
        }
        if !batch.is_empty() {
            self.serve(peer, &Message::Blocks { blocks: batch });
        }
        if !lacking.is_empty() {
            self.send(peer, &Message::NoBlocks { hashes: lacking });
        }
        Ok(())
    }

    pub(super) fn on_blocks(
        &mut self,
        now: TimestampMs,
        from: PeerId,
        blocks: &[Bytes],
    ) -> Result<(), NodeError> {
        let is_asked = |block: &Bytes| self.downloads.is_asked(&header_hash(&block.0));
        if !blocks.iter().any(is_asked) {
            self.offend(now, from, Offence::Unasked)?;
        }
        for block in blocks {
            self.on_block_received(now, from, &block.0)?;
        }
        Ok(())
    }

    /// A block of the main chain: others were not all executed here, so they are not served.
    pub(super) fn main_block(&self, hash: &Hash) -> Option<&Block> {
        self.chain
            .block(hash)
            .filter(|block| self.chain.hash_at(block.header().height) == Some(*hash))
    }

    pub(super) fn on_no_blocks(&mut self, from: PeerId, hashes: &[Hash]) -> Result<(), NodeError> {
        for hash in hashes {
            self.end_download(from, hash);
            if let Some(peer) = self.peers.get_mut(&from) {
                peer.lacked_blocks.insert(*hash);
            }
        }
        Ok(())
    }

    /// A body came (from whomever): it is no longer in flight. Only what a peer was asked for is progress of that peer, so
    /// that nobody holds a body back behind others that nobody wants.
    pub(super) fn on_body(&mut self, now: TimestampMs, from: PeerId, hash: &Hash, bytes: usize) {
        let Some(asked) = self.downloads.asked(hash).map(|asked| asked.from) else {
            return;
        };
        self.downloads.progress_at = now;
        self.end_download(asked, hash);
        if asked == from
            && let Some(peer) = self.peers.get_mut(&from)
        {
            peer.bodies.on_progress(now, bytes);
        }
    }

    pub(super) fn end_download(&mut self, from: PeerId, hash: &Hash) {
        if self.downloads.asked(hash).map(|asked| asked.from) == Some(from) {
            self.downloads.asked.remove(hash);
            if let Some(peer) = self.peers.get_mut(&from) {
                peer.bodies.in_flight = peer.bodies.in_flight.saturating_sub(1);
            }
        }
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
    fn on_slow(&mut self, now: TimestampMs, peer: PeerId) {
        if let Err(NodeError::Blamed { peer, reason }) = self.offend(now, peer, Offence::Slowness) {
            self.refuse(now, peer, reason);
        }
    }

    /// What a peer holds back while it sends others goes to another that should have it, if there is one.
    fn expire_bodies(&mut self, now: TimestampMs) {
        let overdue = self.downloads.asked.iter();
        let overdue: Vec<(Hash, PeerId)> = overdue
            .filter(|(_, asked)| asked.since.plus_ms(limits::BODY_MS_MAX) <= now)
            .map(|(hash, asked)| (*hash, asked.from))
            .collect();
        for (hash, from) in overdue {
            let height = self.chain.header(&hash).map(|header| header.height);
            let is_other = |(id, peer): (&PeerId, &Peer)| {
                *id != from && height.is_some_and(|height| peer.may_have(height, &hash))
            };
            if self.peers.iter().any(is_other) {
                self.end_download(from, &hash);
                if let Some(peer) = self.peers.get_mut(&from) {
                    peer.withheld_blocks.insert(hash);
                }
                self.on_slow(now, from);
            } else if let Some(asked) = self.downloads.asked.get_mut(&hash) {
                asked.since = now;
            }
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

    /// True if bodies of the best branch are missing and none has come for a while.
    fn is_best_held_back(&self, now: TimestampMs) -> bool {
        self.chain.best_header().work > self.chain.tip().work
            && self.downloads.progress_at.plus_ms(limits::SYNC_STALL_MS) <= now
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

    fn request_bodies(&mut self, now: TimestampMs) {
        if self.chain.best_header().work <= self.chain.tip().work || self.waits_for_snapshot(now) {
            return;
        }
        let able = self.peers.values().filter(|peer| peer.best.is_some());
        let free: usize = able.map(|peer| peer.bodies.free()).sum();
        if free == 0 {
            return;
        }
        let missing = self
            .chain
            .missing_bodies(self.downloads.asked.len().saturating_add(free));
        self.ask_bodies(now, missing, usize::MAX);
        if self.is_best_held_back(now) {
            self.request_claimed_bodies(now);
        }
    }

    /// Asks for the bodies of what the peers say is their own chain, as far as that is heavier than ours.
    fn request_claimed_bodies(&mut self, now: TimestampMs) {
        let work = self.chain.tip().work;
        let claimed = self.peers.values().filter_map(|peer| peer.best);
        let claimed: BTreeSet<Hash> = claimed
            .map(|best| best.hash)
            .filter(|hash| self.chain.work_of(hash).is_some_and(|claim| claim > work))
            .collect();
        for hash in claimed {
            let missing = self
                .chain
                .missing_bodies_to(&hash, limits::BODIES_PER_PEER_MAX);
            self.ask_bodies(now, missing, usize::MAX);
        }
    }

    /// Asks for bodies that are not asked for yet, while no more than `most` are in flight in all.
    pub(super) fn ask_bodies(
        &mut self,
        now: TimestampMs,
        missing: Vec<(Height, Hash)>,
        most: usize,
    ) {
        let mut requests: BTreeMap<PeerId, Vec<Hash>> = BTreeMap::new();
        let mut in_short = Vec::new();
        // What came ahead of a body that stalls is kept in memory, so not too far ahead.
        let end = missing.first().map_or(0, |(lowest, _)| {
            lowest.0.saturating_add(limits::BODY_WINDOW)
        });
        for (height, hash) in missing.into_iter().filter(|(height, _)| height.0 < end) {
            if self.downloads.asked.contains_key(&hash) || self.orphans.contains(&hash) {
                continue;
            }
            if self.downloads.asked.len() >= most {
                break;
            }
            let Some(from) = self.best_source(now, height, &hash) else {
                continue;
            };
            let asked = Asked {
                from,
                since: now,
                draft: None,
            };
            self.downloads.ask(hash, asked);
            if let Some(peer) = self.peers.get_mut(&from) {
                peer.bodies.begin(now);
            }
            if self.suits_in_short(height, &hash) {
                in_short.push((from, hash));
            } else {
                requests.entry(from).or_default().push(hash);
            }
        }
        for (peer, hash) in in_short {
            self.send(peer, &Message::GetCompactBlock { hash });
        }
        for (peer, hashes) in requests {
            if let Some(peer) = self.peers.get_mut(&peer) {
                peer.packed_expected = peer.packed_expected.saturating_add(hashes.len());
            }
            for some in hashes.chunks(BLOCKS_MAX) {
                self.ask(
                    peer,
                    &Message::GetBlocks {
                        hashes: some.to_vec(),
                    },
                );
            }
        }
    }

    /// True for a new block, most of whose transactions are probably here.
    fn suits_in_short(&self, height: Height, hash: &Hash) -> bool {
        height == self.chain.best_header().height
            && height <= self.chain.tip().height.next()
            && !self.downloads.whole.contains(hash)
    }

    /// The peer to ask for a body: of those that did not stall lately, or if there are none of the others, one that did
    /// not hold it back, with the fewest in flight.
    fn best_source(&self, now: TimestampMs, height: Height, hash: &Hash) -> Option<PeerId> {
        let having = || {
            self.peers
                .iter()
                .filter(|(_, peer)| peer.may_have(height, hash))
        };
        let only_stalled = having().all(|(_, peer)| peer.bodies.last_until > now);
        let able = having().filter(|(_, peer)| {
            (only_stalled || peer.bodies.last_until <= now) && peer.bodies.free() > 0
        });
        able.min_by_key(|(_, peer)| (peer.withheld_blocks.contains(hash), peer.bodies.in_flight))
            .map(|(id, _)| *id)
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
