//! Blocks: from peers, from the user's own miner and from files they all take the same way into the chain.
//!
//! Order of checks: known already → form, limits, proof of work against its own target and the floor, body root,
//! signatures ([`UncheckedBlock::check`]) → header rules and execution ([`crate::chain::Chain::insert`]). Only then it is
//! stored, and only a block that is the main chain's new tip is passed on.

use alloc::{
    collections::VecDeque,
    string::{String, ToString},
    vec::Vec,
};

use super::{
    Node, NodeError,
    events::Event,
    limits,
    messages::blame,
    orphans::{Source, Waiting, Waits},
    records::{Key, encode_hash},
};
use crate::{
    block::{Block, UncheckedBlock},
    chain::{ChainError, Inserted},
    compact::CompactBlock,
    hash::Hash,
    header::{HEADER_BYTES, Header},
    ids::{PeerId, TimestampMs},
    message::{Bytes, Message},
};

/// What became of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was there before.
    Known,
    /// It is in the chain or beside it.
    Inserted,
    /// It waits for its parent or for the clock.
    Waits,
}

impl Node {
    pub(super) fn on_block_received(
        &mut self,
        now: TimestampMs,
        from: PeerId,
        bytes: &[u8],
    ) -> Result<(), NodeError> {
        let hash = header_hash(bytes);
        if self.is_known(&hash) {
            self.on_body(now, from, &hash, bytes.len());
            if let Some(header) = self.chain.header(&hash).cloned() {
                self.note_block_of(from, &header);
            }
            return Ok(());
        }
        if let Some(header) = header_of(bytes).filter(|header| self.far_behind(header)) {
            return self.on_header(now, from, &header);
        }
        let block = self.parse(bytes).map_err(|reason| blame(from, &reason))?;
        self.on_body(now, from, &hash, bytes.len());
        self.take_body(now, from, block, bytes.len())
    }

    /// A checked body of a peer.
    pub(super) fn take_body(
        &mut self,
        now: TimestampMs,
        from: PeerId,
        block: Block,
        bytes: usize,
    ) -> Result<(), NodeError> {
        let (hash, header) = (block.hash(), block.header().clone());
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.known_blocks.insert(hash);
        }
        let taken = match self.take_block(now, block, bytes, Source::Peer(from)) {
            Ok(taken) => taken,
            Err(ChainError::LeavesFinal { height, .. }) => {
                self.note_other_branch(now, from, height);
                return Ok(());
            }
            Err(error) => return Err(blame(from, &error)),
        };
        match taken {
            Taken::Known | Taken::Inserted => self.note_block_of(from, &header),
            Taken::Waits if self.chain.header(&header.previous).is_none() => {
                self.want_headers(from)
            }
            Taken::Waits => {}
        }
        Ok(())
    }

    /// True for a block that nobody asked for on a branch far lighter than the main chain. Its body is not kept: old work is
    /// cheap, and should the branch become the heaviest, sync asks for its bodies.
    pub(super) fn far_behind(&self, header: &Header) -> bool {
        let tip = self.chain.tip();
        let parent = self.chain.work_of(&header.previous);
        let (Some(parent), Some(newest)) = (parent, self.chain.header(&tip.hash)) else {
            return false;
        };
        let work = parent.plus(header.work());
        let reach = newest
            .work()
            .0
            .saturating_mul(limits::SIDE_REACH_BLOCKS.into());
        work.0.saturating_add(reach) < tip.work.0 && !self.downloads.is_asked(&header.hash())
    }

    pub(super) fn on_block_offered(&mut self, now: TimestampMs, bytes: &[u8]) {
        let hash = header_hash(bytes);
        if self.is_known(&hash) {
            return self.event(Event::BlockAccepted {
                hash,
                already_known: true,
            });
        }
        let taken = self.parse(bytes).and_then(|block| {
            self.take_block(now, block, bytes.len(), Source::Offered)
                .map_err(|error| error.to_string())
        });
        match taken {
            Ok(taken) => self.event(Event::BlockAccepted {
                hash,
                already_known: taken == Taken::Known,
            }),
            Err(reason) => self.event(Event::BlockRefused { peer: None, reason }),
        }
    }

    pub(super) fn is_known(&self, hash: &Hash) -> bool {
        self.chain.block(hash).is_some() || self.orphans.contains(hash)
    }

    /// True for a transaction whose signature was verified here: an id covers the signature, so once is enough.
    pub(super) fn is_verified(&self, id: &Hash) -> bool {
        self.mempool.contains(id)
            || self.verified.contains(id)
            || self.chain.contains_transaction(id).is_some()
    }

    pub(super) fn parse(&mut self, bytes: &[u8]) -> Result<Block, String> {
        let genesis = self.chain.genesis();
        let unchecked = UncheckedBlock::decode(bytes).map_err(|error| error.to_string())?;
        let header = unchecked.header.clone();
        let mut verifier = core::mem::take(&mut self.verifier);
        let checked = unchecked.check_with(genesis, &mut verifier, |id| self.is_verified(id));
        self.verifier = verifier;
        checked.map_err(|error| {
            if error.is_of_header() {
                self.chain.invalidate(&header.hash());
            }
            error.to_string()
        })
    }

    /// Puts a checked block where it belongs, and after it what waited for it.
    pub(super) fn take_block(
        &mut self,
        now: TimestampMs,
        block: Block,
        bytes: usize,
        source: Source,
    ) -> Result<Taken, ChainError> {
        let hash = block.hash();
        let taken = self.insert_or_wait(now, block, bytes, source)?;
        if taken == Taken::Inserted {
            self.retry_children(now, hash);
        }
        Ok(taken)
    }

    /// A header became known: its block may have waited for just that.
    pub(super) fn retry_waiting(&mut self, now: TimestampMs, hash: Hash) {
        if let Some(waiting) = self.orphans.take(&hash) {
            self.retry(now, waiting);
        }
        self.retry_children(now, hash);
    }

    /// The clock moved on: held blocks may be in time now.
    pub(super) fn retry_held(&mut self, now: TimestampMs) {
        for waiting in self.orphans.take_due(now) {
            self.retry(now, waiting);
        }
    }

    fn retry_children(&mut self, now: TimestampMs, parent: Hash) {
        let mut children: VecDeque<Waiting> = self.orphans.take_children(&parent).into();
        while let Some(child) = children.pop_front() {
            let hash = child.block.hash();
            if self.retry(now, child) {
                children.extend(self.orphans.take_children(&hash));
            }
        }
    }

    /// Tries a waiting block again; its sender answers for it. True if it is in the chain now.
    fn retry(&mut self, now: TimestampMs, waiting: Waiting) -> bool {
        let Waiting { block, source, .. } = waiting;
        let bytes = block.encode().len();
        let stored = (source == Source::Restored).then(|| block.clone());
        match self.insert_or_wait(now, block, bytes, source) {
            Ok(taken) => taken == Taken::Inserted,
            Err(error) => {
                if let (Some(block), ChainError::LeavesFinal { hash, .. }) = (stored, error) {
                    let mut changes = alloc::vec![Key::Block(hash).delete()];
                    self.take_back(&block, &mut changes);
                    self.persist(changes);
                }
                match source {
                    Source::Peer(peer) if let ChainError::LeavesFinal { height, .. } = error => {
                        self.note_other_branch(now, peer, height);
                    }
                    Source::Peer(peer) => self.refuse(now, peer, error.to_string()),
                    Source::Offered | Source::Mined | Source::Restored => {
                        self.event(Event::BlockRefused {
                            peer: None,
                            reason: error.to_string(),
                        });
                    }
                }
                false
            }
        }
    }

    fn insert_or_wait(
        &mut self,
        now: TimestampMs,
        block: Block,
        bytes: usize,
        source: Source,
    ) -> Result<Taken, ChainError> {
        let copy = block.clone();
        match self.insert_block(now, copy, source) {
            Ok(Inserted::AlreadyKnown) => Ok(Taken::Known),
            Ok(Inserted::Stored | Inserted::Connected { .. }) => Ok(Taken::Inserted),
            Err(ChainError::UnknownParent { .. }) => {
                self.orphans.insert(block, bytes, source, Waits::ForParent);
                Ok(Taken::Waits)
            }
            Err(ChainError::TooFarAhead { found, allowed }) => {
                let at = now.plus_ms(found.since(allowed).max(limits::HELD_RETRY_MS));
                self.orphans.insert(block, bytes, source, Waits::Until(at));
                Ok(Taken::Waits)
            }
            Err(error) => Err(error),
        }
    }

    /// Inserts into the chain and makes what follows from it durable.
    fn insert_block(
        &mut self,
        now: TimestampMs,
        block: Block,
        source: Source,
    ) -> Result<Inserted, ChainError> {
        let hash = block.hash();
        // What the node's own store held was in time when it was stored.
        let judged_at = if source == Source::Restored {
            now.max(block.header().timestamp)
        } else {
            now
        };
        let inserted = self.chain.insert(block, self.clock.corrected(judged_at))?;
        let mut changes = Vec::new();
        if source != Source::Restored
            && inserted != Inserted::AlreadyKnown
            && let Some(block) = self.chain.block(&hash)
        {
            changes.push(Key::Block(hash).put(block.encode()));
        }
        // What was too light leaves the store as it leaves the chain.
        let removed = self.chain.removed().iter();
        changes.extend(removed.map(|(_, hash)| Key::Block(*hash).delete()));
        if self.restored {
            self.on_floor_change(now);
        }
        self.on_filled();
        if let Inserted::Connected {
            disconnected,
            connected,
        } = &inserted
        {
            let left = disconnected
                .iter()
                .filter_map(|hash| self.chain.block(hash));
            let left: Vec<Block> = left.cloned().collect();
            self.on_main_chain_changed(now, source, &left, connected, changes);
        } else {
            self.persist(changes);
        }
        Ok(inserted)
    }

    pub(super) fn on_main_chain_changed(
        &mut self,
        now: TimestampMs,
        source: Source,
        disconnected: &[Block],
        connected: &[Hash],
        mut changes: Vec<super::Change>,
    ) {
        let tip = self.chain.tip();
        changes.push(Key::Tip.put(encode_hash(tip.hash)));
        let events = self.move_transactions(disconnected, connected, &mut changes);
        if !self.restored {
            // Told once, when everything is restored.
            if !disconnected.is_empty() {
                self.persist(changes);
            }
            return;
        }
        self.persist(changes);
        self.event(Event::TipChanged {
            height: tip.height,
            hash: tip.hash,
            disconnected: disconnected.iter().map(Block::hash).collect(),
            connected: connected.to_vec(),
        });
        events.into_iter().for_each(|event| self.event(event));
        self.feed_mempool();
        self.timers
            .status_due
            .get_or_insert_with(|| now.plus_ms(limits::STATUS_DELAY_MS));
        let pause_ms = match source {
            Source::Mined => 0,
            Source::Peer(_) | Source::Offered | Source::Restored => self
                .random
                .below(limits::REPORT_SPREAD_MS)
                .saturating_add(limits::REPORT_DELAY_MS),
        };
        self.reporter.on_tip(now, pause_ms);
        self.note_told();
        if tip.work >= self.chain.best_header().work {
            self.pass_on(tip.hash, source);
        }
    }

    /// Tells the peers that lack it of the new tip: some in short, the rest by its header. In a full mesh who brings the
    /// block in sends it to all, and the others only say that they have it.
    fn pass_on(&mut self, hash: Hash, source: Source) {
        let Some(block) = self.chain.block(&hash) else {
            return;
        };
        let whole = block.encode();
        let header = Bytes(block.header().encode().to_vec());
        let told = Message::NewHeader { header };
        let lacking = self.peers.iter();
        let lacking = lacking.filter(|(_, peer)| !peer.known_blocks.contains(&hash));
        let mut lacking: Vec<PeerId> = lacking.map(|(id, _)| *id).collect();
        let is_full_mesh = self.peers.len() <= limits::FULL_MESH_PEERS_MAX;
        let pushes = match source {
            Source::Mined | Source::Offered if is_full_mesh => lacking.len(),
            Source::Peer(_) | Source::Restored if is_full_mesh => 0,
            Source::Mined | Source::Offered | Source::Peer(_) | Source::Restored => {
                limits::PUSH_PEERS
            }
        };
        self.random.shuffle_front(&mut lacking, pushes);
        for (index, peer) in lacking.iter().enumerate() {
            let pushed = Some(*peer).filter(|_| index < pushes);
            match pushed.and_then(|peer| self.compact_for(peer, &hash)) {
                Some(compact) => self.send_new_block(*peer, compact, &whole),
                None => self.send(*peer, &told),
            }
        }
        for peer in lacking {
            if let Some(peer) = self.peers.get_mut(&peer) {
                peer.known_blocks.insert(hash);
            }
        }
    }

    /// Sends a new block in short, or whole where that is no longer: to a peer that knows none of its transactions.
    fn send_new_block(&mut self, peer: PeerId, compact: CompactBlock, whole: &[u8]) {
        let short = Message::CompactBlock(compact).encode();
        let message = Message::NewBlock {
            block: Bytes(whole.to_vec()),
        };
        let long = message.encode();
        self.send_bytes(
            peer,
            if short.len() < long.len() {
                short
            } else {
                long
            },
        );
    }

    /// The user's miner found a block: the same rules, then stored, then sent.
    pub(super) fn take_mined(&mut self, now: TimestampMs, block: Block) -> Result<(), String> {
        let bytes = block.encode().len();
        self.take_block(now, block, bytes, Source::Mined)
            .map(|_| ())
            .map_err(|error| error.to_string())
    }
}

fn header_of(bytes: &[u8]) -> Option<Header> {
    Header::decode(bytes.get(..HEADER_BYTES)?).ok()
}

/// The hash that the block in these bytes would have.
pub(super) fn header_hash(bytes: &[u8]) -> Hash {
    crate::hash::sha256(&[bytes.get(..HEADER_BYTES).unwrap_or(bytes)])
}
