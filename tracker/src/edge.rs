//! The driver of [`addresses`](crate::addresses): one lock around the machine, and what is handed out and comes back.
//!
//! It also gives each address its share of what connections hold of what they sent ([`service::Meter`]).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use service::{Meter, Problem, Room};
use shared::ids::TimestampMs;

use crate::App;
use crate::addresses::proxy::{self, TrustedProxy};
use crate::addresses::{Addresses, Allowance, Input, Refusal, Refused, Source};
use crate::limits;

/// See the module's text.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    addresses: Arc<Mutex<Addresses>>,
    proxies: Arc<[TrustedProxy]>,
    /// What all connections hold of what they sent.
    room: Arc<Room>,
    /// The same of each address that has something open; none if addresses have no limits.
    shares: Option<Arc<Mutex<Shares>>>,
}

type Shares = BTreeMap<Source, Weak<Room>>;

/// What an address holds until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    creator: Creator,
    end: Input,
    /// What its connection holds of what it sent, where that is bounded.
    meter: Option<Meter>,
}

/// Whose address is charged with the networks that it wants registered.
#[derive(Clone, Debug)]
pub(crate) struct Creator {
    edge: Edge,
    source: Source,
}

impl Creator {
    /// The address.
    pub(crate) const fn source(&self) -> Source {
        self.source
    }

    /// Counts a network that its address wants registered.
    pub(crate) fn create(&self) -> Result<(), Refusal> {
        self.edge.handle(self.source, Input::Created)
    }

    /// Takes it back that its address wanted a network registered.
    pub(crate) fn give_back(&self) {
        // Giving back is never refused.
        let _ = self.edge.handle(self.source, Input::NotCreated);
    }
}

impl Held {
    /// Who is charged with the networks that its connection wants registered.
    pub(crate) fn creator(&self) -> &Creator {
        &self.creator
    }

    /// What its connection holds of what it sent, where that is bounded.
    pub(crate) fn meter(&self) -> Option<&Meter> {
        self.meter.as_ref()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Creator { edge, source } = &self.creator;
        // Giving back is never refused.
        let _ = edge.handle(*source, self.end);
    }
}

impl Edge {
    pub(crate) fn new(allowance: Allowance, proxies: &[TrustedProxy]) -> Self {
        Self {
            addresses: Arc::new(Mutex::new(Addresses::new(allowance))),
            proxies: proxies.into(),
            room: Arc::new(Room::of(limits::READING_BYTES_MAX)),
            shares: (allowance.connections_max > 0).then(Arc::default),
        }
    }

    /// What all connections hold of what they sent.
    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Counts a connection to `/ws` in.
    pub(crate) fn connect(&self, source: Source, meter: Option<Meter>) -> Result<Held, Refusal> {
        let mut held = self.hold(source, Input::Connected, Input::Disconnected)?;
        held.meter = meter;
        Ok(held)
    }

    /// How many addresses are remembered, and how often each limit refused.
    pub(crate) fn figures(&self) -> (usize, Refused) {
        let addresses = self.lock();
        (addresses.len(), addresses.refused())
    }

    fn hold(&self, source: Source, begin: Input, end: Input) -> Result<Held, Refusal> {
        self.handle(source, begin)?;
        let edge = self.clone();
        Ok(Held {
            creator: Creator { edge, source },
            end,
            meter: None,
        })
    }

    fn handle(&self, source: Source, input: Input) -> Result<(), Refusal> {
        let now = TimestampMs(service::steady_ms());
        let verdict = self.lock().handle(now, source, input);
        if let Err(refusal) = &verdict {
            tracing::debug!(%source, %refusal, "an address was refused");
        }
        verdict
    }

    fn lock(&self) -> MutexGuard<'_, Addresses> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The share of an address of what connections hold.
    fn share(&self, source: Source) -> Option<Arc<Room>> {
        let shares = self.shares.as_ref()?;
        let mut shares = shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&source).and_then(Weak::upgrade) {
            return Some(share);
        }
        if shares.len() >= limits::ADDRESSES_MAX {
            shares.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(Room::of(limits::ADDRESS_READING_BYTES_MAX));
        shares.insert(source, Arc::downgrade(&share));
        Some(share)
    }

    fn source_of(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Source {
        let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let peer = peer.map_or(unknown, |peer| peer.ip());
        Source::of(proxy::client_of(&self.proxies, peer, headers))
    }
}

impl service::Door for Edge {
    fn enter(&self, peer: SocketAddr) -> Option<Box<dyn Send>> {
        if proxy::is_trusted(&self.proxies, peer.ip()) {
            // Many clients come by it; they are counted by their requests.
            return Some(Box::new(()));
        }
        let held = self.hold(Source::of(peer.ip()), Input::Accepted, Input::Released);
        held.ok().map(|held| Box::new(held) as Box<dyn Send>)
    }
}

/// Finds out where a request comes from, notes it as [`Source`], and lets it through if that address may.
pub(crate) async fn charge(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let source = app
        .edge
        .source_of(peer.map(|ConnectInfo(peer)| *peer), request.headers());
    if let Err(refusal) = app.edge.handle(source, Input::Requested) {
        return refused(refusal);
    }
    if let Some(meter) = request.extensions().get::<Meter>() {
        if let Some(share) = app.edge.share(source) {
            meter.belongs_to(share);
        }
        if !meter.allows(announced(request.headers())) {
            return crowded();
        }
    }
    request.extensions_mut().insert(source);
    next.run(request).await
}

/// How long the body of a request says it is, as far as one may be.
fn announced(headers: &HeaderMap) -> usize {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or(0).min(limits::BODY_BYTES_MAX)
}

/// The answer to a body for which there is no room now.
fn crowded() -> Response {
    let detail = format!("{}, after {CROWDED_RETRY_SECONDS} s", service::Crowded);
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "crowded", detail);
    let problem = problem.with("retry_after_seconds", CROWDED_RETRY_SECONDS);
    let mut response = problem.into_response();
    let seconds = HeaderValue::from(CROWDED_RETRY_SECONDS);
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}

/// The answer to a refused address.
pub(crate) fn refused(refusal: Refusal) -> Response {
    let seconds = refusal.retry_after_seconds();
    let detail = format!("{refusal}; try again in {seconds} s");
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", detail);
    let mut response = problem.with("retry_after_seconds", seconds).into_response();
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// When who was told to come later may try again, in s.
const CROWDED_RETRY_SECONDS: u64 = 10;
