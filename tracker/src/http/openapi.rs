//! The routes, and the OpenAPI document that describes them: both come from the same annotations, `GET /api/openapi.json`.
//!
//! A route is added here (or, for the operations port, in [`operations`]) and nowhere else; its path and method stand at
//! its handler. What is said on `/ws` is in [`super::asyncapi`].

use std::sync::{Arc, LazyLock};

use api::ProblemBody;
use api::openapi::Binary;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi as _;
use utoipa::openapi::{OpenApi, Server};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::{App, enterprise, operations, socket};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Distli Mesh tracker",
        description = "What browsers and pages ask the tracker over HTTP. Hashes, keys and bytes are lower-case hex, times are ms since 1970. \
                       Readers ignore fields that they do not know. Any request may be answered 429 with `Retry-After`. `/metrics` and \
                       `/ready` are on the operations port only, where `/health` is as well. What is said on `/ws` is described by \
                       `/api/asyncapi.json`."
    ),
    components(schemas(ProblemBody, Binary))
)]
struct Document;

/// The routes that have to end in time, with their descriptions.
pub(super) fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(super::networks))
        .routes(routes!(super::network_list))
        .routes(routes!(super::genesis))
        .routes(routes!(super::blockchain_update))
        .routes(routes!(super::health::health))
        .routes(routes!(enterprise::finality))
        .routes(routes!(enterprise::genesis))
        .routes(routes!(openapi))
        .routes(routes!(super::asyncapi::asyncapi))
}

/// The route that stays open.
pub(super) fn sockets() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(socket::upgrade))
}

/// The document.
fn document() -> OpenApi {
    let mut document = Document::openapi();
    for routes in [api(), sockets(), operations::routes()] {
        document.merge(routes.into_openapi());
    }
    for path in ["/metrics", "/ready"] {
        if let Some(item) = document.paths.paths.get_mut(path) {
            item.servers = Some(vec![Server::new(OPERATIONS)]);
        }
    }
    document
}

/// This document.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    tag = "documents",
    responses((status = 200, description = "The document", body = serde_json::Value)),
)]
async fn openapi() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        document().to_json().unwrap_or_else(|error| {
            tracing::error!(%error, "the OpenAPI document has no JSON");
            "null".into()
        })
    });
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, TEXT.as_str()).into_response()
}

/// Where the operations port is by default.
const OPERATIONS: &str = "http://127.0.0.1:3031";

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use std::collections::BTreeSet;

    /// The router tells its paths nowhere but here.
    fn paths(router: &Router<Arc<App>>) -> BTreeSet<String> {
        let shown = format!("{router:?}");
        let shown = shown.split("fallback_router").next().unwrap();
        shown
            .split('"')
            .filter(|text| text.starts_with('/'))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn every_route_is_in_the_document_and_nothing_else() {
        let mut routed = BTreeSet::new();
        for routes in [api(), sockets(), operations::routes()] {
            routed.extend(paths(&routes.split_for_parts().0));
        }
        let described: BTreeSet<String> = document().paths.paths.keys().cloned().collect();
        assert_eq!(routed, described);
        for path in ["/ws", "/metrics", "/api/networks/{id}/finality"] {
            assert!(routed.contains(path), "{routed:?}");
        }
    }
}
