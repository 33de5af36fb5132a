//! What the page is told of where the node stands.

use api::TenantTransaction;
use serde::Serialize;

use super::MiningWhen;

/// One peer and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerStatus {
    /// The peer, hex.
    pub id: String,
    /// How.
    pub transport: Transport,
}

/// How a peer is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Not yet.
    Connecting,
    /// Through the tracker.
    Relay,
    /// Over a data channel.
    Direct,
}

/// Where we are with the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackerState {
    /// In the network's room.
    Joined,
    /// Not connected.
    Offline,
    /// Connected, not let in.
    Refused,
}

/// Bytes of messages by what they were about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// New blocks.
    pub blocks: u64,
    /// Pending transactions.
    pub transactions: u64,
    /// Sync.
    pub history: u64,
    /// The rest.
    pub other: u64,
}

/// Where the node stands. The page's status has more, which the drivers add.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The label.
    pub network_id: String,
    /// The chain, hex.
    pub chain_id: String,
    /// Our peer id, hex.
    pub peer_id: String,
    /// Our key, hex.
    pub public_key: String,
    /// The tip's height.
    pub height: u32,
    /// The best header's height; more than `height` while bodies are missing.
    pub best_height: u32,
    /// Whether the chain is believed to be behind the peers'.
    pub syncing: bool,
    /// The tip's hash, hex.
    pub tip_hash: String,
    /// Cumulative work: expected hashes, decimal.
    pub work: String,
    /// Expected hashes for the tip's block; before the first block, for the first.
    pub difficulty: f64,
    /// How many transactions wait.
    pub pending_count: usize,
    /// The linked peers.
    pub peers: Vec<PeerStatus>,
    /// `connected` or `offline`.
    pub tracker: &'static str,
    /// When the node mines.
    pub mining: MiningStatus,
    /// The newest height the tracker confirmed.
    pub synced_height: u32,
    /// The newest height in an enterprise block.
    pub anchored_height: u32,
    /// Height of the newest final block; 0 for none.
    pub final_height: u32,
    /// Whether this tab's key may report the network: everybody's in an open one, in a private one its owner's.
    pub reporter: bool,
    /// Whether it does.
    pub reporting: bool,
    /// How often the owner reset what was final, as far as it was followed here.
    pub resets: u32,
    /// Height of the enterprise block under which that was verified; 0 for none.
    pub enterprise_height: u64,
    /// The validators whose signatures were verified there, by name.
    pub signers: Vec<String>,
    /// The first contradiction of the validators that was seen, if one was.
    pub split: Option<SplitStatus>,
    /// The lowest height from which on all blocks are here; 1 if all are.
    pub bodies_from: u32,
    /// How many branches finality left behind.
    pub abandoned: usize,
    /// How many transactions lost their place to another.
    pub conflicts: usize,
    /// Correction of the device's clock.
    pub clock_offset_ms: i64,
    /// Bytes of messages to peers since the start.
    pub sent_bytes: Counted,
    /// Bytes of messages from peers since the start.
    pub received_bytes: Counted,
}

/// Two decided blocks of one height of the enterprise chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SplitStatus {
    /// The height.
    pub enterprise_height: u64,
    /// The keys of the validators that signed both, hex.
    pub culprits: Vec<String>,
    /// Whether they signed both in one round, as no honest validator does; of two rounds, more than a third of all broke the rules, but one of
    /// these may have been led to it.
    pub one_round: bool,
}

/// When the node mines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MiningStatus {
    /// The user's choice.
    pub when: MiningWhen,
    /// Whether there is a job now.
    pub active: bool,
}

/// A transaction of this browser whose place in its sender's sequence another one took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostTransaction {
    /// The transaction.
    #[serde(flatten)]
    pub transaction: TenantTransaction,
    /// The id of the one that has its place, if known.
    pub kept: Option<String>,
}
