//! Which pages may use the tracker from a browser: those it serves itself, and those on the allow-list.
//!
//! A program without a browser sends no `Origin` and is not kept out by this; it keeps other sites' pages from acting
//! with a visitor's browser.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, header};

/// The origins that may connect.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    allowed: Vec<String>,
    /// What this tracker is called, lower-case; none if it is not told.
    names: Vec<Arc<str>>,
}

impl Origins {
    pub(crate) fn new(allowed: &[String], names: &[String]) -> Self {
        let allowed = allowed
            .iter()
            .map(|origin| origin.trim_end_matches('/').to_ascii_lowercase());
        Self {
            allowed: allowed.filter(|origin| !origin.is_empty()).collect(),
            names: names
                .iter()
                .map(|name| name.to_ascii_lowercase().into())
                .collect(),
        }
    }

    /// Whether a request with these headers may connect.
    pub(crate) fn allows(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return true;
        };
        self.is_own(origin, headers) || self.listed(headers).is_some()
    }

    /// The name by which a client dialled this tracker, for which its admission to a private room must be. Where the operator gave
    /// names, no other counts; otherwise the client is believed.
    pub(crate) fn host(&self, headers: &HeaderMap) -> Arc<str> {
        let host = headers.get(header::HOST);
        let host = host.and_then(|value| value.to_str().ok());
        let dialled = host.unwrap_or_default().to_ascii_lowercase();
        let Some(first) = self.names.first() else {
            return dialled.into();
        };
        let known = self.names.iter().find(|name| ***name == *dialled);
        Arc::clone(known.unwrap_or(first))
    }

    /// The origin of a request, if it is on the allow-list: to be named in `Access-Control-Allow-Origin`.
    pub(crate) fn listed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let value = headers.get(header::ORIGIN)?;
        let origin = value.to_str().ok()?.to_ascii_lowercase();
        self.allowed
            .iter()
            .any(|allowed| allowed == "*" || *allowed == origin)
            .then(|| value.clone())
    }

    fn is_own(&self, origin: &HeaderValue, headers: &HeaderMap) -> bool {
        let host = headers
            .get(header::HOST)
            .and_then(|value| value.to_str().ok());
        let authority = origin
            .to_str()
            .ok()
            .and_then(|text| text.split_once("://"))
            .map(|(_, rest)| rest);
        authority
            .zip(host)
            .is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn own_pages_and_programs_may_connect() {
        let origins = Origins::new(&[], &[]);
        assert!(origins.allows(&headers("localhost:3030", None)));
        assert!(origins.allows(&headers("localhost:3030", Some("http://localhost:3030"))));
        assert!(!origins.allows(&headers("localhost:3030", Some("http://localhost:9090"))));
        assert!(!origins.allows(&headers("localhost:3030", Some("null"))));
    }

    #[test]
    fn given_names_are_believed_and_no_others() {
        let named = Origins::new(&[], &["Mesh.example".into(), "mesh.example:8443".into()]);
        assert_eq!(
            &*named.host(&headers("mesh.example:8443", None)),
            "mesh.example:8443"
        );
        assert_eq!(&*named.host(&headers("MESH.example", None)), "mesh.example");
        assert_eq!(&*named.host(&headers("evil.example", None)), "mesh.example");
        let unnamed = Origins::new(&[], &[]);
        assert_eq!(
            &*unnamed.host(&headers("Evil.example:1", None)),
            "evil.example:1"
        );
    }

    #[test]
    fn listed_pages_may_connect() {
        let origins = Origins::new(&["https://app.example/".into()], &[]);
        assert!(origins.allows(&headers("t.example", Some("https://app.example"))));
        assert!(!origins.allows(&headers("t.example", Some("https://app.example.evil"))));
        assert!(
            Origins::new(&["*".into()], &[])
                .allows(&headers("t.example", Some("https://any.example")))
        );
    }
}
