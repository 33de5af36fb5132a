//! What is final, with its proofs: `/api/tenants/{id}/finality`, `/api/tenants/{id}/receipts/{height}`, `/api/checkpoint`, `/api/log`.
//!
//! Proofs are bytes that the crate `shared` verifies ([`shared::enterprise::FinalityProof`], [`shared::enterprise::Receipt`],
//! [`shared::enterprise::Checkpoint`]); paths and entries of the log are JSON with hashes in hex. Made by the engine between two
//! batches, from memory.

use std::sync::Arc;

use api::openapi::{Binary, Problems};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use service::Problem;
use shared::enterprise::{Branch, Checkpoint, HeaderId, LogEntry as Logged, SnapshotProof};
use shared::hash::Hash;
use shared::ids::Height;
use utoipa::{IntoParams, ToSchema};

use super::page::{Asked, PAGE_MAX, PageFrom, Paged, limit, query};
use super::{App, bad_path, pruned, tenant_unknown, unavailable};
use crate::engine::Unavailable;
use crate::view::{TenantView, View};

/// What the asker knows.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Known {
    /// Entries of the log that it has verified; 0 for none.
    #[serde(default)]
    size: u64,
    /// The newest header that it has verified, as `height:hash`: if this validator's header of that height is another, it is the answer.
    known: Option<String>,
}

/// The proof of a tenant's newest final block for a light client.
#[utoipa::path(
    get,
    path = "/api/tenants/{id}/finality",
    tag = "proofs",
    params(("id" = String, Path, description = "The tenant's name or chain id"), Known),
    responses((status = 200, description = "The proof", body = Binary, content_type = "application/octet-stream"), Problems),
)]
pub(super) async fn finality(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    known: Asked<Known>,
) -> Result<Response, Problem> {
    let Known { size, known } = query(known)?;
    let known = known.map(|known| known.parse::<HeaderId>()).transpose();
    let known = known
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "bad-query", error.to_string()))?;
    let view = app.handle.view();
    let tenant = view.tenant(&id).ok_or_else(tenant_unknown)?;
    let chain_id = tenant.chain_id;
    if let Some(known) = known
        && let Some(branch) = other_branch(&app, known).await?
    {
        return Ok(bytes(branch.encode()));
    }
    let proof = app
        .handle
        .read(move |ledger| ledger.finality_proof(chain_id, size))
        .await
        .map_err(unavailable)?;
    let proof = proof.ok_or_else(|| not_final(tenant))?;
    Ok(bytes(proof.encode()))
}

/// This validator's header at the height of `known`, if it has another one there.
async fn other_branch(app: &Arc<App>, known: HeaderId) -> Result<Option<Branch>, Problem> {
    let newest = app.handle.read(|ledger| {
        let verifier = ledger.verifier();
        (verifier.height(), verifier.hash())
    });
    let newest = newest.await.map_err(unavailable)?;
    if newest == (known.height, known.hash) || newest.0 < known.height {
        return Ok(None);
    }
    // The engine is ahead of what is stored while a batch is written.
    let mut stored = app.handle.watch();
    let is_there = |view: &Arc<View>| view.head.height >= known.height || view.failure.is_some();
    let waited = stored.wait_for(is_there).await;
    waited.map_err(|_| unavailable(Unavailable::Ending))?;
    let reader = Arc::clone(app);
    let own = super::reading(move || Ok(stored_header(&reader, known)));
    let Some(own) = own.await? else {
        return Ok(None);
    };
    let branch = app.handle.read(move |ledger| ledger.branch(own)).await;
    branch.map(Some).map_err(unavailable)
}

/// The stored header at the height of `known` if it is another one; none below a snapshot, where nothing is there to compare.
fn stored_header(app: &App, known: HeaderId) -> Option<Checkpoint> {
    let own = app.store.certificate(known.height).ok()?;
    if own.block_hash == known.hash {
        return None;
    }
    let (block, certificate) = app.store.block(known.height).ok()?;
    Some(Checkpoint {
        header: block.header().clone(),
        certificate,
    })
}

/// Which receipt.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The id of a transaction in the block, hex, to be proved as well.
    transaction: Option<String>,
}

/// The receipt of a final block, and of a transaction in it.
#[utoipa::path(
    get,
    path = "/api/tenants/{id}/receipts/{height}",
    tag = "proofs",
    params(("id" = String, Path, description = "The tenant's name or chain id"), ("height" = u32, Path, description = "The height of the tenant block"), Wanted),
    responses((status = 200, description = "The receipt", body = Binary, content_type = "application/octet-stream"), Problems),
)]
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
    let (block, has_body, receipt) = app
        .handle
        .read(move |ledger| {
            let block = ledger.final_at(chain_id, height);
            let tenant = ledger.tenants().get(&chain_id);
            let has_body = block.zip(tenant);
            (
                block.is_some(),
                has_body.is_some_and(|(block, tenant)| tenant.has_body(&block.hash())),
                ledger.receipt(chain_id, height, transaction),
            )
        })
        .await
        .map_err(unavailable)?;
    match receipt {
        Some(receipt) => Ok(bytes(receipt.encode())),
        None if block && !has_body => {
            let lowest = tenant.bodies_from.0;
            Err(pruned("the bodies of this tenant's blocks", lowest.into()))
        }
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

/// The newest header and its certificate.
#[utoipa::path(
    get,
    path = "/api/checkpoint",
    tag = "proofs",
    responses((status = 200, description = "The checkpoint", body = Binary, content_type = "application/octet-stream"), Problems),
)]
pub(super) async fn checkpoint(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let newest = app.handle.read(|ledger| ledger.checkpoint()).await;
    let newest = newest.map_err(unavailable)?.ok_or_else(|| {
        let detail = "no block is decided yet";
        Problem::new(StatusCode::NOT_FOUND, "no-such-block", detail)
    })?;
    Ok(bytes(newest.encode()))
}

/// The proof of the newest snapshot that a quorum of the validators signed; its chunks go from validator to validator.
#[utoipa::path(
    get,
    path = "/api/snapshot",
    tag = "proofs",
    responses((status = 200, description = "The proof", body = Binary, content_type = "application/octet-stream"), Problems),
)]
pub(super) async fn snapshot(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    super::reading(move || {
        let stored = app.store.snapshots();
        let stored = stored.map_err(|error| Problem::internal(&error))?;
        let view = app.handle.view();
        let signed = |proof: &&SnapshotProof| {
            let set = view.set_at(proof.manifest.height);
            set.is_some_and(|set| proof.signatures.len() >= set.quorum())
        };
        let newest = stored.iter().rev().find(signed).ok_or_else(|| {
            let detail = "there is no snapshot yet that a quorum has signed";
            Problem::new(StatusCode::NOT_FOUND, "no-snapshot", detail)
        })?;
        Ok(bytes(newest.encode()))
    })
    .await
}

/// `GET /api/log?from=&limit=`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LogPage {
    /// Entries in all.
    size: u64,
    /// The root over them, hex.
    root: String,
    /// The entries of this page.
    entries: Vec<LogEntry>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// One entry of the log: a final height, or a reset of a private tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LogEntry {
    /// Its place in the log; the first is 0.
    index: u64,
    /// The tenant's chain id, hex.
    chain_id: String,
    /// The height of the tenant block; of a reset the lowest void one.
    height: u32,
    /// Its hash, hex; of a reset that of the block that stays.
    hash: String,
    /// The work of the chain up to it, decimal; none of a reset.
    #[serde(skip_serializing_if = "Option::is_none")]
    work: Option<String>,
    /// Resets of the tenant so far, this one included.
    resets: u32,
    /// The bytes of a reset, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    reset: Option<String>,
}

/// The log of final heights (RFC 9162).
#[utoipa::path(
    get,
    path = "/api/log",
    tag = "proofs",
    params(PageFrom),
    responses((status = 200, description = "A page of the log", body = LogPage), Problems),
)]
pub(super) async fn log(
    State(app): State<Arc<App>>,
    page: Asked<PageFrom>,
) -> Result<Paged<LogPage>, Problem> {
    let page = query(page)?;
    let limit = limit(page.limit, ENTRIES_DEFAULT, PAGE_MAX);
    let from = page.first(0)?;
    let read = app.handle.read(move |ledger| {
        let log = ledger.state().log();
        let first = usize::try_from(from).unwrap_or(usize::MAX);
        let entries = ledger.log_entries().iter().skip(first).take(limit);
        let entries: Vec<_> = (from..).zip(entries).map(log_entry).collect();
        let next = entries.last().map(|last| last.index.saturating_add(1));
        LogPage {
            size: log.size(),
            root: log.root().to_string(),
            entries,
            next_cursor: next
                .filter(|next| *next < log.size())
                .map(|next| next.to_string()),
        }
    });
    let shape = read.await.map_err(unavailable)?;
    let cursor = shape.next_cursor.clone();
    Ok(Paged::new(shape, cursor.as_deref(), limit))
}

fn log_entry((index, entry): (u64, &Logged)) -> LogEntry {
    let chain_id = entry.chain_id().to_string();
    match entry {
        Logged::Final(block) => LogEntry {
            index,
            chain_id,
            height: block.height().0,
            hash: block.hash().to_string(),
            work: Some(block.work().to_string()),
            resets: block.resets(),
            reset: None,
        },
        Logged::Reset(reset) => LogEntry {
            index,
            chain_id,
            height: reset.from.0,
            hash: reset.stays.to_string(),
            work: None,
            resets: reset.number,
            reset: Some(hex::encode(reset.encode())),
        },
    }
}

/// `GET /api/log/inclusion?index=&size=`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Inclusion {
    /// The entry.
    index: u64,
    /// Entries of the tree that it is proved in.
    size: u64,
}

/// `GET /api/log/consistency?from=&to=`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Consistency {
    /// Entries of the older log.
    from: u64,
    /// Entries of the newer one.
    to: u64,
}

/// A path, lowest sibling first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LogPath {
    /// The hashes, hex.
    path: Vec<String>,
}

/// The path of one of the log's entries.
#[utoipa::path(
    get,
    path = "/api/log/inclusion",
    tag = "proofs",
    params(Inclusion),
    responses((status = 200, description = "The path", body = LogPath), Problems),
)]
pub(super) async fn inclusion(
    State(app): State<Arc<App>>,
    asked: Asked<Inclusion>,
) -> Result<Json<LogPath>, Problem> {
    let Inclusion { index, size } = query(asked)?;
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    let path = app.handle.read(move |ledger| ledger.inclusion(index, size));
    log_path(path.await)
}

/// The proof that the log was only extended.
#[utoipa::path(
    get,
    path = "/api/log/consistency",
    tag = "proofs",
    params(Consistency),
    responses((status = 200, description = "The path", body = LogPath), Problems),
)]
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

fn not_final(tenant: &TenantView) -> Problem {
    let delay = tenant.genesis.rules.finality_delay_ms;
    let detail = format!(
        "this is not final yet; a block becomes so {delay} ms of enterprise time after it was anchored, if nothing heavier comes"
    );
    Problem::new(StatusCode::NOT_FOUND, "not-final", detail)
}

pub(super) fn bytes(bytes: Vec<u8>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    (kind, bytes).into_response()
}

const ENTRIES_DEFAULT: usize = 50;
