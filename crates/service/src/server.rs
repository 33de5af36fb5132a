//! The accept loop. `axum::serve` keeps connections that never send a request; this one has timeouts and a cap.
//!
//! A service may put a [`Door`] before it, which sees the address of each connection before anything is read from it,
//! and [`Tls`]: then a handshake has to end within [`HANDSHAKE_TIMEOUT_MS`].
//!
//! Limits: [`CONNECTIONS_MAX`] open connections (more wait in the kernel's backlog until one closes; an upgraded one is
//! its service's own to count), a request's
//! header within [`HEADER_TIMEOUT_MS`] (also between two requests of a kept connection), and after the shutdown
//! signal [`DRAIN_MS`] for running requests. Event streams and WebSockets should end by the service's own shutdown
//! signal; those that do not are cut at the deadline. A write that takes nothing for [`WRITE_TIMEOUT_MS`] ends its connection.
//! A header, and what is read ahead of a request, has [`FREE_BYTES`]; body limits are layers of the routes. What all connections hold of what
//! they sent is bounded if the service says by how much ([`ServeOptions::room`], [`Meter`]).

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::Service;
use tower::util::{MapRequest, MapResponse};

use crate::alarm::Alarm;
use crate::meter::{FREE_BYTES, Meter, Room};
use crate::tls::Tls;
use crate::unstalled::Unstalled;

/// Connections served at once; further ones wait in the kernel's backlog.
pub const CONNECTIONS_MAX: usize = 4096;
/// A connection that has not sent a whole request header within this time is closed.
pub const HEADER_TIMEOUT_MS: u64 = 10_000;
/// A request's header may be so long; so much is read ahead, too, which is what a connection may always hold.
const HEADER_BYTES_MAX: usize = FREE_BYTES;
/// A connection whose peer takes nothing of an answer for this long is closed.
pub const WRITE_TIMEOUT_MS: u64 = 30_000;
/// A TLS handshake may take this long.
pub const HANDSHAKE_TIMEOUT_MS: u64 = 5_000;
/// Running requests get this long to end after the shutdown signal.
pub const DRAIN_MS: u64 = 5_000;

/// What is served: a router, or one with [`security_headers`](crate::security_headers).
pub trait App:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> App for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// Decides about connections by the address they come from, before anything is read.
pub trait Door: std::fmt::Debug + Send + Sync {
    /// Lets a connection in, or closes it. What is returned is dropped when the connection ends or is upgraded.
    fn enter(&self, peer: SocketAddr) -> Option<Box<dyn Send>>;
}

/// How a service's port differs from a plain one.
#[derive(Clone, Debug, Default)]
pub struct ServeOptions {
    /// The certificate to serve with; none: plain HTTP.
    pub tls: Option<Tls>,
    /// Who decides which addresses may connect; none: all may.
    pub door: Option<Arc<dyn Door>>,
    /// What all connections may hold of what they sent, beside [`FREE_BYTES`] each; none: without a bound.
    pub room: Option<Arc<Room>>,
}

/// Serves `app` on `listener` until `shutdown` resolves, then lets running requests end.
///
/// Handlers can extract `ConnectInfo<SocketAddr>`. Upgrades (WebSocket) work.
///
/// # Errors
/// When the listener itself fails. A failing connection is logged and ends alone.
pub async fn serve(
    listener: TcpListener,
    app: impl App,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    serve_with(listener, app, ServeOptions::default(), shutdown).await
}

/// The same with a certificate, a door, or both.
///
/// # Errors
/// When the listener itself fails. A failing connection is logged and ends alone.
pub async fn serve_with(
    listener: TcpListener,
    app: impl App,
    options: ServeOptions,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &permits) => accepted?,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let (stream, address, permit) = accepted;
        let pass = match options.door.as_deref().map(|door| door.enter(address)) {
            Some(None) => continue,
            Some(Some(pass)) => Some(pass),
            None => None,
        };
        let (app, tls) = (app.clone(), options.tls.clone());
        let client = Client {
            address,
            meter: options.room.clone().map(Meter::new),
        };
        let stopped = stopped.clone();
        connections.spawn(async move {
            let _pass = pass;
            if let Err(error) = serve_stream(stream, client, tls, app, stopped).await {
                tracing::debug!(%address, error, "connection ended");
            }
            drop(permit);
        });
        // Those that come are not all that is looked after: what ended is let go.
        while connections.try_join_next().is_some() {}
        // Whoever comes in crowds waits for those who are here, not they for all of the crowd.
        tokio::task::yield_now().await;
    }
    drop(listener);
    drop(stop);
    let drain = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_millis(DRAIN_MS), drain)
        .await
        .is_err()
    {
        tracing::warn!(
            open = connections.len(),
            "connections were cut at the drain deadline"
        );
    }
    connections.shutdown().await;
    Ok(())
}

/// Who is at the other end, and what it may send.
struct Client {
    address: SocketAddr,
    meter: Option<Meter>,
}

async fn serve_stream(
    stream: TcpStream,
    client: Client,
    tls: Option<Tls>,
    app: impl App,
    mut stopped: watch::Receiver<()>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Some(tls) = tls else {
        return Ok(serve_connection(stream, client, app, stopped).await?);
    };
    let handshake = tokio::time::timeout(
        Duration::from_millis(HANDSHAKE_TIMEOUT_MS),
        tls.acceptor().accept(stream),
    );
    let stream = tokio::select! {
        shaken = handshake => shaken??,
        _ = stopped.changed() => return Ok(()),
    };
    Ok(serve_connection(stream, client, app, stopped).await?)
}

/// Serves one connection; when `stopped` closes, the running request is its last.
async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    client: Client,
    app: impl App,
    mut stopped: watch::Receiver<()>,
) -> Result<(), hyper::Error> {
    let Client { address, meter } = client;
    let metered = meter.clone();
    // Not a layer of the router: that would rebuild every route for every connection.
    let app = MapRequest::new(app, move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(address));
        if let Some(meter) = &metered {
            request.extensions_mut().insert(meter.clone());
        }
        request
    });
    let answered = meter.clone();
    let app = MapResponse::new(app, move |response: Response| {
        if let Some(meter) = &answered {
            meter.clears();
        }
        response
    });
    let connection = http1::Builder::new()
        .timer(Alarm::default())
        .header_read_timeout(Duration::from_millis(HEADER_TIMEOUT_MS))
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(
            TokioIo::new(Unstalled::new(stream, meter)),
            TowerToHyperService::new(app),
        )
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                stream
                    .set_nodelay(true)
                    .unwrap_or_else(|error| tracing::debug!(%error, "no TCP_NODELAY"));
                return Ok((stream, address, permit));
            }
            // The peer went away before it was accepted.
            Err(error) if is_of_one_connection(&error) => {}
            // Out of file descriptors or memory: wait for connections to close instead of spinning.
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// Resolves at Ctrl-C (SIGINT) or SIGTERM.
pub async fn shutdown_signal() {
    let interrupt = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "cannot listen for Ctrl-C");
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupt => {}
        () = terminated() => {}
    }
    tracing::info!("stopping");
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(error) => {
            tracing::error!(%error, "cannot listen for SIGTERM");
            std::future::pending().await
        }
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}
