//! Asks the tracker for its networks and its health, over and over.

use super::get;
use crate::limits::TRACKER_INTERVAL_MS;
use crate::view::{Input, Source};
use std::time::Duration;
use tokio::sync::mpsc;

/// Asks until the engine is gone.
pub(crate) async fn ask_tracker(client: reqwest::Client, url: String, facts: mpsc::Sender<Input>) {
    let url = url.trim_end_matches('/');
    loop {
        let input = ask(&client, url)
            .await
            .unwrap_or_else(|reason| Input::SourceLost {
                source: Source::Tracker,
                reason,
            });
        if facts.send(input).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(TRACKER_INTERVAL_MS)).await;
    }
}

async fn ask(client: &reqwest::Client, url: &str) -> Result<Input, String> {
    let health = get(client, &format!("{url}/health")).await?;
    let networks = get(client, &format!("{url}/api/network-list")).await?;
    Ok(Input::TrackerAnswered { networks, health })
}
