//! Executing tenant blocks on their own parents, and the bodies that others' proposals need.
//!
//! What comes out depends on the block and the decided chain alone: the state after each anchored block is kept
//! ([`Point`]), so a lighter branch is executed as the heaviest is.
//!
//! # Limits
//! Bodies that no chain here has taken yet: [`LOOSE_BODIES_MAX`] and [`LOOSE_BYTES_MAX`], the oldest goes first.

use std::collections::{BTreeMap, VecDeque};

use shared::chain::{HeaderPoint, Point};
use shared::enterprise::{Anchor, EnterpriseBlock, EnterpriseError, Entry};
use shared::genesis::Genesis;
use shared::hash::Hash;
use shared::ids::ChainId;
use shared::report::Report;

use super::{Ledger, Signatures};
use crate::body::{Body, BodyError, UncheckedBody, is_private};
use crate::store::BodyKey;

/// Bodies kept for proposals of others.
pub const LOOSE_BODIES_MAX: usize = 16_384;
/// Their bytes.
pub const LOOSE_BYTES_MAX: usize = 64 << 20;

/// Bodies by key, bounded.
#[derive(Debug, Default)]
pub(super) struct LooseBodies {
    bodies: BTreeMap<BodyKey, (UncheckedBody, usize)>,
    order: VecDeque<BodyKey>,
    bytes: usize,
}

impl LooseBodies {
    pub(super) fn insert(&mut self, key: BodyKey, body: UncheckedBody, bytes: usize) {
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
    pub(super) fn put(&mut self, key: BodyKey, body: UncheckedBody) {
        self.insert(key, body, 0);
    }

    pub(super) fn get(&self, key: &BodyKey) -> Option<&UncheckedBody> {
        self.bodies.get(key).map(|(body, _)| body)
    }

    /// Lets go of bodies that have found their chain.
    pub(super) fn remove(&mut self, keys: impl Iterator<Item = BodyKey>) {
        let before = self.bodies.len();
        for key in keys {
            self.forget(&key);
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
    /// The state after each anchored block, by block hash.
    pub(super) points: BTreeMap<BodyKey, Point>,
    /// Transactions of each; of private tenants' blocks they are not known.
    pub(super) transactions: BTreeMap<BodyKey, usize>,
    /// What each is stored by, in order.
    pub(super) stored_by: Vec<(BodyKey, Hash)>,
    /// Blocks that no chain here has, by what they are stored by.
    pub(super) arrived: BTreeMap<BodyKey, Body>,
}

impl Executed {
    /// The blocks that no chain here has, in order.
    pub(super) fn arrived(&self) -> impl Iterator<Item = (BodyKey, &Body)> {
        self.stored_by.iter().filter_map(|((chain_id, _), id)| {
            let key = (*chain_id, *id);
            Some((key, self.arrived.get(&key)?))
        })
    }
}

/// Why the blocks of an enterprise block are not executed.
pub(super) enum NotExecuted {
    /// These bodies are not here.
    Missing(Vec<BodyKey>),
    /// A block breaks a rule, on every validator.
    Block(Hash, BodyError),
    /// The entries are not in order.
    Entry(EnterpriseError),
}

impl Ledger {
    /// Keeps a body that a proposal needs, if it is its header's and work was done for it; answers what it is stored by.
    ///
    /// # Errors
    /// [`BodyError`]; nothing is kept then.
    pub fn add_body(&mut self, chain_id: ChainId, bytes: &[u8]) -> Result<BodyKey, BodyError> {
        let body = UncheckedBody::decode(bytes)?;
        body.check_work(chain_id)?;
        let key = (chain_id, body.id());
        if !self.is_in_chain(&key) {
            self.loose.insert(key, body, bytes.len());
        }
        Ok(key)
    }

    /// The bytes of a tenant block that is here, anchored or not.
    #[must_use]
    pub fn body(&self, key: &BodyKey) -> Option<Vec<u8>> {
        let tenant = self.tenants.get(&key.0);
        let known = tenant.and_then(|tenant| tenant.chain.bytes(&key.1));
        known.or_else(|| self.loose.get(key).map(UncheckedBody::encode))
    }

    /// Whether a tenant block is here.
    #[must_use]
    pub fn has_body(&self, key: &BodyKey) -> bool {
        self.is_in_chain(key) || self.loose.get(key).is_some()
    }

    fn is_in_chain(&self, key: &BodyKey) -> bool {
        let tenant = self.tenants.get(&key.0);
        tenant.is_some_and(|tenant| tenant.chain.has(&key.1))
    }

    /// The anchored blocks whose bodies are not here.
    pub(super) fn missing_bodies(&self, block: &EnterpriseBlock) -> Vec<BodyKey> {
        crate::store::anchored(block)
            .filter(|key| !self.has_body(key))
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
            match entry {
                Entry::TenantRegistered(genesis) => {
                    registered.insert(genesis.chain_id(), genesis);
                }
                Entry::BlockAnchored(anchor) => {
                    let genesis = self.genesis_of(&registered, anchor.chain_id)?;
                    self.execute_anchor(&mut executed, genesis, anchor, signatures)?;
                }
                Entry::ReportAnchored(report) => {
                    let genesis = self.genesis_of(&registered, report.chain_id)?;
                    self.execute_report(&mut executed, genesis, report, signatures)?;
                }
                Entry::ForkRefused(anchor) => {
                    let genesis = self.genesis_of(&registered, anchor.chain_id)?;
                    self.check_refused(&executed, genesis, anchor)?;
                }
                // The verifier's business, and the state's.
                Entry::SetChanged(_) | Entry::TenantReset(_) => {}
            }
        }
        Ok(executed)
    }

    fn genesis_of<'a>(
        &'a self,
        registered: &BTreeMap<ChainId, &'a Genesis>,
        chain_id: ChainId,
    ) -> Result<&'a Genesis, NotExecuted> {
        let known = self
            .tenants
            .get(&chain_id)
            .map(|tenant| &**tenant.genesis());
        let genesis = registered.get(&chain_id).copied().or(known);
        genesis.ok_or(NotExecuted::Entry(EnterpriseError::TenantUnknown(chain_id)))
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
        checked.map_err(|error| NotExecuted::Block(anchor.header.hash(), error.into()))
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
        // A reset makes heights open again that a snapshot has no points of; a private tenant's needs no state.
        let of_header = || self.headers.get(&key).filter(|_| is_private(genesis));
        let known = known.cloned();
        known
            .or_else(|| of_header().map(HeaderPoint::of_private))
            .ok_or_else(|| {
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
        let parent = self.parent_point(executed, genesis, anchor)?;
        let known = self.tenants.get(chain_id);
        let known = known.and_then(|tenant| tenant.chain.open()?.block(&hash));
        let arrived = match known {
            Some(_) => None,
            None => Some(self.arrived(&key, genesis, signatures)?),
        };
        let block = match (known, &arrived) {
            (Some(block), _) | (None, Some(Body::Whole(block))) => block,
            (None, Some(Body::Sealed(_)) | None) => return Err(NotExecuted::Missing(vec![key])),
        };
        let point = parent.next(genesis, block);
        let point = point.map_err(|error| NotExecuted::Block(hash, error.into()))?;
        executed
            .transactions
            .insert(key, block.transactions().len());
        executed.points.insert(key, point);
        executed.stored_by.push((key, hash));
        executed.arrived.extend(arrived.map(|body| (key, body)));
        Ok(())
    }

    /// Follows a private tenant's header, once its report is one of a reporter and the sealed body is here.
    fn execute_report(
        &self,
        executed: &mut Executed,
        genesis: &Genesis,
        report: &Report,
        signatures: Signatures,
    ) -> Result<(), NotExecuted> {
        let (chain_id, header, id) = (report.chain_id, &report.header, report.id());
        let (hash, stored_by) = (header.hash(), (chain_id, id));
        let anchor = Anchor {
            chain_id,
            header: header.clone(),
        };
        let parent = self.parent_point(executed, genesis, &anchor)?;
        // The id covers every byte of the report, so that one in the chain here was verified.
        if !self.is_in_chain(&stored_by) {
            let body = self.arrived(&stored_by, genesis, signatures)?;
            executed.arrived.insert(stored_by, body);
        }
        let point = parent.next_header(genesis, header);
        let point = point.map_err(|error| NotExecuted::Block(hash, error.into()))?;
        executed.points.insert((chain_id, hash), point);
        executed.stored_by.push(((chain_id, hash), id));
        Ok(())
    }

    /// A body that came with a proposal, checked.
    fn arrived(
        &self,
        key: &BodyKey,
        genesis: &Genesis,
        signatures: Signatures,
    ) -> Result<Body, NotExecuted> {
        let body = self.loose.get(key);
        let body = body
            .ok_or_else(|| NotExecuted::Missing(vec![*key]))?
            .clone();
        let hash = body.header().hash();
        let checked = match signatures {
            Signatures::Verified => body.check_archived(genesis),
            Signatures::Verify => body.check(genesis),
        };
        checked.map_err(|error| NotExecuted::Block(hash, error))
    }
}
