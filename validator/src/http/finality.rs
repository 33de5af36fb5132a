//! What is final, with its proofs: `/api/tenants/{id}/finality`, `/api/tenants/{id}/receipts/{height}`, `/api/checkpoint`, `/api/log`.
//!
//! Proofs are bytes that the crate `shared` verifies ([`shared::enterprise::FinalityProof`], [`shared::enterprise::Receipt`],
//! [`shared::enterprise::Checkpoint`]); paths and entries of the log are JSON with hashes in hex. Made by the engine between two
//! batches, from memory.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use service::Problem;
use shared::enterprise::FinalBlock;
use shared::hash::Hash;
use shared::ids::Height;

use super::{App, Page, bad_path, bad_query, tenant_unknown};
use crate::engine::Unavailable;
use crate::view::TenantView;

type Asked<T> = Result<Query<T>, QueryRejection>;

/// What the asker knows.
#[derive(Debug, Deserialize)]
pub(super) struct Known {
    /// Entries of the log that it has verified; 0 for none.
    #[serde(default)]
    size: u64,
}

pub(super) async fn finality(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    known: Asked<Known>,
) -> Result<Response, Problem> {
    let size = query(known)?.size;
    let view = app.handle.view();
    let tenant = view.tenant(&id).ok_or_else(tenant_unknown)?;
    let chain_id = tenant.chain_id;
    let proof = app
        .handle
        .read(move |ledger| ledger.finality_proof(chain_id, size))
        .await
        .map_err(unavailable)?;
    let proof = proof.ok_or_else(|| not_final(tenant))?;
    Ok(bytes(proof.encode()))
}

/// Which receipt.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    /// The id of a transaction in the block, hex, to be proved as well.
    transaction: Option<String>,
}

pub(super) async fn receipt(
    State(app): State<Arc<App>>,
    place: Result<Path<(String, u32)>, PathRejection>,
    wanted: Asked<Wanted>,
) -> Result<Response, Problem> {
    let Path((id, height)) = place.map_err(|rejection| bad_path(&rejection))?;
    let transaction = match query(wanted)?.transaction {
        None => None,
        Some(text) => Some(text.parse::<Hash>().map_err(|_| {
            let detail = "transaction is no id in hexadecimal";
            Problem::new(StatusCode::BAD_REQUEST, "bad-query", detail)
        })?),
    };
    let view = app.handle.view();
    let tenant = view.tenant(&id).ok_or_else(tenant_unknown)?;
    let (chain_id, height) = (tenant.chain_id, Height(height));
    let (block, receipt) = app
        .handle
        .read(move |ledger| {
            let block = ledger.receipt(chain_id, height, None);
            (
                block.is_some(),
                ledger.receipt(chain_id, height, transaction),
            )
        })
        .await
        .map_err(unavailable)?;
    match receipt {
        Some(receipt) => Ok(bytes(receipt.encode())),
        None if block => {
            let detail = "the block at this height is final and does not hold this transaction";
            Err(Problem::new(
                StatusCode::NOT_FOUND,
                "transaction-unknown",
                detail,
            ))
        }
        None if height > tenant.height || height == Height::GENESIS => {
            let detail = format!(
                "the tenant's anchored chain has the heights 1 to {}",
                tenant.height
            );
            Err(Problem::new(StatusCode::NOT_FOUND, "no-such-block", detail))
        }
        None => Err(not_final(tenant)),
    }
}

pub(super) async fn checkpoint(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let newest = app.handle.read(|ledger| ledger.checkpoint()).await;
    let newest = newest.map_err(unavailable)?.ok_or_else(|| {
        let detail = "no block is decided yet";
        Problem::new(StatusCode::NOT_FOUND, "no-such-block", detail)
    })?;
    Ok(bytes(newest.encode()))
}

/// `GET /api/log?from=&limit=`.
#[derive(Debug, Serialize)]
pub(super) struct LogPage {
    size: u64,
    root: String,
    entries: Vec<LogEntry>,
}

#[derive(Debug, Serialize)]
struct LogEntry {
    index: u64,
    chain_id: String,
    height: u32,
    hash: String,
    work: String,
}

pub(super) async fn log(
    State(app): State<Arc<App>>,
    page: Asked<Page>,
) -> Result<Json<LogPage>, Problem> {
    let page = query(page)?;
    let (from, limit) = (page.from.unwrap_or(0), page.limit(ENTRIES_DEFAULT));
    let read = app.handle.read(move |ledger| {
        let log = ledger.state().log();
        let first = usize::try_from(from).unwrap_or(usize::MAX);
        let entries = ledger.log_entries().iter().skip(first).take(limit);
        let entries = (u64::from(from)..).zip(entries).map(log_entry).collect();
        LogPage {
            size: log.size(),
            root: log.root().to_string(),
            entries,
        }
    });
    read.await.map(Json).map_err(unavailable)
}

fn log_entry((index, block): (u64, &FinalBlock)) -> LogEntry {
    LogEntry {
        index,
        chain_id: block.chain_id().to_string(),
        height: block.height().0,
        hash: block.hash().to_string(),
        work: block.work().to_string(),
    }
}

/// `GET /api/log/inclusion?index=&size=`.
#[derive(Debug, Deserialize)]
pub(super) struct Inclusion {
    index: u64,
    size: u64,
}

/// `GET /api/log/consistency?from=&to=`.
#[derive(Debug, Deserialize)]
pub(super) struct Consistency {
    from: u64,
    to: u64,
}

/// A path, lowest sibling first.
#[derive(Debug, Serialize)]
pub(super) struct LogPath {
    path: Vec<String>,
}

pub(super) async fn inclusion(
    State(app): State<Arc<App>>,
    asked: Asked<Inclusion>,
) -> Result<Json<LogPath>, Problem> {
    let Inclusion { index, size } = query(asked)?;
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    let path = app.handle.read(move |ledger| ledger.inclusion(index, size));
    log_path(path.await)
}

pub(super) async fn consistency(
    State(app): State<Arc<App>>,
    asked: Asked<Consistency>,
) -> Result<Json<LogPath>, Problem> {
    let Consistency { from, to } = query(asked)?;
    let path = app.handle.read(move |ledger| ledger.consistency(from, to));
    log_path(path.await)
}

fn log_path(path: Result<Option<Vec<Hash>>, Unavailable>) -> Result<Json<LogPath>, Problem> {
    let path = path.map_err(unavailable)?.ok_or_else(|| {
        let detail =
            "the log has or had no tree of this size with such a part; GET /api/log tells its size";
        Problem::new(StatusCode::NOT_FOUND, "no-such-log", detail)
    })?;
    let path = path.iter().map(Hash::to_string).collect();
    Ok(Json(LogPath { path }))
}

fn query<T>(asked: Asked<T>) -> Result<T, Problem> {
    let Query(asked) = asked.map_err(|rejection| bad_query(&rejection))?;
    Ok(asked)
}

fn not_final(tenant: &TenantView) -> Problem {
    let delay = tenant.genesis.rules.finality_delay_ms;
    let detail = format!(
        "this is not final yet; a block becomes so {delay} ms of enterprise time after it was anchored, if nothing heavier comes"
    );
    Problem::new(StatusCode::NOT_FOUND, "not-final", detail)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what `map_err` hands over"
)]
fn unavailable(error: Unavailable) -> Problem {
    let detail = error.to_string();
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
}

fn bytes(bytes: Vec<u8>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    (kind, bytes).into_response()
}

const ENTRIES_DEFAULT: usize = 50;
