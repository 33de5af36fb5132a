//! Tenants, one tenant, its blocks, its genesis and its refused forks.
//!
//! A tenant's JSON is made once for each of its pictures, by the first reader, and served from there.

use std::cmp::Reverse;
use std::ops::Bound;
use std::sync::Arc;

use api::openapi::Problems;
use api::{NetworkGenesis, ReportedBlock, Tenant, TenantBlock, Tenants};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use service::Problem;
use shared::enterprise::EnterpriseHeight;
use shared::hash::Hash;
use shared::ids::Height;
use utoipa::ToSchema;

use super::blocks::archived;
use super::page::{Asked, PAGE_MAX, Page, PageFrom, Paged, bad_cursor, limit, query};
use super::{App, pruned, reading, tenant_unknown, unavailable};
use crate::body::{Body, UncheckedBody, is_private};
use crate::view::{ReadyJson, TenantView, View};

/// Tenants of one page, and of one event.
pub const TENANTS_MAX: usize = 1_000;

/// `GET /api/tenants` as written: the shape [`api::Tenants`] with tenants in ready-made JSON.
#[derive(Debug, Serialize)]
pub struct TenantsPage {
    #[serde(serialize_with = "as_they_are")]
    tenants: Vec<Arc<RawValue>>,
    total_tenants: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

fn as_they_are<S: Serializer>(tenants: &[Arc<RawValue>], into: S) -> Result<S::Ok, S::Error> {
    into.collect_seq(tenants.iter().map(|json| &**json))
}

/// Tenants by name, with the tip and the newest final block of each.
#[utoipa::path(
    get,
    path = "/api/tenants",
    tag = "tenants",
    params(Page),
    responses((status = 200, description = "The tenants", body = Tenants), Problems),
)]
pub(super) async fn tenants(
    State(app): State<Arc<App>>,
    page: Asked<Page>,
) -> Result<Paged<TenantsPage>, Problem> {
    let page = query(page)?;
    let limit = limit(page.limit, TENANTS_MAX, TENANTS_MAX);
    let shape = by_name(&app.handle.view(), page.cursor.as_deref(), limit)?;
    let cursor = shape.next_cursor.clone();
    Ok(Paged::new(shape, cursor.as_deref(), limit))
}

/// The tenants after a name, by name.
fn by_name(view: &View, after: Option<&str>, limit: usize) -> Result<TenantsPage, Problem> {
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest = view
        .names
        .range::<str, _>((start, Bound::Unbounded))
        .peekable();
    let mut page = TenantsPage {
        tenants: Vec::new(),
        total_tenants: view.tenants.len(),
        next_cursor: None,
    };
    let mut bytes = 0_usize;
    while let Some((name, chain_id)) = rest.next() {
        if let Some(tenant) = view.tenants.get(chain_id) {
            let json = ready(tenant)?;
            bytes = bytes.saturating_add(json.bytes.len());
            page.tenants.push(Arc::clone(&json.value));
        }
        let full = page.tenants.len() >= limit || bytes > PAGE_BYTES_MAX;
        if full && rest.peek().is_some() {
            page.next_cursor = Some(name.clone());
            break;
        }
    }
    Ok(page)
}

/// The tenants of a picture, by name; the most recently active ones when they are more than one page holds.
///
/// # Errors
/// When one has no JSON.
pub fn tenants_shape(view: &View) -> Result<TenantsPage, Problem> {
    let mut shown: Vec<&Arc<TenantView>> = view.tenants.values().collect();
    if shown.len() > TENANTS_MAX {
        shown.sort_by_key(|tenant| Reverse(tenant.last_activity));
        shown.truncate(TENANTS_MAX);
    }
    shown.sort_by(|left, right| left.name.cmp(&right.name));
    let json = |tenant: &Arc<TenantView>| ready(tenant).map(|json| Arc::clone(&json.value));
    let tenants: Result<_, _> = shown.into_iter().map(json).collect();
    Ok(TenantsPage {
        tenants: tenants?,
        total_tenants: view.tenants.len(),
        next_cursor: None,
    })
}

/// One tenant.
#[utoipa::path(
    get,
    path = "/api/tenants/{id}",
    tag = "tenants",
    params(("id" = String, Path, description = "The tenant's name or chain id")),
    responses((status = 200, description = "The tenant", body = Tenant), Problems),
)]
pub(super) async fn tenant(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let view = app.handle.view();
    let json = ready(view.tenant(&id).ok_or_else(tenant_unknown)?)?;
    let kind = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, kind)], json.bytes.clone()).into_response())
}

/// A tenant's JSON.
fn ready(tenant: &TenantView) -> Result<&ReadyJson, Problem> {
    if let Some(json) = tenant.json.get() {
        return Ok(json);
    }
    let made = serde_json::value::to_raw_value(&tenant_shape(tenant));
    let value: Arc<RawValue> = Arc::from(made.map_err(|error| Problem::internal(&error))?);
    let bytes = Bytes::from(value.get().to_owned());
    Ok(tenant.json.get_or_init(|| ReadyJson { value, bytes }))
}

fn tenant_shape(tenant: &TenantView) -> Tenant {
    let message = |(height, text): &(u32, Arc<str>)| format!("Block #{height}: {text}");
    let (final_height, final_hash) = tenant.newest_final.map_or((0, None), |(height, hash)| {
        (height.0, Some(hash.to_string()))
    });
    Tenant {
        tenant_id: tenant.name.clone(),
        chain_id: tenant.chain_id.to_string(),
        block_count: tenant.height.0.into(),
        transaction_count: tenant.transactions,
        last_activity: tenant.last_activity.0,
        recent_messages: tenant.recent_messages.iter().map(message).collect(),
        height: tenant.height.0,
        tip_hash: tenant.tip.to_string(),
        final_height,
        final_hash,
        private: is_private(&tenant.genesis),
        resets: tenant.resets,
    }
}

/// `GET /api/tenants/{id}/blocks?from=&limit=`: the heaviest anchored chain with bodies, ascending.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TenantBlocks {
    /// The name shown.
    network_id: String,
    /// The chain id, hex.
    chain_id: String,
    /// The height of the chain.
    height: u32,
    /// The hash of its tip, hex.
    tip_hash: String,
    /// The blocks; of a private tenant none, since nobody but its members sees them.
    blocks: Vec<AnchoredBlock>,
    /// The blocks of a private tenant as they were reported.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reports: Vec<AnchoredReport>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A tenant block and where it is anchored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AnchoredBlock {
    #[serde(flatten)]
    block: TenantBlock,
    /// The enterprise block that anchors it.
    enterprise_height: u64,
}

/// A private tenant's block as it was reported, and where it is anchored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AnchoredReport {
    #[serde(flatten)]
    block: ReportedBlock,
    /// The enterprise block that anchors it.
    enterprise_height: u64,
}

/// A tenant's heaviest anchored chain with bodies, ascending.
#[utoipa::path(
    get,
    path = "/api/tenants/{id}/blocks",
    tag = "tenants",
    params(("id" = String, Path, description = "The tenant's name or chain id"), PageFrom),
    responses((status = 200, description = "The blocks", body = TenantBlocks), Problems),
)]
pub(super) async fn tenant_blocks(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    page: Asked<PageFrom>,
) -> Result<Paged<TenantBlocks>, Problem> {
    let page = query(page)?;
    let limit = limit(page.limit, BLOCKS_DEFAULT, PAGE_MAX);
    let first = u32::try_from(page.first(1)?).unwrap_or(u32::MAX).max(1);
    let tenant = Arc::clone(app.handle.view().tenant(&id).ok_or_else(tenant_unknown)?);
    let shape = reading(move || blocks_shape(&app, &tenant, first, limit)).await?;
    let cursor = shape.next_cursor.clone();
    Ok(Paged::new(shape, cursor.as_deref(), limit))
}

fn blocks_shape(
    app: &App,
    tenant: &TenantView,
    first: u32,
    limit: usize,
) -> Result<TenantBlocks, Problem> {
    let (mut blocks, mut reports) = (Vec::new(), Vec::new());
    let mut bytes = 0_usize;
    let mut next = first;
    for id in tenant.main.page(first, limit) {
        let (body, anchor) = match read_body(app, tenant, id) {
            // Some that a snapshot left out were handed in again; the next page says that there is a gap.
            Err(_) if next > first => break,
            read => read?,
        };
        bytes = bytes.saturating_add(body.encode().len());
        if bytes > PAGE_BYTES_MAX && next > first {
            break;
        }
        let enterprise_height = anchor.0;
        match &body {
            Body::Whole(block) => blocks.push(AnchoredBlock {
                block: TenantBlock::from(block),
                enterprise_height,
            }),
            Body::Sealed(block) => reports.push(AnchoredReport {
                block: ReportedBlock::from(block),
                enterprise_height,
            }),
        }
        next = next.saturating_add(1);
    }
    let more = next > first && next <= tenant.height.0;
    Ok(TenantBlocks {
        network_id: tenant.name.clone(),
        chain_id: tenant.chain_id.to_string(),
        height: tenant.height.0,
        tip_hash: tenant.tip.to_string(),
        blocks,
        reports,
        next_cursor: more.then(|| next.to_string()),
    })
}

/// A tenant's genesis.
#[utoipa::path(
    get,
    path = "/api/tenants/{id}/genesis",
    tag = "tenants",
    params(("id" = String, Path, description = "The tenant's name or chain id")),
    responses((status = 200, description = "The genesis", body = NetworkGenesis), Problems),
)]
pub(super) async fn tenant_genesis(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<NetworkGenesis>, Problem> {
    let view = app.handle.view();
    let tenant = view.tenant(&id).ok_or_else(tenant_unknown)?;
    Ok(Json(NetworkGenesis {
        network_id: tenant.name.clone(),
        chain_id: tenant.chain_id.to_string(),
        genesis: hex::encode(tenant.genesis.encode()),
        listed: true,
    }))
}

/// `GET /api/tenants/{id}/incidents`: forks that left a final block out and were refused, by hash.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Incidents {
    /// The name shown.
    network_id: String,
    /// The chain id, hex.
    chain_id: String,
    /// The incidents.
    incidents: Vec<Incident>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// One refused fork.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Incident {
    /// The hash of the tenant block that was refused, hex.
    hash: String,
}

/// Forks that left a final block out and were refused on record.
#[utoipa::path(
    get,
    path = "/api/tenants/{id}/incidents",
    tag = "tenants",
    params(("id" = String, Path, description = "The tenant's name or chain id"), Page),
    responses((status = 200, description = "The refused forks", body = Incidents), Problems),
)]
pub(super) async fn incidents(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    page: Asked<Page>,
) -> Result<Paged<Incidents>, Problem> {
    let page = query(page)?;
    let limit = limit(page.limit, INCIDENTS_DEFAULT, PAGE_MAX);
    let after = page.cursor.as_deref().map(str::parse::<Hash>).transpose();
    let after = after.map_err(|_| bad_cursor())?;
    let tenant = Arc::clone(app.handle.view().tenant(&id).ok_or_else(tenant_unknown)?);
    let chain_id = tenant.chain_id;
    let look = app.handle.read(move |ledger| {
        let all = ledger.state().incidents(chain_id);
        let rest = all.filter(|hash| after.is_none_or(|after| **hash > after));
        rest.take(limit.saturating_add(1)).copied().collect()
    });
    let mut found: Vec<Hash> = look.await.map_err(unavailable)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let cursor = found.last().filter(|_| more).map(Hash::to_string);
    let incident = |hash: &Hash| Incident {
        hash: hash.to_string(),
    };
    let shape = Incidents {
        network_id: tenant.name.clone(),
        chain_id: chain_id.to_string(),
        incidents: found.iter().map(incident).collect(),
        next_cursor: cursor.clone(),
    };
    Ok(Paged::new(shape, cursor.as_deref(), limit))
}

/// A tenant block on record, by what it is stored by, and the enterprise block that anchors it.
pub(super) fn read_body(
    app: &App,
    tenant: &TenantView,
    id: Hash,
) -> Result<(Body, EnterpriseHeight), Problem> {
    let key = (tenant.chain_id, id);
    let body = app
        .store
        .body(&key)
        .map_err(|error| Problem::internal(&error))?;
    let Some(body) = body else {
        return Err(match tenant.bodies_from {
            Height(0 | 1) => Problem::internal(&"an anchored body is missing"),
            Height(lowest) => pruned("the bodies of this tenant's blocks", lowest.into()),
        });
    };
    let body = UncheckedBody::decode(&body).map_err(|error| Problem::internal(&error))?;
    let anchor = app
        .store
        .anchor(&key)
        .map_err(|error| Problem::internal(&error))?;
    Ok((archived(tenant, body)?, anchor.unwrap_or_default()))
}

const BLOCKS_DEFAULT: usize = 50;
const INCIDENTS_DEFAULT: usize = 50;
const PAGE_BYTES_MAX: usize = 1 << 20;
