//! What goes into the hub and what comes out: facts in the past tense, orders.

use std::sync::Arc;

use api::ws::{ErrorCode, ServerMessage};
use api::{Anchor, TenantBlock, TenantTransaction, TipReference};
use shared::enterprise::HeaderId;
use shared::ids::{ChainId, PeerId, TimestampMs};
use shared::private::RoomId;

use super::message::{Incoming, Listing, MessageError, Wish};
use crate::backplane::{Message, Subject, TrackerId};
use crate::ending::Ending;
use crate::label::Label;
use crate::ledger::MemberReport;

/// One connection; never used twice in the life of a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// A registered network as the hub sees it.
#[derive(Clone, Debug)]
pub struct Network {
    /// The name it is kept under.
    pub label: Label,
    /// Its chain.
    pub chain_id: ChainId,
    /// Its genesis bytes, hex.
    pub genesis: Arc<str>,
    /// Whether it appears in public lists.
    pub listing: Listing,
    /// The newest verified block.
    pub tip: Option<TipReference>,
    /// The newest block that the enterprise chain confirmed.
    pub anchor: Option<Anchor>,
}

/// A private network whose members report it, as the hub sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomNetwork {
    /// Its room.
    pub room: RoomId,
    /// Its chain.
    pub chain_id: ChainId,
    /// The newest reported block.
    pub tip: Option<TipReference>,
    /// The newest block that the enterprise chain confirmed.
    pub anchor: Option<Anchor>,
    /// Resets that the enterprise chain executed.
    pub resets: u32,
}

/// What became of a reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResetOutcome {
    /// The enterprise chain executed it.
    Executed,
    /// It will not be, and why.
    Refused(String),
}

/// What a member of a private room asks the enterprise chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The proof of the newest final block.
    Finality {
        /// Entries of the log that the asker has verified.
        size: u64,
        /// The newest header that it has verified.
        known: Option<HeaderId>,
    },
    /// The receipt of a reset.
    Reset {
        /// Which.
        number: u32,
    },
}

/// A question, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who asks.
    pub connection: ConnectionId,
    /// The room.
    pub room: RoomId,
    /// The network's chain.
    pub chain_id: ChainId,
    /// What it asks.
    pub question: Question,
}

/// What the ledger made of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// Verified and durable; the tip afterwards.
    Accepted(TipReference),
    /// Not taken, with the reason; the tip as it is.
    Refused(TipReference, String),
}

/// Facts.
#[derive(Debug)]
pub enum Input {
    /// A client connected; the two random values are the driver's.
    Connected {
        /// The connection.
        connection: ConnectionId,
        /// Its provisional peer id.
        peer: PeerId,
        /// What its join signs.
        nonce: [u8; 32],
        /// The tracker's `host[:port]`, as configured or as the client dialled it: an admission is for it alone.
        host: Arc<str>,
    },
    /// A message came.
    Received {
        /// From where.
        connection: ConnectionId,
        /// The message, or why it is none.
        message: Result<Incoming, MessageError>,
        /// How long it was.
        bytes: usize,
    },
    /// A ping or pong of WebSocket's own came (RFC 6455, 5.5).
    ControlReceived {
        /// From where.
        connection: ConnectionId,
    },
    /// A connection ended.
    Closed {
        /// Which one.
        connection: ConnectionId,
    },
    /// A network is durably registered, or was before.
    Registered {
        /// Who asked for it, if someone did.
        connection: Option<ConnectionId>,
        /// The network.
        network: Network,
    },
    /// A registration was refused.
    RegistrationRefused {
        /// Who asked for it.
        connection: ConnectionId,
        /// Which kind of refusal.
        code: ErrorCode,
        /// The reason.
        reason: String,
        /// A free label, for `network_exists`.
        suggestion: Option<Label>,
    },
    /// A report for which its address was charged with a network registered none.
    NotRegistered {
        /// Who reported.
        connection: ConnectionId,
    },
    /// An update was checked and, if accepted, is durable.
    UpdateChecked {
        /// Who sent it.
        connection: ConnectionId,
        /// The chain it was of.
        chain_id: ChainId,
        /// What became of it.
        outcome: UpdateOutcome,
    },
    /// A block or transaction for a room was checked.
    RelayChecked {
        /// Who sent it.
        connection: ConnectionId,
        /// The chain it was checked for.
        chain_id: ChainId,
        /// The message for the room, or why there is none.
        verdict: Result<Box<ServerMessage>, String>,
    },
    /// A network's newest verified block changed.
    TipMoved {
        /// The chain.
        chain_id: ChainId,
        /// The block.
        tip: TipReference,
    },
    /// The enterprise chain confirmed a block.
    Anchored {
        /// The chain.
        chain_id: ChainId,
        /// The confirmation.
        anchor: Anchor,
    },
    /// A private network is reported, and where it stands.
    RoomReported(RoomNetwork),
    /// A reset of a private network was executed or refused.
    ResetChecked {
        /// Who sent it, if that is known.
        connection: Option<ConnectionId>,
        /// The network's room.
        room: RoomId,
        /// Which reset.
        number: u32,
        /// What became of it.
        outcome: ResetOutcome,
    },
    /// A validator answered a member's question, or none did.
    QuestionAnswered {
        /// Who asked.
        connection: ConnectionId,
        /// The room it asked in.
        room: RoomId,
        /// What it asked.
        question: Question,
        /// The answer's bytes.
        answer: Option<Vec<u8>>,
    },
    /// The other trackers can be reached, for the first time or again.
    ClusterReached,
    /// Another tracker said something.
    ClusterSaid {
        /// Which one.
        from: TrackerId,
        /// What.
        message: Message,
    },
    /// The tracker is about to stop.
    Draining,
    /// The time last asked for by [`Output::WakeAt`] came.
    Woken,
}

/// Orders.
#[derive(Debug)]
pub enum Output {
    /// Send a text message.
    Send {
        /// To whom; more than one get the same text.
        connections: Vec<ConnectionId>,
        /// The message.
        text: String,
    },
    /// Close a connection.
    Disconnect {
        /// Which one.
        connection: ConnectionId,
        /// Why.
        reason: Ending,
    },
    /// Read nothing more from a connection until then: it sent faster than it may.
    Pause {
        /// Which one.
        connection: ConnectionId,
        /// Until when.
        until: TimestampMs,
    },
    /// Register a network durably.
    Register {
        /// Who asks.
        connection: ConnectionId,
        /// What it asks for.
        wish: Wish,
    },
    /// Charge the client's address nothing for a registration that it asked for: it registered no network.
    GiveBack {
        /// Who asked.
        connection: ConnectionId,
    },
    /// Check blocks and keep them.
    Check {
        /// Who sent them.
        connection: ConnectionId,
        /// Their chain.
        chain_id: ChainId,
        /// The blocks, oldest first.
        blocks: Vec<TenantBlock>,
    },
    /// Check what a member of a private room reports, and keep it.
    CheckReports {
        /// Who sent it.
        connection: ConnectionId,
        /// What it reports.
        report: Box<MemberReport>,
    },
    /// Check a reset of a private network, and bring it to the enterprise chain.
    CheckReset {
        /// Who sent it.
        connection: ConnectionId,
        /// The room.
        room: RoomId,
        /// The signed reset.
        reset: Vec<u8>,
    },
    /// Ask a validator about a private network and report the answer as [`Input::QuestionAnswered`].
    Ask(Asked),
    /// Check a block for its room, without keeping it.
    CheckBlock {
        /// Who sent it.
        connection: ConnectionId,
        /// Its chain.
        chain_id: ChainId,
        /// The block.
        block: Box<TenantBlock>,
    },
    /// Check a transaction for its room.
    CheckTransaction {
        /// Who sent it.
        connection: ConnectionId,
        /// Its chain.
        chain_id: ChainId,
        /// The transaction.
        transaction: Box<TenantTransaction>,
    },
    /// Tell other trackers; it may get lost.
    Publish {
        /// Which.
        to: Subject,
        /// What.
        message: Message,
    },
    /// Hear what other trackers say of a network; it may get lost, and is ordered again and again while there are members.
    Follow {
        /// Which.
        chain_id: ChainId,
    },
    /// No more.
    Unfollow {
        /// Which.
        chain_id: ChainId,
    },
    /// Register a network that another tracker has.
    Adopt {
        /// As it has it.
        wish: Wish,
    },
    /// Call again with [`Input::Woken`] then; replaces an earlier one.
    WakeAt {
        /// When.
        at: TimestampMs,
    },
}
