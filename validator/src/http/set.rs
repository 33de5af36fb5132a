//! `/api/validators` and `/api/set-changes`: who decides, and changing that.

use std::sync::Arc;

use api::openapi::Problems;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use service::{JsonBody, Problem};
use shared::enterprise::{SetChange, ValidatorSet};
use utoipa::ToSchema;

use super::App;
use super::status::ValidatorShape;

/// `GET /api/validators`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Validators {
    /// The enterprise chain id.
    chain_id: String,
    /// The newest decided height.
    height: u64,
    /// How often the set has changed, a change that is decided and not in force included.
    changes: u32,
    /// Changes that wait for a block here.
    pending: usize,
    /// The set of the next height.
    current: SetShape,
    /// The set of the height after it: the one that a change replaces.
    next: SetShape,
}

/// A validator set.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SetShape {
    /// Its hash, which headers name it by.
    hash: String,
    /// Its canonical bytes, hex.
    set: String,
    /// Signatures that decide.
    quorum: usize,
    /// The validators, ascending by key.
    validators: Vec<ValidatorShape>,
}

impl From<&ValidatorSet> for SetShape {
    fn from(set: &ValidatorSet) -> Self {
        Self {
            hash: set.hash().to_string(),
            set: hex::encode(set.encode()),
            quorum: set.quorum(),
            validators: set.validators().iter().map(ValidatorShape::from).collect(),
        }
    }
}

/// The validator sets of the next two heights, and how often the set has changed.
#[utoipa::path(
    get,
    path = "/api/validators",
    tag = "chain",
    responses((status = 200, description = "The sets", body = Validators), Problems),
)]
pub(super) async fn validators(State(app): State<Arc<App>>) -> Result<Json<Validators>, Problem> {
    let chain_id = app.genesis.hash().to_string();
    let look = app.handle.read(move |ledger| {
        let verifier = ledger.verifier();
        Validators {
            chain_id,
            height: verifier.height().0,
            changes: verifier.changes(),
            pending: ledger.pending_changes().count(),
            current: verifier.validators().into(),
            next: verifier.next_validators().into(),
        }
    });
    Ok(Json(look.await.map_err(super::unavailable)?))
}

/// `POST /api/set-changes`.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ChangeRequest {
    /// A set change that a quorum signed, in its canonical bytes, hex.
    change: String,
}

/// The answer to a set change.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChangeAnswer {
    /// Which change of the chain it is.
    number: u32,
    /// It is in force at the second height after the block that holds it; see `/api/validators`.
    status: &'static str,
}

/// Hands in a change of the validator set. It waits for a block; until it is decided, no promise is made.
#[utoipa::path(
    post,
    path = "/api/set-changes",
    tag = "operations",
    request_body = ChangeRequest,
    responses((status = 202, description = "It waits for a block", body = ChangeAnswer), Problems),
)]
pub(super) async fn change_set(
    State(app): State<Arc<App>>,
    request: Result<JsonBody<ChangeRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<ChangeAnswer>), Problem> {
    let refused = |code, kind, detail: String| Problem::new(code, kind, detail);
    let malformed = |detail| refused(StatusCode::BAD_REQUEST, "bad-set-change", detail);
    let JsonBody(request) = request.map_err(|error| malformed(error.body_text()))?;
    let bytes = hex::decode(&request.change).map_err(|error| malformed(error.to_string()))?;
    let change = SetChange::decode(&bytes).map_err(|error| malformed(error.to_string()))?;
    if !app.takes_links {
        let detail = "this validator is alone and takes no links, so others could not join it; start it with --peer-bind";
        return Err(refused(
            StatusCode::CONFLICT,
            "takes-no-links",
            detail.into(),
        ));
    }
    let number = change.number();
    let verdict = app.handle.change_set(change).await;
    verdict.map_err(super::unavailable)?.map_err(|error| {
        refused(
            StatusCode::CONFLICT,
            "set-change-refused",
            error.to_string(),
        )
    })?;
    let status = "pending";
    Ok((StatusCode::ACCEPTED, Json(ChangeAnswer { number, status })))
}
