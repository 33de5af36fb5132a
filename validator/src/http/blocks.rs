//! `/api/blocks`: enterprise blocks with the tenant transactions they anchor.

use std::fmt;
use std::sync::Arc;

use api::openapi::Problems;
use api::{EnterpriseBlock as BlockShape, EnterpriseTransaction};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use service::Problem;
use shared::enterprise::{EnterpriseHeader, EnterpriseHeight};
use shared::transaction::{Payload, Transaction};

use super::page::{Asked, PAGE_MAX, PageFrom, Paged, limit, place, query};
use super::status::count;
use super::{App, TRANSACTIONS_SHOWN_MAX, bad_path, pruned, reading};
use crate::body::{Body, UncheckedBody};
use crate::start::bodies;
use crate::store::Store;
use crate::view::{TenantView, View};

/// Enterprise blocks, newest first, with header and certificate.
#[utoipa::path(
    get,
    path = "/api/blocks",
    tag = "chain",
    params(PageFrom),
    responses((status = 200, description = "The blocks; the `Link` header leads to the next page", body = Vec<BlockShape>), Problems),
)]
pub(super) async fn blocks(
    State(app): State<Arc<App>>,
    page: Asked<PageFrom>,
) -> Result<Paged<Vec<BlockShape>>, Problem> {
    let page = query(page)?;
    let limit = limit(page.limit, BLOCKS_DEFAULT, PAGE_MAX);
    let below = place(page.cursor.as_deref())?;
    let shapes = reading(move || {
        let view = app.handle.view();
        let mut room = TRANSACTIONS_SHOWN_MAX;
        let head = view.head.height.0;
        let top = below.map(|below| below.saturating_sub(1)).or(page.from);
        let top = top.map_or(head, |top| head.min(top));
        let lowest = view.lowest.0;
        if top > 0 && top < lowest {
            return Err(pruned("blocks", lowest));
        }
        let heights = (lowest..=top).rev().take(limit);
        heights
            .map(|height| shape(&app.store, &view, EnterpriseHeight(height), &mut room))
            .collect::<Result<Vec<_>, _>>()
    });
    let shapes = shapes.await?;
    let lowest = shapes.last().map(|block| block.height);
    let cursor = lowest
        .filter(|height| *height > 1)
        .map(|height| height.to_string());
    Ok(Paged::new(shapes, cursor.as_deref(), limit))
}

/// One enterprise block.
#[utoipa::path(
    get,
    path = "/api/blocks/{height}",
    tag = "chain",
    params(("height" = u64, Path, description = "The height")),
    responses((status = 200, description = "The block", body = BlockShape), Problems),
)]
pub(super) async fn block(
    State(app): State<Arc<App>>,
    height: Result<Path<u64>, PathRejection>,
) -> Result<Json<BlockShape>, Problem> {
    let Path(height) = height.map_err(|rejection| bad_path(&rejection))?;
    let shape = reading(move || {
        let view = app.handle.view();
        if height == 0 || height > view.head.height.0 {
            let detail = format!("the chain has the blocks 1 to {}", view.head.height);
            return Err(Problem::new(StatusCode::NOT_FOUND, "block-unknown", detail));
        }
        if height < view.lowest.0 {
            return Err(pruned("blocks", view.lowest.0));
        }
        block_shape(&app.store, &view, EnterpriseHeight(height))
    });
    shape.await.map(Json)
}

/// The shape of a decided block.
///
/// # Errors
/// A problem when the store cannot be read.
pub fn block_shape(
    store: &Store,
    view: &View,
    height: EnterpriseHeight,
) -> Result<BlockShape, Problem> {
    shape(store, view, height, &mut { TRANSACTIONS_SHOWN_MAX })
}

/// Lists as many transactions as there is room for; the counts are of all.
pub(super) fn shape(
    store: &Store,
    view: &View,
    height: EnterpriseHeight,
    room: &mut usize,
) -> Result<BlockShape, Problem> {
    let lost = |error: &dyn fmt::Display| match store.base() {
        // A snapshot took its place since the picture was made.
        Ok(Some(base)) if base.height >= height => {
            pruned("blocks", base.height.0.saturating_add(1))
        }
        Ok(_) | Err(_) => Problem::internal(error),
    };
    let found = store.block(height);
    let (block, certificate) = found.map_err(|error| lost(&error))?;
    let bodies = bodies(store, &block).map_err(|error| lost(&error))?;
    let keys: Vec<_> = crate::store::anchored(&block).collect();
    let mut transactions = Vec::new();
    let mut total = 0_u64;
    for ((chain_id, _), body) in keys.iter().zip(bodies) {
        total = total.saturating_add(count(body.transactions()));
        if *room == 0 {
            continue;
        }
        let Some(tenant) = view.tenants.get(chain_id) else {
            continue;
        };
        let Body::Whole(body) = archived(tenant, body)? else {
            continue;
        };
        for transaction in body.transactions().iter().take(*room) {
            let tenant_block = body.header().height.0;
            transactions.push(transaction_shape(transaction, tenant, tenant_block, height));
        }
        *room = room.saturating_sub(body.transactions().len());
    }
    let header = block.header();
    Ok(BlockShape {
        height: height.0,
        hash: certificate.block_hash.to_string(),
        previous_hash: header.previous.to_string(),
        timestamp: header.time.0,
        validator: proposer_name(view, header),
        transaction_count: total,
        transactions,
        merkle_root: header.data_root.to_string(),
        header: Some(hex::encode(header.encode())),
        certificate: Some(hex::encode(certificate.encode())),
        tenant_block_count: count(keys.len()),
    })
}

/// A block of the store with its transactions decoded; its signatures were verified before it was written.
pub(super) fn archived(tenant: &TenantView, body: UncheckedBody) -> Result<Body, Problem> {
    body.check_archived(&tenant.genesis)
        .map_err(|error| Problem::internal(&error))
}

pub(super) fn transaction_shape(
    transaction: &Transaction,
    tenant: &TenantView,
    tenant_block: u32,
    height: EnterpriseHeight,
) -> EnterpriseTransaction {
    EnterpriseTransaction {
        tx_id: transaction.id().to_string(),
        tenant_network: tenant.name.clone(),
        tenant_block_id: tenant_block,
        transaction_data: match transaction.payload() {
            Payload::Message(text) => text.clone(),
            Payload::Record(bytes) => hex::encode(bytes),
        },
        timestamp: transaction.timestamp().0,
        from_peer: transaction.sender().to_string(),
        chain_id: tenant.chain_id.to_string(),
        enterprise_height: height.0,
    }
}

fn proposer_name(view: &View, header: &EnterpriseHeader) -> String {
    let set = view.set_at(header.height);
    let proposer = set.and_then(|set| set.get(set.index_of(&header.proposer)?));
    proposer.map_or_else(
        || header.proposer.to_string(),
        |proposer| proposer.name.to_string(),
    )
}

const BLOCKS_DEFAULT: usize = 10;
