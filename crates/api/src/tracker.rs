//! What the tracker answers over HTTP, and the file it leaves for other programs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::tenant::TenantBlock;

/// One listed network of `GET /api/network-list` and of `network_list_update`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NetworkListItem {
    /// The network's label.
    pub id: String,
    /// The name to show.
    pub name: String,
    /// How many peers are connected now.
    pub peer_count: usize,
}

/// `GET /api/networks/{id}/genesis`: how a newcomer that knows only a label learns the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NetworkGenesis {
    /// The label under which the tracker keeps the network.
    pub network_id: String,
    /// The chain id, hex: the hash of `genesis`.
    pub chain_id: String,
    /// The genesis bytes, hex.
    pub genesis: String,
    /// Whether its creator listed it.
    pub listed: bool,
}

/// A block named by height and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TipReference {
    /// The height.
    pub height: u32,
    /// The hash, hex.
    pub hash: String,
}

/// The newest tenant block that an enterprise block anchors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Anchor {
    /// The network's label.
    pub network_id: String,
    /// The chain id, hex.
    pub chain_id: String,
    /// The tenant block's height.
    pub height: u32,
    /// The tenant block's hash, hex.
    pub hash: String,
    /// The enterprise block's height.
    pub enterprise_height: u64,
    /// The enterprise block's hash, hex.
    pub enterprise_hash: String,
}

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum UpdateStatus {
    /// Verified and durable.
    Accepted,
    /// Not taken; nothing of it was counted.
    Refused,
}

/// The tracker's answer to `POST /api/blockchain-update`, given once the blocks are durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateAccepted {
    /// Always `accepted`: a refused update is answered with a problem document.
    pub status: UpdateStatus,
    /// One sentence for people.
    pub message: String,
    /// The network's label.
    pub network_id: String,
    /// The chain id, hex.
    pub chain_id: String,
    /// How many blocks were new.
    pub new_blocks: u32,
    /// How many transactions those blocks hold.
    pub transactions: u32,
    /// How many of the blocks were known before.
    pub already_known: u32,
    /// The verified tip's height afterwards.
    pub height: u32,
    /// The verified tip's hash afterwards, hex.
    pub hash: String,
}

/// `data/tracker_integration.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerIntegration {
    /// What the enterprise chain has confirmed, by network label.
    pub last_reported_state: BTreeMap<String, ReportedState>,
    /// What the tracker has verified, by network label.
    pub network_blockchain_state: BTreeMap<String, NetworkBlockchainState>,
}

/// What the enterprise chain has confirmed of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedState {
    /// Confirmed blocks.
    pub block_count: u64,
    /// Transactions in them.
    pub transaction_count: u64,
    /// When the last confirmation came, in ms.
    pub last_update: u64,
    /// The height of the newest confirmed block.
    pub last_reported_block_id: u32,
}

/// What the tracker has verified of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkBlockchainState {
    /// Blocks of the main chain.
    pub total_blocks: u64,
    /// Transactions in them.
    pub total_transactions: u64,
    /// The newest blocks, oldest first.
    pub recent_blocks: Vec<TenantBlock>,
    /// The height of the newest block.
    pub last_block_id: u32,
}
