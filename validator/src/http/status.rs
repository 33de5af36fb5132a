//! `/api/status`, `/api/genesis`, `/health`, `/ready`, `/metrics`.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::openapi::Problems;
use api::{Consensus, ConsensusMember, Health, HealthStatus, Holding, Status};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use service::Problem;
use shared::enterprise::ValidatorInfo;
use shared::hash::Hash;
use utoipa::ToSchema;

use super::App;
use super::page::{self, Asked, PAGE_MAX, Page, Paged};
use crate::agreement::Evidence;
use crate::engine::QUEUE_MAX;
use crate::evidence;
use crate::replica::PeerStatus;
use crate::view::View;

/// The chain in figures.
#[utoipa::path(
    get,
    path = "/api/status",
    tag = "chain",
    responses((status = 200, description = "The status", body = Status)),
)]
pub(super) async fn status(State(app): State<Arc<App>>) -> Json<Status> {
    Json(status_shape(&app, &app.handle.view()))
}

/// The status at a picture of the chain.
#[must_use]
pub fn status_shape(app: &App, view: &View) -> Status {
    let failed = view.failure.is_some() || !app.handle.is_alive();
    let health = match (failed, view.consensus.has_quorum()) {
        (true, _) => "failed",
        (false, false) => NO_QUORUM,
        (false, true) => "healthy",
    };
    let doing = match (failed, view.consensus.votes) {
        (true, _) => "read_only",
        (false, false) => "abstains",
        (false, true) => "active",
    };
    let height = view.head.height.0;
    Status {
        height,
        latest_hash: view.head.hash.to_string(),
        validator: app.id.to_string(),
        active_tenants: count(view.tenants.len()),
        active_validators: active_validators(view),
        pending_transactions: app.handle.pending_transactions(),
        total_blocks: height,
        total_transactions: view.transactions,
        chain_health: health.to_owned(),
        uptime: service::now_ms().saturating_sub(app.started_at) / 1_000,
        latest_block_time: if height == 0 { 0 } else { view.time.0 },
        validator_status: doing.to_owned(),
        consensus: Some(consensus_shape(view)),
        holds: Some(Holding {
            began_with: if view.lowest.0 == 1 {
                "genesis"
            } else {
                "snapshot"
            }
            .to_owned(),
            lowest_height: view.lowest.0,
            snapshot_height: view.consensus.snapshot.map_or(0, |height| height.0),
        }),
    }
}

/// What `chain_health` says while too few validators are alive to decide.
const NO_QUORUM: &str = "no_quorum";

fn consensus_shape(view: &View) -> Consensus {
    let consensus = &view.consensus;
    let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let member = |validator: &PeerStatus| ConsensusMember {
        name: validator.name.to_string(),
        key: validator.key.to_string(),
        alive: validator.is_alive,
        skipped: validator.is_skipped,
        height: if validator.is_self {
            view.head.height.0
        } else {
            validator.height.0
        },
        contradicted_at: view
            .evidence
            .since(&validator.key)
            .map_or(0, |height| height.0),
    };
    Consensus {
        quorum: small(consensus.quorum),
        alive: small(consensus.alive),
        round: consensus.round.map(|round| round.0),
        votes: consensus.votes,
        evidence: small(view.evidence.count()),
        validators: consensus.validators.iter().map(member).collect(),
    }
}

/// Two signed messages of one validator that exclude each other.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EvidenceShape {
    /// The validator's name.
    validator: String,
    /// Its public key, hex.
    key: String,
    /// The height that they are about.
    height: u64,
    /// The round.
    round: u32,
    /// The first message, as the validators' protocol writes it, hex.
    first: String,
    /// What contradicts it, hex.
    second: String,
}

/// Proofs that validators have contradicted themselves. Operators decide what follows.
#[utoipa::path(
    get,
    path = "/api/evidence",
    tag = "chain",
    params(Page),
    responses((status = 200, description = "The proofs by height, ascending, a hundred at most", body = [EvidenceShape]), Problems),
)]
pub(super) async fn evidence(
    State(app): State<Arc<App>>,
    asked: Asked<Page>,
) -> Result<Paged<Vec<EvidenceShape>>, Problem> {
    let page = page::query(asked)?;
    let limit = page::limit(page.limit, PAGE_MAX, PAGE_MAX);
    let after = page.cursor.as_deref().map(proof_place).transpose()?;
    super::reading(move || {
        let found = app.store.evidence();
        let found = found.map_err(|error| Problem::internal(&error))?;
        let place = |proof: &Evidence| (proof.first.height().0, evidence::name(proof));
        let mut found: Vec<_> = found.iter().map(|proof| (place(proof), proof)).collect();
        found.sort_by_key(|(place, _)| *place);
        found.retain(|(place, _)| after.is_none_or(|after| *place > after));
        let goes_on = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| goes_on);
        let cursor = last.map(|((height, name), _)| format!("{height}.{name}"));
        let view = app.handle.view();
        let shapes = found.into_iter().map(|(_, evidence)| {
            let set = view.set_at(evidence.first.height());
            let info = set.and_then(|set| set.get(set.index_of(&evidence.offender)?));
            EvidenceShape {
                validator: info.map_or_else(String::new, |info| info.name.to_string()),
                key: evidence.offender.to_string(),
                height: evidence.first.height().0,
                round: evidence.first.round(),
                first: hex::encode(evidence.first.encode()),
                second: hex::encode(evidence.second.encode()),
            }
        });
        Ok(Paged::new(shapes.collect(), cursor.as_deref(), limit))
    })
    .await
}

/// The proof that a cursor names: its height and its name.
fn proof_place(cursor: &str) -> Result<(u64, Hash), Problem> {
    let (height, name) = cursor.split_once('.').ok_or_else(page::bad_cursor)?;
    let height = page::place(Some(height))?.ok_or_else(page::bad_cursor)?;
    let name = name.parse().map_err(|_| page::bad_cursor())?;
    Ok((height, name))
}

/// The names of the validators in force.
pub(crate) fn active_validators(view: &View) -> Vec<String> {
    let validators = view.consensus.validators.iter();
    validators
        .map(|validator| validator.name.to_string())
        .collect()
}

/// `GET /api/genesis`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GenesisShape {
    /// The chain's label.
    id: String,
    /// The enterprise genesis hash: the chain id, and what a tenant's genesis pins.
    hash: String,
    /// The canonical bytes, hex.
    genesis: String,
    /// When it was made, in ms.
    created_at: u64,
    /// How many validators decide a block.
    quorum: usize,
    /// The validators.
    validators: Vec<ValidatorShape>,
}

/// One validator.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ValidatorShape {
    /// The name.
    name: String,
    /// The public key, hex.
    key: String,
}

impl From<&ValidatorInfo> for ValidatorShape {
    fn from(info: &ValidatorInfo) -> Self {
        Self {
            name: info.name.to_string(),
            key: info.key.to_string(),
        }
    }
}

/// The enterprise genesis, its hash, the validators and the quorum.
#[utoipa::path(
    get,
    path = "/api/genesis",
    tag = "chain",
    responses((status = 200, description = "The genesis", body = GenesisShape)),
)]
pub(super) async fn genesis(State(app): State<Arc<App>>) -> Json<GenesisShape> {
    let genesis = &app.genesis;
    let validators = genesis.validators().validators().iter();
    let validators = validators.map(ValidatorShape::from);
    Json(GenesisShape {
        id: genesis.id().to_string(),
        hash: genesis.hash().to_string(),
        genesis: hex::encode(genesis.encode()),
        created_at: genesis.created_at().0,
        quorum: genesis.validators().quorum(),
        validators: validators.collect(),
    })
}

/// How the validator judges itself.
#[utoipa::path(
    get,
    path = "/health",
    tag = "operations",
    responses((status = 200, description = "It works", body = Health), (status = 503, description = "It takes no writes", body = Health)),
)]
pub(super) async fn health(State(app): State<Arc<App>>) -> (StatusCode, Json<Health>) {
    let view = app.handle.view();
    let mut checks = BTreeMap::new();
    let mut worst = HealthStatus::Healthy;
    let mut check = |name: &str, status: HealthStatus, fact: String| {
        worst = worst.max(status);
        checks.insert(name.to_owned(), fact);
    };
    match (&view.failure, app.handle.is_alive()) {
        (Some(reason), _) => check(
            "store",
            HealthStatus::Unhealthy,
            format!("writes failed: {reason}"),
        ),
        (None, false) => check("engine", HealthStatus::Unhealthy, "stopped".into()),
        (None, true) => check("engine", HealthStatus::Healthy, "deciding".into()),
    }
    let waiting = app.handle.waiting();
    let queue = if waiting * 2 > QUEUE_MAX {
        HealthStatus::Degraded
    } else {
        HealthStatus::Healthy
    };
    check(
        "queue",
        queue,
        format!("{waiting} of {QUEUE_MAX} updates wait"),
    );
    let (alive, quorum) = (view.consensus.alive, view.consensus.quorum);
    let verdict = if view.consensus.has_quorum() {
        HealthStatus::Healthy
    } else {
        HealthStatus::Degraded
    };
    check(
        "quorum",
        verdict,
        format!("{alive} alive, {quorum} needed to decide"),
    );
    check(
        "chain",
        HealthStatus::Healthy,
        format!("verified up to block {}", view.head.height),
    );
    let code = match worst {
        HealthStatus::Healthy | HealthStatus::Degraded => StatusCode::OK,
        HealthStatus::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    let health = Health {
        status: worst,
        timestamp: service::now_ms(),
        service: "validator".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        checks,
    };
    (code, Json(health))
}

/// `GET /ready`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ready {
    /// Always true: who is not ready answers with a problem document.
    ready: bool,
    /// The height up to which it is.
    height: u64,
}

/// Whether updates may be sent here: the chain is verified, and the engine decides and has room.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "operations",
    responses((status = 200, description = "Updates may be sent", body = Ready), Problems),
)]
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Json<Ready>, Problem> {
    let view = app.handle.view();
    let waiting = app.handle.waiting();
    let reason = if let Some(reason) = &view.failure {
        format!("writes failed: {reason}")
    } else if *app.ending.borrow() || !app.handle.is_alive() {
        "the validator is ending".into()
    } else if waiting >= QUEUE_MAX {
        format!("{waiting} updates wait, the most there is room for")
    } else {
        let height = view.head.height.0;
        return Ok(Json(Ready {
            ready: true,
            height,
        }));
    };
    let code = StatusCode::SERVICE_UNAVAILABLE;
    Err(Problem::new(code, "not-ready", reason))
}

/// What is counted and measured, as Prometheus' text.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses((status = 200, description = "The measures", body = String, content_type = "text/plain")),
)]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = app.metrics.render(&app);
    ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response()
}

/// The text format of Prometheus.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
