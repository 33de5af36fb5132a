//! Tenant transactions, newest first: of all tenants in the order of the enterprise chain, or of one tenant's chain.

use std::sync::Arc;

use api::openapi::Problems;
use api::{EnterpriseTransaction, Transactions};
use axum::extract::{Path, State};
use service::Problem;
use shared::enterprise::EnterpriseHeight;
use shared::ids::Height;

use super::blocks::transaction_shape;
use super::page::{Asked, PAGE_MAX, PageFrom, Paged, Position, TransactionsPage, limit, query};
use super::tenants::read_body;
use super::{App, pruned, reading, tenant_unknown};
use crate::body::{Body, is_private};
use crate::store::{BodyKey, anchored};
use crate::view::TenantView;

/// Transactions of all tenants or of one, newest first.
#[utoipa::path(
    get,
    path = "/api/transactions",
    tag = "transactions",
    params(TransactionsPage),
    responses((status = 200, description = "The transactions", body = Transactions), Problems),
)]
pub(super) async fn transactions(
    State(app): State<Arc<App>>,
    page: Asked<TransactionsPage>,
) -> Result<Paged<Transactions>, Problem> {
    let page = query(page)?;
    let limit = limit(page.limit, TRANSACTIONS_DEFAULT, PAGE_MAX);
    let from = Position::first(page.cursor.as_deref(), page.from)?;
    if let Some(id) = page.network {
        let (name, answer) = of_tenant(app, &id, from, limit).await?;
        return Ok(paged(answer, limit).with("network", &name));
    }
    let answer = reading(move || newest(&app, from, limit)).await?;
    Ok(paged(answer, limit))
}

/// Transactions of one tenant, newest first.
#[utoipa::path(
    get,
    path = "/api/network-transactions/{id}",
    tag = "transactions",
    params(("id" = String, Path, description = "The tenant's name or chain id"), PageFrom),
    responses((status = 200, description = "The transactions", body = Transactions), Problems),
)]
pub(super) async fn network_transactions(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    page: Asked<PageFrom>,
) -> Result<Paged<Transactions>, Problem> {
    let page = query(page)?;
    let limit = limit(page.limit, TRANSACTIONS_DEFAULT, PAGE_MAX);
    let from = Position::first(page.cursor.as_deref(), page.from)?;
    let (_, answer) = of_tenant(app, &id, from, limit).await?;
    Ok(paged(answer, limit))
}

fn paged(answer: Transactions, limit: usize) -> Paged<Transactions> {
    let cursor = answer.next_cursor.clone();
    Paged::new(answer, cursor.as_deref(), limit)
}

/// A page under way.
struct Listed {
    transactions: Vec<EnterpriseTransaction>,
    next: Option<Position>,
    limit: usize,
}

impl Listed {
    const fn new(limit: usize) -> Self {
        Self {
            transactions: Vec::new(),
            next: None,
            limit,
        }
    }

    /// Lists what `shape` makes, or notes its place as the next page's first when this one is full.
    fn add(&mut self, at: Position, shape: impl FnOnce() -> EnterpriseTransaction) {
        if self.transactions.len() < self.limit {
            self.transactions.push(shape());
        } else if self.next.is_none() {
            self.next = Some(at);
        }
    }

    fn finish(self, total: u64) -> Transactions {
        Transactions {
            transactions: self.transactions,
            total,
            next_cursor: self.next.map(Position::cursor),
        }
    }
}

/// The transactions of one tenant, with its name.
async fn of_tenant(
    app: Arc<App>,
    id: &str,
    from: Option<Position>,
    limit: usize,
) -> Result<(String, Transactions), Problem> {
    let tenant = Arc::clone(app.handle.view().tenant(id).ok_or_else(tenant_unknown)?);
    let name = tenant.name.clone();
    let answer = reading(move || walk(&app, &tenant, from, limit)).await?;
    Ok((name, answer))
}

fn walk(
    app: &App,
    tenant: &TenantView,
    from: Option<Position>,
    limit: usize,
) -> Result<Transactions, Problem> {
    let tip = u64::from(tenant.height.0);
    let top = Position {
        height: tip,
        newer: 0,
    };
    let start = from.filter(|from| from.height <= tip).unwrap_or(top);
    let mut listed = Listed::new(limit);
    if is_private(&tenant.genesis) {
        return Ok(listed.finish(0));
    }
    for (scanned, height) in (1..=start.height).rev().enumerate() {
        let place = Height(u32::try_from(height).unwrap_or(u32::MAX));
        if listed.next.is_none() && scanned >= BLOCKS_SCANNED_MAX {
            listed.next = Some(Position { height, newer: 0 });
        }
        if listed.next.is_some() {
            break;
        }
        // A chain that was replaced by one of more work in fewer blocks since the picture was taken ends earlier.
        let Some(hash) = tenant.main.page(place.0, 1).first().copied() else {
            continue;
        };
        let (body, anchor) = match read_body(app, tenant, hash) {
            // The next page says what is not held.
            Err(_) if scanned > 0 => {
                listed.next = Some(Position { height, newer: 0 });
                break;
            }
            read => read?,
        };
        let skipped = if height == start.height {
            start.newer
        } else {
            0
        };
        let Body::Whole(block) = body else {
            continue;
        };
        let newest_first = block.transactions().iter().rev().enumerate().skip(skipped);
        for (newer, transaction) in newest_first {
            listed.add(Position { height, newer }, || {
                transaction_shape(transaction, tenant, place.0, anchor)
            });
        }
    }
    Ok(listed.finish(tenant.transactions))
}

/// The newest transactions of all tenants, those of replaced blocks left out.
fn newest(app: &App, from: Option<Position>, limit: usize) -> Result<Transactions, Problem> {
    let view = app.handle.view();
    let head = view.head.height.0;
    let top = Position {
        height: head,
        newer: 0,
    };
    let start = from.filter(|from| from.height <= head).unwrap_or(top);
    let mut listed = Listed::new(limit);
    let mut scanned = 0;
    for height in (1..=start.height).rev() {
        if listed.next.is_none() && scanned >= BLOCKS_SCANNED_MAX {
            listed.next = Some(Position { height, newer: 0 });
        }
        if listed.next.is_some() {
            break;
        }
        if height < view.lowest.0 {
            if height == start.height {
                return Err(pruned("blocks", view.lowest.0));
            }
            // The next page says what is not held.
            listed.next = Some(Position { height, newer: 0 });
            break;
        }
        let read = app.store.block(EnterpriseHeight(height));
        let (block, _) = read.map_err(|error| Problem::internal(&error))?;
        let mut keys: Vec<BodyKey> = anchored(&block).collect();
        keys.reverse();
        let skipped = if height == start.height {
            start.newer
        } else {
            0
        };
        // Counts replaced blocks' transactions too: what a block anchors never changes, so that a cursor stays right.
        let mut newer = 0;
        for (chain_id, hash) in keys {
            if listed.next.is_some() {
                break;
            }
            let Some(tenant) = view.tenants.get(&chain_id) else {
                continue;
            };
            scanned += 1;
            if is_private(&tenant.genesis) {
                continue;
            }
            let (Body::Whole(block), anchor) = read_body(app, tenant, hash)? else {
                continue;
            };
            let shown = tenant.main.has(block.header().height, &hash);
            for transaction in block.transactions().iter().rev() {
                if shown && newer >= skipped {
                    let tenant_height = block.header().height.0;
                    listed.add(Position { height, newer }, || {
                        transaction_shape(transaction, tenant, tenant_height, anchor)
                    });
                }
                newer += 1;
            }
        }
    }
    Ok(listed.finish(view.transactions))
}

const TRANSACTIONS_DEFAULT: usize = 50;
/// Blocks looked through for one page; a page that ends there is short.
const BLOCKS_SCANNED_MAX: usize = 2_000;
