//! What the page reads of the chain: blocks, pending and displaced transactions, the export file, the localStorage window.

use std::collections::VecDeque;

use api::{
    ChainWindow, EXPORT_VERSION, Export, ExportMetadata, PendingTransaction, TenantBlock,
    TenantTransaction,
};
use serde::Serialize;
use shared::ids::{Height, TimestampMs};

use super::Engine;
use crate::seam::LostTransaction;

/// Most blocks in the window.
pub const WINDOW_BLOCKS_MAX: u32 = 20;
/// Most bytes of the window's chain, and of its pending transactions; localStorage has 5 Mi units for the whole origin.
pub const WINDOW_BYTES_MAX: usize = 512 * 1024;

/// The window by COMPATIBILITY, and what it takes to use it alone.
#[derive(Serialize)]
struct Window {
    #[serde(flatten)]
    window: ChainWindow,
    chain_id: String,
    genesis: String,
}

/// What shows a split of the validators to anybody.
#[derive(Serialize)]
struct SplitFile {
    format: u8,
    network_id: String,
    chain_id: String,
    enterprise_genesis: Option<String>,
    enterprise_height: u64,
    culprits: Vec<String>,
    proof: String,
}

impl Engine {
    /// Up to `limit` main-chain blocks, lowest first, beginning at height `from`, or the newest ones without it.
    #[must_use]
    pub fn blocks(&self, from: Option<u32>, limit: u32) -> Vec<TenantBlock> {
        let tip = self.node.chain().tip().height.0;
        let first = from
            .unwrap_or_else(|| tip.saturating_sub(limit).saturating_add(1))
            .max(1);
        let last = first.saturating_add(limit.saturating_sub(1)).min(tip);
        let heights = first..=if limit == 0 { 0 } else { last };
        heights
            .filter_map(|height| self.node.chain().block_at(Height(height)))
            .map(TenantBlock::from)
            .collect()
    }

    /// The transactions that wait for a block, in an order that keeps each sender's.
    #[must_use]
    pub fn pending(&self) -> Vec<PendingTransaction> {
        let waiting = self.node.mempool().iter();
        let shape = waiting.map(|transaction| PendingTransaction {
            on_peers: u32::try_from(self.node.holders(&transaction.id())).unwrap_or(u32::MAX),
            transaction: TenantTransaction::from(&**transaction),
            confirmed: false,
            height: None,
        });
        shape.collect()
    }

    /// The transactions that lost their place to another, oldest first: nothing a user sent disappears.
    #[must_use]
    pub fn conflicts(&self) -> Vec<LostTransaction> {
        self.node
            .conflicts()
            .map(|lost| LostTransaction {
                transaction: TenantTransaction::from(&*lost.transaction),
                kept: lost.kept.map(|id| id.to_string()),
            })
            .collect()
    }

    fn pending_transactions(&self) -> Vec<TenantTransaction> {
        self.node
            .mempool()
            .iter()
            .map(|transaction| TenantTransaction::from(&**transaction))
            .collect()
    }

    /// The whole main chain as a self-proving file.
    #[must_use]
    pub fn export_chain(&self, now: TimestampMs) -> String {
        let chain = self.node.chain();
        let (height, synced) = (chain.tip().height.0, self.synced_height());
        let export = Export {
            chain: self.blocks(Some(1), height),
            pending: self.pending_transactions(),
            network_id: chain.genesis().network_id.to_string(),
            chain_id: chain.chain_id().to_string(),
            genesis: hex::encode(chain.genesis().encode()),
            finality: self.node.proof().map(hex::encode),
            exported_at: now.0,
            last_sync_block: synced,
            total_blocks: height,
            export_metadata: ExportMetadata {
                connected_to_tracker: self.mesh.is_joined(),
                current_height: height,
                unsynced_blocks: height.saturating_sub(synced),
                export_version: EXPORT_VERSION.to_owned(),
            },
        };
        to_json(&export)
    }

    /// The proof of the split that was seen as a file, JSON; nothing where none was.
    #[must_use]
    pub fn split_proof(&self) -> Option<String> {
        let (split, genesis) = (self.node.split()?, self.node.genesis());
        Some(to_json(&SplitFile {
            format: 1,
            network_id: genesis.network_id.to_string(),
            chain_id: genesis.chain_id().to_string(),
            enterprise_genesis: genesis.enterprise_genesis.map(|hash| hash.to_string()),
            enterprise_height: split.height().0,
            culprits: split.culprits().iter().map(ToString::to_string).collect(),
            proof: hex::encode(split.bytes()),
        }))
    }

    /// The JSON for `localStorage["blockchain_{network_id}"]`: the newest blocks and the pending transactions that fit.
    #[must_use]
    pub fn window(&self, now: TimestampMs) -> String {
        let newest = self.blocks(None, WINDOW_BLOCKS_MAX);
        let mut room = WINDOW_BYTES_MAX;
        let mut chain = VecDeque::new();
        for block in newest.into_iter().rev() {
            room = room.saturating_sub(to_json(&block).len());
            if room == 0 {
                break;
            }
            chain.push_front(block);
        }
        let mut room = WINDOW_BYTES_MAX;
        let fits = |transaction: &TenantTransaction| {
            room = room.saturating_sub(to_json(transaction).len());
            room > 0
        };
        let pending = self
            .pending_transactions()
            .into_iter()
            .take_while(fits)
            .collect();
        let genesis = self.node.genesis();
        to_json(&Window {
            window: ChainWindow {
                chain: chain.into(),
                pending,
                last_saved: now.0,
            },
            chain_id: genesis.chain_id().to_string(),
            genesis: hex::encode(genesis.encode()),
        })
    }
}

/// Shapes of strings, numbers and lists always serialise.
fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
