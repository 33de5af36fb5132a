//! The HTTP side: the page, `/api/snapshot`, `/api/stream` and `/health`.

use crate::engine::Published;
use crate::limits::STREAMS_MAX;
use axum::extract::State as Extracted;
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use futures_util::{Stream, StreamExt as _};
use service::{Problem, now_ms};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio_stream::wrappers::WatchStream;

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct State {
    published: watch::Receiver<Published>,
    stopping: watch::Receiver<bool>,
    streams: Arc<Semaphore>,
}

impl State {
    /// Serves what `published` holds; open streams end when `stopping` becomes true or closes.
    #[must_use]
    pub fn new(published: watch::Receiver<Published>, stopping: watch::Receiver<bool>) -> Self {
        Self {
            published,
            stopping,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        }
    }
}

/// All routes of the dashboard.
pub fn app(state: State) -> impl service::App + use<> {
    let router = PAGES
        .iter()
        .fold(Router::new(), |router, page| {
            router.route(page.path, page.serve())
        })
        .route("/api/snapshot", get(snapshot))
        .route("/api/stream", get(stream))
        .route("/health", get(health))
        .fallback(Problem::no_such_path)
        .with_state(state);
    service::security_headers(router, CONTENT_SECURITY_POLICY)
}

async fn snapshot(Extracted(state): Extracted<State>) -> Response {
    let json = Arc::clone(&state.published.borrow().json);
    let headers = [(header::CONTENT_TYPE, "application/json"), NOT_KEPT];
    (headers, json.to_string()).into_response()
}

async fn health(Extracted(state): Extracted<State>) -> Response {
    let snapshot = Arc::clone(&state.published.borrow().snapshot);
    ([NOT_KEPT], Json(snapshot.health_at(now_ms()))).into_response()
}

async fn stream(
    Extracted(state): Extracted<State>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let permit = Arc::clone(&state.streams)
        .try_acquire_owned()
        .map_err(|_| {
            let detail = format!("{STREAMS_MAX} pages follow the stream already; close one");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-streams", detail)
        })?;
    let mut stopping = state.stopping;
    let stopped = async move {
        // A closed channel means that the service is gone.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    let events = WatchStream::new(state.published)
        .map(move |published| {
            let _held_as_long_as_the_stream = &permit;
            Ok(Event::default().event("snapshot").data(&*published.json))
        })
        .take_until(stopped);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// A file of the page, built into the program.
struct Page {
    path: &'static str,
    media_type: &'static str,
    body: &'static str,
}

impl Page {
    fn serve(&'static self) -> MethodRouter<State> {
        get(move || async move {
            let headers = [
                (header::CONTENT_TYPE, self.media_type),
                (header::CACHE_CONTROL, "no-cache"),
            ];
            (headers, self.body)
        })
    }
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The dashboard's own files, and those it shares with the browser app for one look.
static PAGES: [Page; 8] = [
    Page {
        path: "/",
        media_type: HTML,
        body: include_str!("../www/index.html"),
    },
    Page {
        path: "/style.css",
        media_type: CSS,
        body: include_str!("../www/style.css"),
    },
    Page {
        path: "/dashboard.js",
        media_type: SCRIPT,
        body: include_str!("../www/dashboard.js"),
    },
    Page {
        path: "/tokens.css",
        media_type: CSS,
        body: include_str!("../../www/tokens.css"),
    },
    Page {
        path: "/dom.js",
        media_type: SCRIPT,
        body: include_str!("../../www/dom.js"),
    },
    Page {
        path: "/format.js",
        media_type: SCRIPT,
        body: include_str!("../../www/format.js"),
    },
    Page {
        path: "/theme.js",
        media_type: SCRIPT,
        body: include_str!("../../www/theme.js"),
    },
    Page {
        path: "/icon.svg",
        media_type: "image/svg+xml",
        body: include_str!("../../www/icon.svg"),
    },
];

const NOT_KEPT: (header::HeaderName, &str) = (header::CACHE_CONTROL, "no-store");
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
