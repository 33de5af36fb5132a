//! The enterprise chain's rules over tenants: what an update adds, what a block of it holds, what a decided block does.
//!
//! Purpose: one pure value between the engine and the chains. An update is executed in its tenant's own
//! [`Chain`](shared::chain::Chain); blocks that join the tenant's heaviest chain become pending entries;
//! [`Ledger::propose`] makes a block of them, [`Ledger::judge`] judges the blocks of other validators, [`Ledger::decide`]
//! verifies the certificate of one, [`Ledger::finish`] takes it over once it is durable. [`Ledger::replay`] takes the same
//! decisions from the store at a start, [`Ledger::restore`] begins with a snapshot that [`Ledger::snapshot`] made elsewhere.
//!
//! It does no I/O: what has to be stored is collected ([`Ledger::take_batch`]).
//!
//! # Invariants
//! - An entry is pending or decided once, whoever sends its block however often.
//! - An entry is made of a block only when it is on its tenant's heaviest chain here; what a heavier chain replaces stays
//!   on record.
//! - A verdict over a block follows from the block and the decided chain before it, and is the same on every validator.
//! - Counts are of the heaviest anchored chain.
//!
//! # Limits
//! Tenants by the genesis. Blocks beside a tenant's heaviest chain: [`HELD_BLOCKS_MAX`] and [`HELD_BYTES_MAX`]; beyond,
//! a further one is refused unless it makes its branch the heaviest. Blocks stay in memory.

mod execution;
mod history;
mod judge;
mod log;
mod pending;
mod proposal;
mod replay;
mod resets;
mod restore;
mod set;
mod snapshot;
mod tenant;
mod tenant_chain;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shared::block::BlockError;
use shared::chain::{ChainError, Inserted, Point};
use shared::enterprise::{
    Anchor, Certificate, EnterpriseError, EnterpriseGenesis, EnterpriseHeader, EnterpriseHeight,
    Entry, SetLink, Tenants, Verifier,
};
use shared::genesis::Genesis;
use shared::hash::Hash;
use shared::ids::{ChainId, Height, TimestampMs};

use crate::body::{Body, UncheckedBody};
use crate::store::{Batch, BodyKey, Head};

pub use execution::{LOOSE_BODIES_MAX, LOOSE_BYTES_MAX};
pub use judge::{Judgement, PROPOSAL_AHEAD_MAX_MS, Timeliness};
pub use proposal::{PROPOSALS_MAX, ProposalError};
pub use replay::{ReplayError, Signatures};
pub use resets::{ExecutedReset, RESETS_WAITING_MAX};
pub use restore::{RestoreError, Restored};
pub use set::CHANGES_MAX;
pub use snapshot::Snapshot;
pub use tenant::{MainChain, TenantLedger, TenantName};

/// Blocks that a tenant may have beside its heaviest chain.
pub const HELD_BLOCKS_MAX: usize = 512;
/// Their bytes.
pub const HELD_BYTES_MAX: usize = 16 << 20;

/// Checked blocks of one tenant, oldest first.
#[derive(Debug)]
pub struct Submission {
    /// The tenant's genesis.
    pub genesis: Arc<Genesis>,
    /// Its hash.
    pub chain_id: ChainId,
    /// The blocks, whole or sealed as the genesis demands.
    pub blocks: Vec<Body>,
}

/// What a submission added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Blocks that were new.
    pub blocks: u32,
    /// Transactions in them.
    pub transactions: u32,
    /// Blocks that were known.
    pub already_known: u32,
}

/// Why a submission is refused. The blocks before the refused one are taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The tenant may not register.
    #[error("the tenant is not registered: {0}")]
    Registration(#[from] EnterpriseError),
    /// A reset of its owner voided the block.
    #[error("block {height} is void: the owner has reset the network below it")]
    Void {
        /// The block's height.
        height: Height,
    },
    /// The reset can't be executed.
    #[error(transparent)]
    Reset(EnterpriseError),
    /// No more tenants.
    #[error("the chain has {allowed} tenants, the most its genesis allows")]
    TooManyTenants {
        /// The most.
        allowed: u32,
    },
    /// The tenant is not registered, and the submission has no block that would register it.
    #[error("the tenant is not known, and the update has no blocks")]
    NoBlocks,
    /// The first block does not follow a known one.
    #[error("block {height}: its parent {previous} is not known here")]
    UnknownParent {
        /// The block's height.
        height: Height,
        /// The parent's hash.
        previous: Hash,
    },
    /// The header's time is too far ahead of enterprise time.
    #[error("block {height}: its time {found} is ahead of {allowed}, the latest allowed now")]
    TooFarAhead {
        /// The block's height.
        height: Height,
        /// The header's time.
        found: TimestampMs,
        /// The latest allowed.
        allowed: TimestampMs,
    },
    /// The block is on a branch that leaves out the newest final block; the refusal is put on record.
    #[error("block {height}: its branch leaves out the final block at height {final_height}")]
    LeavesFinal {
        /// The block's height.
        height: Height,
        /// The newest final height.
        final_height: Height,
    },
    /// The block breaks a rule of its chain.
    #[error("block {height}: {error}")]
    Invalid {
        /// The block's height.
        height: Height,
        /// The rule.
        error: BlockError,
    },
    /// Too many blocks beside the heaviest chain.
    #[error("block {height} is on a lighter branch, and {held} such blocks are held already")]
    BranchesFull {
        /// The block's height.
        height: Height,
        /// How many are held.
        held: usize,
    },
}

/// The state of the enterprise chain at its tip, with its tenants' chains and what waits for the next block.
#[derive(Debug)]
pub struct Ledger {
    genesis: EnterpriseGenesis,
    verifier: Verifier,
    state: Tenants,
    tenants: BTreeMap<ChainId, TenantLedger>,
    names: BTreeMap<TenantName, ChainId>,
    /// Names of registered tenants, the same on every validator.
    settled: BTreeMap<TenantName, ChainId>,
    pending: pending::Pending,
    /// All that is pending was ahead of the last proposal's time, as after a clock that was set back.
    all_early: bool,
    proposals: proposal::Proposals,
    /// The proposal that a certificate decides, and where the chain stands after it.
    decided: Option<((EnterpriseHeader, Certificate), Verifier)>,
    /// The newest header with its certificate.
    newest: Option<(EnterpriseHeader, Certificate)>,
    log: log::FinalLog,
    /// The headers by which the validators changed.
    links: Vec<SetLink>,
    /// Each anchored block's state.
    points: BTreeMap<BodyKey, Point>,
    /// What is known of anchored blocks whose state a snapshot left out: nothing is executed on them any more.
    headers: restore::Headers,
    history: history::History,
    base: Head,
    loose: execution::LooseBodies,
    batch: Batch,
    arrivals: u64,
    changed: BTreeSet<ChainId>,
    transactions: u64,
}

impl Ledger {
    /// The ledger of a chain without blocks.
    #[must_use]
    pub fn new(genesis: EnterpriseGenesis) -> Self {
        Self {
            verifier: Verifier::new(&genesis),
            state: Tenants::new(&genesis),
            base: Head {
                height: EnterpriseHeight(0),
                hash: genesis.hash(),
            },
            genesis,
            tenants: BTreeMap::new(),
            names: BTreeMap::new(),
            settled: BTreeMap::new(),
            pending: pending::Pending::default(),
            all_early: false,
            proposals: proposal::Proposals::default(),
            decided: None,
            newest: None,
            log: log::FinalLog::default(),
            links: Vec::new(),
            points: BTreeMap::new(),
            headers: restore::Headers::new(),
            history: history::History::default(),
            loose: execution::LooseBodies::default(),
            batch: Batch::default(),
            arrivals: 0,
            changed: BTreeSet::new(),
            transactions: 0,
        }
    }

    /// The genesis.
    #[must_use]
    pub const fn genesis(&self) -> &EnterpriseGenesis {
        &self.genesis
    }

    /// Where the chain stands.
    #[must_use]
    pub const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The tenants, by chain id.
    #[must_use]
    pub const fn tenants(&self) -> &BTreeMap<ChainId, TenantLedger> {
        &self.tenants
    }

    /// The tenants that changed since this was last asked.
    pub fn take_changed(&mut self) -> BTreeSet<ChainId> {
        std::mem::take(&mut self.changed)
    }

    /// Transactions on the tenants' heaviest anchored chains.
    #[must_use]
    pub const fn transactions(&self) -> u64 {
        self.transactions
    }

    /// Whether entries wait for a block; not those that the last proposal found too early, until something changes.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty() && !self.all_early
    }

    /// When a block is needed even if nothing is pending: enterprise time makes something final then.
    #[must_use]
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.state.next_deadline()
    }

    /// Whether a block is needed now: entries wait, or a deadline is due.
    #[must_use]
    pub fn needs_block(&self, now: TimestampMs) -> bool {
        self.has_pending() || self.next_deadline().is_some_and(|due| due <= now)
    }

    /// What is to be stored so far.
    #[must_use]
    pub const fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Whether a tenant block waits for a block of the enterprise chain.
    #[must_use]
    pub fn is_pending(&self, key: &BodyKey) -> bool {
        self.pending.has(&pending::Subject::Block(*key))
    }

    /// The bytes of the tenant blocks that wait, in an order in which each may follow the ones before it.
    pub fn pending_blocks(&self) -> impl Iterator<Item = (&Arc<Genesis>, Vec<u8>)> {
        self.pending.iter().filter_map(|subject| match subject {
            pending::Subject::Block((chain_id, hash)) => {
                let tenant = self.tenants.get(&chain_id)?;
                let bytes = tenant.chain.bytes(&tenant.chain.id_of(&hash)?)?;
                Some((tenant.genesis(), bytes))
            }
            pending::Subject::Tenant(_)
            | pending::Subject::Fork(_)
            | pending::Subject::SetChange(_)
            | pending::Subject::Reset(..) => None,
        })
    }

    /// The tenants as the chain's blocks leave them.
    #[must_use]
    pub const fn state(&self) -> &Tenants {
        &self.state
    }

    /// Executes a submission in its tenant's chain.
    ///
    /// # Errors
    /// [`Refusal`] of the first block that is not taken; the blocks before it are.
    pub fn accept(&mut self, now: TimestampMs, submission: Submission) -> Result<Receipt, Refusal> {
        let Submission {
            genesis,
            chain_id,
            blocks,
        } = submission;
        let now = self.verifier.next_time(now);
        self.all_early = false;
        let mut receipt = Receipt::default();
        if !self.tenants.contains_key(&chain_id) {
            self.may_register(&genesis)?;
            if blocks.is_empty() {
                return Err(Refusal::NoBlocks);
            }
        }
        for block in blocks {
            let transactions = u32::try_from(block.transactions()).unwrap_or(u32::MAX);
            if self.insert(now, &genesis, chain_id, block)? {
                receipt.blocks = receipt.blocks.saturating_add(1);
                receipt.transactions = receipt.transactions.saturating_add(transactions);
            } else {
                receipt.already_known = receipt.already_known.saturating_add(1);
            }
        }
        Ok(receipt)
    }

    /// Hands over what is to be stored besides the block.
    #[must_use]
    pub fn take_batch(&mut self) -> Batch {
        std::mem::take(&mut self.batch)
    }

    fn may_register(&self, genesis: &Genesis) -> Result<(), Refusal> {
        let allowed = self.genesis.tenants().tenants_max;
        if self.tenants.len() >= usize::try_from(allowed).unwrap_or(usize::MAX) {
            return Err(Refusal::TooManyTenants { allowed });
        }
        Ok(self.state.may_register(genesis)?)
    }

    /// Inserts one block; answers whether it was new.
    fn insert(
        &mut self,
        now: TimestampMs,
        genesis: &Arc<Genesis>,
        chain_id: ChainId,
        block: Body,
    ) -> Result<bool, Refusal> {
        let (height, hash) = (block.header().height, block.hash());
        let (key, bytes) = (block.key(), block.encode());
        if self.state.is_void(chain_id, hash) {
            return Err(Refusal::Void { height });
        }
        let mut fresh = None;
        let tenant = match self.tenants.get_mut(&chain_id) {
            Some(tenant) => tenant,
            None => fresh.insert(TenantLedger::new(
                Arc::clone(genesis),
                chain_id,
                &self.names,
            )),
        };
        if tenant.report_of(&hash).is_some_and(|id| id != key.1) {
            // Anchored by another report.
            return Ok(false);
        }
        if let Body::Sealed(sealed) = &block
            && tenant.chain.id_of(&hash).is_some_and(|id| id != key.1)
        {
            // Known by another report; whoever has this one may propose it.
            let body = UncheckedBody::Sealed(sealed.unchecked().clone());
            self.loose.insert(key, body, bytes.len());
            return Ok(false);
        }
        if let Err(held) = tenant.has_room_for(&block, bytes.len()) {
            return Err(Refusal::BranchesFull { height, held });
        }
        let header = block.header().clone();
        match tenant.chain.insert(block, now) {
            Err(error) => {
                if matches!(error, ChainError::LeavesFinal { .. }) {
                    self.report_fork(Anchor { chain_id, header });
                }
                self.forget(chain_id);
                Err(refusal(height, error))
            }
            Ok(Inserted::AlreadyKnown) => Ok(false),
            Ok(Inserted::Stored) if self.state.is_anchored(chain_id, hash) => {
                // The body of a block that a snapshot brought without one.
                self.batch.bodies.push((key, bytes));
                Ok(false)
            }
            Ok(Inserted::Stored) => {
                self.hold(hash, key, bytes);
                Ok(true)
            }
            Ok(Inserted::Connected { connected, .. }) => {
                if let Some(tenant) = fresh {
                    self.register(tenant);
                }
                self.keep(key, bytes);
                self.queue(chain_id, &connected);
                Ok(true)
            }
        }
    }

    /// Puts a fork below the newest final block on record, if its parent is anchored.
    fn report_fork(&mut self, anchor: Anchor) {
        let parent = anchor.header.previous;
        if parent == anchor.chain_id.0 || self.state.is_anchored(anchor.chain_id, parent) {
            self.pending.push(Entry::ForkRefused(anchor));
        }
    }

    /// Stores an accepted block until it is decided.
    fn keep(&mut self, key: BodyKey, bytes: Vec<u8>) {
        self.arrivals = self.arrivals.saturating_add(1);
        self.batch.hold.insert(key, self.arrivals);
        self.batch.bodies.push((key, bytes));
    }

    fn register(&mut self, tenant: TenantLedger) {
        let genesis = Box::new((**tenant.genesis()).clone());
        self.batch
            .registrations
            .insert(tenant.chain_id(), genesis.encode());
        self.pending.push(Entry::TenantRegistered(genesis));
        self.names.insert(tenant.name().clone(), tenant.chain_id());
        self.tenants.insert(tenant.chain_id(), tenant);
    }

    /// Keeps a block that is not on the heaviest chain, unless the chain let it go.
    fn hold(&mut self, hash: Hash, key: BodyKey, bytes: Vec<u8>) {
        let Some(tenant) = self.tenants.get_mut(&key.0) else {
            return;
        };
        if tenant.has_body(&hash) {
            tenant.hold(hash, bytes.len());
            self.keep(key, bytes);
        }
        self.forget(key.0);
    }

    /// Lets go of held blocks that the tenant's chain has dropped as too light or invalid.
    fn forget(&mut self, chain_id: ChainId) {
        if let Some(tenant) = self.tenants.get_mut(&chain_id) {
            let dropped = tenant.drop_forgotten();
            self.batch
                .forget
                .extend(dropped.into_iter().map(|hash| (chain_id, hash)));
        }
    }

    /// Makes entries of blocks that joined the heaviest chain and are not on the enterprise chain yet.
    fn queue(&mut self, chain_id: ChainId, connected: &[Hash]) {
        let Some(tenant) = self.tenants.get_mut(&chain_id) else {
            return;
        };
        for hash in connected {
            tenant.release(hash);
            if self.state.is_anchored(chain_id, *hash) {
                continue;
            }
            if let Some(entry) = tenant.chain.entry(hash) {
                self.pending.push(entry);
            }
        }
    }
}

fn refusal(height: Height, error: ChainError) -> Refusal {
    match error {
        ChainError::UnknownParent { previous } => Refusal::UnknownParent { height, previous },
        ChainError::TooFarAhead { found, allowed } => Refusal::TooFarAhead {
            height,
            found,
            allowed,
        },
        ChainError::Invalid(error) => Refusal::Invalid { height, error },
        ChainError::LeavesFinal { final_height, .. } => Refusal::LeavesFinal {
            height,
            final_height,
        },
        // A reason that a later version of the chain adds is one more way not to be taken.
        _ => Refusal::UnknownParent {
            height,
            previous: Hash::ZERO,
        },
    }
}

#[cfg(test)]
mod finality_tests;
#[cfg(test)]
mod judge_tests;
#[cfg(test)]
mod private_tests;
#[cfg(test)]
mod restore_tests;
#[cfg(test)]
mod tests;
