//! What the three services have in common, so that each behaves alike at its edges.
//!
//! Purpose: the accept loop with its limits ([`serve`], [`serve_with`]), TLS ([`Tls`]), the signal that ends it ([`shutdown_signal`]), the port
//! ([`bind`]), RFC 9457 problem documents ([`Problem`]), response headers ([`security_headers`], [`api_security_headers`]), files that are
//! never half-written ([`atomic_write`]), keys that come again ([`KnownKeys`]), what connections hold of what they sent
//! ([`Meter`]), structured logs ([`init_tracing`]), the limit of open
//! files ([`allow_open_files`]) and the clocks ([`now_ms`], [`steady_ms`]).
//! It holds no decision of any service and no route.

mod alarm;
mod clock;
mod files;
mod headers;
mod json_body;
mod known_keys;
mod logs;
mod meter;
mod open_files;
mod port;
mod problem;
mod server;
mod tls;
mod unstalled;

pub use clock::{SteadyClock, Stopwatch, now_ms, steady_ms};
pub use files::atomic_write;
pub use headers::{api_security_headers, security_headers};
pub use json_body::JsonBody;
pub use known_keys::{KEYS_MAX, KnownKeys};
pub use logs::init_tracing;
pub use meter::{Crowded, FREE_BYTES, Meter, Room};
pub use open_files::{TooFewFiles, allow_open_files};
pub use port::{BindError, bind};
pub use problem::Problem;
pub use server::{
    App, CONNECTIONS_MAX, DRAIN_MS, Door, HANDSHAKE_TIMEOUT_MS, HEADER_TIMEOUT_MS, ServeOptions,
    WRITE_TIMEOUT_MS, serve, serve_with, shutdown_signal,
};
pub use tls::{Tls, TlsError};
