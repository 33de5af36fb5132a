//! The export file and the browser's localStorage window.

use serde::{Deserialize, Serialize};

use crate::tenant::{TenantBlock, TenantTransaction};

/// The version this code writes. A "1.0" file proves nothing and is only ever shown as unverified legacy.
pub const EXPORT_VERSION: &str = "2.0";

/// `blockchain_{network_id}_{ms}.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The blocks of the main chain, oldest first.
    pub chain: Vec<TenantBlock>,
    /// Transactions that are not in a block yet.
    pub pending: Vec<TenantTransaction>,
    /// The network's label.
    pub network_id: String,
    /// The chain id, hex.
    pub chain_id: String,
    /// The genesis bytes, hex: with it the file proves itself.
    pub genesis: String,
    /// Proof that the blocks up to one of them are final, hex (`enterprise::FinalityProof`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finality: Option<String>,
    /// When it was written, in ms.
    pub exported_at: u64,
    /// The newest block that the tracker had confirmed.
    pub last_sync_block: u32,
    /// How many blocks `chain` holds.
    pub total_blocks: u32,
    /// What the exporting node knew of itself.
    pub export_metadata: ExportMetadata,
}

/// What the exporting node knew of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportMetadata {
    /// Whether it was connected to a tracker.
    pub connected_to_tracker: bool,
    /// Its tip's height.
    pub current_height: u32,
    /// How many blocks the tracker had not confirmed.
    pub unsynced_blocks: u32,
    /// The file's version, see [`EXPORT_VERSION`].
    pub export_version: String,
}

/// `localStorage["blockchain_{network_id}"]`: the newest blocks and all pending transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainWindow {
    /// The newest blocks, oldest first.
    pub chain: Vec<TenantBlock>,
    /// Transactions that are not in a block yet.
    pub pending: Vec<TenantTransaction>,
    /// When it was written, in ms.
    #[serde(rename = "lastSaved")]
    pub last_saved: u64,
}
