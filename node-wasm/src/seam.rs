//! The shapes that cross between the machines and JavaScript: plain objects with a `type`, fields in camel case, bytes as
//! `Uint8Array`.

mod status;

use api::ws::IceServer;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub use self::status::{
    Counted, LostTransaction, MiningStatus, PeerStatus, SplitStatus, Status, TrackerState,
    Transport,
};

/// A fact from the drivers.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
#[non_exhaustive]
pub enum Input {
    /// What storage held at start; the first input, once.
    Restored {
        /// All records of the chain.
        records: Vec<StoredRecord>,
    },
    /// The tracker's socket is open.
    TrackerOpen {
        /// Its `host[:port]`, for which an admission to a private network is.
        #[serde(default)]
        host: String,
    },
    /// The tracker sent a message.
    TrackerMessage {
        /// Its JSON.
        text: String,
    },
    /// The tracker's socket is closed.
    TrackerClosed,
    /// A connection made its local description.
    RtcLocal {
        /// The connection.
        link: u32,
        /// Offer or answer.
        kind: DescriptionKind,
        /// The description.
        sdp: String,
    },
    /// A connection gathered a candidate.
    RtcCandidate {
        /// The connection.
        link: u32,
        /// Its JSON; empty for the end of candidates.
        candidate: String,
    },
    /// A connection's data channel is open.
    RtcOpen {
        /// The connection.
        link: u32,
    },
    /// A chunk came over a data channel.
    RtcData {
        /// The connection.
        link: u32,
        /// The chunk.
        bytes: ByteBuf,
    },
    /// A connection failed or was closed.
    RtcClosed {
        /// The connection.
        link: u32,
        /// Why, for people.
        #[serde(default)]
        reason: Option<String>,
    },
    /// A connection falters.
    RtcInterrupted {
        /// The connection.
        link: u32,
    },
    /// The machine is in another network, or online again.
    NetworkChanged,
    /// The user wants an invitation to pair with another browser.
    Invite {
        /// The caller's number for the answer.
        request: u64,
    },
    /// The user was given an invitation.
    InvitationTaken {
        /// The caller's number for the answer.
        request: u64,
        /// The invitation's text.
        text: String,
    },
    /// The user was given the answer to an invitation.
    AnswerTaken {
        /// The caller's number for the answer.
        request: u64,
        /// The answer's text.
        text: String,
    },
    /// There is a channel to the other tabs of this profile.
    LocalOpen,
    /// Another tab of this profile sent a packet to all or to this one.
    LocalMessage {
        /// The tab's peer, hex.
        from: String,
        /// The packet.
        bytes: ByteBuf,
    },
    /// The user submitted something.
    Submit {
        /// The caller's number for the answer.
        request: u64,
        /// Message or record.
        kind: PayloadKind,
        /// The message.
        #[serde(default)]
        text: Option<String>,
        /// The record.
        #[serde(default)]
        payload: Option<ByteBuf>,
    },
    /// The user chose when to mine.
    Mining {
        /// When.
        when: MiningWhen,
    },
    /// A mining worker found a version and a nonce.
    NonceFound {
        /// The job.
        job: u32,
        /// The version.
        version: u16,
        /// The nonce.
        nonce: u32,
    },
    /// The mining workers tried every nonce.
    JobExhausted {
        /// The job.
        job: u32,
    },
    /// The answer to `verify`.
    Verified {
        /// The job.
        job: u32,
        /// For each block whether it holds; shorter if a helper failed.
        valid: Vec<bool>,
    },
    /// The user gave a file.
    Import {
        /// The caller's number for the answer.
        request: u64,
        /// The file's text.
        text: String,
    },
    /// Another tab wrote a block.
    BlockOffered {
        /// The canonical block.
        bytes: ByteBuf,
    },
    /// Another tab stored a transaction of its own.
    TransactionOffered {
        /// The canonical transaction.
        bytes: ByteBuf,
    },
    /// The tracker passed on a proof of finality; nobody has verified it.
    ProofReceived {
        /// Its bytes.
        bytes: ByteBuf,
    },
    /// There is no proof, or no answer.
    ProofFailed,
    /// The user chose whether this tab reports its private network, so that its blocks become final.
    Reporting {
        /// Whether it does.
        on: bool,
    },
    /// The user wants to reset what is final in a private network.
    Reset {
        /// The caller's number for the answer.
        request: u64,
        /// The lowest void height.
        from: u32,
    },
    /// The time of `wake_at` has come.
    Woken,
}

/// A record of storage.
#[derive(Clone, Debug, Deserialize)]
pub struct StoredRecord {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub value: ByteBuf,
}

/// What a submission carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadKind {
    /// Text for people.
    Message,
    /// Bytes for programs.
    Record,
}

/// When to mine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MiningWhen {
    /// Never.
    Off,
    /// While something is pending.
    Pending,
    /// Always.
    Always,
}

/// Which session description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DescriptionKind {
    /// The initiator's.
    Offer,
    /// The other one's.
    Answer,
}

/// An order to the drivers. Nothing behind a `persist` is carried out before that is durable.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
#[non_exhaustive]
pub enum Output {
    /// Make changes durable, all or none.
    Persist {
        /// The changes.
        records: Vec<RecordChange>,
    },
    /// Send to the tracker.
    TrackerSend {
        /// The JSON.
        text: String,
    },
    /// Close the tracker's socket and connect anew.
    TrackerClose {
        /// Why.
        reason: String,
    },
    /// Make a connection.
    RtcCreate {
        /// Its number.
        link: u32,
        /// To whom, hex; none for a pairing.
        peer: Option<String>,
        /// Whether to make the data channel and the offer.
        initiator: bool,
        /// Whether the description has to carry all candidates, and the connection to wait for the other side until it is closed.
        complete: bool,
        /// STUN and TURN servers.
        ice_servers: Vec<IceServer>,
    },
    /// Give a connection the other side's description.
    RtcRemote {
        /// The connection.
        link: u32,
        /// Offer or answer.
        kind: DescriptionKind,
        /// The description.
        sdp: String,
    },
    /// Give a connection the other side's candidate.
    RtcAddCandidate {
        /// The connection.
        link: u32,
        /// Its JSON; empty for the end of candidates.
        candidate: String,
    },
    /// Send a chunk, after those of more urgent lanes.
    RtcSend {
        /// The connection.
        link: u32,
        /// 0 for blocks and requests, 1 for transactions, 2 for history.
        lane: u8,
        /// The chunk.
        bytes: ByteBuf,
    },
    /// Close a connection.
    RtcClose {
        /// The connection.
        link: u32,
    },
    /// Hand the other tabs of this profile a packet.
    LocalSend {
        /// The peer it is for, hex; all if none.
        to: Option<String>,
        /// The packet.
        bytes: ByteBuf,
    },
    /// Mine this, instead of whatever was mined before.
    Mine {
        /// The job.
        job: u32,
        /// The 116 header bytes.
        header: ByteBuf,
        /// The 32 target bytes.
        target: ByteBuf,
    },
    /// Stop mining.
    StopMining,
    /// Have a helper check blocks and answer with `verified`; may be carried out ahead of everything else.
    Verify {
        /// The job.
        job: u32,
        /// The blocks.
        blocks: Vec<ByteBuf>,
    },
    /// Ask the tracker for a proof of finality, and answer with `proof_received` or `proof_failed`.
    AskProof {
        /// Entries of the enterprise log that were verified before.
        size: u64,
        /// The newest header verified, as `height:hash`, if it is to be compared.
        #[serde(skip_serializing_if = "Option::is_none")]
        known: Option<String>,
    },
    /// Give `woken` at this time.
    WakeAt {
        /// When, in ms since 1970.
        at: u64,
    },
    /// Something for the page.
    Event {
        /// What.
        event: Event,
    },
}

/// A change of storage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordChange {
    /// The key.
    pub key: String,
    /// The new bytes; none deletes.
    pub value: Option<ByteBuf>,
}

/// Something for the page.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "kind",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
#[non_exhaustive]
pub enum Event {
    /// The main chain changed.
    Tip {
        /// The new tip's height.
        height: u32,
        /// The new tip's hash, hex.
        hash: String,
        /// How many blocks left the main chain.
        disconnected: usize,
        /// How many of its newest blocks are new there.
        connected: usize,
    },
    /// The list of waiting transactions changed.
    Pending {
        /// The new transaction, hex.
        id: String,
    },
    /// An own transaction is in the chain.
    Confirmed {
        /// The transaction, hex.
        id: String,
        /// Its block's height.
        height: u32,
    },
    /// A submission is signed; it goes out once stored.
    Submitted {
        /// The caller's number.
        request: u64,
        /// The transaction, hex.
        id: String,
        /// Its sequence.
        sequence: u64,
    },
    /// A submission is refused.
    SubmitRefused {
        /// The caller's number.
        request: u64,
        /// Why.
        reason: String,
    },
    /// Something from outside is refused.
    Refused {
        /// Why.
        reason: String,
        /// From where: `peer <id>`, `tracker` or `block`.
        source: String,
    },
    /// One sender used a sequence number twice.
    Conflict {
        /// The sender's key, hex.
        sender: String,
        /// The number.
        sequence: u64,
        /// The transaction that stays, hex, if it is known.
        kept: Option<String>,
        /// The one that lost, hex.
        lost: String,
    },
    /// The linked peers or their transports changed.
    Peers {
        /// All of them.
        peers: Vec<PeerStatus>,
    },
    /// The tracker's state changed.
    Tracker {
        /// The state.
        state: TrackerState,
        /// The kind of refusal.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// The refusal in words.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// The tracker confirmed everything up to here.
    Synced {
        /// The height.
        height: u32,
        /// The hash, hex.
        hash: String,
    },
    /// A block is final.
    Final {
        /// The height.
        height: u32,
        /// The hash, hex.
        hash: String,
    },
    /// The node goes on from a snapshot; the blocks below it are not here yet.
    Snapshot {
        /// Its height.
        height: u32,
        /// How many senders its state has.
        senders: usize,
    },
    /// The chain shown so far left out a final block: its blocks are gone, its transactions wait again or are in conflict.
    Abandoned {
        /// Height of its lowest block.
        from: u32,
        /// Height of its highest.
        to: u32,
        /// The highest one's hash, hex.
        tip: String,
        /// Height of the final block.
        final_height: u32,
    },
    /// A stored record was damaged and set aside.
    StorageDamaged {
        /// Its key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The device's clock is off.
    Clock {
        /// What would have to be added to it.
        offset_ms: i64,
    },
    /// A file was taken.
    Imported {
        /// The caller's number.
        request: u64,
        /// How many blocks are new here.
        accepted: usize,
        /// How many were here before.
        already_known: usize,
    },
    /// A file was refused; nothing of it was taken.
    ImportRefused {
        /// The caller's number.
        request: u64,
        /// Why.
        reason: String,
    },
    /// An invitation, or the answer to one, to be copied to the other browser.
    PairingText {
        /// The caller's number.
        request: u64,
        /// The text.
        text: String,
        /// When it stops being good, in ms since 1970.
        expires_at: u64,
    },
    /// The answer to an invitation was taken; the link comes up by itself.
    Paired {
        /// The caller's number.
        request: u64,
        /// The other peer, hex.
        peer: String,
    },
    /// An invitation or an answer was refused.
    PairingRefused {
        /// The caller's number.
        request: u64,
        /// Why.
        reason: String,
    },
    /// A reset was executed.
    ResetTaken {
        /// The caller's number.
        request: u64,
        /// Which reset of the network it is.
        number: u32,
    },
    /// A reset was refused, or nobody answers for it.
    ResetRefused {
        /// The caller's number.
        request: u64,
        /// Why.
        reason: String,
    },
    /// The owner of the network voided what was final from a height on; its receipt was verified.
    Reset {
        /// Which reset of the network it is.
        number: u32,
        /// The lowest void height.
        from: u32,
    },
    /// The validators decided two blocks of one height: what they call final does not count.
    Split {
        /// The height on the enterprise chain.
        enterprise_height: u64,
    },
    /// The enterprise chain confirmed a block.
    Anchored {
        /// The block's height.
        height: u32,
        /// The block's hash, hex.
        hash: String,
        /// The enterprise block's height.
        enterprise_height: u64,
        /// The enterprise block's hash, hex.
        enterprise_hash: String,
    },
}

/// What a [`crate::Core`] is started with.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The genesis bytes.
    pub genesis: ByteBuf,
    /// The key's 32 secret bytes.
    pub identity_seed: ByteBuf,
    /// The network key's 32 bytes, if the network is private.
    #[serde(default)]
    pub network_key: Option<ByteBuf>,
    /// 32 fresh random bytes.
    pub seed: ByteBuf,
    /// Whether the network is to be listed where it has to be registered; yes if absent.
    #[serde(default)]
    pub listed: Option<bool>,
    /// Keep the bodies of so many newest blocks; all if absent.
    #[serde(default)]
    pub recent_blocks: Option<u32>,
    /// How many helpers verify blocks beside the node; none if absent.
    #[serde(default)]
    pub helpers: Option<u8>,
}
