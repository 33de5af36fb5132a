//! The loop that owns the [`View`]: facts and timers in, published snapshots out.

use crate::view::{Input, Output, Snapshot, View};
use service::now_ms;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// The newest snapshot, as value and as the JSON that every page gets.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// The snapshot.
    pub snapshot: Arc<Snapshot>,
    /// The same as JSON, made once for all pages.
    pub json: Arc<str>,
}

impl Published {
    /// Renders `snapshot`.
    #[must_use]
    pub fn of(snapshot: Snapshot) -> Self {
        let json = serde_json::to_string(&snapshot).unwrap_or_else(|error| {
            tracing::error!(%error, "a snapshot could not be written as JSON");
            "{}".to_owned()
        });
        Self {
            snapshot: Arc::new(snapshot),
            json: json.into(),
        }
    }
}

/// Runs until every driver and every page is gone.
pub(crate) async fn run(mut inbox: mpsc::Receiver<Input>, publish: watch::Sender<Published>) {
    let mut view = View::default();
    let mut wake_at = None;
    publish.send_replace(Published::of(view.snapshot(now_ms())));
    loop {
        let input = tokio::select! {
            input = inbox.recv() => match input {
                Some(input) => input,
                None => return,
            },
            () = sleep_until(wake_at) => {
                wake_at = None;
                Input::Woken
            }
        };
        view.handle(now_ms(), input);
        while let Some(output) = view.poll() {
            match output {
                Output::Publish(snapshot) => {
                    publish.send_replace(Published::of(*snapshot));
                }
                Output::WakeAt(at) => wake_at = Some(at),
            }
        }
    }
}

async fn sleep_until(at: Option<u64>) {
    match at {
        Some(at) => tokio::time::sleep(Duration::from_millis(at.saturating_sub(now_ms()))).await,
        None => std::future::pending().await,
    }
}
