//! Ties the parts together and ends them together.

use crate::{Config, State, app, engine, source};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Why the dashboard ended before it was told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The listener failed.
    #[error("cannot serve the dashboard: {0}")]
    Serve(#[from] std::io::Error),
    /// The HTTP client could not be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// Serves the dashboard on `listener` until `shutdown` resolves.
///
/// # Errors
/// [`Error`]. A followed service that cannot be reached is no error: the page and `/health` say so.
pub async fn run(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let client = source::client()?;
    let (facts, inbox) = mpsc::channel(INBOX_MAX);
    let (publish, published) = watch::channel(engine::Published::default());
    let (stop, stopped) = watch::channel(false);

    let mut tasks = JoinSet::new();
    tasks.spawn(engine::run(inbox, publish));
    tasks.spawn(source::follow_validator(
        client.clone(),
        config.validator_url.clone(),
        facts.clone(),
    ));
    tasks.spawn(source::ask_tracker(
        client,
        config.tracker_url.clone(),
        facts,
    ));

    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, validator = config.validator_url, tracker = config.tracker_url, "dashboard is up");
    }
    let shutdown = async move {
        shutdown.await;
        stop.send_replace(true);
    };
    service::serve(listener, app(State::new(published, stopped)), shutdown).await?;
    tasks.shutdown().await;
    Ok(())
}

/// Facts on their way to the machine; a driver waits when it is full.
const INBOX_MAX: usize = 64;
