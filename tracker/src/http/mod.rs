//! The HTTP routes, as COMPATIBILITY names them, their documents, and the browser app.

mod asyncapi;
pub(crate) mod health;
mod openapi;

pub use self::asyncapi::document as asyncapi_document;

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use api::openapi::Problems;
use api::{BlockchainUpdate, NetworkGenesis, NetworkListItem, UpdateAccepted, UpdateStatus};
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Extension, Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use service::{JsonBody, Problem};
use shared::ids::ChainId;
use tower_http::compression::CompressionLayer;
use tower_http::services::ServeDir;

use crate::App;
use crate::addresses::Source;
use crate::edge;
use crate::label::Label;
use crate::ledger::{NetworkName, Refusal};
use crate::limits;

/// All routes over `app`, with the browser app of `www`.
pub(crate) fn router(app: Arc<App>, www: &FilePath) -> impl service::App + use<> {
    let files = ServeDir::new(www).precompressed_gzip();
    let pages = Router::new()
        .fallback_service(files)
        .layer(middleware::from_fn(revalidated))
        .layer(CompressionLayer::new().gzip(true));
    let (api, _) = openapi::api().split_for_parts();
    let api = api
        .route("/api/{*rest}", get(Problem::no_such_path))
        .layer(middleware::from_fn(hurried))
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            cross_origin,
        ));
    let (sockets, _) = openapi::sockets().split_for_parts();
    let router = api
        .merge(sockets)
        .merge(pages)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            edge::charge,
        ))
        .with_state(app);
    service::security_headers(router, CONTENT_SECURITY_POLICY)
}

/// How many peers each listed network has.
#[utoipa::path(
    get,
    path = "/api/networks",
    tag = "networks",
    responses((status = 200, description = "Peers by label", body = BTreeMap<String, usize>), Problems),
)]
async fn networks(State(app): State<Arc<App>>) -> Json<BTreeMap<String, usize>> {
    let list = app.engine.read(|hub| hub.listing());
    Json(
        list.iter()
            .map(|item| (item.id.clone(), item.peer_count))
            .collect(),
    )
}

/// The listed networks by name.
#[utoipa::path(
    get,
    path = "/api/network-list",
    tag = "networks",
    responses((status = 200, description = "The networks", body = [NetworkListItem]), Problems),
)]
async fn network_list(State(app): State<Arc<App>>) -> Json<Vec<NetworkListItem>> {
    let list = app.engine.read(|hub| hub.listing());
    Json(list.to_vec())
}

/// A network's genesis by label or chain id. Who asks knows one of them, so unlisted networks are answered too.
#[utoipa::path(
    get,
    path = "/api/networks/{id}/genesis",
    tag = "networks",
    params(("id" = String, Path, description = "The network's label or chain id")),
    responses((status = 200, description = "The genesis", body = NetworkGenesis), Problems),
)]
async fn genesis(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<NetworkGenesis>, Problem> {
    let found = app.engine.read(|hub| {
        let network = match id.parse::<ChainId>() {
            Ok(chain_id) => hub.network_of_chain(chain_id),
            Err(_) => hub.network(&Label::parse(&id).ok()?),
        }?;
        Some(NetworkGenesis {
            network_id: network.label.to_string(),
            chain_id: network.chain_id.to_string(),
            genesis: network.genesis.to_string(),
            listed: network.listing.is_listed(),
        })
    });
    found.map(Json).ok_or_else(network_unknown)
}

/// The chain of a network by label or chain id.
pub(crate) fn chain_of(app: &App, id: &str) -> Result<ChainId, Problem> {
    let found = app.engine.read(|hub| match id.parse::<ChainId>() {
        Ok(chain_id) => hub
            .network_of_chain(chain_id)
            .map(|network| network.chain_id),
        Err(_) => hub
            .network(&Label::parse(id).ok()?)
            .map(|network| network.chain_id),
    });
    found.ok_or_else(network_unknown)
}

fn network_unknown() -> Problem {
    let detail = "no such network here";
    Problem::new(StatusCode::NOT_FOUND, "network-unknown", detail)
}

/// Takes new blocks of a network; 200 means that they are verified and durable.
#[utoipa::path(
    post,
    path = "/api/blockchain-update",
    tag = "updates",
    request_body = BlockchainUpdate,
    responses((status = 200, description = "Taken", body = UpdateAccepted), Problems),
)]
async fn blockchain_update(
    State(app): State<Arc<App>>,
    Extension(source): Extension<Source>,
    body: Result<JsonBody<BlockchainUpdate>, JsonRejection>,
) -> Result<Json<UpdateAccepted>, Problem> {
    let JsonBody(update) = body.map_err(|rejection| unreadable(&rejection))?;
    let network = network_of(&update)?;
    if !update.new_reports.is_empty() {
        let detail = "blocks of a private network are reported by its members, over /ws";
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "private-network",
            detail,
        ));
    }
    let found = update.new_blocks.len();
    if found > limits::UPDATE_BLOCKS_MAX {
        let detail = format!(
            "an update of {found} blocks, allowed are {}",
            limits::UPDATE_BLOCKS_MAX
        );
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-many-blocks",
            detail,
        ));
    }
    let verdict = app.ledger.report(source, network, update.new_blocks).await;
    let verdict = verdict
        .map_err(|busy| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", busy.to_string()))?;
    let verdict = verdict.map_err(|refusal| problem_of(&refusal))?;
    Ok(Json(UpdateAccepted {
        status: UpdateStatus::Accepted,
        message: format!(
            "{} new blocks, {} known",
            verdict.new_blocks, verdict.already_known
        ),
        network_id: verdict.label.to_string(),
        chain_id: verdict.chain_id.to_string(),
        new_blocks: verdict.new_blocks,
        transactions: u32::try_from(verdict.transactions).unwrap_or(u32::MAX),
        already_known: verdict.already_known,
        height: verdict.tip.height,
        hash: verdict.tip.hash,
    }))
}

fn network_of(update: &BlockchainUpdate) -> Result<NetworkName, Problem> {
    let label = Label::parse(&update.network_id)
        .map_err(|error| bad_request(format!("network_id: {error}")))?;
    match &update.chain_id {
        None => Ok(NetworkName::Label(label)),
        Some(text) => {
            let chain_id = text
                .parse()
                .map_err(|error| bad_request(format!("chain_id: {error}")))?;
            Ok(NetworkName::Chain(chain_id))
        }
    }
}

fn problem_of(refusal: &Refusal) -> Problem {
    let (status, slug) = match refusal {
        Refusal::UnknownNetwork => (StatusCode::NOT_FOUND, "network-unknown"),
        Refusal::UnknownParent { .. } => (StatusCode::CONFLICT, "unknown-parent"),
        Refusal::Taken { .. } => (StatusCode::CONFLICT, "network-exists"),
        Refusal::TooLight { .. } => (StatusCode::CONFLICT, "block-too-light"),
        Refusal::TooEarly { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "block-too-early"),
        Refusal::Full { .. } => (StatusCode::SERVICE_UNAVAILABLE, "full"),
        Refusal::NetworkFull { .. } => (StatusCode::INSUFFICIENT_STORAGE, "network-full"),
        Refusal::StoreFull { .. } => (StatusCode::INSUFFICIENT_STORAGE, "store-full"),
        Refusal::Invalid { .. } | Refusal::Genesis(_) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid-block")
        }
    };
    Problem::new(status, slug, refusal.to_string())
}

fn unreadable(rejection: &JsonRejection) -> Problem {
    let slug = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        "too-large"
    } else {
        "bad-request"
    };
    Problem::new(rejection.status(), slug, rejection.body_text())
}

fn bad_request(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-request", detail)
}

/// The app's files are asked for again at each use and answered "not modified" by their tag, so that a new release
/// shows at once; the service worker keeps them for when the tracker is away.
async fn revalidated(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status() == StatusCode::NOT_FOUND {
        return Problem::new(
            StatusCode::NOT_FOUND,
            "no-such-path",
            "nothing is served at this path",
        )
        .into_response();
    }
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Ends a request whose body does not come, or whose answer takes too long.
async fn hurried(request: Request, next: Next) -> Response {
    let allowed = Duration::from_millis(limits::REQUEST_TIMEOUT_MS);
    let answered = tokio::time::timeout(allowed, next.run(request)).await;
    answered.unwrap_or_else(|_| {
        let detail = format!("the request took longer than {} s", allowed.as_secs());
        let mut response =
            Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", detail).into_response();
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    })
}

/// Answers pages of listed other origins; the API has nothing that a cookie would protect.
async fn cross_origin(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let origin = app.origins.listed(request.headers());
    let is_preflight = request.method() == Method::OPTIONS;
    let mut response = if is_preflight && origin.is_some() {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, POST"),
        );
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("content-type"),
        );
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
    }
    response
}

/// What the app's page may do; scripts and styles are its own files only.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
     img-src 'self'; connect-src 'self' ws: wss:; manifest-src 'self'; worker-src 'self'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'";
