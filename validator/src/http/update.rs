//! `POST /api/tenant-update`: parse, check, execute, decide, then answer.
//!
//! The blocks prove themselves, so nobody has to say who they are. Parsing, proof of work and signatures run on blocking
//! threads; the engine executes and decides. An answer with status 200 means durable. A refused update names the
//! tenant's tip here (`tenant_height`, `tenant_hash`), so that the sender can send what is missing; the blocks before a
//! block that does not connect are taken, an update with a block that is wrong in itself is refused whole. Blocks of open
//! networks come whole, those of private ones as reports.

use std::sync::Arc;

use api::openapi::Problems;
use api::{BlockchainUpdate, TenantUpdateAccepted, UpdateStatus};
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use bytes::BytesMut;
use service::{KnownKeys, Problem, Stopwatch};
use shared::block::UncheckedBlock;
use shared::genesis::Genesis;
use shared::ids::{ChainId, Height, NetworkId};
use shared::limits::GENESIS_BYTES_MAX;
use shared::report::{ReportError, UncheckedSealed};

use super::App;
use crate::body::{Body, is_private};
use crate::engine::{Taken, Unavailable};
use crate::ledger::{Receipt, Refusal, Submission};
use crate::view::View;

/// Takes new blocks of one tenant; 200 means that they are durable.
#[utoipa::path(
    post,
    path = "/api/tenant-update",
    tag = "updates",
    request_body = BlockchainUpdate,
    responses((status = 200, description = "Taken", body = TenantUpdateAccepted), Problems),
)]
pub(super) async fn tenant_update(
    State(app): State<Arc<App>>,
    body: Result<BytesMut, BytesRejection>,
) -> Result<Json<TenantUpdateAccepted>, Problem> {
    let taken = take(&app, body).await;
    if let Err(problem) = &taken {
        app.metrics.update_refused(problem.slug());
    }
    taken.map(Json)
}

/// The same under the name that the predecessor had.
#[utoipa::path(
    post,
    path = "/api/tenant-blockchain-update",
    tag = "updates",
    request_body = BlockchainUpdate,
    responses((status = 200, description = "Taken", body = TenantUpdateAccepted), Problems),
)]
pub(super) async fn tenant_blockchain_update(
    app: State<Arc<App>>,
    body: Result<BytesMut, BytesRejection>,
) -> Result<Json<TenantUpdateAccepted>, Problem> {
    tenant_update(app, body).await
}

async fn take(
    app: &App,
    body: Result<BytesMut, BytesRejection>,
) -> Result<TenantUpdateAccepted, Problem> {
    let body = body.map_err(|rejection| body_problem(&rejection))?;
    let _room = app.updates.try_acquire().map_err(|_| busy())?;
    let submission = {
        let _processor = app
            .checks
            .acquire()
            .await
            .map_err(|error| Problem::internal(&error))?;
        let view = app.handle.view();
        if body.len() <= INLINE_BYTES_MAX {
            checked(&view, &body)?
        } else {
            let checked = tokio::task::spawn_blocking(move || checked(&view, &body)).await;
            checked.map_err(|error| Problem::internal(&error))??
        }
    };
    let (chain_id, genesis) = (submission.chain_id, Arc::clone(&submission.genesis));
    let watch = Stopwatch::start();
    let verdict = app
        .handle
        .submit(submission)
        .await
        .map_err(|error| unavailable(&error))?;
    let view = app.handle.view();
    match verdict {
        Ok(taken) => {
            app.metrics
                .update_accepted(taken.receipt.blocks, watch.seconds());
            Ok(accepted(&view, chain_id, &genesis, taken))
        }
        Err(refusal) => Err(with_tip(&view, chain_id, refused(&refusal))),
    }
}

/// Bodies up to this size are checked where they are: that takes less than handing them to another thread.
const INLINE_BYTES_MAX: usize = 4 << 10;

/// Parses an update and checks every block by itself.
fn checked(view: &View, body: &[u8]) -> Result<Submission, Problem> {
    let update: BlockchainUpdate = serde_json::from_slice(body).map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "bad-json",
            format!("not an update: {error}"),
        )
    })?;
    submission(view, &update)
}

/// Checks every block of an update by itself.
///
/// # Errors
/// The problem that names the block and what does not hold.
pub(crate) fn submission(view: &View, update: &BlockchainUpdate) -> Result<Submission, Problem> {
    let (chain_id, genesis) = tenant_of(view, update)?;
    let blocks = of_one_kind(update, &genesis).and_then(|()| checked_blocks(update, &genesis));
    let blocks = blocks.map_err(|problem| with_tip(view, chain_id, problem))?;
    Ok(Submission {
        genesis,
        chain_id,
        blocks,
    })
}

/// Whether an update has whole blocks or reports, as the genesis demands.
fn of_one_kind(update: &BlockchainUpdate, genesis: &Genesis) -> Result<(), Problem> {
    let (has_blocks, has_reports) = (
        !update.new_blocks.is_empty(),
        !update.new_reports.is_empty(),
    );
    let (slug, detail) = if has_blocks && has_reports {
        ("mixed-update", "an update has blocks or reports, not both")
    } else if has_blocks && is_private(genesis) {
        (
            "private-tenant",
            "the network is private: its blocks are reported",
        )
    } else if has_reports && !is_private(genesis) {
        (
            "open-tenant",
            "the network is open: its blocks come whole, not as reports",
        )
    } else {
        return Ok(());
    };
    Err(unprocessable(slug, detail.into()))
}

fn checked_blocks(update: &BlockchainUpdate, genesis: &Genesis) -> Result<Vec<Body>, Problem> {
    let count = update.new_blocks.len().max(update.new_reports.len());
    let mut blocks = Vec::with_capacity(count);
    for shape in &update.new_blocks {
        let wrong = |slug: &str, error: &dyn std::fmt::Display| {
            unprocessable(slug, format!("block {}: {error}", shape.block_id))
        };
        let block = UncheckedBlock::try_from(shape).map_err(|error| wrong("bad-block", &error))?;
        let block = block.check_with(genesis, &mut KnownKeys, |_| false);
        blocks.push(
            block
                .map_err(|error| wrong("invalid-block", &error))?
                .into(),
        );
    }
    for shape in &update.new_reports {
        let wrong = |slug: &str, error: &dyn std::fmt::Display| {
            unprocessable(slug, format!("report of block {}: {error}", shape.block_id))
        };
        let block = UncheckedSealed::try_from(shape);
        let block = block.map_err(|error| wrong("bad-report", &error))?;
        let block = block.check_with(genesis, &mut KnownKeys).map_err(|error| {
            let slug = if matches!(error, ReportError::NotAReporter(_)) {
                "not-a-reporter"
            } else if matches!(error, ReportError::Header(_)) {
                "invalid-block"
            } else {
                "bad-report"
            };
            wrong(slug, &error)
        });
        blocks.push(block?.into());
    }
    Ok(blocks)
}

fn unprocessable(slug: &str, detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, slug, detail)
}

/// The chain that an update is about: by its genesis, by its chain id, or by its label.
fn tenant_of(view: &View, update: &BlockchainUpdate) -> Result<(ChainId, Arc<Genesis>), Problem> {
    let (label, prefix) = match update.network_id.split_once('~') {
        Some((label, prefix)) => (label, Some(prefix)),
        None => (update.network_id.as_str(), None),
    };
    let label = NetworkId::parse(label).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "bad-network-id", error.to_string())
    })?;
    let named = match &update.chain_id {
        Some(text) => Some(text.parse::<ChainId>().map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, "bad-chain-id", error.to_string())
        })?),
        None => None,
    };
    let (chain_id, genesis) = match &update.genesis {
        Some(hex) => offered_genesis(view, hex)?,
        None => known_genesis(view, &update.network_id, named)?,
    };
    let mismatch =
        |slug: &str, detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, slug, detail);
    if let Some(named) = named
        && named != chain_id
    {
        let detail = format!("chain_id is {named}, the genesis is of {chain_id}");
        return Err(mismatch("genesis-mismatch", detail));
    }
    if genesis.network_id != label {
        let detail = format!(
            "network_id is {label}, the genesis says {}",
            genesis.network_id
        );
        return Err(mismatch("label-mismatch", detail));
    }
    match prefix {
        Some(prefix) if prefix.is_empty() || !chain_id.to_string().starts_with(prefix) => {
            let detail = format!("~{prefix} is not the start of the chain id {chain_id}");
            Err(mismatch("label-mismatch", detail))
        }
        Some(_) => Ok((chain_id, genesis)),
        None => not_taken(view, &label, chain_id).map(|()| (chain_id, genesis)),
    }
}

/// A bare label belongs to the chain that came first under it.
fn not_taken(view: &View, label: &NetworkId, chain_id: ChainId) -> Result<(), Problem> {
    match view.names.get(label.as_str()) {
        Some(owner) if *owner != chain_id => {
            let prefix: String = chain_id.to_string().chars().take(8).collect();
            let detail = format!(
                "the label {label} belongs to the chain {owner}; send this one as {label}~{prefix}"
            );
            Err(Problem::new(StatusCode::CONFLICT, "network-exists", detail))
        }
        Some(_) | None => Ok(()),
    }
}

fn offered_genesis(view: &View, hex: &str) -> Result<(ChainId, Arc<Genesis>), Problem> {
    let wrong = |reason: String| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad-genesis",
            format!("genesis: {reason}"),
        )
    };
    if hex.len() > GENESIS_BYTES_MAX * 2 {
        return Err(wrong(format!(
            "{} bytes, allowed are {GENESIS_BYTES_MAX}",
            hex.len() / 2
        )));
    }
    let bytes = hex::decode(hex).map_err(|error| wrong(error.to_string()))?;
    let genesis = Genesis::decode(&bytes).map_err(|error| wrong(error.to_string()))?;
    let chain_id = genesis.chain_id();
    let known = view
        .tenants
        .get(&chain_id)
        .map(|tenant| Arc::clone(&tenant.genesis));
    Ok((chain_id, known.unwrap_or_else(|| Arc::new(genesis))))
}

fn known_genesis(
    view: &View,
    network_id: &str,
    named: Option<ChainId>,
) -> Result<(ChainId, Arc<Genesis>), Problem> {
    let tenant = match named {
        Some(chain_id) => view.tenants.get(&chain_id),
        None => view.tenant(network_id),
    };
    let tenant = tenant.ok_or_else(|| {
        let detail = "this tenant is not known here; send its genesis with the update";
        Problem::new(StatusCode::NOT_FOUND, "tenant-unknown", detail)
    })?;
    Ok((tenant.chain_id, Arc::clone(&tenant.genesis)))
}

/// The answer to an update that is kept. A tenant that is not decided yet has its genesis for a tip.
fn accepted(
    view: &View,
    chain_id: ChainId,
    genesis: &Genesis,
    taken: Taken,
) -> TenantUpdateAccepted {
    let Taken { receipt, tenant } = taken;
    let known = tenant.as_ref();
    let name = known.map_or(genesis.network_id.as_str(), |tenant| tenant.name.as_str());
    let (height, tip) = known.map_or((Height(0), chain_id.0), |tenant| {
        (tenant.height, tenant.tip)
    });
    let anchored_in = known.map_or(view.head, |tenant| tenant.anchored_in);
    let Receipt {
        blocks,
        transactions,
        already_known,
    } = receipt;
    let message = match (blocks, already_known) {
        (0, 0) => format!("the tenant's tip is block {height}"),
        (0, known) => format!("all {known} blocks were known"),
        (new, _) => format!("{new} new blocks; the tenant's tip is block {height}"),
    };
    TenantUpdateAccepted {
        status: UpdateStatus::Accepted,
        message,
        network_id: name.to_owned(),
        chain_id: chain_id.to_string(),
        enterprise_block_height: anchored_in.height.0,
        enterprise_block_hash: anchored_in.hash.to_string(),
        tenant_blocks_processed: blocks,
        transactions_processed: transactions,
        already_known,
        tenant_height: height.0,
        tenant_hash: tip.to_string(),
    }
}

fn refused(refusal: &Refusal) -> Problem {
    let (status, slug) = match refusal {
        Refusal::UnknownParent { .. } => (StatusCode::CONFLICT, "unknown-parent"),
        Refusal::BranchesFull { .. } => (StatusCode::CONFLICT, "branches-full"),
        Refusal::LeavesFinal { .. } => (StatusCode::CONFLICT, "leaves-final"),
        Refusal::TooFarAhead { .. } => (StatusCode::TOO_EARLY, "too-far-ahead"),
        Refusal::Invalid { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-block"),
        Refusal::Registration(_) => (StatusCode::UNPROCESSABLE_ENTITY, "not-registered"),
        Refusal::Void { .. } => (StatusCode::CONFLICT, "void"),
        // Of a reset, and that has its own answer.
        Refusal::Reset(_) => (StatusCode::CONFLICT, "reset-refused"),
        Refusal::NoBlocks => (StatusCode::NOT_FOUND, "tenant-unknown"),
        Refusal::TooManyTenants { .. } => (StatusCode::FORBIDDEN, "too-many-tenants"),
    };
    Problem::new(status, slug, refusal.to_string())
}

/// Names the tip that the tenant has here; of an unknown tenant, its genesis.
fn with_tip(view: &View, chain_id: ChainId, problem: Problem) -> Problem {
    let tenant = view.tenants.get(&chain_id);
    let (height, hash) = tenant.map_or((0, chain_id.0), |tenant| (tenant.height.0, tenant.tip));
    problem
        .with("tenant_height", height)
        .with("tenant_hash", hash.to_string())
}

fn body_problem(rejection: &BytesRejection) -> Problem {
    let slug = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        "too-large"
    } else {
        "bad-body"
    };
    let detail = format!(
        "{}; at most {} bytes",
        rejection.body_text(),
        super::BODY_BYTES_MAX
    );
    Problem::new(rejection.status(), slug, detail)
}

fn busy() -> Problem {
    let detail = format!(
        "{} updates are being checked; come again in a second",
        super::UPDATES_MAX
    );
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).with("retry_after_ms", 1_000)
}

pub(super) fn unavailable(error: &Unavailable) -> Problem {
    let slug = match error {
        Unavailable::Failed(_) => "store-failed",
        Unavailable::NotAcknowledged => "not-acknowledged",
        Unavailable::Ending => "shutting-down",
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, slug, error.to_string())
}
