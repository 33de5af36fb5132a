//! What the validator answers over HTTP: status, enterprise blocks, tenants, transactions.

use serde::{Deserialize, Serialize};

use crate::tracker::UpdateStatus;
use crate::wide;

/// The answer to `POST /api/tenant-update`, given once the enterprise block is durable.
///
/// After it, `(tenant_height, tenant_hash)` is the tip of the tenant's heaviest chain at the validator; a sender counts
/// its own blocks as confirmed up to there, and only if that hash is on its chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TenantUpdateAccepted {
    /// Always `accepted`: a refused update is answered with a problem document, which names the tenant's tip too.
    pub status: UpdateStatus,
    /// One sentence for people.
    pub message: String,
    /// The network's label.
    pub network_id: String,
    /// The chain id, hex.
    pub chain_id: String,
    /// The height of the enterprise block that anchors the tenant's tip.
    #[serde(with = "wide")]
    #[cfg_attr(feature = "openapi", schema(value_type = wide::Wide))]
    pub enterprise_block_height: u64,
    /// The hash of that enterprise block, hex.
    pub enterprise_block_hash: String,
    /// How many tenant blocks were new.
    pub tenant_blocks_processed: u32,
    /// How many transactions those blocks hold.
    pub transactions_processed: u32,
    /// How many of the blocks were known before.
    pub already_known: u32,
    /// The height of the tenant's tip afterwards.
    pub tenant_height: u32,
    /// The hash of the tenant's tip afterwards, hex.
    pub tenant_hash: String,
}

/// `GET /api/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Status {
    /// The enterprise chain's height.
    #[serde(with = "wide")]
    #[cfg_attr(feature = "openapi", schema(value_type = wide::Wide))]
    pub height: u64,
    /// The newest enterprise block's hash, hex.
    pub latest_hash: String,
    /// The answering validator's name.
    pub validator: String,
    /// How many tenants have at least one anchored block.
    pub active_tenants: u64,
    /// The names of the validators in force.
    pub active_validators: Vec<String>,
    /// Tenant transactions received but not yet in an enterprise block.
    pub pending_transactions: u64,
    /// Enterprise blocks; the genesis is none.
    pub total_blocks: u64,
    /// Tenant transactions in enterprise blocks, each counted once.
    pub total_transactions: u64,
    /// The verdict on the chain, in one word.
    pub chain_health: String,
    /// Seconds since the validator started.
    pub uptime: u64,
    /// The newest enterprise block's time in ms.
    pub latest_block_time: u64,
    /// What this validator is doing, in one word.
    pub validator_status: String,
    /// How the validators stand, as the answering one sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consensus: Option<Consensus>,
    /// What the answering validator holds of the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Holding>,
}

/// What a validator holds of the enterprise chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Holding {
    /// What its store began with: `genesis` or `snapshot`.
    pub began_with: String,
    /// The lowest height whose block it holds; with a snapshot the one after that of the snapshot.
    #[serde(with = "wide")]
    #[cfg_attr(feature = "openapi", schema(value_type = wide::Wide))]
    pub lowest_height: u64,
    /// The height of its newest snapshot that a quorum signed, 0 for none.
    #[serde(with = "wide")]
    #[cfg_attr(feature = "openapi", schema(value_type = wide::Wide))]
    pub snapshot_height: u64,
}

/// How the validators stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Consensus {
    /// How many have to be alive for a decision.
    pub quorum: u32,
    /// How many are.
    pub alive: u32,
    /// The round of the block that is being decided; none while there is nothing to decide.
    pub round: Option<u32>,
    /// Whether the answering one votes; not after it has lost its vote log.
    pub votes: bool,
    /// Proofs that a validator has contradicted itself, which `/api/evidence` lists.
    pub evidence: u32,
    /// All of them.
    pub validators: Vec<ConsensusMember>,
}

/// One validator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsensusMember {
    /// Its name.
    pub name: String,
    /// Its public key, hex.
    pub key: String,
    /// Whether it is heard.
    pub alive: bool,
    /// Whether it is passed over as a proposer, for having been absent.
    pub skipped: bool,
    /// The newest height that it said it has decided.
    #[serde(with = "wide")]
    #[cfg_attr(feature = "openapi", schema(value_type = wide::Wide))]
    pub height: u64,
    /// The lowest height at which it is proved to have contradicted itself; 0 for none.
    #[serde(with = "wide", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = wide::Wide))]
    pub contradicted_at: u64,
}

/// One entry of `GET /api/blocks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnterpriseBlock {
    /// The height.
    #[serde(with = "wide")]
    #[cfg_attr(feature = "openapi", schema(value_type = wide::Wide))]
    pub height: u64,
    /// The hash, hex.
    pub hash: String,
    /// The previous block's hash, hex.
    pub previous_hash: String,
    /// Enterprise time in ms.
    pub timestamp: u64,
    /// Who proposed it.
    pub validator: String,
    /// How many tenant transactions it anchors.
    pub transaction_count: u64,
    /// The tenant transactions it anchors.
    pub transactions: Vec<EnterpriseTransaction>,
    /// The root over its content, hex.
    pub merkle_root: String,
    /// The header's bytes, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The certificate's bytes, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// How many tenant blocks it anchors.
    #[serde(default)]
    pub tenant_block_count: u64,
}

/// A tenant transaction as the enterprise chain shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnterpriseTransaction {
    /// The transaction's id, hex.
    pub tx_id: String,
    /// The tenant network's label.
    pub tenant_network: String,
    /// The height of the tenant block that holds it.
    pub tenant_block_id: u32,
    /// The text of a message, or the hex of a record.
    pub transaction_data: String,
    /// When its sender made it, in ms.
    pub timestamp: u64,
    /// The sender's public key, hex.
    pub from_peer: String,
    /// The tenant's chain id, hex.
    #[serde(default)]
    pub chain_id: String,
    /// The enterprise block that anchors it.
    #[serde(default, with = "wide")]
    #[cfg_attr(feature = "openapi", schema(value_type = wide::Wide))]
    pub enterprise_height: u64,
}

/// `GET /api/tenants`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tenants {
    /// The tenants by label.
    pub tenants: Vec<Tenant>,
    /// How many there are.
    pub total_tenants: usize,
    /// Where the next page begins; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// One tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tenant {
    /// The network's label.
    pub tenant_id: String,
    /// The chain id, hex.
    #[serde(default)]
    pub chain_id: String,
    /// Anchored blocks of the main chain.
    pub block_count: u64,
    /// Transactions in them.
    pub transaction_count: u64,
    /// When its last block was anchored, in ms.
    pub last_activity: u64,
    /// The newest messages, `"Block #3: Hello"`, newest first.
    pub recent_messages: Vec<String>,
    /// The newest anchored block's height.
    #[serde(default)]
    pub height: u32,
    /// The newest anchored block's hash, hex.
    #[serde(default)]
    pub tip_hash: String,
    /// The newest final block's height; 0 before the first.
    #[serde(default)]
    pub final_height: u32,
    /// The newest final block's hash, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_hash: Option<String>,
    /// Whether the network is private: its blocks are reported, and their transactions not counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
    /// How often its owner voided a final suffix.
    #[serde(default)]
    pub resets: u32,
}

/// `GET /api/transactions` and `GET /api/network-transactions/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Transactions {
    /// The transactions, newest first.
    pub transactions: Vec<EnterpriseTransaction>,
    /// How many match in all.
    pub total: u64,
    /// Where the next page begins; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
