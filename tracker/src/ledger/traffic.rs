//! What goes into the ledger and what comes out: facts in the past tense, orders, and what they carry.

use api::ws::ErrorCode;
use api::{BlockchainUpdate, TenantBlock, TenantTransaction, TipReference};
use shared::enterprise::Reset;
use shared::hash::Hash;
use shared::ids::{ChainId, Height, TimestampMs};
use shared::private::RoomId;

pub use super::reports::MemberReport;
use super::{Answer, Confirmed, ResetAnswer, StoredReset};
use crate::hub::message::{Listing, Wish};
use crate::hub::{self, ConnectionId};
use crate::label::Label;

/// One HTTP request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A peer, over its connection.
    Connection(ConnectionId),
    /// A program, over HTTP.
    Request(RequestId),
}

/// Facts.
#[derive(Debug)]
pub enum Input {
    /// Someone wants a network registered.
    RegistrationAsked {
        /// The connection that asked.
        connection: ConnectionId,
        /// What it asked for.
        wish: Wish,
    },
    /// Another tracker of the cluster has a network.
    NetworkHeard {
        /// As it has it.
        wish: Wish,
    },
    /// Blocks came.
    BlocksReported {
        /// From whom.
        asker: Asker,
        /// The chain they are said to be of, or the label of it.
        network: NetworkName,
        /// The blocks, oldest first.
        blocks: Vec<TenantBlock>,
    },
    /// A block came for the peers of a room only.
    BlockShown {
        /// From where.
        connection: ConnectionId,
        /// Its chain.
        chain_id: ChainId,
        /// The block.
        block: Box<TenantBlock>,
    },
    /// A transaction came for the peers of a room.
    TransactionShown {
        /// From where.
        connection: ConnectionId,
        /// Its chain.
        chain_id: ChainId,
        /// The transaction.
        transaction: Box<TenantTransaction>,
    },
    /// A member of a private room reported its network's blocks.
    Reported {
        /// The member's connection.
        connection: ConnectionId,
        /// What it reports.
        report: Box<MemberReport>,
        /// Whether its address may have another network registered, and is charged for it.
        may_register: bool,
    },
    /// A member of a private room wants its network reset.
    ResetAsked {
        /// The member's connection.
        connection: ConnectionId,
        /// The room.
        room: RoomId,
        /// The signed reset, not yet decoded.
        reset: Vec<u8>,
    },
    /// A validator answered a reset, or did not.
    ResetAnswered {
        /// The network's chain.
        chain_id: ChainId,
        /// Which reset.
        number: u32,
        /// The answer.
        answer: ResetAnswer,
    },
    /// A validator told the proof of a network's newest final block, which is not verified yet.
    FinalityTold {
        /// The network.
        chain_id: ChainId,
        /// The proof.
        proof: Vec<u8>,
    },
    /// A validator said which resets of a private network were executed, oldest first.
    ResetsTold {
        /// The network's chain.
        chain_id: ChainId,
        /// As they were decoded; nobody checked them.
        resets: Vec<Reset>,
    },
    /// The validator answered an update, or did not.
    Answered {
        /// The chain the update was of.
        chain_id: ChainId,
        /// The answer.
        answer: Answer,
    },
    /// The time last asked for by [`Output::WakeAt`] came.
    Woken,
}

/// How a network is named from outside.
#[derive(Clone, Debug)]
pub enum NetworkName {
    /// By its chain.
    Chain(ChainId),
    /// By its label here.
    Label(Label),
}

/// Orders.
#[derive(Debug)]
pub enum Output {
    /// Make this durable before anything polled later is performed.
    Persist(Change),
    /// Tell the hub.
    Tell(Box<hub::Input>),
    /// Answer an HTTP request.
    Answer {
        /// Which one.
        request: RequestId,
        /// What to say.
        verdict: Result<UpdateVerdict, Refusal>,
    },
    /// Post an update to the validator and report its answer as [`Input::Answered`].
    Forward {
        /// The chain.
        chain_id: ChainId,
        /// The update.
        update: Box<BlockchainUpdate>,
    },
    /// Post a reset to the validator and report its answer as [`Input::ResetAnswered`].
    ForwardReset {
        /// The network's chain.
        chain_id: ChainId,
        /// Which reset.
        number: u32,
        /// The signed reset.
        reset: Vec<u8>,
    },
    /// Ask a validator for the proof of a network's newest final block and report it as [`Input::FinalityTold`].
    AskFinality {
        /// The network.
        chain_id: ChainId,
    },
    /// Ask a validator which resets of a private network were executed, and report the answer, if there is one, as
    /// [`Input::ResetsTold`].
    AskResets {
        /// The network's chain.
        chain_id: ChainId,
    },
    /// Call again with [`Input::Woken`] then; replaces an earlier one.
    WakeAt {
        /// When.
        at: TimestampMs,
    },
}

/// Something that must survive a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A network was registered.
    Network {
        /// Its chain.
        chain_id: ChainId,
        /// Its label.
        label: Label,
        /// Whether it is listed.
        listing: Listing,
        /// Its genesis bytes.
        genesis: Vec<u8>,
    },
    /// A block was verified.
    Block {
        /// Its chain.
        chain_id: ChainId,
        /// Its height.
        height: Height,
        /// Its hash.
        hash: Hash,
        /// Its canonical bytes.
        bytes: Vec<u8>,
    },
    /// The validator confirmed a block, or (none) turned out to have none.
    Confirmed {
        /// The chain.
        chain_id: ChainId,
        /// The newest confirmed block.
        confirmed: Option<Confirmed>,
    },
    /// A block left the chain: it broke a rule that shows only on its branch, or its branch is too light to be kept.
    BlockGone {
        /// Its chain.
        chain_id: ChainId,
        /// Its height.
        height: Height,
        /// Its hash.
        hash: Hash,
    },
    /// A reset voided all blocks from a height on.
    BlocksGone {
        /// The chain.
        chain_id: ChainId,
        /// The lowest void height.
        from: Height,
    },
    /// A private network's resets changed.
    Resets {
        /// The chain.
        chain_id: ChainId,
        /// Where they stand.
        resets: StoredReset,
    },
}

/// What an accepted update changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateVerdict {
    /// The network's label.
    pub label: Label,
    /// Its chain.
    pub chain_id: ChainId,
    /// Blocks that were new.
    pub new_blocks: u32,
    /// Transactions in them.
    pub transactions: u64,
    /// Blocks that were known.
    pub already_known: u32,
    /// The verified tip afterwards.
    pub tip: TipReference,
}

/// Why an update or a registration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No such network here.
    #[error("no such network here; create it over /ws first")]
    UnknownNetwork,
    /// A block's parent is not here.
    #[error("{reason}; the tracker has blocks up to #{}", tip.height)]
    UnknownParent {
        /// Which block, and which parent.
        reason: String,
        /// The verified tip.
        tip: TipReference,
    },
    /// A block breaks a rule, or its shape does not say what its bytes say.
    #[error("{reason}")]
    Invalid {
        /// Which block, and which rule.
        reason: String,
        /// The verified tip.
        tip: TipReference,
    },
    /// A block's time is too far ahead; it may be offered again later.
    #[error("{reason}")]
    TooEarly {
        /// Which block, and by how much.
        reason: String,
        /// The verified tip.
        tip: TipReference,
    },
    /// A block's branch is lighter than all that are kept.
    #[error("{reason}")]
    TooLight {
        /// Which block.
        reason: String,
        /// The verified tip.
        tip: TipReference,
    },
    /// The genesis is malformed or not of a kind this tracker keeps.
    #[error("{0}")]
    Genesis(String),
    /// Another chain holds the label.
    #[error("the name {label} is taken by another network")]
    Taken {
        /// The label.
        label: Label,
        /// A label that is free for this chain.
        suggestion: Label,
    },
    /// The registry is full.
    #[error("the tracker keeps {found} networks and takes no more")]
    Full {
        /// How many it keeps.
        found: usize,
    },
    /// The blocks of this network take up as much room as they may.
    #[error(
        "the tracker keeps {found_mib} MiB of this network's blocks and takes no more than {allowed_mib}: its operator can raise \
         --network-mib-max, the owner of a private network can reset it, and a new network begins empty; the blocks before stay"
    )]
    NetworkFull {
        /// How much room they take up, in MiB.
        found_mib: u64,
        /// How much they may.
        allowed_mib: u64,
    },
    /// The blocks of all networks take up as much room as they may.
    #[error(
        "the tracker keeps {found_mib} MiB of blocks of all networks and takes no more than {allowed_mib}: its operator can raise \
         --total-mib-max; the blocks before stay"
    )]
    StoreFull {
        /// How much room they take up, in MiB.
        found_mib: u64,
        /// How much they may.
        allowed_mib: u64,
    },
}

/// Whether verified blocks go to a validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// A validator is configured.
    On,
    /// The tracker runs alone.
    Off,
}

/// Numbers for `/health` and logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Registered networks.
    pub networks: usize,
    /// Networks whose newest block is not confirmed.
    pub unconfirmed_networks: usize,
    /// Main chain blocks that are not confirmed.
    pub unconfirmed_blocks: u64,
    /// Since when the oldest of them waits, as far as this run of the tracker knows; none without a validator.
    pub waiting_since: Option<TimestampMs>,
    /// How much room the blocks of all networks take up, in bytes.
    pub kept_bytes: u64,
    /// How much they may; the largest number where there is no bound.
    pub kept_bytes_max: u64,
    /// Networks whose last update failed.
    pub failing: usize,
    /// Why the last update that failed did.
    pub last_failure: Option<String>,
}

impl Refusal {
    /// The code for a client on `/ws`.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownNetwork => ErrorCode::NetworkUnknown,
            Self::Taken { .. } => ErrorCode::NetworkExists,
            Self::Full { .. } | Self::NetworkFull { .. } | Self::StoreFull { .. } => {
                ErrorCode::Full
            }
            Self::UnknownParent { .. }
            | Self::Invalid { .. }
            | Self::TooEarly { .. }
            | Self::TooLight { .. }
            | Self::Genesis(_) => ErrorCode::BadMessage,
        }
    }
}
