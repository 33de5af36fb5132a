//! What the tracker knows of one network: its genesis, its verified chain, and what the enterprise chain confirmed.

use std::sync::Arc;

use api::{Anchor, NetworkBlockchainState, ReportedState, TenantBlock, TipReference};
use serde::{Deserialize, Serialize};
use shared::block::Block;
use shared::chain::{Chain, ChainError, Inserted};
use shared::genesis::Genesis;
use shared::hash::Hash;
use shared::ids::{ChainId, Height, TimestampMs};

use super::forward::Acceptance;
use crate::hub::Network;
use crate::hub::message::Listing;
use crate::label::Label;
use crate::limits;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) label: Label,
    /// The name in reports to the validator: the label, unless another chain holds that there.
    pub(crate) reported_as: Label,
    pub(crate) listing: Listing,
    pub(crate) genesis_hex: Arc<str>,
    pub(crate) chain: Chain,
    /// Transactions of the main chain.
    transactions: u64,
    pub(crate) confirmed: Option<Confirmed>,
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
        let genesis_hex = hex::encode(genesis.encode()).into();
        Self {
            reported_as: label.clone(),
            label,
            listing,
            genesis_hex,
            chain: Chain::new(genesis),
            transactions: 0,
            confirmed: None,
        }
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

    /// Inserts a checked block and keeps the count of transactions.
    pub(crate) fn insert(
        &mut self,
        block: Block,
        now: TimestampMs,
    ) -> Result<Progress, ChainError> {
        match self.chain.insert(block, now)? {
            Inserted::AlreadyKnown => Ok(Progress::Known),
            Inserted::Stored => Ok(Progress::Beside),
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
                Ok(Progress::Connected { from })
            }
        }
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
        let height = height.0;
        self.confirmed = Some(Confirmed {
            height,
            hash,
            transactions,
            enterprise_height,
            enterprise_hash,
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
    pub(crate) fn batch(&self, first: Height) -> Vec<TenantBlock> {
        let (mut batch, mut bytes, mut at) = (Vec::new(), 0_usize, first);
        while let Some(block) = self.block_at(at) {
            bytes = bytes.saturating_add(json_bytes(block));
            if !batch.is_empty()
                && (bytes > limits::FORWARD_BYTES_MAX || batch.len() >= limits::UPDATE_BLOCKS_MAX)
            {
                break;
            }
            batch.push(TenantBlock::without_texts(block));
            at = at.next();
        }
        batch
    }

    pub(crate) fn anchor(&self) -> Option<Anchor> {
        let confirmed = self.confirmed.as_ref()?;
        Some(Anchor {
            network_id: self.label.to_string(),
            chain_id: self.chain_id().to_string(),
            height: confirmed.height,
            hash: confirmed.hash.to_string(),
            enterprise_height: confirmed.enterprise_height,
            enterprise_hash: confirmed.enterprise_hash.clone(),
        })
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

    /// What `tracker_integration.json` says of the network.
    pub(crate) fn exported(&self) -> (ReportedState, NetworkBlockchainState) {
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
        let first = tip.saturating_sub(limits::EXPORT_BLOCKS).saturating_add(1);
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

/// A reason for people, from the chain's own error.
pub(crate) fn reason_of(height: u32, error: &dyn std::fmt::Display) -> String {
    format!("block #{height}: {error}")
}

pub(crate) fn transaction_count(block: &Block) -> u64 {
    u64::try_from(block.transactions().len()).unwrap_or(u64::MAX)
}

/// About how long a block is as JSON without texts: its bytes in hex and the names around them.
fn json_bytes(block: &Block) -> usize {
    let transactions = block.transactions().iter();
    transactions.fold(BLOCK_JSON_BYTES, |sum, transaction| {
        sum.saturating_add(transaction.encoded_len().saturating_mul(2))
            .saturating_add(TRANSACTION_JSON_BYTES)
    })
}

const BLOCK_JSON_BYTES: usize = 700;
const TRANSACTION_JSON_BYTES: usize = 320;
