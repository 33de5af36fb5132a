//! Tenants, their blocks, and their transactions.

use std::sync::Arc;

use api::{EnterpriseTransaction, NetworkGenesis, Tenant, TenantBlock, Tenants, Transactions};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Serialize;
use service::Problem;
use shared::block::{Block, UncheckedBlock};
use shared::enterprise::EnterpriseHeight;
use shared::hash::Hash;

use super::blocks::{archived, transaction_shape};
use super::{App, Page, bad_query, reading, tenant_unknown};
use crate::store::{BodyKey, anchored};
use crate::view::{TenantView, View};

pub(super) async fn tenants(State(app): State<Arc<App>>) -> Json<Tenants> {
    Json(tenants_shape(&app.handle.view()))
}

/// The tenants of a picture, by name.
#[must_use]
pub fn tenants_shape(view: &View) -> Tenants {
    let tenants = view
        .names
        .values()
        .filter_map(|chain_id| view.tenants.get(chain_id));
    let tenants: Vec<Tenant> = tenants.map(|tenant| tenant_shape(tenant)).collect();
    Tenants {
        total_tenants: tenants.len(),
        tenants,
    }
}

fn tenant_shape(tenant: &TenantView) -> Tenant {
    let message = |(height, text): &(u32, String)| format!("Block #{height}: {text}");
    Tenant {
        tenant_id: tenant.name.clone(),
        chain_id: tenant.chain_id.to_string(),
        block_count: tenant.height.0.into(),
        transaction_count: tenant.transactions,
        last_activity: tenant.last_activity.0,
        recent_messages: tenant.recent_messages.iter().map(message).collect(),
        height: tenant.height.0,
        tip_hash: tenant.tip.to_string(),
    }
}

/// `GET /api/tenants/{id}/blocks?from=&limit=`: the heaviest anchored chain with bodies, ascending.
#[derive(Debug, Serialize)]
pub(super) struct TenantBlocks {
    network_id: String,
    chain_id: String,
    height: u32,
    tip_hash: String,
    blocks: Vec<AnchoredBlock>,
}

#[derive(Debug, Serialize)]
struct AnchoredBlock {
    #[serde(flatten)]
    block: TenantBlock,
    /// The enterprise block that anchors it.
    enterprise_height: u64,
}

pub(super) async fn tenant_blocks(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<TenantBlocks>, Problem> {
    let Query(page) = page.map_err(|rejection| bad_query(&rejection))?;
    let tenant = Arc::clone(app.handle.view().tenant(&id).ok_or_else(tenant_unknown)?);
    let answer = reading(move || {
        let mut blocks = Vec::new();
        let mut bytes = 0_usize;
        for hash in tenant
            .main
            .page(page.from.unwrap_or(1), page.limit(BLOCKS_DEFAULT))
        {
            let (block, anchor) = read_block(&app, &tenant, hash)?;
            bytes = bytes.saturating_add(block.encode().len());
            if bytes > PAGE_BYTES_MAX && !blocks.is_empty() {
                break;
            }
            let block = TenantBlock::from(&block);
            blocks.push(AnchoredBlock {
                block,
                enterprise_height: anchor.0,
            });
        }
        Ok(TenantBlocks {
            network_id: tenant.name.clone(),
            chain_id: tenant.chain_id.to_string(),
            height: tenant.height.0,
            tip_hash: tenant.tip.to_string(),
            blocks,
        })
    });
    answer.await.map(Json)
}

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

pub(super) async fn transactions(
    State(app): State<Arc<App>>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Transactions>, Problem> {
    let Query(page) = page.map_err(|rejection| bad_query(&rejection))?;
    let limit = page.limit(TRANSACTIONS_DEFAULT);
    match page.network {
        Some(id) => of_tenant(app, &id, limit).await,
        None => reading(move || newest(&app, limit)).await.map(Json),
    }
}

pub(super) async fn network_transactions(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Transactions>, Problem> {
    let Query(page) = page.map_err(|rejection| bad_query(&rejection))?;
    let limit = page.limit(TRANSACTIONS_DEFAULT);
    of_tenant(app, &id, limit).await
}

async fn of_tenant(app: Arc<App>, id: &str, limit: usize) -> Result<Json<Transactions>, Problem> {
    let tenant = Arc::clone(app.handle.view().tenant(id).ok_or_else(tenant_unknown)?);
    let answer = reading(move || {
        let mut transactions = Vec::new();
        let mut at = tenant.tip;
        for _ in 0..BLOCKS_SCANNED_MAX {
            if transactions.len() >= limit || at == tenant.chain_id.0 {
                break;
            }
            let (block, anchor) = read_block(&app, &tenant, at)?;
            list(&mut transactions, &block, &tenant, anchor, limit);
            at = block.header().previous;
        }
        Ok(Transactions {
            transactions,
            total: tenant.transactions,
        })
    });
    answer.await.map(Json)
}

/// The newest transactions of all tenants, those of replaced blocks left out.
fn newest(app: &App, limit: usize) -> Result<Transactions, Problem> {
    let view = app.handle.view();
    let mut transactions = Vec::new();
    for height in (1..=view.head.height.0).rev().take(BLOCKS_SCANNED_MAX) {
        let height = EnterpriseHeight(height);
        let (block, _) = app
            .store
            .block(height)
            .map_err(|error| Problem::internal(&error))?;
        let mut keys: Vec<BodyKey> = anchored(&block).collect();
        keys.reverse();
        for (chain_id, hash) in keys {
            if transactions.len() >= limit {
                return Ok(Transactions {
                    transactions,
                    total: view.transactions,
                });
            }
            let Some(tenant) = view.tenants.get(&chain_id) else {
                continue;
            };
            let (block, anchor) = read_block(app, tenant, hash)?;
            if tenant.main.has(block.header().height, &hash) {
                list(&mut transactions, &block, tenant, anchor, limit);
            }
        }
    }
    Ok(Transactions {
        transactions,
        total: view.transactions,
    })
}

fn list(
    transactions: &mut Vec<EnterpriseTransaction>,
    block: &Block,
    tenant: &TenantView,
    anchor: EnterpriseHeight,
    limit: usize,
) {
    let room = limit.saturating_sub(transactions.len());
    let newest_first = block.transactions().iter().rev().take(room);
    let height = block.header().height.0;
    transactions.extend(
        newest_first.map(|transaction| transaction_shape(transaction, tenant, height, anchor)),
    );
}

fn read_block(
    app: &App,
    tenant: &TenantView,
    hash: Hash,
) -> Result<(Block, EnterpriseHeight), Problem> {
    let key = (tenant.chain_id, hash);
    let body = app
        .store
        .body(&key)
        .map_err(|error| Problem::internal(&error))?;
    let body = body.ok_or_else(|| Problem::internal(&"an anchored body is missing"))?;
    let body = UncheckedBlock::decode(&body).map_err(|error| Problem::internal(&error))?;
    let anchor = app
        .store
        .anchor(&key)
        .map_err(|error| Problem::internal(&error))?;
    Ok((archived(tenant, body)?, anchor.unwrap_or_default()))
}

const BLOCKS_DEFAULT: usize = 50;
const TRANSACTIONS_DEFAULT: usize = 50;
const PAGE_BYTES_MAX: usize = 1 << 20;
/// Blocks looked through for one page; a page that ends there is short.
const BLOCKS_SCANNED_MAX: usize = 2_000;
