//! Who decides the next enterprise block: the seam behind which validators agree.
//!
//! An [`Agreement`] is a pure machine. It orders the replica about ([`Output`]) and hears what became of it ([`Input`]).
//! It never sees entries: a value is a block hash, and whether a block is valid is the ledger's verdict, fed in.
//! [`Tendermint`] is the one behind it, for a set of any size; its core is `arc-malachitebft-core-consensus`.
//!
//! Readers who come from PBFT: *propose* is pre-prepare, *prevote* is prepare, *precommit* is commit, a *round* is a view,
//! entering the next round is a view change, a *polka* certificate is a prepared certificate, and a decided block with its
//! certificate is a stable checkpoint.
//!
//! Invariants: a height is decided once; a certificate is ordered decided only with a quorum of the height's set;
//! outputs come out in the order in which they must be done, and a record of the log comes before the message it is about.
//!
//! # Limits
//! Messages of a height that has not begun here: [`WAITING_MAX`] a validator; of heights above the next: none.

mod context;
mod host;
mod message;
mod record;
mod tendermint;

use shared::encoding::{Reader, Writer};
use shared::enterprise::{Certificate, EnterpriseHeight, Round, ValidatorSet};
use shared::hash::Hash;
use shared::ids::{PublicKey, Signature, TimestampMs};

pub use message::{Message, MessageError, PROPOSAL_DOMAIN};
pub use record::{Record, RecordError};
pub use tendermint::{Tendermint, WAITING_MAX};

/// A fact for the agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The blocks below this height are decided.
    Height(NextHeight),
    /// Entries are waiting for a block at this height.
    WorkPending {
        /// The next height.
        height: EnterpriseHeight,
    },
    /// The block that was asked for is built, executed and valid.
    ValueBuilt {
        /// Its height.
        height: EnterpriseHeight,
        /// The round it was asked for.
        round: Round,
        /// Its hash.
        block_hash: Hash,
    },
    /// The verdict over a block that another validator built.
    ValueJudged {
        /// Its height.
        height: EnterpriseHeight,
        /// The round in which it was proposed.
        round: Round,
        /// Who proposed it.
        proposer: PublicKey,
        /// Its hash.
        block_hash: Hash,
        /// Whether it is valid.
        is_valid: bool,
    },
    /// Another validator says something. Its link is authenticated, the signatures in the message are not verified yet.
    Message {
        /// Whose link it came over.
        from: PublicKey,
        /// What it says.
        message: Message,
    },
    /// Time has passed.
    Tick,
}

/// What is decided next, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHeight {
    /// The height.
    pub height: EnterpriseHeight,
    /// The set in force at it.
    pub validators: ValidatorSet,
    /// Who proposes in rounds 0, 1, …, and again from the start.
    pub proposers: Vec<PublicKey>,
    /// What the log holds of this height, after a restart.
    pub records: Vec<Record>,
    /// Whether this validator votes, or only follows.
    pub votes: bool,
}

/// An order of the agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Append to the vote log; durable before the next message is sent.
    Log(Record),
    /// Send to all other validators.
    Publish(Message),
    /// Build a block of what is pending, and answer with [`Input::ValueBuilt`].
    BuildValue {
        /// For this height.
        height: EnterpriseHeight,
        /// For this round.
        round: Round,
    },
    /// Send this block to all other validators, for a proposal in this round.
    SendValue {
        /// The height.
        height: EnterpriseHeight,
        /// The round.
        round: Round,
        /// The block.
        block_hash: Hash,
    },
    /// The block is decided: make it durable, then tell the world.
    Decide {
        /// The quorum's signatures.
        certificate: Certificate,
        /// Those of them that were verified vote by vote; the others have not been yet.
        verified: Vec<(PublicKey, Signature)>,
    },
    /// A validator has contradicted itself.
    Evidence(Evidence),
}

/// Two signed messages of one validator that exclude each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Whose they are.
    pub offender: PublicKey,
    /// The first.
    pub first: Message,
    /// What contradicts it.
    pub second: Message,
}

impl Evidence {
    /// The offender (32), then each message with its length (4).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.bytes(&self.offender.0);
        writer.counted_bytes(&self.first.encode());
        writer.counted_bytes(&self.second.encode());
        writer.finish()
    }

    /// Reads what [`Self::encode`] writes.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(bytes);
        let offender = reader.public_key()?;
        let first = Message::decode(reader.counted_bytes("the length", MESSAGE_BYTES_MAX)?)?;
        let second = Message::decode(reader.counted_bytes("the length", MESSAGE_BYTES_MAX)?)?;
        reader.finish()?;
        Ok(Self {
            offender,
            first,
            second,
        })
    }
}

/// Bytes of one message: a certificate of the largest set.
const MESSAGE_BYTES_MAX: u32 = 32 << 10;

/// Why an input is refused; the machine is as before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AgreementError {
    /// The input is about another height than the one being decided.
    #[error("height {found}, the one being decided is {expected}")]
    OtherHeight {
        /// The height of the input.
        found: EnterpriseHeight,
        /// The height being decided.
        expected: EnterpriseHeight,
    },
    /// A message's author is not whose link it came over.
    #[error("a vote of {author} came over the link of {from}")]
    NotTheAuthor {
        /// Who signed it, as it says.
        author: PublicKey,
        /// Whose link it is.
        from: PublicKey,
    },
    /// The core broke off. It must not go on: what it would sign next could contradict what it signed.
    #[error("the agreement stopped: {0}")]
    Stopped(String),
}

/// A machine that decides blocks, height after height.
pub trait Agreement: Send + std::fmt::Debug {
    /// Takes a fact. Times are of a clock that never goes back.
    ///
    /// # Errors
    /// [`AgreementError`]; after [`AgreementError::Stopped`] the validator has to be restarted.
    fn handle(&mut self, now: TimestampMs, input: Input) -> Result<(), AgreementError>;

    /// The next order, in the order in which they must be done.
    fn poll(&mut self) -> Option<Output>;

    /// When [`Input::Tick`] is due.
    fn next_tick(&self) -> Option<TimestampMs>;

    /// The round that the height being decided is in; none before it has begun.
    fn round(&self) -> Option<Round>;
}
