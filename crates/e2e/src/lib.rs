//! End-to-end tests and figures: real Chromium, real processes, real sockets, real files.
//!
//! The library holds what both need: [`Service`] starts and ends one of our programs, [`Browser`] is one Chromium
//! profile driven over WebDriver, [`Page`] the app in one tab of it. Nothing here decides whether something is right;
//! the tests in `tests/it` and the figures in `src/bin/bench` do.
//!
//! Every program started here ends with the value that started it, by its process id.
#![expect(
    clippy::disallowed_methods,
    reason = "a driver: deadlines are measured on the machine's clock"
)]

mod browser;
pub mod chain;
mod cluster;
mod page;
mod service;
mod stack;

pub use browser::{Browser, Look, processes_of};
pub use cluster::Cluster;
pub use page::{Page, Tab};
pub use service::{Service, free_port};
pub use stack::{Stack, artifacts_dir, repository_dir};

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// How long a story step may take before it counts as failed; generous, since machines are shared and noisy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Polls `probe` until it gives a value; fails with `what` after [`PATIENCE`].
///
/// # Errors
/// The last error of `probe`, or that `what` did not happen in time.
pub async fn eventually<T>(
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    let mut last = None;
    while start.elapsed() < PATIENCE {
        match probe().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    match last {
        Some(error) => Err(error.context(format!("waited {PATIENCE:?} for: {what}"))),
        None => bail!("waited {PATIENCE:?} for: {what}"),
    }
}
