//! Response headers that make a browser refuse what a page of ours never needs.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{self, Entry};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use tower::util::MapResponse;

use crate::server::App;

/// Adds the Content-Security-Policy `csp` and the fixed security headers to every response of `router`.
///
/// A handler that sets one of these headers itself keeps its own. A `csp` that is no valid header value is
/// replaced by `default-src 'none'`, the strictest there is.
pub fn security_headers(router: Router, csp: &str) -> impl App + use<> {
    with_headers(router, csp, &OF_PAGES)
}

/// The same for a service without pages: what rules documents alone is left out (OWASP REST Security).
pub fn api_security_headers(router: Router, csp: &str) -> impl App + use<> {
    with_headers(router, csp, &[])
}

fn with_headers(
    router: Router,
    csp: &str,
    more: &[(HeaderName, &'static str)],
) -> impl App + use<> {
    let policy =
        HeaderValue::from_str(csp).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    let fixed = OF_ALL.iter().chain(more);
    let fixed = fixed.map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
    let headers: Arc<[_]> = fixed
        .chain([(header::CONTENT_SECURITY_POLICY, policy)])
        .collect();
    // Around the router, not a layer of it: that would be one more box for every request.
    MapResponse::new(router, move |mut response: Response| {
        // With the length, type and date that others add.
        response
            .headers_mut()
            .reserve(headers.len().saturating_add(4));
        for (name, value) in &*headers {
            if let Entry::Vacant(place) = response.headers_mut().entry(name) {
                place.insert(value.clone());
            }
        }
        response
    })
}

const OF_ALL: [(HeaderName, &str); 2] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

const OF_PAGES: [(HeaderName, &str); 3] = [
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
        let app = security_headers(Router::new().route("/", get(|| async { "hi" })), csp);
        let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
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
