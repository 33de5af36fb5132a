//! `/api/status`, `/api/genesis`, `/health`.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Health, HealthStatus, Status};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::App;
use crate::engine::QUEUE_MAX;
use crate::view::View;

pub(super) async fn status(State(app): State<Arc<App>>) -> Json<Status> {
    Json(status_shape(&app, &app.handle.view()))
}

/// The status at a picture of the chain.
#[must_use]
pub fn status_shape(app: &App, view: &View) -> Status {
    let failed = view.failure.is_some() || !app.handle.is_alive();
    let word = |good: &str, bad: &str| {
        if failed {
            bad.to_owned()
        } else {
            good.to_owned()
        }
    };
    let height = view.head.height.0;
    Status {
        height,
        latest_hash: view.head.hash.to_string(),
        validator: app.id.to_string(),
        active_tenants: count(view.tenants.len()),
        active_validators: active_validators(app),
        pending_transactions: app.handle.pending_transactions(),
        total_blocks: height,
        total_transactions: view.transactions,
        chain_health: word("healthy", "failed"),
        uptime: service::now_ms().saturating_sub(app.started_at) / 1_000,
        latest_block_time: if height == 0 { 0 } else { view.time.0 },
        validator_status: word("active", "read_only"),
    }
}

/// The names of the validators in force.
pub(super) fn active_validators(app: &App) -> Vec<String> {
    let validators = app.genesis.validators().validators();
    validators
        .iter()
        .map(|validator| validator.name.to_string())
        .collect()
}

/// `GET /api/genesis`.
#[derive(Debug, Serialize)]
pub(super) struct GenesisShape {
    id: String,
    /// The enterprise genesis hash: the chain id, and what a tenant's genesis pins.
    hash: String,
    /// The canonical bytes, hex.
    genesis: String,
    created_at: u64,
    quorum: usize,
    validators: Vec<ValidatorShape>,
}

#[derive(Debug, Serialize)]
struct ValidatorShape {
    name: String,
    key: String,
}

pub(super) async fn genesis(State(app): State<Arc<App>>) -> Json<GenesisShape> {
    let genesis = &app.genesis;
    let validators = genesis
        .validators()
        .validators()
        .iter()
        .map(|validator| ValidatorShape {
            name: validator.name.to_string(),
            key: validator.key.to_string(),
        });
    Json(GenesisShape {
        id: genesis.id().to_string(),
        hash: genesis.hash().to_string(),
        genesis: hex::encode(genesis.encode()),
        created_at: genesis.created_at().0,
        quorum: genesis.validators().quorum(),
        validators: validators.collect(),
    })
}

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
    let quorum = app.genesis.validators().quorum();
    check(
        "quorum",
        HealthStatus::Healthy,
        format!("{quorum} of {quorum} needed"),
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

pub(super) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
