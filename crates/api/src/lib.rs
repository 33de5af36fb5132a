//! The JSON shapes that users of the system know, and their conversion to verified types.
//!
//! Purpose: every end (tracker, validator, dashboard, browser node) reads and writes the same shapes. A shape is a
//! plain record of strings and numbers: hashes, keys and signatures are lower-case hex, times are milliseconds,
//! integers over 2^53 are strings ([`wide`]). Unknown fields are ignored, unknown message types are an error.
//!
//! What it does not do: it decides nothing. A shape proves nothing either; a [`TenantBlock`] is decoration around the
//! block's own bytes, and turning it into a block refuses every decorated field that differs from those bytes.
//!
//! Limits: none of its own. Whoever receives bounds the bytes before it parses.

mod archive;
mod convert;
mod enterprise;
mod health;
#[cfg(feature = "openapi")]
pub mod openapi;
mod private;
mod tenant;
mod tracker;
pub mod wide;
pub mod ws;

pub use archive::{ChainWindow, EXPORT_VERSION, Export, ExportMetadata};
pub use convert::ShapeError;
pub use enterprise::{
    Consensus, ConsensusMember, EnterpriseBlock, EnterpriseTransaction, Holding, Status, Tenant,
    TenantUpdateAccepted, Tenants, Transactions,
};
pub use health::{Health, HealthStatus, ProblemBody};
pub use private::{
    ExecutedReset, REPORTED_CHARS_MAX, ReportedBlock, ResetAccepted, ResetRequest, Resets,
};
pub use tenant::{
    BlockchainUpdate, PendingTransaction, TenantBlock, TenantTransaction, TransactionKind,
};
pub use tracker::{
    Anchor, NetworkBlockchainState, NetworkGenesis, NetworkListItem, ReportedState, TipReference,
    TrackerIntegration, UpdateAccepted, UpdateStatus,
};
