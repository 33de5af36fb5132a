//! `GET /api/events`: server-sent events `block`, `status` and `tenants`, the last two also at the start.
//!
//! One task makes each event once for all streams. A stream that falls behind by [`QUEUE_MAX`] events is told the
//! present state instead of each step; a reader that needs every block asks `/api/blocks` again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use futures_util::stream::{self, Stream, StreamExt as _};
use serde::Serialize;
use service::Problem;
use shared::enterprise::EnterpriseHeight;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use super::{App, block_shape, status_shape, tenants_shape};
use crate::view::View;

/// Events that a stream may be behind.
pub(super) const QUEUE_MAX: usize = 128;

/// The events of all streams.
#[derive(Clone, Debug)]
pub struct Events(broadcast::Sender<Arc<Event>>);

#[derive(Debug)]
struct Event {
    name: &'static str,
    data: String,
}

impl Event {
    fn new(name: &'static str, content: &impl Serialize) -> Self {
        let data = serde_json::to_string(content).unwrap_or_else(|error| {
            tracing::error!(%error, name, "an event has no JSON");
            "null".into()
        });
        Self { name, data }
    }

    fn to_sse(&self) -> SseEvent {
        SseEvent::default().event(self.name).data(&self.data)
    }
}

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::channel(QUEUE_MAX).0)
    }
}

/// Turns each new picture of the chain into events, until the validator ends.
pub async fn present(app: Arc<App>) {
    let (mut pictures, mut ending) = (app.handle.watch(), app.ending.clone());
    let mut shown = pictures.borrow_and_update().head.height;
    loop {
        tokio::select! {
            changed = pictures.changed() => if changed.is_err() { return },
            _ = ending.wait_for(|ending| *ending) => return,
        }
        let view = Arc::clone(&pictures.borrow_and_update());
        let head = view.head.height;
        if app.events.0.receiver_count() > 0 {
            let app = Arc::clone(&app);
            let made = tokio::task::spawn_blocking(move || show(&app, &view, shown)).await;
            if let Err(error) = made {
                tracing::error!(%error, "events were not made");
            }
            // A burst of decisions shares one description of the state.
            tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
        }
        shown = head;
    }
}

fn show(app: &App, view: &View, shown: EnterpriseHeight) {
    let first = shown
        .0
        .max(view.head.height.0.saturating_sub(BLOCKS_SHOWN_MAX))
        .saturating_add(1);
    // Without a reader an event goes nowhere, which is right.
    let send = |event| app.events.0.send(Arc::new(event)).unwrap_or_default();
    for height in first..=view.head.height.0 {
        match block_shape(app, view, EnterpriseHeight(height)) {
            Ok(block) => send(Event::new("block", &block)),
            Err(problem) => {
                tracing::error!(%problem, height, "a block cannot be shown");
                0
            }
        };
    }
    for event in state(app, view) {
        send(event);
    }
}

fn state(app: &App, view: &View) -> [Event; 2] {
    let tenants = Event::new("tenants", &tenants_shape(view));
    [Event::new("status", &status_shape(app, view)), tenants]
}

pub(super) async fn events(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Problem> {
    let permit = Arc::clone(&app.streams).try_acquire_owned().map_err(|_| {
        let detail = format!("{} streams are open already", super::STREAMS_MAX);
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-streams", detail)
    })?;
    let live = BroadcastStream::new(app.events.0.subscribe());
    let present = state(&app, &app.handle.view()).map(Arc::new);
    let mut ending = app.ending.clone();
    let ended = async move {
        // An error means that the sender is gone: the validator has ended.
        let _ = ending.wait_for(|ending| *ending).await;
    };
    let live = live.flat_map(move |event| {
        let events = match event {
            Ok(event) => vec![event],
            // Fallen behind: the present state instead.
            Err(_) => state(&app, &app.handle.view()).map(Arc::new).to_vec(),
        };
        stream::iter(events)
    });
    let all = stream::iter(present)
        .chain(live)
        .take_until(ended)
        .map(move |event| {
            let _open = &permit;
            Ok::<_, Infallible>(event.to_sse())
        });
    Ok(sse(all))
}

fn sse<S>(events: S) -> Sse<impl Stream<Item = Result<SseEvent, Infallible>>>
where
    S: Stream<Item = Result<SseEvent, Infallible>> + Send + 'static,
{
    let alive = KeepAlive::new().interval(Duration::from_millis(KEEP_ALIVE_MS));
    Sse::new(events).keep_alive(alive)
}

const PAUSE_MS: u64 = 50;
const KEEP_ALIVE_MS: u64 = 10_000;
const BLOCKS_SHOWN_MAX: u64 = 20;
