//! `/ws`: the driver of one connection.
//!
//! One task reads, parses and hands to the engine, and writes what the engine queued, when [`Pace`] says so. Dead
//! connections are found by ping: silence for a ping interval and a pong timeout ends them. A write that takes longer
//! than the pong timeout ends them too.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api::openapi::Problems;
use api::ws::ErrorCode;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::Fuse;
use futures_util::{FutureExt as _, SinkExt};
use service::{Meter, Problem};
use shared::hash::Hash;
use shared::ids::PeerId;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until, timeout};

use crate::App;
use crate::addresses::Source;
use crate::edge::{self, Held};
use crate::ending::{Ending, Unbegun};
use crate::engine::Engine;
use crate::hub::message::{self, Incoming, MessageError};
use crate::hub::{ConnectionId, Input};
use crate::limits;
use crate::pace::{Due, Pace};
use crate::queue::Orders;
use crate::turns::Turn;

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
    meter: Option<Extension<Meter>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            app.metrics.count_unbegun(Unbegun::NoUpgrade);
            let (status, detail) = (rejection.status(), rejection.body_text());
            return Problem::new(status, "no-upgrade", detail).into_response();
        }
    };
    drop(app.engine.turn().await);
    if !app.origins.allows(&headers) {
        let origin = headers.get(header::ORIGIN);
        tracing::debug!(?origin, "a page of another origin was refused");
        app.metrics.count_unbegun(Unbegun::Origin);
        let detail = "pages of this origin may not connect; allow it with --allow-origin";
        return Problem::new(StatusCode::FORBIDDEN, "origin-not-allowed", detail).into_response();
    }
    let Ok(permit) = Arc::clone(&app.connections).try_acquire_owned() else {
        app.metrics.count_unbegun(Unbegun::Full);
        let detail = "the tracker has as many connections as it may; try again later";
        return Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-connections",
            detail,
        )
        .into_response();
    };
    let held = match app
        .edge
        .connect(source, meter.map(|Extension(meter)| meter))
    {
        Ok(held) => held,
        Err(refusal) => {
            app.metrics.count_unbegun(Unbegun::from(&refusal));
            return edge::refused(refusal);
        }
    };
    let host = app.origins.host(&headers);
    upgrade
        .read_buffer_size(limits::READ_BUFFER_BYTES)
        .write_buffer_size(limits::WRITE_BUFFER_BYTES)
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
    let (connection, orders) =
        app.engine
            .connect(PeerId(Hash(peer)), nonce, host, place.0.creator().clone());
    drop(turn);
    let client = Client {
        engine: &app.engine,
        held: &place.0,
        connection,
    };
    let reason = converse(&mut socket, client, orders).await;
    drop(app.engine.turn().await);
    app.engine.disconnect(connection);
    app.metrics.count_ending(reason);
    tracing::debug!(connection = connection.0, ?reason, "connection ended");
    say_goodbye(&mut socket, reason).await;
    drop(place);
}

/// Who is at the other end.
#[derive(Clone, Copy)]
struct Client<'a> {
    engine: &'a Engine,
    held: &'a Held,
    connection: ConnectionId,
}

async fn say_goodbye(socket: &mut WebSocket, reason: Ending) {
    let frame = CloseFrame {
        code: reason.close_code(),
        reason: Utf8Bytes::from_static(reason.words()),
    };
    let _ = timeout(PONG_TIMEOUT, socket.send(Message::Close(Some(frame)))).await;
}

/// Reads and writes until one side ends it; says why.
async fn converse(socket: &mut WebSocket, client: Client<'_>, mut orders: Orders) -> Ending {
    let mut pace = Pace::new(Instant::now());
    // What was there already when a turn ended, and its place in the queue.
    let mut waiting = None;
    let mut place = std::pin::pin!(Fuse::terminated());
    // One timer, set anew only when what it waits for changes.
    let mut timer = std::pin::pin!(sleep_until(pace.due_at()));
    loop {
        if pace.pause(Instant::now(), orders.pause()) {
            timer.as_mut().reset(pace.due_at());
        }
        let step = tokio::select! {
            received = next(&mut waiting, socket), if pace.reads() || pace.goes_on() => {
                take_turn(received, socket, client, &orders, &mut pace)
            }
            turn = &mut place, if pace.queues() => {
                pace.called();
                let step = match waiting.take_if(|_| pace.goes_on()) {
                    Some(received) => take_turn(received, socket, client, &orders, &mut pace),
                    None => Ok(Step::Handled(None)),
                };
                drop(turn);
                step
            }
            order = orders.next() => order.map(|text| Step::Write(Message::Text(text))),
            () = &mut timer => {
                let due = pace.due(Instant::now());
                timer.as_mut().reset(pace.due_at());
                match due {
                    Due::Nothing => Ok(Step::Handled(None)),
                    // It begins anew with a small buffer; others need the room.
                    Due::Ping if client.held.meter().is_some_and(Meter::crowds) => Err(Ending::Crowded),
                    Due::Ping => Ok(Step::Write(Message::Ping(Vec::new().into()))),
                    Due::End => Err(Ending::Silent),
                }
            }
        };
        match step {
            Ok(Step::Handled(None)) => {}
            Ok(Step::Handled(Some(more))) => {
                waiting = Some(more);
                pace.waits();
                place.set(client.engine.turn().fuse());
            }
            Ok(Step::Write(first)) => {
                let written = std::pin::pin!(write(socket, first, &mut orders));
                if let Err(reason) = meanwhile(place.as_mut(), &mut pace, written).await {
                    return reason;
                }
            }
            Err(reason) => return reason,
        }
    }
}

/// What one round of [`converse`] came to.
enum Step {
    /// Messages were handled; this one waits.
    Handled(Option<Received>),
    /// This is to be written, and what waits behind it.
    Write(Message),
}

/// Does this, which may take long. The turn that comes meanwhile is noted and given back: nobody may hold one while it
/// waits for a client.
async fn meanwhile<'a, T>(
    mut place: Pin<&mut Fuse<impl Future<Output = Turn<'a>>>>,
    pace: &mut Pace,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> T {
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = &mut place, if pace.queues() => pace.called(),
        }
    }
}

type Received = Option<Result<Message, axum::Error>>;

/// The message that waits, else the next one. Cancel safe.
async fn next(waiting: &mut Option<Received>, socket: &mut WebSocket) -> Received {
    match waiting.take() {
        Some(received) => received,
        None => socket.recv().await,
    }
}

/// Handles this message and those behind it until the turn is over; says what is next, or why the connection ends.
fn take_turn(
    received: Received,
    socket: &mut WebSocket,
    client: Client<'_>,
    orders: &Orders,
    pace: &mut Pace,
) -> Result<Step, Ending> {
    pace.begins(Instant::now());
    let mut received = Some(received);
    while let Some(message) = received {
        if let (Some(meter), Some(Ok(message))) = (client.held.meter(), &message) {
            note(meter, message);
        }
        match message {
            Some(Ok(Message::Text(text))) => take_text(client, text),
            Some(Ok(Message::Binary(_))) => refuse_binary(client),
            // The answer to a ping goes out when more is read; how many there are is bounded as messages are.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                let connection = client.connection;
                client.engine.handle(Input::ControlReceived { connection });
            }
            Some(Ok(Message::Close(_))) => return Err(Ending::Closed),
            Some(Err(error)) => return Err(Ending::of_failed_read(&error)),
            None => return Err(Ending::Gone),
        }
        received = socket.recv().now_or_never();
        if !orders.pause().is_zero() || pace.is_over(Instant::now()) {
            break;
        }
    }
    Ok(Step::Handled(received))
}

/// Notes what has come whole. A ping ends no message: it may come between the parts of one.
fn note(meter: &Meter, message: &Message) {
    match message {
        Message::Text(_) | Message::Binary(_) | Message::Close(_) => meter.ends(),
        Message::Ping(payload) | Message::Pong(payload) => {
            meter.passes(payload.len().saturating_add(CONTROL_HEADER_BYTES));
        }
    }
}

fn take_text(client: Client<'_>, text: Utf8Bytes) {
    let bytes = text.len();
    let mut message = message::parse(text.as_str().to_owned());
    if matches!(message, Ok(Incoming::Create(_)))
        && let Err(refusal) = client.held.creator().create()
    {
        let seconds = refusal.retry_after_seconds();
        message = Err(MessageError {
            code: ErrorCode::RateLimited,
            message: format!("{refusal}; try again in {seconds} s"),
        });
    }
    client.engine.handle(Input::Received {
        connection: client.connection,
        message,
        bytes,
    });
}

fn refuse_binary(client: Client<'_>) {
    let message = "messages are text".to_owned();
    let error = MessageError {
        code: ErrorCode::BadMessage,
        message,
    };
    client.engine.handle(Input::Received {
        connection: client.connection,
        message: Err(error),
        bytes: 0,
    });
}

/// Writes this and the texts that wait behind it, with one flush.
async fn write(socket: &mut WebSocket, first: Message, orders: &mut Orders) -> Result<(), Ending> {
    let write = async {
        socket.feed(first).await?;
        for _ in 1..FLUSH_MESSAGES_MAX {
            let Some(text) = orders.next_now() else { break };
            socket.feed(Message::Text(text)).await?;
        }
        socket.flush().await
    };
    match timeout(PONG_TIMEOUT, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Ending::Gone),
        Err(_) => Err(Ending::WriteTimeout),
    }
}

const PONG_TIMEOUT: Duration = Duration::from_millis(limits::PONG_TIMEOUT_MS);
/// The header of a client's control frame (RFC 6455, 5.2): two bytes and the mask.
const CONTROL_HEADER_BYTES: usize = 6;
/// So many texts are written with one flush.
const FLUSH_MESSAGES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::sync::oneshot;

    use super::*;
    use crate::turns::Turns;

    #[tokio::test]
    async fn who_is_written_to_keeps_its_place_and_holds_no_turn_while_it_is() {
        let turns = Turns::of(1);
        let held = turns.next().await;
        let mut pace = Pace::new(Instant::now());
        pace.waits();
        let mut place = pin!(turns.next().fuse());
        // Written to once while another has the only turn.
        meanwhile(place.as_mut(), &mut pace, pin!(tokio::task::yield_now())).await;
        assert!(pace.queues());
        // Somebody comes behind it; then it is written to for long.
        let mut behind = pin!(turns.next());
        assert!(futures_util::poll!(behind.as_mut()).is_pending());
        let (written, writes) = oneshot::channel::<()>();
        let writes = pin!(writes);
        {
            let mut work = pin!(meanwhile(place.as_mut(), &mut pace, writes));
            assert!(futures_util::poll!(work.as_mut()).is_pending());
            drop(held);
            tokio::select! {
                biased;
                _ = behind.as_mut() => {}
                _ = work.as_mut() => panic!("nothing was written yet"),
            }
            drop(written);
            let _ = work.await;
        }
        assert!(pace.goes_on(), "its turn came first");
    }
}
