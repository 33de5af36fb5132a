//! The validator over HTTP: routes, their limits, and what they share.
//!
//! Limits: a request body of [`BODY_BYTES_MAX`]; [`UPDATES_MAX`] updates at once, checked on as many threads as there
//! are processors; pages of [`PAGE_MAX`] items; [`TRANSACTIONS_SHOWN_MAX`] transactions listed in one answer (counts stay
//! true); [`STREAMS_MAX`] event streams. Errors are RFC 9457 problem documents. Text from strangers leaves as JSON only.

mod blocks;
mod events;
mod finality;
mod status;
mod tenants;
mod update;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::Deserialize;
use service::Problem;
use shared::enterprise::EnterpriseGenesis;
use shared::ids::{NetworkId, PublicKey};
use tokio::sync::{Semaphore, watch};

use crate::engine::Handle;
use crate::store::Store;

pub use blocks::block_shape;
pub use events::{Events, present};
pub use status::status_shape;
pub use tenants::tenants_shape;

/// Bytes of a request body.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// Updates that are checked or waiting at once; further ones are told to come again.
pub const UPDATES_MAX: usize = 64;
/// Items of one page.
pub const PAGE_MAX: usize = 100;
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
    /// The events for streams.
    pub events: Events,
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
pub fn router(app: Arc<App>) -> Router {
    let router = Router::new()
        .route("/api/tenant-update", post(update::tenant_update))
        .route("/api/tenant-blockchain-update", post(update::tenant_update))
        .route("/api/status", get(status::status))
        .route("/api/genesis", get(status::genesis))
        .route("/api/blocks", get(blocks::blocks))
        .route("/api/blocks/{height}", get(blocks::block))
        .route("/api/tenants", get(tenants::tenants))
        .route("/api/tenants/{id}/blocks", get(tenants::tenant_blocks))
        .route("/api/tenants/{id}/genesis", get(tenants::tenant_genesis))
        .route("/api/tenants/{id}/finality", get(finality::finality))
        .route(
            "/api/tenants/{id}/receipts/{height}",
            get(finality::receipt),
        )
        .route("/api/checkpoint", get(finality::checkpoint))
        .route("/api/log", get(finality::log))
        .route("/api/log/inclusion", get(finality::inclusion))
        .route("/api/log/consistency", get(finality::consistency))
        .route("/api/transactions", get(tenants::transactions))
        .route(
            "/api/network-transactions/{id}",
            get(tenants::network_transactions),
        )
        .route("/api/events", get(events::events))
        .route("/health", get(status::health))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .fallback(Problem::no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(app);
    service::security_headers(router, "default-src 'none'; frame-ancestors 'none'")
}

/// `?limit=` of a page.
#[derive(Debug, Deserialize)]
struct Page {
    limit: Option<usize>,
    from: Option<u32>,
    network: Option<String>,
}

impl Page {
    /// The limit, or `otherwise`; at most [`PAGE_MAX`].
    fn limit(&self, otherwise: usize) -> usize {
        self.limit.unwrap_or(otherwise).min(PAGE_MAX)
    }
}

async fn method_not_allowed() -> Problem {
    let detail = "this path is not served with this method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}

fn bad_query(rejection: &QueryRejection) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-query", rejection.body_text())
}

fn bad_path(rejection: &PathRejection) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-path", rejection.body_text())
}

fn tenant_unknown() -> Problem {
    let detail = "no tenant has this name or chain id; GET /api/tenants lists them";
    Problem::new(StatusCode::NOT_FOUND, "tenant-unknown", detail)
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
