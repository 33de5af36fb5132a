//! Tenant blocks and transactions as JSON, and the update that carries them from a peer to the tracker and on to the
//! validator.
//!
//! Invariant: `header`, `miner` and each transaction's `raw` are the block; every other field repeats what those bytes
//! say, for readers that do not decode them.

use serde::{Deserialize, Serialize};

use crate::private::ReportedBlock;
use crate::wide;

/// What a transaction carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TransactionKind {
    /// UTF-8 text for people.
    Message,
    /// Bytes for programs.
    Record,
}

/// One tenant transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TenantTransaction {
    /// SHA-256 of all its bytes, hex.
    pub tx_id: String,
    /// The sender's public key, hex.
    pub from: String,
    /// The sender's running number.
    #[serde(with = "wide")]
    #[cfg_attr(feature = "openapi", schema(value_type = wide::Wide))]
    pub sequence: u64,
    /// When the sender made it, in ms.
    pub timestamp: u64,
    /// What it carries.
    pub kind: TransactionKind,
    /// The text of a message; absent for a record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The canonical bytes, hex.
    pub raw: String,
}

/// A transaction as the page shows it: with whether and where it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingTransaction {
    /// The transaction.
    #[serde(flatten)]
    pub transaction: TenantTransaction,
    /// How many linked peers have it or were sent it.
    #[serde(default)]
    pub on_peers: u32,
    /// Whether it is in a block of the main chain.
    pub confirmed: bool,
    /// The height of that block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
}

/// One tenant block with its whole body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TenantBlock {
    /// The block's height; the first block is 1.
    pub block_id: u32,
    /// SHA-256 of the header, hex.
    pub block_hash: String,
    /// The previous block's hash, hex; the first block's is the chain id.
    pub previous_hash: String,
    /// The header's time in ms.
    pub timestamp: u64,
    /// The 116 header bytes, hex.
    pub header: String,
    /// The miner's record (public key and 8 free bytes), 40 bytes in hex.
    pub miner: String,
    /// The transactions in block order.
    pub transactions: Vec<TenantTransaction>,
}

/// New blocks of one tenant chain: a peer's report to the tracker, and the tracker's to the validator.
///
/// Blocks of an open network come whole, those of a private one as reports: an update has one kind, or is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlockchainUpdate {
    /// The network's label.
    pub network_id: String,
    /// The chain the blocks belong to, hex. Absent: the chain that the receiver knows under the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<String>,
    /// The genesis bytes, hex, for a receiver that may not know the chain yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis: Option<String>,
    /// Who reports, for the record only: the blocks prove themselves.
    pub peer_id: String,
    /// The blocks, oldest first.
    pub new_blocks: Vec<TenantBlock>,
    /// The blocks of a private network, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new_reports: Vec<ReportedBlock>,
    /// When the report was made, in ms.
    pub timestamp: u64,
}
