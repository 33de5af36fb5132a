//! The validator over HTTP: routes, their limits, and what they share.
//!
//! Limits: a request body of [`BODY_BYTES_MAX`]; [`UPDATES_MAX`] updates at once, checked on as many threads as there
//! are processors; pages of [`PAGE_MAX`] items, of tenants [`TENANTS_MAX`]; [`TRANSACTIONS_SHOWN_MAX`] transactions listed in one answer (counts stay
//! true); [`STREAMS_MAX`] event streams. Errors are RFC 9457 problem documents. Text from strangers leaves as JSON only.

mod blocks;
mod events;
#[expect(unused_qualifications, reason = "of the code that `IntoParams` writes")]
mod finality;
pub mod openapi;
mod page;
mod resets;
mod set;
mod status;
mod tenants;
mod transactions;
mod update;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use service::Problem;
use shared::enterprise::EnterpriseGenesis;
use shared::ids::{NetworkId, PublicKey};
use tokio::sync::{Semaphore, watch};

use crate::engine::{Handle, Unavailable};
use crate::metrics::Metrics;
use crate::store::Store;

pub use blocks::block_shape;
pub use events::{Events, KEEP_ALIVE_MS, REPLAY_MAX, present};
pub use page::PAGE_MAX;
pub use status::status_shape;
pub use tenants::{TENANTS_MAX, TenantsPage, tenants_shape};
pub(crate) use update::submission;

/// Bytes of a request body.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// Updates that are checked or waiting at once; further ones are told to come again.
pub const UPDATES_MAX: usize = 64;
/// Transactions listed in one answer.
pub const TRANSACTIONS_SHOWN_MAX: usize = 5_000;
/// Event streams at once.
pub const STREAMS_MAX: usize = 256;

/// What the handlers share.
#[derive(Debug)]
pub struct App {
    /// The way to the engine.
    pub handle: Handle,
    /// The store, for reading.
    pub store: Arc<Store>,
    /// The genesis.
    pub genesis: EnterpriseGenesis,
    /// This validator's name.
    pub id: NetworkId,
    /// This validator's key.
    pub key: PublicKey,
    /// When it started, in ms.
    pub started_at: u64,
    /// What is counted and measured.
    pub metrics: Metrics,
    /// The events for streams.
    pub events: Events,
    /// Whether other validators can link to this one.
    pub takes_links: bool,
    /// Becomes true when the validator ends.
    pub ending: watch::Receiver<bool>,
    /// Room for updates.
    pub updates: Semaphore,
    /// Room for checking.
    pub checks: Semaphore,
    /// Room for streams.
    pub streams: Arc<Semaphore>,
}

/// The routes.
pub fn router(app: Arc<App>) -> impl service::App + use<> {
    let router = plain()
        .fallback(Problem::no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(app);
    service::api_security_headers(router, "default-src 'none'; frame-ancestors 'none'")
}

/// The routes alone.
fn plain() -> Router<Arc<App>> {
    openapi::routes().split_for_parts().0
}

async fn method_not_allowed() -> Problem {
    let detail = "this path is not served with this method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}

fn bad_path(rejection: &PathRejection) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-path", rejection.body_text())
}

/// What a snapshot left out.
fn pruned(what: &str, lowest: u64) -> Problem {
    let detail = format!(
        "this validator began with a snapshot and holds {what} from {lowest} on; ask one that began with the genesis"
    );
    Problem::new(StatusCode::GONE, "pruned", detail)
}

fn tenant_unknown() -> Problem {
    let detail = "no tenant has this name or chain id; GET /api/tenants lists them";
    Problem::new(StatusCode::NOT_FOUND, "tenant-unknown", detail)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what `map_err` hands over"
)]
fn unavailable(error: Unavailable) -> Problem {
    let detail = error.to_string();
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
}

/// Runs a read of the store off the async threads.
async fn reading<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(read).await {
        Ok(result) => result,
        Err(error) => Err(Problem::internal(&error)),
    }
}
