//! The routes, and the OpenAPI document that describes them: both come from the same annotations, `GET /api/openapi.json`.
//!
//! A route is added here and nowhere else; its path and method stand at its handler. Shapes are described where they
//! are defined.

use std::sync::{Arc, LazyLock};

use api::ProblemBody;
use api::openapi::Binary;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{
    App, BODY_BYTES_MAX, blocks, events, finality, resets, set, status, tenants, transactions,
    update,
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Distli Mesh validator",
        description = "Reports of tenant blocks, and what the enterprise chain says of them. Hashes, keys and bytes are lower-case hex, times are \
                       ms since 1970. Collections come in pages: the `Link` header, and `next_cursor` where the answer is an object, lead to \
                       the next one. Readers ignore fields that they do not know."
    ),
    components(schemas(ProblemBody, Binary))
)]
struct Document;

/// The routes with their descriptions.
pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(updates())
        .merge(chain())
        .merge(tenants_and_their_proofs())
        .merge(operations())
}

fn updates() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(update::tenant_update))
        .routes(routes!(update::tenant_blockchain_update))
        .routes(routes!(resets::reset))
        // Here and not around all routes: each layer costs every request.
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

fn chain() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(status::status))
        .routes(routes!(status::genesis))
        .routes(routes!(set::validators))
        .routes(routes!(status::evidence))
        .routes(routes!(blocks::blocks))
        .routes(routes!(blocks::block))
        .routes(routes!(events::events))
        .routes(routes!(finality::checkpoint))
        .routes(routes!(finality::snapshot))
        .routes(routes!(finality::log))
        .routes(routes!(finality::inclusion))
        .routes(routes!(finality::consistency))
}

fn tenants_and_their_proofs() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(tenants::tenants))
        .routes(routes!(tenants::tenant))
        .routes(routes!(tenants::tenant_blocks))
        .routes(routes!(tenants::tenant_genesis))
        .routes(routes!(tenants::incidents))
        .routes(routes!(finality::finality))
        .routes(routes!(finality::receipt))
        .routes(routes!(resets::resets))
        .routes(routes!(resets::reset_receipt))
        .routes(routes!(transactions::transactions))
        .routes(routes!(transactions::network_transactions))
}

fn operations() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(openapi))
        .routes(routes!(set::change_set))
        .routes(routes!(status::health))
        .routes(routes!(status::ready))
        .routes(routes!(status::metrics))
}

/// The document.
#[must_use]
pub fn document() -> OpenApi {
    routes().into_openapi()
}

/// This document.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    tag = "operations",
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_is_in_the_document_and_nothing_else() {
        // The router tells its paths nowhere but here.
        let shown = format!("{:?}", crate::http::plain());
        let shown = shown.split("fallback_router").next().unwrap();
        let routed: BTreeSet<&str> = shown
            .split('"')
            .filter(|text| text.starts_with('/'))
            .collect();
        let document = document();
        let described: BTreeSet<&str> = document.paths.paths.keys().map(String::as_str).collect();
        assert_eq!(routed, described);
        assert!(routed.contains("/api/tenants/{id}"), "{routed:?}");
    }
}
