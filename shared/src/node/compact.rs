//! New blocks in short (PROTOCOL §2, beyond a full mesh): sent to three peers, and asked for where only a header came.
//!
//! The header goes through all its rules before a draft of the block is made. What the draft lacks is asked of the peer
//! that sent it, as a download like any other (`sync`): one in flight for a block, and after a stall the whole block is
//! asked of another. A draft that can't be finished (two transactions with one short id, a lie) leads to the whole block
//! too. A finished one is a block like any other, for which its sender answers.
//!
//! Limits: [`limits::DRAFTS_MAX`] drafts wait for transactions; beyond, the block is asked for whole.

use alloc::vec::Vec;

use super::{Node, NodeError, bodies::Asked, limits, messages::blame, score::Offence};
use crate::{
    block::Block,
    chain::ChainError,
    compact::{CompactBlock, CompactError, Draft},
    hash::Hash,
    header::Header,
    ids::{PeerId, TimestampMs},
    message::{Bytes, Message},
    transaction::VerifiedTransaction,
};

impl Node {
    pub(super) fn on_compact_block(
        &mut self,
        now: TimestampMs,
        from: PeerId,
        compact: &CompactBlock,
    ) -> Result<(), NodeError> {
        let header = Header::decode(&compact.header.0).map_err(|error| blame(from, &error))?;
        let hash = header.hash();
        if self.is_known(&hash) {
            self.note_block_of(from, &header);
            return Ok(());
        }
        match self.insert_header(now, &header) {
            // A block that is too early is held as any other once it is whole.
            Ok(()) | Err(ChainError::TooFarAhead { .. }) => {}
            Err(ChainError::UnknownParent { .. }) => {
                self.want_headers(from);
                return Ok(());
            }
            Err(error) => return Err(blame(from, &error)),
        }
        self.note_block_of(from, &header);
        if self.far_behind(&header) || self.is_known(&hash) {
            return Ok(());
        }
        let rules = &self.chain.genesis().rules;
        let mut draft = match Draft::new(header, compact, rules) {
            Ok(draft) => draft,
            Err(CompactError::Collision) => {
                self.ask_whole(from, hash);
                return Ok(());
            }
            Err(error) => return Err(blame(from, &error)),
        };
        draft.fill(self.candidates());
        let indexes = draft.missing();
        if indexes.is_empty() {
            return self.finish_draft(now, from, hash, draft);
        }
        if self.begin_draft(now, from, hash, draft) {
            self.send(from, &Message::GetBlockTransactions { hash, indexes });
        }
        Ok(())
    }

    /// Transactions that a new block may hold: those pending, and those of the newest blocks, which a block beside them
    /// repeats.
    fn candidates(&self) -> impl Iterator<Item = &VerifiedTransaction> {
        let tip = self.chain.tip().height;
        let newest = (0..limits::DRAFT_DEPTH).map(move |depth| tip.0.saturating_sub(depth));
        let confirmed = newest
            .filter_map(|height| self.chain.block_at(crate::ids::Height(height)))
            .flat_map(Block::transactions);
        self.mempool.iter().chain(confirmed)
    }

    /// Keeps a draft that waits for transactions of `from`, unless somebody else is being asked.
    fn begin_draft(&mut self, now: TimestampMs, from: PeerId, hash: Hash, draft: Draft) -> bool {
        match self.downloads.asked(&hash) {
            Some(asked) if asked.from != from || asked.draft.is_some() => return false,
            Some(_) => {}
            None if self.downloads.drafts() >= limits::DRAFTS_MAX => return false,
            None => {
                let Some(peer) = self.peers.get_mut(&from) else {
                    return false;
                };
                if peer.bodies.free() == 0 {
                    return false;
                }
                peer.bodies.begin(now);
            }
        }
        let asked = Asked {
            from,
            since: now,
            draft: Some(draft),
        };
        self.downloads.ask(hash, asked);
        true
    }

    pub(super) fn on_block_transactions(
        &mut self,
        now: TimestampMs,
        from: PeerId,
        hash: Hash,
        transactions: Vec<Bytes>,
    ) -> Result<(), NodeError> {
        let Some(mut draft) = self.downloads.take_draft(from, &hash) else {
            return self.offend(now, from, Offence::Unasked);
        };
        let rules = &self.chain.genesis().rules;
        if draft.supply(transactions, rules).is_err() {
            self.ask_whole(from, hash);
            return self.offend(now, from, Offence::WrongTransactions);
        }
        self.finish_draft(now, from, hash, draft)
    }

    fn finish_draft(
        &mut self,
        now: TimestampMs,
        from: PeerId,
        hash: Hash,
        draft: Draft,
    ) -> Result<(), NodeError> {
        match draft.finish() {
            Ok(block) => self.on_block_received(now, from, &block.encode()),
            Err(_) => {
                self.ask_whole(from, hash);
                Ok(())
            }
        }
    }

    /// Gives the short form of a block up; sync asks for it whole.
    fn ask_whole(&mut self, from: PeerId, hash: Hash) {
        self.end_download(from, &hash);
        self.downloads.whole.insert(hash);
    }

    pub(super) fn on_get_compact_block(
        &mut self,
        from: PeerId,
        hash: Hash,
    ) -> Result<(), NodeError> {
        let message = match self.compact_for(from, &hash) {
            Some(compact) => Message::CompactBlock(compact),
            None => Message::NoBlocks {
                hashes: alloc::vec![hash],
            },
        };
        self.serve(from, &message);
        Ok(())
    }

    /// A main-chain block in the form that suits a peer.
    pub(super) fn compact_for(&mut self, peer: PeerId, hash: &Hash) -> Option<CompactBlock> {
        let nonce = self.random.next();
        let known = &self.peers.get(&peer)?.known_transactions;
        let block = self.main_block(hash)?;
        Some(CompactBlock::of(block, nonce, |id| !known.contains(id)))
    }

    pub(super) fn on_get_block_transactions(
        &mut self,
        from: PeerId,
        hash: Hash,
        indexes: &[u16],
    ) -> Result<(), NodeError> {
        let Some(block) = self.main_block(&hash) else {
            let hashes = alloc::vec![hash];
            self.send(from, &Message::NoBlocks { hashes });
            return Ok(());
        };
        if !indexes.is_sorted_by(|one, next| one < next) {
            return Err(blame(from, &"places that do not rise"));
        }
        let found = indexes
            .iter()
            .map(|index| block.transactions().get(usize::from(*index)));
        let transactions: Option<Vec<Bytes>> =
            found.map(|found| Some(Bytes(found?.encode()))).collect();
        let transactions =
            transactions.ok_or_else(|| blame(from, &"a place that the block does not have"))?;
        self.serve(from, &Message::BlockTransactions { hash, transactions });
        Ok(())
    }
}
