//! Response headers that make a browser refuse what a page of ours never needs.

use axum::Router;
use axum::http::header::{self, Entry};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use tower::util::MapResponseLayer;

/// Adds the Content-Security-Policy `csp` and the fixed security headers to every response of `router`.
///
/// A handler that sets one of these headers itself keeps its own. A `csp` that is no valid header value is
/// replaced by `default-src 'none'`, the strictest there is.
pub fn security_headers<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    csp: &str,
) -> Router<S> {
    let policy =
        HeaderValue::from_str(csp).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    let mut headers: Vec<(HeaderName, HeaderValue)> = FIXED
        .iter()
        .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
        .collect();
    headers.push((header::CONTENT_SECURITY_POLICY, policy));
    // One layer for all: each costs every request.
    router.layer(MapResponseLayer::new(move |mut response: Response| {
        // With the length, type and date that others add.
        response
            .headers_mut()
            .reserve(headers.len().saturating_add(4));
        for (name, value) in &headers {
            if let Entry::Vacant(place) = response.headers_mut().entry(name) {
                place.insert(value.clone());
            }
        }
        response
    }))
}

const FIXED: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=()",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use axum::routing::get;
    use tower::ServiceExt as _;

    async fn header_of(csp: &str, name: HeaderName) -> String {
        let router: Router =
            security_headers(Router::new().route("/", get(|| async { "hi" })), csp);
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        response.headers()[name].to_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn every_response_carries_the_policy() {
        let found = header_of("default-src 'self'", header::CONTENT_SECURITY_POLICY).await;
        assert_eq!(found, "default-src 'self'");
        assert_eq!(
            header_of("x", header::X_CONTENT_TYPE_OPTIONS).await,
            "nosniff"
        );
    }

    #[tokio::test]
    async fn an_unusable_policy_becomes_the_strictest() {
        let found = header_of("bad\nvalue", header::CONTENT_SECURITY_POLICY).await;
        assert_eq!(found, "default-src 'none'");
    }
}
