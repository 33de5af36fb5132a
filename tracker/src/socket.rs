//! `/ws`: the driver of one connection.
//!
//! One task reads, parses and hands to the engine, and writes what the engine queued. Dead connections are found by
//! ping: silence for a ping interval and a pong timeout ends them. A write that takes longer than the pong timeout
//! ends them too.

use std::sync::Arc;
use std::time::Duration;

use api::openapi::Problems;
use api::ws::ErrorCode;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{FutureExt as _, SinkExt};
use service::Problem;
use shared::hash::Hash;
use shared::ids::PeerId;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until, timeout};

use crate::App;
use crate::addresses::Source;
use crate::edge::{self, Held};
use crate::engine::{Engine, Orders, STOPPING, Turn};
use crate::hub::message::{self, MessageError};
use crate::hub::{ConnectionId, Input};
use crate::limits;

/// The WebSocket, described by `GET /api/asyncapi.json`: taken if the page's origin may connect and there is room.
#[utoipa::path(
    get,
    path = "/ws",
    tag = "websocket",
    responses((status = 101, description = "The connection is a WebSocket from here on"), Problems),
)]
pub(crate) async fn upgrade(
    State(app): State<Arc<App>>,
    Extension(source): Extension<Source>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            let (status, detail) = (rejection.status(), rejection.body_text());
            return Problem::new(status, "no-upgrade", detail).into_response();
        }
    };
    drop(app.engine.turn().await);
    if !app.origins.allows(&headers) {
        let origin = headers
            .get(header::ORIGIN)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("?");
        tracing::info!(origin, "a page of another origin was refused");
        let detail = "pages of this origin may not connect; allow it with --allow-origin";
        return Problem::new(StatusCode::FORBIDDEN, "origin-not-allowed", detail).into_response();
    }
    let Ok(permit) = Arc::clone(&app.connections).try_acquire_owned() else {
        let detail = "the tracker has as many connections as it may; try again later";
        return Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-connections",
            detail,
        )
        .into_response();
    };
    let held = match app.edge.connect(source) {
        Ok(held) => held,
        Err(refusal) => return edge::refused(refusal),
    };
    let host = app.origins.host(&headers);
    upgrade
        .read_buffer_size(limits::READ_BUFFER_BYTES)
        .max_message_size(limits::UPDATE_BYTES_MAX)
        .max_frame_size(limits::UPDATE_BYTES_MAX)
        .on_upgrade(move |socket| serve(socket, app, host, (held, permit)))
}

async fn serve(
    mut socket: WebSocket,
    app: Arc<App>,
    host: Arc<str>,
    place: (Held, OwnedSemaphorePermit),
) {
    let mut random = [[0; 32]; 2];
    if getrandom::fill(random.as_flattened_mut()).is_err() {
        return tracing::error!("no randomness: a connection was refused");
    }
    let [peer, nonce] = random;
    let turn = app.engine.turn().await;
    let (connection, orders) = app.engine.connect(PeerId(Hash(peer)), nonce, host);
    drop(turn);
    let reason = converse(&mut socket, &app.engine, connection, orders).await;
    drop(app.engine.turn().await);
    app.engine.disconnect(connection);
    tracing::debug!(connection = connection.0, reason, "connection ended");
    say_goodbye(&mut socket, reason).await;
    drop(place);
}

async fn say_goodbye(socket: &mut WebSocket, reason: &'static str) {
    let code = if reason == STOPPING {
        close_code::AWAY
    } else {
        close_code::POLICY
    };
    let frame = CloseFrame {
        code,
        reason: Utf8Bytes::from_static(reason),
    };
    let _ = timeout(PONG_TIMEOUT, socket.send(Message::Close(Some(frame)))).await;
}

/// Reads and writes until one side ends it; says why.
async fn converse(
    socket: &mut WebSocket,
    engine: &Engine,
    connection: ConnectionId,
    mut orders: Orders,
) -> &'static str {
    let mut clock = Clock::new();
    // What was there already when a turn ended.
    let mut waiting = None;
    // One timer, set anew only when what it waits for changes.
    let mut timer = std::pin::pin!(sleep_until(clock.next()));
    loop {
        if clock.pause(orders.pause()) {
            timer.as_mut().reset(clock.next());
        }
        let ended = tokio::select! {
            (received, turn) = next(&mut waiting, socket, engine), if !clock.is_paused() => {
                clock.heard_at = Instant::now();
                let first = (received, clock.heard_at);
                let ended = take_turn(first, socket, engine, (connection, &orders));
                drop(turn);
                ended.map(|more| waiting = more)
            }
            order = orders.next() => match order {
                Ok(text) => write(socket, text, &mut orders).await,
                Err(reason) => Err(reason),
            },
            () = &mut timer => {
                let ended = clock.ring(socket).await;
                timer.as_mut().reset(clock.next());
                ended
            }
        };
        if let Err(reason) = ended {
            return reason;
        }
    }
}

/// When something is due on a connection by itself.
struct Clock {
    heard_at: Instant,
    ping_at: Instant,
    /// Nothing is read before then.
    resume_at: Option<Instant>,
}

impl Clock {
    fn new() -> Self {
        let heard_at = Instant::now();
        Self {
            heard_at,
            ping_at: heard_at + PING_INTERVAL,
            resume_at: None,
        }
    }

    fn next(&self) -> Instant {
        self.resume_at
            .map_or(self.ping_at, |at| at.min(self.ping_at))
    }

    fn is_paused(&self) -> bool {
        self.resume_at.is_some()
    }

    /// Pauses if it is to and does not yet.
    fn pause(&mut self, pause: Duration) -> bool {
        let is_new = !pause.is_zero() && !self.is_paused();
        if is_new {
            self.resume_at = Some(Instant::now() + pause);
        }
        is_new
    }

    /// Does what is due; says why the connection is to end, if it is.
    async fn ring(&mut self, socket: &mut WebSocket) -> Result<(), &'static str> {
        let now = Instant::now();
        self.resume_at = self.resume_at.filter(|at| *at > now);
        if self.ping_at > now {
            return Ok(());
        }
        self.ping_at = now + PING_INTERVAL;
        if self.heard_at.elapsed() > PING_INTERVAL + PONG_TIMEOUT {
            return Err("silent");
        }
        let ping = socket.send(Message::Ping(Vec::new().into()));
        match timeout(PONG_TIMEOUT, ping).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err("too slow"),
        }
    }
}

type Received = Option<Result<Message, axum::Error>>;

/// The next message. Connections on which more waited when their turn ended come one after the other, each behind all that have
/// something to do for the first time.
async fn next<'a>(
    waiting: &mut Option<Received>,
    socket: &mut WebSocket,
    engine: &'a Engine,
) -> (Received, Option<Turn<'a>>) {
    if waiting.is_some() {
        let turn = engine.turn().await;
        if let Some(received) = waiting.take() {
            return (received, Some(turn));
        }
    }
    (socket.recv().await, None)
}

/// Handles this message and those behind it until the turn is over; gives back what waits then, or why the connection ends.
fn take_turn(
    (received, began): (Received, Instant),
    socket: &mut WebSocket,
    engine: &Engine,
    (connection, orders): (ConnectionId, &Orders),
) -> Result<Option<Received>, &'static str> {
    let mut received = Some(received);
    while let Some(message) = received {
        match message {
            Some(Ok(Message::Text(text))) => take_text(engine, connection, text),
            Some(Ok(Message::Binary(_))) => refuse_binary(engine, connection),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_))) => return Err("closed by the client"),
            Some(Err(_)) | None => return Err("gone"),
        }
        received = socket.recv().now_or_never();
        if !orders.pause().is_zero() || began.elapsed() >= TURN {
            break;
        }
    }
    Ok(received)
}

fn take_text(engine: &Engine, connection: ConnectionId, text: Utf8Bytes) {
    let bytes = text.len();
    let message = message::parse(text.as_str().to_owned());
    engine.handle(Input::Received {
        connection,
        message,
        bytes,
    });
}

fn refuse_binary(engine: &Engine, connection: ConnectionId) {
    let message = "messages are text".to_owned();
    let error = MessageError {
        code: ErrorCode::BadMessage,
        message,
    };
    engine.handle(Input::Received {
        connection,
        message: Err(error),
        bytes: 0,
    });
}

/// Writes this text and those that wait behind it, with one flush.
async fn write(
    socket: &mut WebSocket,
    first: Utf8Bytes,
    orders: &mut Orders,
) -> Result<(), &'static str> {
    let write = async {
        socket.feed(Message::Text(first)).await?;
        for _ in 1..FLUSH_MESSAGES_MAX {
            let Some(text) = orders.next_now() else { break };
            socket.feed(Message::Text(text)).await?;
        }
        socket.flush().await
    };
    match timeout(PONG_TIMEOUT, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err("too slow"),
    }
}

const PING_INTERVAL: Duration = Duration::from_millis(limits::PING_INTERVAL_MS);
const PONG_TIMEOUT: Duration = Duration::from_millis(limits::PONG_TIMEOUT_MS);
/// How long one connection's messages are handled before others have their turn: short ones that came together go on
/// together, in one write.
const TURN: Duration = Duration::from_micros(25);
/// So many texts are written with one flush.
const FLUSH_MESSAGES_MAX: usize = 64;
