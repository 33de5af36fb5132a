//! What browsers ask the enterprise chain through the tracker: its genesis, and proofs of finality.
//!
//! Members of private networks ask over `/ws`, and are answered there: nobody else hears of them.
//!
//! The answers are passed on unread: a browser believes the proof, not who brought it. Asked are the configured
//! validators in their order, the next when one does not answer.
//!
//! Limits: [`limits::PROOFS_IN_FLIGHT_MAX`] questions at once, further ones are told to come again;
//! [`limits::PROOF_BYTES_MAX`] of an answer; [`limits::PROOF_TIMEOUT_MS`] for each validator.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use api::openapi::{Binary, Problems};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use service::Problem;
use shared::enterprise::HeaderId;
use shared::ids::ChainId;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use utoipa::IntoParams;

use crate::App;
use crate::engine::Engine;
use crate::http::chain_of;
use crate::hub::{self, Asked, Question};
use crate::limits;

/// The way to the validators for readers.
#[derive(Debug)]
pub(crate) struct Enterprise {
    client: reqwest::Client,
    validators: Vec<String>,
    room: Semaphore,
}

impl Enterprise {
    /// A way to these validators.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    fn new(validators: Vec<String>) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_millis(limits::PROOF_TIMEOUT_MS))
            .tcp_nodelay(true)
            .build()?;
        Ok(Self {
            client,
            validators,
            room: Semaphore::new(limits::PROOFS_IN_FLIGHT_MAX),
        })
    }

    /// The same, answering what members of private rooms ask, too.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub(crate) fn start(
        validators: Vec<String>,
        asked: mpsc::UnboundedReceiver<Asked>,
        engine: Arc<Engine>,
    ) -> io::Result<Arc<Self>> {
        let enterprise = Arc::new(Self::new(validators).map_err(io::Error::other)?);
        tokio::spawn(Arc::clone(&enterprise).answer(asked, engine));
        Ok(enterprise)
    }

    /// Answers what members of private rooms ask, until the tracker ends.
    async fn answer(
        self: Arc<Self>,
        mut asked: mpsc::UnboundedReceiver<Asked>,
        engine: Arc<Engine>,
    ) {
        let mut answers = JoinSet::new();
        loop {
            tokio::select! {
                one = asked.recv() => {
                    let Some(one) = one else { return };
                    let (enterprise, engine) = (Arc::clone(&self), Arc::clone(&engine));
                    answers.spawn(async move { engine.handle(enterprise.answer_one(one).await) });
                }
                Some(_) = answers.join_next(), if !answers.is_empty() => {}
            }
        }
    }

    async fn answer_one(&self, asked: Asked) -> hub::Input {
        let Asked {
            connection,
            room,
            chain_id,
            question,
        } = asked;
        let path = match question {
            Question::Finality { size, known } => finality_path(chain_id, size, known),
            Question::Reset { number } => format!("/api/tenants/{chain_id}/resets/{number}"),
        };
        let answer = self.proof(&path).await;
        hub::Input::QuestionAnswered {
            connection,
            room,
            question,
            answer,
        }
    }

    /// The bytes at `path` of the first validator that answers; none if that has none.
    async fn proof(&self, path: &str) -> Option<Vec<u8>> {
        let response = self.ask(path).await.ok()?;
        if response.status() != StatusCode::OK {
            return None;
        }
        let body = axum::body::to_bytes(response.into_body(), limits::PROOF_BYTES_MAX).await;
        body.ok().map(|bytes| bytes.to_vec())
    }

    /// Passes on what the first validator that answers says at `path`.
    async fn ask(&self, path: &str) -> Result<Response, Problem> {
        if self.validators.is_empty() {
            return Err(Problem::new(
                StatusCode::NOT_FOUND,
                "no-validator",
                "this tracker has no enterprise chain behind it",
            ));
        }
        let _room = self.room.try_acquire().map_err(|_| {
            let detail = "too many proofs are being fetched; come again in a few seconds";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
        })?;
        for base in &self.validators {
            match self.ask_one(base, path).await {
                Ok(response) => return Ok(response),
                Err(error) => tracing::warn!(%base, error, "a validator does not answer a reader"),
            }
        }
        Err(Problem::new(
            StatusCode::BAD_GATEWAY,
            "validator-unreachable",
            "no validator answers; what is final does not change by that, ask again later",
        ))
    }

    async fn ask_one(&self, base: &str, path: &str) -> Result<Response, String> {
        let url = format!("{}{path}", base.trim_end_matches('/'));
        let response = self.client.get(&url).send().await;
        let response = response.map_err(|error| error.to_string())?;
        if response.status().is_server_error() {
            return Err(response.status().to_string());
        }
        passed_on(response).await
    }
}

/// What a new network's genesis pins: the validator's `GET /api/genesis`, passed on.
#[utoipa::path(
    get,
    path = "/api/enterprise-genesis",
    tag = "enterprise",
    responses((status = 200, description = "The genesis, as the validator describes it", body = serde_json::Value), Problems),
)]
pub(crate) async fn genesis(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    app.enterprise.ask("/api/genesis").await
}

/// What the asker knows.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Known {
    /// Entries of the log that it has verified; 0 for none.
    #[serde(default)]
    size: u64,
    /// The newest header that it has verified, as `height:hash`: if the validator's header of that height is another, it is the answer.
    known: Option<String>,
}

fn finality_path(chain: ChainId, size: u64, known: Option<HeaderId>) -> String {
    let known = known.map(|known| format!("&known={known}"));
    let known = known.unwrap_or_default();
    format!("/api/tenants/{chain}/finality?size={size}{known}")
}

/// The proof of the network's newest final block, passed on from a validator.
#[utoipa::path(
    get,
    path = "/api/networks/{id}/finality",
    tag = "enterprise",
    params(("id" = String, Path, description = "The network's label or chain id"), Known),
    responses((status = 200, description = "The proof", body = Binary, content_type = "application/octet-stream"), Problems),
)]
pub(crate) async fn finality(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    known: Result<Query<Known>, QueryRejection>,
) -> Result<Response, Problem> {
    let bad = |detail| Problem::new(StatusCode::BAD_REQUEST, "bad-query", detail);
    let Query(Known { size, known }) = known.map_err(|rejection| bad(rejection.body_text()))?;
    let known = known.map(|known| known.parse::<HeaderId>()).transpose();
    let known = known.map_err(|error| bad(error.to_string()))?;
    let path = finality_path(chain_of(&app, &id)?, size, known);
    app.enterprise.ask(&path).await
}

async fn passed_on(mut response: reqwest::Response) -> Result<Response, String> {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).cloned();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
        let found = body.len().saturating_add(chunk.len());
        if found > limits::PROOF_BYTES_MAX {
            return Err(format!(
                "it is longer than {} bytes",
                limits::PROOF_BYTES_MAX
            ));
        }
        body.extend_from_slice(&chunk);
    }
    let mut response = (status, body).into_response();
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    Ok(response)
}
