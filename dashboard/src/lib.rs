//! The dashboard: follows a validator and the tracker and pushes what it sees to every open page.
//!
//! Purpose: one page that shows the enterprise chain's height and tip, the tenants with their counts and recent
//! messages, the newest enterprise blocks and how the services are, within a second of each change.
//!
//! What it does not do: it verifies nothing and decides nothing. It shows what the validator it follows says, and says
//! so when that validator or the tracker cannot be reached; what it last saw stays on the page, marked as old.
//!
//! Shape: [`view`] is the pure machine that merges facts into snapshots. `source` has one driver for each service it
//! follows, `engine` owns the machine, `app` is the HTTP side.
//!
//! Limits: see [`limits`].

mod app;
mod config;
mod engine;
pub mod limits;
mod run;
mod source;
pub mod sse;
pub mod view;

pub use app::{State, app};
pub use config::Config;
pub use engine::Published;
pub use run::{Error, run};
