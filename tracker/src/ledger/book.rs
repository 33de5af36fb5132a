//! What the tracker knows of one network: its genesis, its verified chain, and what the enterprise chain confirmed.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{Anchor, NetworkBlockchainState, ReportedState, TenantBlock, TipReference};
use serde::{Deserialize, Serialize};
use shared::block::{Block, BlockError};
use shared::chain::{ChainError, Inserted};
use shared::genesis::Genesis;
use shared::hash::Hash;
use shared::ids::{ChainId, Height, TimestampMs};
use shared::report::SealedBlock;

use super::Change;
use super::branches::{Batch, Branches, Stored, genesis_hex};
use super::forward::Acceptance;
use super::kept::Kept;
use super::waiting::Waiting;
use crate::hub::message::Listing;
use crate::hub::{Network, RoomNetwork};
use crate::label::Label;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Book {
    /// Its name here; a private network is known by its room only.
    pub(crate) label: Label,
    /// The name in reports to the validator: the label, unless another chain holds that there.
    pub(crate) reported_as: Label,
    pub(crate) listing: Listing,
    pub(crate) genesis_hex: Arc<str>,
    pub(crate) chain: Branches,
    /// Transactions of the main chain; nobody here knows those of a private network.
    transactions: u64,
    kept: Kept,
    /// What left the chain, until that is persisted.
    gone: Vec<(Height, Hash)>,
    /// Blocks of the store that do not connect, while it is read back.
    idle: BTreeSet<Hash>,
    pub(crate) confirmed: Option<Confirmed>,
    waiting: Waiting,
    /// Resets that the enterprise chain executed.
    pub(crate) resets: u32,
}

/// The newest block that the enterprise chain confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: Hash,
    /// Transactions of the chain up to it.
    pub transactions: u64,
    /// The enterprise block that anchors it.
    pub enterprise_height: u64,
    /// That block's hash, hex.
    pub enterprise_hash: String,
    /// When the confirmation came, in ms.
    pub at: u64,
}

/// What inserting a block changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It was here.
    Known,
    /// It is kept beside the main chain.
    Beside,
    /// It is on the main chain, which changed from this height on.
    Connected { from: Height },
}

impl Book {
    pub(crate) fn new(label: Label, listing: Listing, genesis: Genesis) -> Self {
        Self {
            reported_as: label.clone(),
            label,
            listing,
            genesis_hex: genesis_hex(&genesis),
            chain: Branches::new(genesis),
            transactions: 0,
            kept: Kept::default(),
            gone: Vec::new(),
            idle: BTreeSet::new(),
            confirmed: None,
            waiting: Waiting::default(),
            resets: 0,
        }
    }

    /// The book of a private network, which is in no list and under no label.
    pub(crate) fn private(genesis: Genesis) -> Self {
        let label = Label::plain(&genesis.network_id);
        Self::new(label, Listing::Unlisted, genesis)
    }

    pub(crate) fn chain_id(&self) -> ChainId {
        self.chain.chain_id()
    }

    /// Reports under the longer label from now on; false if that is so already.
    pub(crate) fn report_beside(&mut self) -> bool {
        let beside = Label::beside(&self.chain.genesis().network_id, self.chain_id());
        let is_new = self.reported_as != beside;
        self.reported_as = beside;
        is_new
    }

    /// Inserts a checked block, which has this many canonical bytes, and keeps the counts.
    pub(crate) fn insert(
        &mut self,
        block: Block,
        length: usize,
        now: TimestampMs,
    ) -> Result<Progress, ChainError> {
        let Branches::Open(chain) = &mut self.chain else {
            // No caller has a whole block of a private network.
            return Ok(Progress::Known);
        };
        let hash = block.hash();
        let inserted = chain.insert(block, now);
        self.keep(hash, length, now, inserted)
    }

    /// Inserts a checked report, which has this many canonical bytes.
    pub(crate) fn insert_reported(
        &mut self,
        block: SealedBlock,
        length: usize,
        now: TimestampMs,
    ) -> Result<Progress, ChainError> {
        let hash = block.hash();
        let inserted = self.chain.insert_reported(block, now);
        self.keep(hash, length, now, inserted)
    }

    /// Counts a block in that was taken, and back what left the chain for it, or because it was found to break a rule.
    fn keep(
        &mut self,
        hash: Hash,
        length: usize,
        now: TimestampMs,
        inserted: Result<Inserted, ChainError>,
    ) -> Result<Progress, ChainError> {
        if matches!(inserted, Ok(Inserted::Stored | Inserted::Connected { .. })) {
            self.kept.add(hash, length);
        }
        self.let_go();
        inserted.map(|inserted| self.progress(now, inserted))
    }

    /// Counts back what left the chain.
    pub(super) fn let_go(&mut self) {
        let removed = self.chain.removed().iter();
        let gone = removed.filter(|(_, hash)| self.kept.remove(hash));
        self.gone.extend(gone);
    }

    /// Keeps every branch, however many there are, until the batch ends.
    pub(crate) fn begin_batch(&mut self) {
        self.chain.begin_batch();
    }

    /// Keeps the heaviest branches only.
    pub(crate) fn end_batch(&mut self) {
        self.chain.end_batch();
        self.let_go();
    }

    /// How much room its blocks take up.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.kept.bytes()
    }

    /// What left the chain since this was last asked.
    pub(crate) fn take_gone(&mut self) -> Vec<Change> {
        let (chain_id, gone) = (self.chain_id(), std::mem::take(&mut self.gone));
        let gone = gone.into_iter().map(|(height, hash)| Change::BlockGone {
            chain_id,
            height,
            hash,
        });
        gone.collect()
    }

    /// Puts a stored block back.
    ///
    /// One beside the main chain was never executed, and may turn out to break a rule when it comes before those that are on it:
    /// it stays in the store, out of the chain, and so does what stands on it.
    pub(crate) fn restore(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (stored, length) = (self.chain.restore(bytes)?, bytes.len());
        let (hash, previous) = stored.place();
        // The clock may have been set back since; the block's time was judged when it came.
        let inserted = match stored {
            Stored::Whole(block) => self.insert(*block, length, TimestampMs::MAX),
            Stored::Reported(block) => self.insert_reported(*block, length, TimestampMs::MAX),
        };
        match inserted {
            Err(error) if is_of_execution(&error) || self.idle.contains(&previous) => {
                tracing::warn!(chain_id = %self.chain_id(), %hash, %error, "a stored block is left out");
                self.idle.insert(hash);
                self.kept.add_idle(length);
                Ok(())
            }
            inserted => inserted.map(drop).map_err(|error| error.to_string()),
        }
    }

    /// Ends the restoring, which is one batch; what left the chain meanwhile leaves the store.
    pub(crate) fn restored(&mut self) -> Vec<Change> {
        self.idle.clear();
        self.end_batch();
        self.take_gone()
    }

    fn progress(&mut self, now: TimestampMs, inserted: Inserted) -> Progress {
        match inserted {
            Inserted::AlreadyKnown => Progress::Known,
            Inserted::Stored => Progress::Beside,
            Inserted::Connected {
                disconnected,
                connected,
            } => {
                let (left, joined) = (self.count(&disconnected), self.count(&connected));
                self.transactions = self
                    .transactions
                    .saturating_sub(left)
                    .saturating_add(joined);
                let first = connected.first().and_then(|hash| self.chain.header(hash));
                let from = first.map_or(Height(1), |header| header.height);
                self.waiting.changed(now, from);
                Progress::Connected { from }
            }
        }
    }

    /// Counts the transactions of the main chain from its first block on.
    pub(super) fn count_anew(&mut self) {
        let heights = 1..=self.chain.tip().height.0;
        let blocks = heights.filter_map(|height| self.block_at(Height(height)));
        self.transactions = blocks.map(transaction_count).sum();
    }

    /// The main chain changed from this height on.
    pub(super) fn main_changed(&mut self, now: TimestampMs, from: Height) {
        self.waiting.changed(now, from);
    }

    fn count(&self, hashes: &[Hash]) -> u64 {
        let blocks = hashes.iter().filter_map(|hash| self.chain.block(hash));
        blocks.fold(0, |sum, block| sum.saturating_add(transaction_count(block)))
    }

    /// The verified tip; the chain id at height 0 before the first block.
    pub(crate) fn tip(&self) -> TipReference {
        let tip = self.chain.tip();
        TipReference {
            height: tip.height.0,
            hash: tip.hash.to_string(),
        }
    }

    /// Whether the main chain has this block at this height.
    pub(crate) fn has(&self, height: Height, hash: &Hash) -> bool {
        self.chain.hash_at(height) == Some(*hash)
    }

    /// Whether the tip is confirmed.
    pub(crate) fn is_confirmed(&self) -> bool {
        let tip = self.chain.tip();
        tip.height == Height::GENESIS
            || self
                .confirmed
                .as_ref()
                .is_some_and(|confirmed| confirmed.hash == tip.hash)
    }

    /// How many main chain blocks the enterprise chain has not confirmed.
    pub(crate) fn unconfirmed(&self) -> u32 {
        let common = self
            .confirmed
            .as_ref()
            .map_or(Height::GENESIS, |confirmed| {
                self.common_height(confirmed.hash)
            });
        self.chain.tip().height.0.saturating_sub(common.0)
    }

    /// The height at which the branch of `hash` leaves the main chain; 0 for a block that is not here.
    pub(crate) fn common_height(&self, hash: Hash) -> Height {
        let mut at = hash;
        while let Some(header) = self.chain.header(&at) {
            if self.has(header.height, &at) {
                return header.height;
            }
            at = header.previous;
        }
        Height::GENESIS
    }

    /// Takes a confirmation of a main chain block; true if it changes anything.
    pub(crate) fn confirm(&mut self, now: TimestampMs, acceptance: Acceptance) -> bool {
        let Acceptance {
            height,
            hash,
            enterprise_height,
            enterprise_hash,
        } = acceptance;
        let is_known = self
            .confirmed
            .as_ref()
            .is_some_and(|confirmed| confirmed.hash == hash);
        if is_known || height == Height::GENESIS || !self.has(height, &hash) {
            return false;
        }
        let transactions = self.transactions_up_to(height);
        self.waiting.confirmed(height, self.chain.tip().height);
        self.confirmed = Some(Confirmed {
            height: height.0,
            hash,
            transactions,
            enterprise_height,
            enterprise_hash: enterprise_hash.to_string(),
            at: now.0,
        });
        true
    }

    /// Transactions of the main chain up to `height`, counted from whichever end is known.
    fn transactions_up_to(&self, height: Height) -> u64 {
        let known = self
            .confirmed
            .as_ref()
            .filter(|old| old.height <= height.0 && self.has(Height(old.height), &old.hash));
        let (mut sum, mut at) = known.map_or((0, 0), |old| (old.transactions, old.height));
        while at < height.0 {
            at = at.saturating_add(1);
            sum = sum.saturating_add(self.block_at(Height(at)).map_or(0, transaction_count));
        }
        sum
    }

    pub(crate) fn block_at(&self, height: Height) -> Option<&Block> {
        self.chain
            .hash_at(height)
            .and_then(|hash| self.chain.block(&hash))
    }

    /// The blocks of one update from `first` on, by count and size; one block always fits.
    pub(crate) fn batch(&self, first: Height) -> Batch {
        self.chain.batch(first)
    }

    /// Takes an executed reset in: what it voids is gone, and nothing counts as confirmed before the validator said so anew.
    pub(crate) fn reset(&mut self, now: TimestampMs, number: u32, from: Height) {
        self.resets = number;
        self.chain.reset(from);
        // The store drops all of that by the height.
        for (_, hash) in self.chain.removed() {
            self.kept.remove(hash);
        }
        self.unconfirm(now);
    }

    /// The enterprise chain has none of it any more.
    pub(crate) fn unconfirm(&mut self, now: TimestampMs) {
        self.confirmed = None;
        self.waits_since(now);
    }

    /// What is not confirmed waits from now on: it is not known since when it did.
    pub(crate) fn waits_since(&mut self, now: TimestampMs) {
        let tip = self.chain.tip().height;
        let confirmed = Height(tip.0.saturating_sub(self.unconfirmed()));
        self.waiting.began_anew(now);
        self.waiting.confirmed(confirmed, tip);
    }

    /// Since when the oldest block that is not confirmed waits.
    pub(crate) fn waiting_since(&self) -> Option<TimestampMs> {
        self.waiting.since().filter(|_| !self.is_confirmed())
    }

    /// A private network as the hub may know it.
    pub(crate) fn room_network(&self) -> Option<RoomNetwork> {
        let room = self.chain.room()?;
        let tip = self.tip();
        Some(RoomNetwork {
            room,
            chain_id: self.chain_id(),
            tip: (tip.height > 0).then_some(tip),
            anchor: self.anchor(),
            resets: self.resets,
        })
    }

    pub(crate) fn anchor(&self) -> Option<Anchor> {
        let confirmed = self.confirmed.as_ref()?;
        Some(Anchor {
            network_id: self.name(),
            chain_id: self.chain_id().to_string(),
            height: confirmed.height,
            hash: confirmed.hash.to_string(),
            enterprise_height: confirmed.enterprise_height,
            enterprise_hash: confirmed.enterprise_hash.clone(),
        })
    }

    /// What the network is called in messages.
    pub(crate) fn name(&self) -> String {
        let room = self.chain.room();
        room.map_or_else(|| self.label.to_string(), |room| room.0.to_string())
    }

    pub(crate) fn network(&self) -> Network {
        let tip = self.tip();
        Network {
            label: self.label.clone(),
            chain_id: self.chain_id(),
            genesis: Arc::clone(&self.genesis_hex),
            listing: self.listing,
            tip: (tip.height > 0).then_some(tip),
            anchor: self.anchor(),
        }
    }

    /// What `tracker_integration.json` says of the network, with so many of its newest blocks.
    pub(crate) fn exported(&self, blocks: u32) -> (ReportedState, NetworkBlockchainState) {
        let reported = self
            .confirmed
            .as_ref()
            .map_or_else(ReportedState::default, |confirmed| ReportedState {
                block_count: u64::from(confirmed.height),
                transaction_count: confirmed.transactions,
                last_update: confirmed.at,
                last_reported_block_id: confirmed.height,
            });
        let tip = self.chain.tip().height.0;
        let first = tip.saturating_sub(blocks).saturating_add(1);
        let recent = (first..=tip).filter_map(|height| self.block_at(Height(height)));
        let state = NetworkBlockchainState {
            total_blocks: u64::from(tip),
            total_transactions: self.transactions,
            recent_blocks: recent.map(TenantBlock::from).collect(),
            last_block_id: tip,
        };
        (reported, state)
    }
}

/// Whether a block was found to break a rule only when its branch was executed.
fn is_of_execution(error: &ChainError) -> bool {
    matches!(
        error,
        ChainError::Invalid(
            BlockError::Sequence { .. }
                | BlockError::StateRoot { .. }
                | BlockError::KnownInvalid { .. }
        )
    )
}

/// A reason for people, from the chain's own error.
pub(crate) fn reason_of(height: u32, error: &dyn std::fmt::Display) -> String {
    format!("block #{height}: {error}")
}

pub(crate) fn transaction_count(block: &Block) -> u64 {
    u64::try_from(block.transactions().len()).unwrap_or(u64::MAX)
}
