//! Executing tenant blocks on their own parents, and the bodies that others' proposals need.
//!
//! What comes out depends on the block and the decided chain alone: the state after each anchored block is kept
//! ([`Point`]), so a lighter branch is executed as the heaviest is.
//!
//! # Limits
//! Bodies that no chain here has taken yet: [`LOOSE_BODIES_MAX`] and [`LOOSE_BYTES_MAX`], the oldest goes first.

use std::collections::{BTreeMap, VecDeque};

use shared::block::{Block, BlockError, UncheckedBlock, body_root};
use shared::chain::Point;
use shared::enterprise::{Anchor, EnterpriseBlock, EnterpriseError, Entry};
use shared::genesis::{Access, Genesis};
use shared::hash::{Hash, sha256};

use super::{Ledger, Signatures};
use crate::store::BodyKey;

/// Bodies kept for proposals of others.
pub const LOOSE_BODIES_MAX: usize = 16_384;
/// Their bytes.
pub const LOOSE_BYTES_MAX: usize = 64 << 20;

/// Why a body is not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The bytes are not a block's.
    #[error("not a block: {0}")]
    Encoding(#[from] shared::encoding::DecodeError),
    /// The body is another header's, or no work was done for it.
    #[error(transparent)]
    Invalid(#[from] BlockError),
}

/// Bodies by key, bounded.
#[derive(Debug, Default)]
pub(super) struct LooseBodies {
    bodies: BTreeMap<BodyKey, (UncheckedBlock, usize)>,
    order: VecDeque<BodyKey>,
    bytes: usize,
}

impl LooseBodies {
    fn insert(&mut self, key: BodyKey, body: UncheckedBlock, bytes: usize) {
        if self.bodies.insert(key, (body, bytes)).is_some() {
            return;
        }
        self.order.push_back(key);
        self.bytes = self.bytes.saturating_add(bytes);
        while self.order.len() > LOOSE_BODIES_MAX || self.bytes > LOOSE_BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.forget(&oldest);
        }
    }

    /// Keeps a body that is used before the next one comes.
    pub(super) fn put(&mut self, key: BodyKey, body: UncheckedBlock) {
        self.insert(key, body, 0);
    }

    pub(super) fn get(&self, key: &BodyKey) -> Option<&UncheckedBlock> {
        self.bodies.get(key).map(|(body, _)| body)
    }

    /// Lets go of bodies that have found their chain.
    pub(super) fn remove<'a>(&mut self, keys: impl Iterator<Item = &'a BodyKey>) {
        let before = self.bodies.len();
        for key in keys {
            self.forget(key);
        }
        if self.bodies.len() < before {
            self.order.retain(|key| self.bodies.contains_key(key));
        }
    }

    fn forget(&mut self, key: &BodyKey) {
        if let Some((_, bytes)) = self.bodies.remove(key) {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }
}

/// What executing the anchored blocks of one enterprise block gave.
#[derive(Debug, Default)]
pub(super) struct Executed {
    /// The state after each anchored block.
    pub(super) points: BTreeMap<BodyKey, Point>,
    /// Transactions of each.
    pub(super) transactions: BTreeMap<BodyKey, usize>,
    /// Blocks that no chain here has, in order.
    pub(super) arrived: Vec<Block>,
}

/// Why the blocks of an enterprise block are not executed.
pub(super) enum NotExecuted {
    /// These bodies are not here.
    Missing(Vec<BodyKey>),
    /// A block breaks a rule, on every validator.
    Block(Hash, BlockError),
    /// The entries are not in order.
    Entry(EnterpriseError),
}

impl Ledger {
    /// Keeps a body that a proposal needs, if it is its header's and work was done for it; answers its hash.
    ///
    /// # Errors
    /// [`BodyError`]; nothing is kept then.
    pub fn add_body(
        &mut self,
        chain_id: shared::ids::ChainId,
        bytes: &[u8],
    ) -> Result<BodyKey, BodyError> {
        let body = UncheckedBlock::decode(bytes)?;
        let header = &body.header;
        let hash = header.hash();
        if !header.target.target().is_met_by(&hash) {
            let allowed = header.target;
            return Err(BlockError::WorkNotDone {
                found: hash,
                allowed,
            }
            .into());
        }
        let ids = body.transactions.iter().map(|bytes| sha256(&[bytes]));
        let (found, allowed) = (body_root(&body.miner, ids), header.body_root);
        if found != allowed {
            return Err(BlockError::BodyRoot { found, allowed }.into());
        }
        let key = (chain_id, hash);
        if self.chain_block(&key).is_none() {
            self.loose.insert(key, body, bytes.len());
        }
        Ok(key)
    }

    /// The bytes of a tenant block that is here, anchored or not.
    #[must_use]
    pub fn body(&self, key: &BodyKey) -> Option<Vec<u8>> {
        let loose = || self.loose.get(key).map(UncheckedBlock::encode);
        self.chain_block(key).map(Block::encode).or_else(loose)
    }

    /// Whether a tenant block is here.
    #[must_use]
    pub fn has_body(&self, key: &BodyKey) -> bool {
        self.chain_block(key).is_some() || self.loose.get(key).is_some()
    }

    pub(super) fn chain_block(&self, key: &BodyKey) -> Option<&Block> {
        self.tenants.get(&key.0)?.chain.block(&key.1)
    }

    /// The anchored blocks whose bodies are not here.
    pub(super) fn missing_bodies(&self, block: &EnterpriseBlock) -> Vec<BodyKey> {
        crate::store::anchored(block)
            .filter(|key| self.chain_block(key).is_none() && self.loose.get(key).is_none())
            .collect()
    }

    /// Executes every block that `entries` anchor on its parent.
    pub(super) fn execute_blocks(
        &self,
        entries: &[Entry],
        signatures: Signatures,
    ) -> Result<Executed, NotExecuted> {
        let mut executed = Executed::default();
        let mut registered: BTreeMap<_, &Genesis> = BTreeMap::new();
        for entry in entries {
            let (anchor, refused) = match entry {
                Entry::TenantRegistered(genesis) => {
                    if genesis.access != Access::Open {
                        let private = EnterpriseError::Private(genesis.chain_id());
                        return Err(NotExecuted::Entry(private));
                    }
                    registered.insert(genesis.chain_id(), genesis);
                    continue;
                }
                Entry::BlockAnchored(anchor) => (anchor, false),
                Entry::ForkRefused(anchor) => (anchor, true),
                Entry::SetChanged(_) => continue,
                // No private tenant is registered, so that there is none they could be about.
                Entry::ReportAnchored(report) => {
                    let unknown = EnterpriseError::TenantUnknown(report.chain_id);
                    return Err(NotExecuted::Entry(unknown));
                }
                Entry::TenantReset(reset) => {
                    let unknown = EnterpriseError::TenantUnknown(reset.chain_id);
                    return Err(NotExecuted::Entry(unknown));
                }
            };
            let unknown = EnterpriseError::TenantUnknown(anchor.chain_id);
            let genesis = registered.get(&anchor.chain_id).copied();
            let known = self.tenants.get(&anchor.chain_id);
            let genesis = genesis.or_else(|| known.map(|tenant| &**tenant.genesis()));
            let genesis = genesis.ok_or(NotExecuted::Entry(unknown))?;
            if refused {
                self.check_refused(&executed, genesis, anchor)?;
            } else {
                self.execute_anchor(&mut executed, genesis, anchor, signatures)?;
            }
        }
        Ok(executed)
    }

    /// Whether the header of a refused fork follows the rules of its chain.
    fn check_refused(
        &self,
        executed: &Executed,
        genesis: &Genesis,
        anchor: &Anchor,
    ) -> Result<(), NotExecuted> {
        let key = (anchor.chain_id, anchor.header.previous);
        let checked = match self.headers.get(&key) {
            Some(parent) => parent.check_header(genesis, &anchor.header).map(drop),
            None => self
                .parent_point(executed, genesis, anchor)?
                .check_header(genesis, &anchor.header),
        };
        checked.map_err(|error| NotExecuted::Block(anchor.header.hash(), error))
    }

    /// The chain right after an anchor's parent.
    fn parent_point(
        &self,
        executed: &Executed,
        genesis: &Genesis,
        anchor: &Anchor,
    ) -> Result<Point, NotExecuted> {
        let previous = anchor.header.previous;
        if previous == anchor.chain_id.0 {
            return Ok(Point::genesis(genesis));
        }
        let key = (anchor.chain_id, previous);
        let known = executed.points.get(&key).or_else(|| self.points.get(&key));
        known.cloned().ok_or_else(|| {
            let hash = anchor.header.hash();
            NotExecuted::Entry(EnterpriseError::ParentNotAnchored { hash, previous })
        })
    }

    fn execute_anchor(
        &self,
        executed: &mut Executed,
        genesis: &Genesis,
        anchor: &Anchor,
        signatures: Signatures,
    ) -> Result<(), NotExecuted> {
        let Anchor { chain_id, header } = anchor;
        let hash = header.hash();
        let key = (*chain_id, hash);
        let refused = |error| NotExecuted::Block(hash, error);
        let parent = self.parent_point(executed, genesis, anchor)?;
        let block = if let Some(block) = self.chain_block(&key) {
            block
        } else {
            let body = self.loose.get(&key);
            let body = body.ok_or_else(|| NotExecuted::Missing(vec![key]))?.clone();
            let checked = match signatures {
                Signatures::Verified => body.check_archived(genesis),
                Signatures::Verify => body.check(genesis),
            };
            executed.arrived.push(checked.map_err(refused)?);
            executed
                .arrived
                .last()
                .ok_or_else(|| NotExecuted::Missing(vec![key]))?
        };
        let point = parent.next(genesis, block).map_err(refused)?;
        let transactions = block.transactions().len();
        executed.transactions.insert(key, transactions);
        executed.points.insert(key, point);
        Ok(())
    }
}
