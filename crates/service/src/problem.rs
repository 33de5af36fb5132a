//! Errors as RFC 9457 problem documents.
//!
//! `type` is `/problems/<slug>`: stable, for programs; `detail` is for people. Internals belong in the log, never
//! in a `detail`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// One RFC 9457 problem document, answered as `application/problem+json` with its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `/problems/<slug>`: what kind of problem, stable between releases.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The status' standard phrase.
    pub title: Cow<'static, str>,
    /// The HTTP status code, 400 to 599.
    pub status: u16,
    /// What happened, for a person, with what was found and what is allowed.
    pub detail: String,
    /// Further members, for programs.
    #[serde(flatten)]
    pub extensions: BTreeMap<String, Value>,
}

impl Problem {
    /// A problem of the kind `slug` (lower case and hyphens) answered with `status`.
    pub fn new(status: StatusCode, slug: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/problems/{slug}").into(),
            title: status.canonical_reason().unwrap_or("Error").into(),
            status: status.as_u16(),
            detail: detail.into(),
            extensions: BTreeMap::new(),
        }
    }

    /// Adds the extension member `name` (RFC 9457 §3.2), which must not be one of the four standard ones.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// The kind's last part, as [`Problem::new`] took it.
    #[must_use]
    pub fn slug(&self) -> &str {
        self.kind.strip_prefix("/problems/").unwrap_or(&self.kind)
    }

    /// Status 500 without any internals; logs `error`.
    pub fn internal(error: &dyn fmt::Display) -> Self {
        tracing::error!(%error, "internal error");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server failed; its log says why",
        )
    }

    /// Status 404 for a path that no route serves; usable as an axum fallback.
    #[expect(
        clippy::unused_async,
        reason = "axum's fallback wants an async handler"
    )]
    pub async fn no_such_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no-such-path",
            "nothing is served at this path",
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.status, self.title, self.detail)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn answers_with_its_status_and_media_type() {
        let problem = Problem::new(StatusCode::CONFLICT, "network-exists", "the label is taken")
            .with("suggestion", "demo~00ff");
        let response = problem.clone().into_response();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let read: Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!(read, problem);
        assert_eq!(read.kind, "/problems/network-exists");
        assert_eq!(read.title, "Conflict");
        assert_eq!(read.extensions["suggestion"], "demo~00ff");
    }

    #[test]
    fn an_internal_error_shows_no_internals() {
        let problem = Problem::internal(&"secret path /etc/x");
        assert_eq!(problem.status, 500);
        assert!(!problem.detail.contains("secret"));
    }
}
