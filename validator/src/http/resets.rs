//! `POST /api/resets`, `GET /api/tenants/{id}/resets` and `…/resets/{number}`: the owner of a private tenant voids a final
//! suffix, and the proof of it.
//!
//! A receipt is bytes that the crate `shared` verifies ([`shared::enterprise::ResetReceipt`]).

use std::sync::Arc;

use api::openapi::{Binary, Problems};
use api::{ExecutedReset, ResetAccepted, ResetRequest, Resets};
use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use service::{JsonBody, Problem};
use shared::enterprise::{EnterpriseError, Reset};

use super::finality::bytes;
use super::{App, bad_path, tenant_unknown, unavailable};
use crate::ledger::{ExecutedReset as Executed, Refusal};

/// Takes a reset that the owner of a private tenant signed. 202 means that it will not be lost; it waits for a block then,
/// or is in one already.
#[utoipa::path(
    post,
    path = "/api/resets",
    tag = "updates",
    request_body = ResetRequest,
    responses((status = 202, description = "It waits for a block, or is executed", body = ResetAccepted), Problems),
)]
pub(super) async fn reset(
    State(app): State<Arc<App>>,
    request: Result<JsonBody<ResetRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<ResetAccepted>), Problem> {
    let malformed = |detail| Problem::new(StatusCode::BAD_REQUEST, "bad-reset", detail);
    let JsonBody(request) = request.map_err(|error| malformed(error.body_text()))?;
    if request.reset.len() != Reset::BYTES * 2 {
        let (found, needed) = (request.reset.len(), Reset::BYTES * 2);
        return Err(malformed(format!(
            "a reset has {needed} digits, this has {found}"
        )));
    }
    let bytes = hex::decode(&request.reset).map_err(|error| malformed(error.to_string()))?;
    let reset = Reset::decode(&bytes).map_err(|error| malformed(error.to_string()))?;
    let (chain_id, number) = (reset.chain_id, reset.number);
    let verdict = app.handle.reset(reset.clone()).await;
    let verdict = verdict.map_err(|error| super::update::unavailable(&error))?;
    verdict.map_err(|refusal| refused(&refusal))?;
    let executed = app
        .handle
        .read(move |ledger| ledger.executed_reset(chain_id, number));
    let status = match executed.await.map_err(unavailable)? {
        None => "waiting",
        Some(executed) if executed.reset == reset => "executed",
        Some(_) => {
            let expected = number.saturating_add(1);
            let error = EnterpriseError::ResetNumber {
                found: number,
                expected,
            };
            return Err(refused(&Refusal::Reset(error)));
        }
    };
    let answer = ResetAccepted {
        chain_id: chain_id.to_string(),
        number,
        from: reset.from.0,
        status: status.to_owned(),
    };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rules that a reset can't break, and those of a later version"
)]
fn refused(refusal: &Refusal) -> Problem {
    let conflict = StatusCode::CONFLICT;
    let (status, slug) = match refusal {
        Refusal::Reset(error) => match error {
            EnterpriseError::TenantUnknown(_) => (StatusCode::NOT_FOUND, "tenant-unknown"),
            EnterpriseError::NotPrivate(_) => (conflict, "open-tenant"),
            EnterpriseError::NotTheOwner(_) => (conflict, "not-the-owner"),
            EnterpriseError::ResetNumber { .. } => (conflict, "reset-number"),
            EnterpriseError::ResetHeight { .. } => (conflict, "reset-height"),
            EnterpriseError::Mismatch { .. } => (conflict, "reset-branch"),
            EnterpriseError::TooLarge { .. } => (conflict, "too-many-resets"),
            _ => (conflict, "reset-refused"),
        },
        _ => (conflict, "reset-refused"),
    };
    Problem::new(status, slug, refusal.to_string())
}

/// The resets of a tenant that were executed, oldest first.
#[utoipa::path(
    get,
    path = "/api/tenants/{id}/resets",
    tag = "tenants",
    params(("id" = String, Path, description = "The tenant's name or chain id")),
    responses((status = 200, description = "The resets, at most 64", body = Resets), Problems),
)]
pub(super) async fn resets(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Resets>, Problem> {
    let chain_id = app
        .handle
        .view()
        .tenant(&id)
        .ok_or_else(tenant_unknown)?
        .chain_id;
    let look = app.handle.read(move |ledger| {
        let numbers = 1..=ledger.state().resets(&chain_id);
        let executed = numbers.filter_map(|number| ledger.executed_reset(chain_id, number));
        executed.map(|executed| shape(&executed)).collect()
    });
    Ok(Json(Resets {
        chain_id: chain_id.to_string(),
        resets: look.await.map_err(unavailable)?,
    }))
}

fn shape(executed: &Executed) -> ExecutedReset {
    let reset = &executed.reset;
    ExecutedReset {
        number: reset.number,
        from: reset.from.0,
        stays: reset.stays.to_string(),
        reset: hex::encode(reset.encode()),
        log_index: u64::try_from(executed.index).unwrap_or(u64::MAX),
        enterprise_height: executed.executed_in.0,
    }
}

/// The receipt of a reset: that its owner signed it and a quorum executed it.
#[utoipa::path(
    get,
    path = "/api/tenants/{id}/resets/{number}",
    tag = "proofs",
    params(("id" = String, Path, description = "The tenant's name or chain id"), ("number" = u32, Path, description = "Which reset of the tenant; the first is 1")),
    responses((status = 200, description = "The receipt", body = Binary, content_type = "application/octet-stream"), Problems),
)]
pub(super) async fn reset_receipt(
    State(app): State<Arc<App>>,
    place: Result<Path<(String, u32)>, PathRejection>,
) -> Result<Response, Problem> {
    let Path((id, number)) = place.map_err(|rejection| bad_path(&rejection))?;
    let view = app.handle.view();
    let tenant = view.tenant(&id).ok_or_else(tenant_unknown)?;
    let (chain_id, executed) = (tenant.chain_id, tenant.resets);
    let look = app
        .handle
        .read(move |ledger| ledger.reset_receipt(chain_id, number));
    let receipt = look.await.map_err(unavailable)?.ok_or_else(|| {
        let detail = format!("{executed} resets of this tenant were executed");
        Problem::new(StatusCode::NOT_FOUND, "no-such-reset", detail)
    })?;
    Ok(bytes(receipt.encode()))
}
