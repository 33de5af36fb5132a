//! Who decides the next enterprise block: the seam behind which validators agree.
//!
//! An [`Agreement`] is a pure machine. It orders the engine about ([`Output`]) and hears what became of it ([`Input`]).
//! It never sees entries: a value is a block hash, and whether a block is valid is the ledger's verdict, fed in. That is
//! the interface a Byzantine agreement needs (messages, timers and a vote log are further inputs and outputs), and
//! [`Solo`], a validator alone, is the case of a quorum of one.
//!
//! Invariants: a height is decided once; a certificate is ordered decided only with a quorum of the height's set;
//! outputs come out in the order in which they must be done.

mod solo;

use shared::enterprise::{Certificate, EnterpriseHeight, Round};
use shared::hash::Hash;
use shared::ids::TimestampMs;

pub use solo::Solo;

/// A fact for the agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Entries are waiting for a block at this height, the one after the last decided.
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
}

/// An order of the agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Build a block of what is pending, and answer with [`Input::ValueBuilt`].
    BuildValue {
        /// For this height.
        height: EnterpriseHeight,
        /// For this round.
        round: Round,
    },
    /// The block is decided: make it durable, then tell the world.
    Decide {
        /// The quorum's signatures.
        certificate: Certificate,
    },
}

/// Why an input is refused; the machine is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
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
    /// This validator is not in the set.
    #[error("this validator's key is not in the validator set")]
    NotAValidator,
    /// A set of more than one needs messages between validators.
    #[error("the set has {found} validators; a validator alone decides only as a set of one")]
    NotAlone {
        /// How many there are.
        found: usize,
    },
}

/// A machine that decides blocks, height after height.
pub trait Agreement: Send {
    /// Takes a fact.
    ///
    /// # Errors
    /// [`AgreementError`]; the machine is then as before.
    fn handle(&mut self, now: TimestampMs, input: Input) -> Result<(), AgreementError>;

    /// The next order, in the order in which they must be done.
    fn poll(&mut self) -> Option<Output>;
}
