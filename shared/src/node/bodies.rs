//! Bodies (PROTOCOL §2): which to ask of whom, what came, and answers to peers who ask.
//!
//! The lowest missing ones of the best header branch are asked for, each from one peer at a time, spread over all peers that
//! should have them. A peer that stalled is left out for a while if there are others, and is then tried with one body.
//!
//! Only main-chain bodies are served: they were verified here, so a peer may blame for them.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use super::{
    Node, NodeError, blocks::header_hash, limits, peer::Peer, recent::Recent, score::Offence,
};
use crate::{
    block::Block,
    compact::Draft,
    hash::Hash,
    ids::{Height, PeerId, TimestampMs},
    message::{BLOCKS_BYTES_MAX, BLOCKS_MAX, Bytes, Message},
};
/// Bodies asked for and not yet received.
#[derive(Debug)]
pub(super) struct Downloads {
    pub(super) asked: BTreeMap<Hash, Asked>,
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
        blocks: Vec<Bytes>,
    ) -> Result<(), NodeError> {
        let is_asked = |block: &Bytes| self.downloads.is_asked(&header_hash(&block.0));
        if !blocks.iter().any(is_asked) {
            self.offend(now, from, Offence::Unasked)?;
        }
        for block in self.share_out(now, from, blocks) {
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

    /// What a peer holds back while it sends others goes to another that should have it, if there is one.
    pub(super) fn expire_bodies(&mut self, now: TimestampMs) {
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

    /// True if bodies of the best branch are missing and none has come for a while.
    pub(super) fn is_best_held_back(&self, now: TimestampMs) -> bool {
        self.chain.best_header().work > self.chain.tip().work
            && self.downloads.progress_at.plus_ms(limits::SYNC_STALL_MS) <= now
    }

    pub(super) fn request_bodies(&mut self, now: TimestampMs) {
        if self.chain.best_header().work <= self.chain.tip().work || self.waits_for_snapshot(now) {
            return;
        }
        let able = self.peers.values();
        let able = able.filter(|peer| peer.best.is_some() && peer.bodies.is_open());
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
        let open = self.peers.iter().filter(|(_, peer)| peer.bodies.is_open());
        let open: BTreeSet<PeerId> = open.map(|(id, _)| *id).collect();
        // What came ahead of a body that stalls is kept in memory, so not too far ahead.
        let end = missing.first().map_or(0, |(lowest, _)| {
            lowest.0.saturating_add(limits::BODY_WINDOW)
        });
        for (height, hash) in missing.into_iter().filter(|(height, _)| height.0 < end) {
            let is_here = self.orphans.contains(&hash) || self.verifying.contains(&hash);
            if is_here || self.downloads.asked.contains_key(&hash) {
                continue;
            }
            if self.downloads.asked.len() >= most {
                break;
            }
            let Some(from) = self.best_source(now, &open, height, &hash) else {
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
    fn best_source(
        &self,
        now: TimestampMs,
        open: &BTreeSet<PeerId>,
        height: Height,
        hash: &Hash,
    ) -> Option<PeerId> {
        let having = || {
            self.peers
                .iter()
                .filter(|(_, peer)| peer.may_have(height, hash))
        };
        let only_stalled = having().all(|(_, peer)| peer.bodies.last_until > now);
        let able = having().filter(|(id, peer)| {
            open.contains(*id)
                && (only_stalled || peer.bodies.last_until <= now)
                && peer.bodies.free() > 0
        });
        able.min_by_key(|(_, peer)| (peer.withheld_blocks.contains(hash), peer.bodies.in_flight))
            .map(|(id, _)| *id)
    }
}
