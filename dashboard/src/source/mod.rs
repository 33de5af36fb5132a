//! The drivers that follow the validator and ask the tracker. They judge nothing: what they get becomes an [`Input`](crate::view::Input).

mod tracker;
mod validator;

pub(crate) use tracker::ask_tracker;
pub(crate) use validator::follow_validator;

use crate::limits::REQUEST_TIMEOUT_MS;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The HTTP client that both drivers use.
///
/// # Errors
/// When the system offers no way to make one.
pub(crate) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_millis(REQUEST_TIMEOUT_MS))
        .tcp_nodelay(true)
        .no_proxy()
        .build()
}

/// `GET url` as JSON; an error in words for people.
async fn get<T: DeserializeOwned>(client: &reqwest::Client, url: &str) -> Result<T, String> {
    let request = client
        .get(url)
        .timeout(Duration::from_millis(REQUEST_TIMEOUT_MS));
    let response = request.send().await.map_err(|error| in_words(&error))?;
    // A service that judges itself unhealthy says so with a 5xx and the same body.
    response
        .json()
        .await
        .map_err(|error| format!("an answer that cannot be read: {}", in_words(&error)))
}

/// The innermost cause, which says "connection refused" where the outer ones say "error sending request".
fn in_words(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
