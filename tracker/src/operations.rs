//! The operations port: `/metrics`, `/health`, `/ready`. It is for who runs the tracker, not for the public.
//!
//! It stays open while the tracker drains, where `/ready` says so. The main port closes at the moment when `/ready` changes:
//! a balancer sees a connection refused there no later than the change here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::openapi::Problems;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use service::Problem;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::http::health;

/// Whether the tracker is about to stop.
#[derive(Debug, Default)]
pub(crate) struct Draining(AtomicBool);

impl Draining {
    pub(crate) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) fn router(app: Arc<App>) -> impl service::App + use<> {
    let (router, _) = routes().split_for_parts();
    let router = router.fallback(Problem::no_such_path).with_state(app);
    service::api_security_headers(router, "default-src 'none'")
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(metrics))
        .routes(routes!(health::health))
        .routes(routes!(ready))
}

/// Measures of this tracker.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses((status = 200, description = "Prometheus' text format", body = String, content_type = "text/plain")),
)]
async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = app.metrics.render(&app).await;
    ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response()
}

/// Whether clients may be sent here.
#[derive(Debug, Serialize, ToSchema)]
struct Ready {
    /// Always true: otherwise the answer is a problem document.
    ready: bool,
}

/// Whether clients may be sent here: no longer from the signal to stop on, and not while the store does not answer. Without the
/// other trackers or the validators this one serves its members and keeps what they report, so it stays ready; `/health` says it.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "operations",
    responses((status = 200, description = "They may", body = Ready), Problems),
)]
async fn ready(State(app): State<Arc<App>>) -> Response {
    let reason = if app.draining.is_begun() {
        "the tracker is stopping"
    } else if app.ledger.summary().await.is_err() {
        "the store does not answer"
    } else {
        return Json(Ready { ready: true }).into_response();
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", reason).into_response()
}

const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
