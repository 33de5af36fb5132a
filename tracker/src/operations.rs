//! The operations port: `/metrics`, `/health`, `/ready`. It is for who runs the tracker, not for the public.
//!
//! It stays open while the tracker drains, so that a balancer sees `/ready` change before the main port is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use service::Problem;

use crate::App;
use crate::http;

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

pub(crate) fn router(app: Arc<App>) -> Router {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(http::health))
        .route("/ready", get(ready))
        .fallback(Problem::no_such_path)
        .with_state(app);
    service::security_headers(router, "default-src 'none'")
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = app.metrics.render(&app).await;
    ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response()
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    let reason = if app.draining.is_begun() {
        "the tracker is stopping"
    } else if app.ledger.summary().await.is_err() {
        "the store does not answer"
    } else {
        return Json(serde_json::json!({ "ready": true })).into_response();
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", reason).into_response()
}

const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
