//! `GET /api/tenants/{id}/finality?size=`: the proof of the tenant's newest final block, as bytes
//! ([`shared::enterprise::FinalityProof`]) that a light client verifies with nothing but the hash that its genesis pins.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use service::Problem;

use super::{App, bad_query, tenant_unknown};

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
    known: Result<Query<Known>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(known) = known.map_err(|rejection| bad_query(&rejection))?;
    let view = app.handle.view();
    let tenant = view.tenant(&id).ok_or_else(tenant_unknown)?;
    let proof = app.handle.prove(tenant.chain_id, known.size).await;
    let proof = proof.map_err(|error| {
        let detail = error.to_string();
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    })?;
    let proof = proof.ok_or_else(|| {
        let delay = tenant.genesis.rules.finality_delay_ms;
        let detail = format!(
            "no block of this tenant is final yet; the first becomes so {delay} ms of enterprise time after it was anchored"
        );
        Problem::new(StatusCode::NOT_FOUND, "not-final", detail)
    })?;
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    Ok((kind, proof.encode()).into_response())
}
