//! What goes into the machine and what comes out.

use alloc::{string::String, vec::Vec};

use crate::{
    block::Block,
    enterprise::{EnterpriseHeight, FinalBlock, HeaderId},
    genesis::Genesis,
    hash::Hash,
    header::{Header, Solution},
    identity::Identity,
    ids::{Height, PeerId, PublicKey, Sequence, TimestampMs, Work},
    message::{Subject, subject_of},
    pow::Target,
    transaction::Payload,
};

/// What a node needs to know at birth.
#[derive(Debug, Clone)]
pub struct Config {
    /// The chain's genesis.
    pub genesis: Genesis,
    /// The key that signs this node's transactions and names its blocks.
    pub identity: Identity,
    /// Seed of its choices; different at every start.
    pub seed: [u8; 32],
    /// What it keeps of the chain.
    pub keep: Keep,
    /// How many helpers of the driver verify blocks beside this node ([`Output::Verify`]); 0 for none.
    pub helpers: u8,
}

/// What a node keeps of its chain beside all headers and the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// All bodies.
    #[default]
    Archive,
    /// The newest bodies, and all that are not final or not known to the tracker.
    Recent {
        /// So many, at least [`limits::KEEP_BLOCKS_MIN`](super::limits::KEEP_BLOCKS_MIN).
        blocks: u32,
    },
}

/// A fact for the machine.
#[derive(Debug, Clone)]
pub enum Input {
    /// What the store held at start; the first input, once.
    Restored {
        /// All records, in any order.
        records: Vec<Record>,
    },
    /// A link to a peer is up.
    PeerConnected {
        /// The peer.
        peer: PeerId,
    },
    /// A link is down.
    PeerLost {
        /// The peer.
        peer: PeerId,
    },
    /// A peer sent one whole logical message.
    MessageReceived {
        /// The peer.
        peer: PeerId,
        /// A [`crate::message::Message`], not yet parsed.
        bytes: Vec<u8>,
    },
    /// The user submitted something; the answer is [`Event::Submitted`] or [`Event::SubmitRefused`].
    Submitted {
        /// The caller's number for the answer.
        request: u64,
        /// What to sign and send.
        payload: Payload,
    },
    /// The user chose when to mine.
    MiningSet {
        /// The choice.
        when: MiningWhen,
    },
    /// A worker found what makes a job's header meet its target.
    NonceFound {
        /// The job.
        job: JobId,
        /// What it found.
        solution: Solution,
    },
    /// The workers tried every nonce of a job.
    JobExhausted {
        /// The job.
        job: JobId,
    },
    /// A block came from elsewhere than a peer: an import, the tracker, another tab.
    BlockOffered {
        /// The canonical block.
        bytes: Vec<u8>,
    },
    /// A transaction came from elsewhere than a peer: another tab.
    TransactionOffered {
        /// The canonical transaction.
        bytes: Vec<u8>,
    },
    /// The tracker is there, or told anew what it holds. May be repeated.
    TrackerConnected {
        /// The newest block it has verified.
        tip: Option<(Height, Hash)>,
    },
    /// The user chose whether this node reports a private network.
    ReportingSet {
        /// The choice.
        reporting: Reporting,
    },
    /// The tracker is gone.
    TrackerLost,
    /// The tracker holds the reported blocks durably up to here.
    ReportConfirmed {
        /// Height of the newest.
        height: Height,
        /// Its hash.
        hash: Hash,
    },
    /// The tracker refused a report or it was lost.
    ReportFailed,
    /// A block of this chain is final: verified by whoever gives this.
    Finalised {
        /// The block.
        block: FinalBlock,
    },
    /// The answer to [`Output::AskProof`] came; nobody has verified it.
    ProofReceived {
        /// A [`crate::enterprise::FinalityProof`].
        bytes: Vec<u8>,
    },
    /// There is no answer to [`Output::AskProof`].
    ProofFailed,
    /// The tracker says how often the network was reset.
    ResetsTold {
        /// So often.
        count: u32,
    },
    /// The answer to [`Output::AskReset`] came; nobody has verified it.
    ResetReceived {
        /// Which reset was asked for.
        number: u32,
        /// A [`crate::enterprise::ResetReceipt`].
        bytes: Vec<u8>,
    },
    /// There is no answer to [`Output::AskReset`].
    ResetFailed,
    /// The answer to [`Output::Verify`].
    Verified {
        /// The job.
        job: VerifyId,
        /// For each block, whether all that it says of itself holds; shorter if a helper failed.
        valid: Vec<bool>,
    },
    /// The time of the last [`Output::WakeAt`] has come.
    Woken,
}

/// An order for the driver. Orders are one queue: nothing behind a [`Output::Persist`] is done before that is durable.
#[derive(Debug, Clone)]
pub enum Output {
    /// Send one logical message.
    Send {
        /// To whom.
        peer: PeerId,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Make changes durable, all or none.
    Persist {
        /// The changes, in order.
        records: Vec<Change>,
    },
    /// Ask the tracker for a proof of the newest final block; the answer is [`Input::ProofReceived`] or
    /// [`Input::ProofFailed`].
    AskProof {
        /// Entries of the log that were verified before.
        size: u64,
        /// The newest header verified, none before the first; whoever has another one of its height shows it
        /// ([`Branch`](crate::enterprise::Branch)).
        known: Option<HeaderId>,
    },
    /// Ask the tracker for the receipt of a reset; the answer is [`Input::ResetReceived`] or [`Input::ResetFailed`].
    AskReset {
        /// Which; the first is 1.
        number: u32,
    },
    /// Have a helper check blocks by [`UncheckedBlock::check`](crate::block::UncheckedBlock::check); answered by
    /// [`Input::Verified`]. Needs nothing durable.
    Verify {
        /// The job.
        job: VerifyId,
        /// The blocks.
        blocks: Vec<Vec<u8>>,
    },
    /// Give [`Input::Woken`] at this time; replaces the time ordered before.
    WakeAt {
        /// The time.
        at: TimestampMs,
    },
    /// Mine this, instead of whatever was mined before.
    Mine {
        /// The job.
        job: Job,
    },
    /// Stop mining.
    StopMining,
    /// Report blocks to the tracker; answered by [`Input::ReportConfirmed`] or [`Input::ReportFailed`].
    Report {
        /// Main-chain blocks, lowest first.
        blocks: Vec<Block>,
    },
    /// End a link; the machine has already forgotten the peer.
    Disconnect {
        /// The peer.
        peer: PeerId,
        /// Why.
        reason: String,
    },
    /// Something to tell the user.
    Event(Event),
}

/// When to mine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MiningWhen {
    /// Never.
    #[default]
    Off,
    /// While something is pending, or to decide between two equal tips.
    WhenPending,
    /// Always.
    Always,
}

/// Whether a node reports its chain to the tracker. In an open network every node does; a private one is reported only by those whom
/// its genesis names, if they choose to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporting {
    /// Nothing is reported.
    Off,
    /// The main chain is reported.
    On,
}

/// Names a mining job; later jobs have higher numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(pub u32);

/// Names blocks that a helper checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VerifyId(pub u32);

/// Work for the mining workers.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// The header, nonce 0.
    pub header: Header,
    /// What its hash must not exceed.
    pub target: Target,
}

/// A stored value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its key: `block/<hash>`, `outbox/<transaction id>`, `outbox/conflict/<transaction id>`, `identity/sequence`, `tip`,
    /// `synced`, `final`, `proof`, `resets`, `abandoned/<tip hash>`, `headers/<first height>/<number>`, `snapshot/<height>`.
    pub key: String,
    /// Its bytes.
    pub value: Vec<u8>,
}

/// A change of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// The new bytes; none deletes.
    pub value: Option<Vec<u8>>,
}

/// Something to tell the user.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The main chain changed.
    TipChanged {
        /// Height of the new tip.
        height: Height,
        /// Its hash.
        hash: Hash,
        /// Blocks that left the main chain, highest first.
        disconnected: Vec<Hash>,
        /// Blocks that joined it, lowest first.
        connected: Vec<Hash>,
    },
    /// A transaction entered the mempool.
    TransactionPending {
        /// Its id.
        id: Hash,
    },
    /// A transaction of the outbox is in the chain.
    TransactionConfirmed {
        /// Its id.
        id: Hash,
        /// Height of its block.
        height: Height,
    },
    /// A submission is signed and goes out once stored.
    Submitted {
        /// The caller's number.
        request: u64,
        /// The transaction's id.
        id: Hash,
        /// Its sequence.
        sequence: Sequence,
    },
    /// A submission is refused.
    SubmitRefused {
        /// The caller's number.
        request: u64,
        /// Why.
        reason: String,
    },
    /// A block that was offered or mined here, or sent by a peer, is refused.
    BlockRefused {
        /// Who sent it, if a peer.
        peer: Option<PeerId>,
        /// Why.
        reason: String,
    },
    /// A block was offered here and taken (or was known already).
    BlockAccepted {
        /// Its hash.
        hash: Hash,
        /// True if it was known.
        already_known: bool,
    },
    /// A peer was disconnected because of what it sent.
    PeerRefused {
        /// The peer.
        peer: PeerId,
        /// Why.
        reason: String,
    },
    /// Two transactions claim the same place in a sender's sequence.
    Conflict(Conflict),
    /// A stored record was damaged; it was set aside.
    StorageDamaged {
        /// The record's key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A block is final from now on; every chain that counts contains it.
    Finalised {
        /// Its height.
        height: Height,
        /// Its hash.
        hash: Hash,
    },
    /// What was said to be final contradicts what was final before, or the chain.
    FinalityRefused {
        /// The height that was said.
        height: Height,
        /// The hash that was said.
        hash: Hash,
        /// Why it can't be.
        reason: String,
    },
    /// The node goes on from a snapshot; the bodies below are not here.
    SnapshotTaken {
        /// Its height.
        height: Height,
        /// Senders in its state.
        senders: usize,
    },
    /// A proof of finality does not hold; what was final before stays so.
    ProofRefused {
        /// Why.
        reason: String,
    },
    /// The owner of the network voided what was final from a height on; that is proved, and followed here.
    FinalityReset {
        /// Which reset it is; the first is 1.
        number: u32,
        /// The lowest void height.
        from: Height,
    },
    /// The receipt of a reset does not hold; what was final before stays so.
    ResetRefused {
        /// Which reset was asked for.
        number: u32,
        /// Why.
        reason: String,
    },
    /// The validators decided two blocks of one height: the proof is stored.
    EnterpriseSplit {
        /// The height.
        height: EnterpriseHeight,
    },
    /// The main chain left the final block out: its blocks are gone, its transactions wait again or are in conflict.
    BranchAbandoned(Abandoned),
    /// A peer follows a branch that leaves the final block out; told once for a link.
    PeerBesideFinal {
        /// The peer.
        peer: PeerId,
        /// Where its branch leaves the final chain.
        height: Height,
    },
    /// The local clock differs from the peers' by more than is corrected.
    ClockOff {
        /// What would have to be added to the local clock, ms.
        offset_ms: i64,
    },
    /// The tracker confirmed everything up to here.
    Synced {
        /// Height.
        height: Height,
        /// Hash.
        hash: Hash,
    },
}

/// Two transactions with the same sender and sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The sender.
    pub sender: PublicKey,
    /// The sequence.
    pub sequence: Sequence,
    /// The one in the chain or the mempool, if it is known.
    pub kept: Option<Hash>,
    /// The one that lost.
    pub lost: Hash,
}

/// A branch that was the main chain until another one became final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abandoned {
    /// Height of its lowest block.
    pub from: Height,
    /// Height of its tip.
    pub to: Height,
    /// Hash of its tip.
    pub tip: Hash,
    /// Height of the final block it leaves out.
    pub final_height: Height,
}

/// Bytes of messages, by what they were about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

/// Bytes of all messages since the start, without frames and channels around them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// To peers.
    pub sent: Counted,
    /// From peers.
    pub received: Counted,
}

impl Counted {
    pub(super) fn count(&mut self, message: &[u8]) {
        let of_subject = match subject_of(message) {
            Subject::Blocks => &mut self.blocks,
            Subject::Transactions => &mut self.transactions,
            Subject::History => &mut self.history,
            Subject::Other => &mut self.other,
        };
        let bytes = u64::try_from(message.len()).unwrap_or(u64::MAX);
        *of_subject = of_subject.saturating_add(bytes);
    }
}

/// Where the node stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// Height of the tip.
    pub height: Height,
    /// Hash of the tip.
    pub tip: Hash,
    /// Cumulative work of the tip.
    pub work: Work,
    /// Height of the best header known.
    pub best_height: Height,
    /// Height of the newest final block known; 0 for none.
    pub final_height: Height,
    /// The lowest height from which on all bodies are here; 1 if all are.
    pub bodies_from: Height,
    /// Branches that finality left behind, at most [`limits::ABANDONED_MAX`](super::limits::ABANDONED_MAX).
    pub abandoned: usize,
    /// Transactions in the mempool.
    pub pending: usize,
    /// Transactions in the outbox.
    pub outbox: usize,
    /// Linked peers.
    pub peers: usize,
    /// True while the chain is believed to be behind the peers'.
    pub syncing: bool,
    /// What the user chose.
    pub mining_when: MiningWhen,
    /// The job the workers have.
    pub job: Option<JobId>,
    /// The newest block the tracker confirmed.
    pub synced: Option<(Height, Hash)>,
    /// Correction of the local clock, ms.
    pub clock_offset_ms: i64,
    /// What was said and heard.
    pub traffic: Traffic,
}
