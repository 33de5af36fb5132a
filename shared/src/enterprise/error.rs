//! Why an enterprise object is refused.

use alloc::string::String;

use super::header::{EnterpriseHeight, Round};
use crate::encoding::DecodeError;
use crate::hash::Hash;
use crate::ids::{ChainId, Height, PublicKey, TimestampMs};
use crate::pow::CompactError;

/// Why an enterprise genesis, block or certificate is refused; says what was found and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnterpriseError {
    /// The bytes are not in the one layout.
    #[error("not a canonical encoding: {0}")]
    Encoding(#[from] DecodeError),
    /// A target is not canonical.
    #[error("target: {0}")]
    Target(#[from] CompactError),
    /// A header of rules this code does not know.
    #[error("version {found:#06x}, this program knows {allowed:#06x}")]
    Version {
        /// The version found.
        found: u16,
        /// The version known.
        allowed: u16,
    },
    /// A field is outside its range.
    #[error("{field} is {found}, allowed is {allowed}")]
    Range {
        /// The field's name.
        field: &'static str,
        /// The value found.
        found: u64,
        /// The range, in words.
        allowed: &'static str,
    },
    /// The validator list is not sorted by key, or names one twice.
    #[error("the validators are not in strictly ascending order of their keys")]
    ValidatorOrder,
    /// An identifier is not valid.
    #[error("the identifier {0:?} is not valid")]
    Identifier(String),
    /// A signature of somebody outside the set.
    #[error("{0} is not in the validator set that is replaced")]
    NotAMember(PublicKey),
    /// A set change that changes nothing.
    #[error("the next validator set is the one in force")]
    NoChange,
    /// A set change out of turn: another was decided before, or it has been decided already.
    #[error("set change {found}, the next one is {expected}")]
    ChangeNumber {
        /// The number in the change.
        found: u32,
        /// The number of the next one.
        expected: u32,
    },
    /// An entry of an unknown kind.
    #[error("entry kind {0} is not known")]
    EntryKind(u8),
    /// A hash is not the one that follows from the content.
    #[error("{field} is {found}, computed is {computed}")]
    Mismatch {
        /// The field's name.
        field: &'static str,
        /// The hash found.
        found: Hash,
        /// The hash computed from the content or expected from the parent.
        computed: Hash,
    },
    /// The height does not follow the parent's.
    #[error("height {found}, expected {expected}")]
    Height {
        /// The height found.
        found: EnterpriseHeight,
        /// The height that follows.
        expected: EnterpriseHeight,
    },
    /// The enterprise time does not rise.
    #[error("enterprise time {} is not above the parent's {}", found.0, parent.0)]
    Time {
        /// The time found.
        found: TimestampMs,
        /// The parent's time.
        parent: TimestampMs,
    },
    /// The certificate is about another block.
    #[error(
        "the certificate is for height {height}, round {round}, block {block_hash}, not for this block"
    )]
    OtherBlock {
        /// The certificate's height.
        height: EnterpriseHeight,
        /// The certificate's round.
        round: Round,
        /// The certificate's block hash.
        block_hash: Hash,
    },
    /// Signers are not in strictly ascending order, or not in the set.
    #[error("signer {0} is repeated, out of order or not in the validator set")]
    Signer(u16),
    /// A signature does not verify.
    #[error("the signature of validator {0} does not verify")]
    Signature(u16),
    /// Too few signatures.
    #[error("{found} signatures, a quorum is {needed}")]
    NoQuorum {
        /// Signatures found.
        found: usize,
        /// Signatures needed.
        needed: usize,
    },
    /// The proposer is not in the set.
    #[error("the proposer is not in the validator set")]
    Proposer,
    /// A tenant is registered twice.
    #[error("tenant {0} is registered already")]
    RegisteredTwice(ChainId),
    /// A private tenant's block without a report: its body can't be executed here.
    #[error("tenant {0} is private: its blocks are reported")]
    Private(ChainId),
    /// A report or a reset of an open tenant.
    #[error("tenant {0} is open: its blocks come whole, and nothing final is ever void")]
    NotPrivate(ChainId),
    /// A reset that the owner has not signed.
    #[error("the reset of tenant {0} is not signed by the owner's key of its genesis")]
    NotTheOwner(ChainId),
    /// A reset out of turn: another was executed before, or it has been already.
    #[error("reset {found} of the tenant, the next one is {expected}")]
    ResetNumber {
        /// The number in the reset.
        found: u32,
        /// The number of the next one.
        expected: u32,
    },
    /// A reset of what is not final.
    #[error("a reset from height {found} on, final are the heights 1 to {allowed}")]
    ResetHeight {
        /// The height in the reset.
        found: Height,
        /// The newest final height.
        allowed: Height,
    },
    /// A tenant block that a reset voided, or one on it.
    #[error("tenant block {hash} is on {void}, which a reset of its owner has voided")]
    Void {
        /// The block.
        hash: Hash,
        /// The void one: itself or its parent.
        void: Hash,
    },
    /// An entry names a tenant that is not registered.
    #[error("tenant {0} is not registered")]
    TenantUnknown(ChainId),
    /// A tenant block is anchored twice.
    #[error("tenant block {0} is anchored already")]
    AnchoredTwice(Hash),
    /// A tenant block is anchored before its parent.
    #[error("the parent {previous} of tenant block {hash} is not anchored")]
    ParentNotAnchored {
        /// The block.
        hash: Hash,
        /// Its parent.
        previous: Hash,
    },
    /// A tenant header's height does not follow its parent's.
    #[error("tenant height {found}, expected {expected}")]
    TenantHeight {
        /// The height found.
        found: Height,
        /// The height that follows.
        expected: Height,
    },
    /// A tenant block leaves out the newest final one.
    #[error(
        "tenant block {hash} at height {height} leaves out the final block at height {final_height}"
    )]
    ForksFinal {
        /// The block.
        hash: Hash,
        /// Its height.
        height: Height,
        /// The height of the newest final block.
        final_height: Height,
    },
    /// Two checkpoints of the same block.
    #[error("both checkpoints are of block {0}")]
    NoSplit(Hash),
    /// A refusal that records nothing new, or a block that could be anchored.
    #[error("tenant block {0} is not a fork to be put on record")]
    NoIncident(Hash),
    /// A tenant's header is too far ahead of enterprise time.
    #[error("the header's time {} is ahead of {}, the latest allowed now", found.0, allowed.0)]
    TooFarAhead {
        /// The header's time.
        found: TimestampMs,
        /// The latest allowed.
        allowed: TimestampMs,
    },
    /// A tenant is made for another enterprise chain.
    #[error("the tenant's genesis names the enterprise chain {found}, this one is {allowed}")]
    OtherEnterprise {
        /// The hash the genesis names.
        found: Hash,
        /// The hash of this chain's genesis.
        allowed: Hash,
    },
    /// A tenant's proof of work is easier than the enterprise genesis allows.
    #[error("the tenant's initial target {found:#010x} is easier than {allowed:#010x}")]
    TooEasy {
        /// The initial target, compact.
        found: u32,
        /// The easiest allowed, compact.
        allowed: u32,
    },
    /// A collection is larger than the genesis allows.
    #[error("{what}: {found}, allowed are {allowed}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The size found.
        found: usize,
        /// The size allowed.
        allowed: usize,
    },
}
