//! Follows a validator's event stream; asks for everything at the start of each connection.

use super::{get, in_words};
use crate::limits::{
    BLOCKS_MAX, REQUEST_TIMEOUT_MS, RETRY_MAX_MS, RETRY_MIN_MS, STREAM_SILENCE_MS,
};
use crate::sse::{Event, Reader};
use crate::view::{Change, Input, Source, Synced};
use futures_util::StreamExt as _;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Follows until the engine is gone; a lost connection is made anew, with growing pauses.
pub(crate) async fn follow_validator(
    client: reqwest::Client,
    url: String,
    facts: mpsc::Sender<Input>,
) {
    let url = url.trim_end_matches('/');
    let mut pause_ms = RETRY_MIN_MS;
    loop {
        let connection = match connect(&client, url).await {
            Ok((response, synced)) => {
                pause_ms = RETRY_MIN_MS;
                let synced = Input::ValidatorSynced(Box::new(synced));
                match facts.send(synced).await {
                    Ok(()) => follow(response, &client, url, &facts).await,
                    Err(_) => Err(Ended::EngineGone),
                }
            }
            Err(reason) => Err(Ended::Lost(reason)),
        };
        let reason = match connection {
            Ok(()) => "the validator ended the stream".to_owned(),
            Err(Ended::Lost(reason)) => reason,
            Err(Ended::EngineGone) => return,
        };
        tracing::debug!(reason, "validator lost");
        let lost = Input::SourceLost {
            source: Source::Validator,
            reason,
        };
        if facts.send(lost).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        pause_ms = pause_ms.saturating_mul(2).min(RETRY_MAX_MS);
    }
}

enum Ended {
    Lost(String),
    EngineGone,
}

/// Opens the stream first and asks then, so that nothing that happens in between is missed.
async fn connect(
    client: &reqwest::Client,
    url: &str,
) -> Result<(reqwest::Response, Synced), String> {
    let request = client.get(format!("{url}/api/events")).send();
    let response = timeout(Duration::from_millis(REQUEST_TIMEOUT_MS), request)
        .await
        .map_err(|_| "no answer in time".to_owned())?
        .and_then(reqwest::Response::error_for_status)
        .map_err(|error| in_words(&error))?;
    Ok((response, ask(client, url).await?))
}

/// Asks for everything.
async fn ask(client: &reqwest::Client, url: &str) -> Result<Synced, String> {
    Ok(Synced {
        status: get(client, &format!("{url}/api/status")).await?,
        tenants: get(client, &format!("{url}/api/tenants")).await?,
        blocks: get(client, &format!("{url}/api/blocks?limit={BLOCKS_MAX}")).await?,
    })
}

async fn follow(
    response: reqwest::Response,
    client: &reqwest::Client,
    url: &str,
    facts: &mpsc::Sender<Input>,
) -> Result<(), Ended> {
    let mut reader = Reader::default();
    let mut stream = response.bytes_stream();
    let silence = Duration::from_millis(STREAM_SILENCE_MS);
    loop {
        let bytes = match timeout(silence, stream.next()).await {
            Ok(Some(Ok(bytes))) => bytes,
            Ok(Some(Err(error))) => return Err(Ended::Lost(in_words(&error))),
            Ok(None) => return Ok(()),
            Err(_) => return Err(Ended::Lost("the validator fell silent".to_owned())),
        };
        let events = reader
            .push(&bytes)
            .map_err(|error| Ended::Lost(error.to_string()))?;
        // Blocks were left out: what follows in these events is in the answers as well.
        if events.iter().any(|event| event.name == "resync") {
            let synced = ask(client, url).await.map_err(Ended::Lost)?;
            let sent = facts.send(Input::ValidatorSynced(Box::new(synced))).await;
            sent.map_err(|_| Ended::EngineGone)?;
            continue;
        }
        for event in events {
            let Some(change) = change_of(&event).map_err(Ended::Lost)? else {
                continue;
            };
            let sent = facts.send(Input::ValidatorChanged(change)).await;
            sent.map_err(|_| Ended::EngineGone)?;
        }
    }
}

/// Events of other names are the validator's future and skipped.
fn change_of(event: &Event) -> Result<Option<Change>, String> {
    let change = match event.name.as_str() {
        "status" => {
            serde_json::from_str(&event.data).map(|status| Change::Status(Box::new(status)))
        }
        "tenants" => serde_json::from_str(&event.data).map(Change::Tenants),
        "block" => serde_json::from_str(&event.data).map(|block| Change::Block(Box::new(block))),
        _ => return Ok(None),
    };
    change
        .map(Some)
        .map_err(|error| format!("the event `{}` cannot be read: {error}", event.name))
}
