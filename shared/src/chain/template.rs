//! Templates: the next block, complete but for what a miner finds.

use alloc::vec::Vec;

use super::{Chain, headers::Parent};
use crate::{
    block::{self, Block, BlockError, MinerRecord, UncheckedBlock},
    genesis::Genesis,
    header::{Header, Solution, VERSION},
    ids::{Height, TimestampMs, Work},
    transaction::VerifiedTransaction,
};

/// A block to be mined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The header with nonce 0.
    pub header: Header,
    /// The miner's record.
    pub miner: MinerRecord,
    /// The transactions.
    pub transactions: Vec<VerifiedTransaction>,
}

impl Template {
    /// The block with what a miner found.
    ///
    /// # Errors
    /// It does not meet the target.
    pub fn solved(&self, genesis: &Genesis, solution: Solution) -> Result<Block, BlockError> {
        let header = self.header.solved(solution);
        block::check_header(&header, &genesis.rules)?;
        let transactions = self
            .transactions
            .iter()
            .map(|transaction| transaction.encode())
            .collect();
        UncheckedBlock {
            header,
            miner: self.miner,
            transactions,
        }
        .check_archived(genesis)
    }
}

impl Chain {
    /// The next block on the tip: of the candidates, in their order, those that are their sender's next and fit.
    ///
    /// Its timestamp is `now`, or just above the tip's if that is not later.
    #[must_use]
    pub fn template(
        &self,
        miner: MinerRecord,
        candidates: Vec<VerifiedTransaction>,
        now: TimestampMs,
    ) -> Template {
        let tip = self.tip();
        let (transactions, state_root) = self.pick(candidates);
        let timestamp = now.max(tip.timestamp.plus_ms(1));
        let genesis = Parent {
            height: Height::GENESIS,
            work: Work::ZERO,
            active_ms: 0,
            timestamp: tip.timestamp,
        };
        let parent = self.parent(&tip.hash).unwrap_or(genesis);
        let header = Header {
            version: VERSION,
            height: tip.height.next(),
            previous: tip.hash,
            body_root: block::body_root(
                &miner,
                transactions.iter().map(|transaction| transaction.id()),
            ),
            state_root,
            timestamp,
            target: parent.child_target(&self.genesis.rules, timestamp),
            nonce: 0,
        };
        Template {
            header,
            miner,
            transactions,
        }
    }

    fn pick(
        &self,
        candidates: Vec<VerifiedTransaction>,
    ) -> (Vec<VerifiedTransaction>, crate::hash::Hash) {
        let rules = &self.genesis.rules;
        let mut state = self.state.clone();
        let mut bytes = block::OVERHEAD_BYTES;
        let mut picked = Vec::new();
        for candidate in candidates {
            if picked.len() >= usize::from(rules.block_transactions_max) {
                break;
            }
            let with = bytes
                .saturating_add(candidate.encoded_len())
                .saturating_add(block::TRANSACTION_PREFIX_BYTES);
            let (sender, sequence) = (candidate.sender(), candidate.sequence());
            let fits = with <= rules.block_bytes_max as usize;
            if fits && state.get(&sender) == sequence && sequence.next() != sequence {
                state.set(&sender, sequence.next());
                bytes = with;
                picked.push(candidate);
            }
        }
        (picked, state.root())
    }
}
