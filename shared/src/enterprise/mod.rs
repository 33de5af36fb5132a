//! The enterprise chain: what validators agree on, and how anyone verifies it.
//!
//! Purpose: the bytes of the enterprise genesis ([`EnterpriseGenesis`]), of a block ([`EnterpriseHeader`] and its
//! [`Entry`] list), of votes and of the [`Certificate`] that a quorum signs over a block; and one verification path,
//! [`Verifier`], that validators run at start and light clients run in a browser.
//!
//! It does not decide: which block comes next is the validators' agreement, and what an entry does to a tenant is the
//! validator's ledger. Nothing here reads a clock or holds a collection that grows.
//!
//! # Invariants
//! - One layout per object, big-endian, no optional fields; decoding then encoding gives the same bytes, trailing bytes
//!   are refused.
//! - A header's first byte is 0x02 or more, so that no header is a node of an RFC 6962 tree.
//! - A block never hashes its own certificate (two validators may hold different quorums of one block).
//! - The hash of the genesis is the chain id of the enterprise chain; every signature covers it and a domain tag.
//! - A [`DecidedBlock`] exists only after its signatures, its set, its link and its content were verified.
//!
//! # Versions
//! The low byte of a header's version says which rules fill it. 0x0200 is the first: the log is empty (size 0, root
//! SHA-256 of nothing), and the validator set never changes. Under 0x0201 finality is executed, the log filled, and the set
//! may change. A
//! chain's version never goes back; the layout is the same, so that data written under 0x0200 stays readable and verifiable.

mod block;
mod branch;
mod certificate;
mod checkpoint;
mod effects;
mod entry;
mod error;
mod finalise;
mod finality;
mod genesis;
mod header;
mod light;
mod receipt;
mod reset;
mod reset_receipt;
mod set_change;
mod snapshot;
mod split;
mod tenants;
mod validators;
mod verifier;
mod voiding;

#[cfg(test)]
mod finality_tests;
#[cfg(test)]
mod light_tests;
#[cfg(test)]
mod receipt_tests;
#[cfg(test)]
mod reset_receipt_tests;
#[cfg(test)]
mod reset_tests;
#[cfg(test)]
mod tests;

pub use block::{DecidedBlock, EnterpriseBlock};
pub use branch::{Branch, HeaderId, HeaderIdError};
pub use certificate::{Certificate, Vote, VoteKind};
pub use checkpoint::{Checkpoint, CheckpointError, SplitProof, Trust};
pub use effects::{Effects, Selection};
pub use entry::{Anchor, Entry, TenantState};
pub use error::EnterpriseError;
pub use finalise::HEIGHT_INTERVALS_MAX;
pub use finality::FinalBlock;
pub use genesis::{BlockLimits, EnterpriseGenesis, TenantLimits, Timeouts};
pub use header::{EnterpriseHeader, EnterpriseHeight, Round};
pub use light::{FinalityProof, LINKS_MAX, LightClient, LightError, PROOF_BYTES_MAX};
pub use receipt::{Final, RECEIPT_BYTES_MAX, Receipt, ReceiptError};
pub use reset::{LogEntry, Reset};
pub use reset_receipt::{Executed, ResetReceipt};
pub use set_change::{SetChange, SetLink};
pub use snapshot::{
    SNAPSHOT_CHUNK_BYTES, SNAPSHOT_CHUNKS_MAX, SNAPSHOT_PROOF_BYTES_MAX, SnapshotManifest,
    SnapshotProof,
};
pub use split::{SPLIT_BYTES_MAX, Split};
pub use tenants::{INCIDENTS_MAX, Tenants};
pub use validators::{VALIDATORS_MAX, ValidatorInfo, ValidatorSet, quorum};
pub use verifier::Verifier;
pub use voiding::RESETS_MAX;
