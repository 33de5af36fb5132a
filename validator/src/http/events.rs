//! `GET /api/events`: server-sent events `block`, `status` and `tenants`, the last two also at the start, and `resync`.
//!
//! One task makes each event once for all streams. An event's id names the newest block that the reader knows after it:
//! height and the start of its hash. A reader that comes back with such an id (`Last-Event-ID`) gets the blocks since
//! then, up to [`REPLAY_MAX`]. Whoever missed more, names a block that is not on this chain, or falls behind by
//! [`QUEUE_MAX`] events, is sent `resync` and the present state: it has to ask `/api/blocks` for what it wants of the blocks
//! in between. Silence is broken by a comment every [`KEEP_ALIVE_MS`].

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use api::openapi::Problems;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use futures_util::stream::{self, Stream, StreamExt as _};
use serde::Serialize;
use service::Problem;
use shared::enterprise::EnterpriseHeight;
use shared::hash::Hash;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

use super::blocks::shape;
use super::{App, TRANSACTIONS_SHOWN_MAX, reading, status_shape, tenants_shape};
use crate::store::Head;
use crate::view::View;

/// Events that a stream may be behind.
pub(super) const QUEUE_MAX: usize = 128;
/// Blocks that a reader may have missed to be told each of them.
pub const REPLAY_MAX: u64 = 100;

/// The events of all streams.
#[derive(Clone, Debug)]
pub struct Events(broadcast::Sender<Arc<Event>>);

#[derive(Debug)]
struct Event {
    name: &'static str,
    /// The newest block that a reader knows after it.
    at: Head,
    data: String,
}

impl Event {
    /// An event; none when its content has no JSON.
    fn new(name: &'static str, at: Head, content: &impl Serialize) -> Option<Arc<Self>> {
        match serde_json::to_string(content) {
            Ok(data) => Some(Arc::new(Self { name, at, data })),
            Err(error) => {
                tracing::error!(%error, name, "an event has no JSON");
                None
            }
        }
    }

    /// Whether it tells something to a reader that knows the blocks up to a height.
    fn is_news(&self, known: EnterpriseHeight) -> bool {
        match self.name {
            BLOCK => self.at.height > known,
            _ => self.at.height >= known,
        }
    }

    fn to_sse(&self) -> SseEvent {
        let event = SseEvent::default().event(self.name).data(&self.data);
        event.id(id_of(self.at))
    }
}

/// What an event's id says: the height and the start of the hash.
fn id_of(head: Head) -> String {
    let hash: String = head.hash.to_string().chars().take(ID_DIGITS).collect();
    format!("{}-{hash}", head.height)
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
    // Without a reader an event goes nowhere, which is right.
    let send = |event| app.events.0.send(event).unwrap_or_default();
    match blocks(app, view, shown) {
        Some(blocks) => blocks.into_iter().map(send).sum(),
        None => resync(view, "more blocks were decided at once than are told").map_or(0, send),
    };
    for event in state(app, view) {
        send(event);
    }
}

/// The blocks above a height; none when they are more than [`REPLAY_MAX`] or one cannot be read.
fn blocks(app: &App, view: &View, known: EnterpriseHeight) -> Option<Vec<Arc<Event>>> {
    let head = view.head.height.0;
    if head.saturating_sub(known.0) > REPLAY_MAX {
        return None;
    }
    let mut room = TRANSACTIONS_SHOWN_MAX;
    let mut events = Vec::new();
    for height in known.0.saturating_add(1)..=head {
        let height = EnterpriseHeight(height);
        match shape(&app.store, view, height, &mut room) {
            Ok(shape) => {
                let hash = shape.hash.parse().ok()?;
                events.extend(Event::new(BLOCK, Head { height, hash }, &shape));
            }
            Err(problem) => {
                tracing::error!(%problem, %height, "a block cannot be shown");
                return None;
            }
        }
    }
    Some(events)
}

fn hash_at(app: &App, height: EnterpriseHeight) -> Option<Hash> {
    if height.0 == 0 {
        return Some(app.genesis.hash());
    }
    let base = app.store.base().ok()?;
    if let Some(base) = base.filter(|base| base.height == height) {
        return Some(base.hash);
    }
    Some(app.store.certificate(height).ok()?.block_hash)
}

fn state(app: &App, view: &View) -> Vec<Arc<Event>> {
    let status = Event::new("status", view.head, &status_shape(app, view));
    let tenants = tenants_shape(view).ok();
    let tenants = tenants.and_then(|shape| Event::new("tenants", view.head, &shape));
    status.into_iter().chain(tenants).collect()
}

/// `resync`: blocks are left out, ask for what you want of them.
#[derive(Debug, Serialize)]
struct Resync {
    height: u64,
    reason: &'static str,
}

fn resync(view: &View, reason: &'static str) -> Option<Arc<Event>> {
    let height = view.head.height.0;
    Event::new("resync", view.head, &Resync { height, reason })
}

/// What a reader is told first: what it missed since the block that it names, and the present state.
fn beginning(app: &App, view: &View, last: Option<&str>) -> Vec<Arc<Event>> {
    let missed = last.map(|last| {
        let known = known(app, view, last).ok_or("the last event is not of this chain")?;
        blocks(app, view, known).ok_or("more blocks were missed than are told")
    });
    let mut events = match missed {
        None => Vec::new(),
        Some(Ok(blocks)) => blocks,
        Some(Err(reason)) => resync(view, reason).into_iter().collect(),
    };
    events.extend(state(app, view));
    events
}

/// The height that a reader knows, if the id that it gives is of this chain; the height alone is taken as well.
fn known(app: &App, view: &View, id: &str) -> Option<EnterpriseHeight> {
    let (height, prefix) = id.split_once('-').unwrap_or((id, ""));
    let height = EnterpriseHeight(height.parse().ok()?);
    if height > view.head.height {
        return None;
    }
    let hash = hash_at(app, height)?;
    hash.to_string().starts_with(prefix).then_some(height)
}

/// What a reader that knows the blocks up to `known` is told of a live event.
fn live(
    app: &App,
    known: &mut EnterpriseHeight,
    event: Result<Arc<Event>, BroadcastStreamRecvError>,
) -> Vec<Arc<Event>> {
    match event {
        Ok(event) if event.is_news(*known) => {
            *known = event.at.height;
            vec![event]
        }
        Ok(_) => Vec::new(),
        Err(BroadcastStreamRecvError::Lagged(_)) => {
            let view = app.handle.view();
            *known = view.head.height;
            let resync = resync(&view, "the stream fell behind");
            resync.into_iter().chain(state(app, &view)).collect()
        }
    }
}

/// The stream of decisions; resumes after `Last-Event-ID`.
#[utoipa::path(
    get,
    path = "/api/events",
    tag = "chain",
    params(("last-event-id" = Option<String>, Header, description = "The id of the last event known")),
    responses((status = 200, description = "Events `status`, `tenants`, `block`, `resync`", body = String, content_type = "text/event-stream"), Problems),
)]
pub(super) async fn events(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let permit = Arc::clone(&app.streams).try_acquire_owned().map_err(|_| {
        let detail = format!("{} streams are open already", super::STREAMS_MAX);
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-streams", detail)
    })?;
    // Before the picture is taken, so that nothing is missed in between; what is told twice is left out by its height.
    let told = BroadcastStream::new(app.events.0.subscribe());
    let last = headers.get("last-event-id");
    // Bytes that are no text are no id of ours either.
    let last = last.map(|last| last.to_str().unwrap_or_default().to_owned());
    let reader = Arc::clone(&app);
    let (first, mut known) = reading(move || {
        let view = reader.handle.view();
        let first = beginning(&reader, &view, last.as_deref());
        Ok((first, view.head.height))
    })
    .await?;
    let mut ending = app.ending.clone();
    let ended = async move {
        // An error means that the sender is gone: the validator has ended.
        let _ = ending.wait_for(|ending| *ending).await;
    };
    let told = told.flat_map(move |event| stream::iter(live(&app, &mut known, event)));
    let all = stream::iter(first)
        .chain(told)
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

const BLOCK: &str = "block";
const ID_DIGITS: usize = 8;
const PAUSE_MS: u64 = 50;
/// The longest silence of a stream.
pub const KEEP_ALIVE_MS: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_has_a_heartbeat() {
        let mut body = sse(stream::pending()).into_response().into_body();
        let started = tokio::time::Instant::now();
        for beat in 1..=3 {
            let frame = body.frame().await.unwrap().unwrap();
            let bytes = frame.into_data().unwrap();
            assert!(bytes.starts_with(b":"), "{bytes:?} is no comment");
            let wanted = Duration::from_millis(KEEP_ALIVE_MS * beat);
            assert!(started.elapsed() >= wanted);
            assert!(started.elapsed() < wanted + Duration::from_secs(1));
        }
    }

    #[test]
    fn a_reader_is_told_a_block_once_and_never_an_older_state() {
        let event = |name, height| Event {
            name,
            at: Head {
                height: EnterpriseHeight(height),
                hash: Hash::ZERO,
            },
            data: String::new(),
        };
        let known = EnterpriseHeight(7);
        assert!(!event(BLOCK, 7).is_news(known));
        assert!(event(BLOCK, 8).is_news(known));
        assert!(!event("status", 6).is_news(known));
        assert!(event("status", 7).is_news(known));
    }
}
