//! What entries and the passing of time do to tenants: the consensus state of the enterprise chain.
//!
//! A block's validity is a function of the block and of this state before it, never of a pool or a clock:
//! - what is due at the block's time becomes final first (`finalise`);
//! - a tenant registers once, under a genesis that names this enterprise chain (or none) and is not too easy;
//! - an open tenant's block is anchored as it is, a private one's by a report;
//! - a tenant block is anchored once, after its parent, above the newest final block, and its time is at most two of its
//!   intervals ahead of the block's enterprise time;
//! - a fork below the newest final block is refused; the refusal is an entry of its own, an incident on record;
//! - the heaviest anchored chain is the tenant's state; the first anchored wins a tie.
//!
//! - the owner of a private tenant may void a final suffix (`voiding`).
//!
//! Whether an anchored header's target, state root and body are right, and a report its reporter's, is for whoever holds the
//! bodies to check before it votes: those rules are the tenant chain's own.
//!
//! [`Tenants::execute`] changes nothing, so that a proposal can be judged and thrown away; [`Tenants::apply`] takes over
//! the effects of a decided block. Its work follows what a block touches, not how many tenants or blocks there are; only
//! a registration computes the state root over all tenants.
//!
//! Limits: tenants by the genesis; one record per anchored block; [`INCIDENTS_MAX`] incidents a tenant.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::effects::{Effects, Selection};
use super::entry::{Anchor, Entry, TenantState};
use super::error::EnterpriseError;
use super::finality::FinalBlock;
use super::genesis::{EnterpriseGenesis, TenantLimits};
use super::header::EnterpriseHeader;
use crate::genesis::{Access, Genesis};
use crate::hash::Hash;
use crate::ids::{ChainId, Height, PublicKey, TimestampMs, Work};
use crate::limits::FUTURE_INTERVALS_MAX;
use crate::merkle::{self, Frontier, Tree};

/// Refused forks that a tenant's record holds at most; further ones are refused without one.
pub const INCIDENTS_MAX: usize = 64;

/// The tenants after some block.
#[derive(Clone, Debug)]
pub struct Tenants {
    pub(super) version: u16,
    enterprise: Hash,
    limits: TenantLimits,
    pub(super) tenants: BTreeMap<ChainId, Tenant>,
    pub(super) anchored: BTreeMap<(ChainId, Hash), Anchored>,
    /// The heaviest chain above the newest final block.
    pub(super) main: BTreeMap<(ChainId, Height), Hash>,
    /// When a height above the newest final block was first reported.
    pub(super) first_reports: BTreeMap<(ChainId, Height), TimestampMs>,
    pub(super) deadlines: BTreeSet<(TimestampMs, ChainId)>,
    pub(super) incidents: BTreeSet<(ChainId, Hash)>,
    /// From which height on each reset voids, by its number.
    pub(super) voided_from: BTreeMap<(ChainId, u32), Height>,
    pub(super) log: Frontier,
    /// The tenants' leaves, in the order of `order`.
    tree: Tree,
    /// The tenants, ascending.
    order: Vec<ChainId>,
}

/// A tenant's rules and standing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tenant {
    pub(super) interval_ms: u64,
    pub(super) finality_delay_ms: u64,
    pub(super) state: TenantState,
    pub(super) newest_final: Option<FinalBlock>,
    /// When the next block becomes final if nothing heavier comes.
    pub(super) deadline: Option<TimestampMs>,
    pub(super) incidents: usize,
    /// Who may reset it; only a private one has somebody.
    pub(super) owner: Option<PublicKey>,
    pub(super) resets: u32,
    leaf: Hash,
}

/// What is known of an anchored block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchored {
    pub(super) height: Height,
    pub(super) work: Work,
    pub(super) previous: Hash,
    pub(super) reported: TimestampMs,
    /// Resets of the tenant before it.
    pub(super) resets: u32,
}

impl Tenants {
    /// No tenants yet, as after the genesis.
    #[must_use]
    pub fn new(genesis: &EnterpriseGenesis) -> Self {
        let (enterprise, limits) = (genesis.hash(), genesis.tenants());
        Self {
            version: EnterpriseHeader::FIRST_VERSION,
            enterprise,
            limits,
            tenants: BTreeMap::new(),
            anchored: BTreeMap::new(),
            main: BTreeMap::new(),
            first_reports: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            incidents: BTreeSet::new(),
            voided_from: BTreeMap::new(),
            log: Frontier::default(),
            tree: Tree::default(),
            order: Vec::new(),
        }
    }

    /// A tenant's heaviest anchored chain, if it is registered.
    #[must_use]
    pub fn state(&self, chain_id: &ChainId) -> Option<&TenantState> {
        self.tenants.get(chain_id).map(|tenant| &tenant.state)
    }

    /// A tenant's newest final block.
    #[must_use]
    pub fn newest_final(&self, chain_id: &ChainId) -> Option<&FinalBlock> {
        self.tenants.get(chain_id)?.newest_final.as_ref()
    }

    /// The forks that were refused because they leave out a tenant's newest final block.
    pub fn incidents(&self, chain_id: ChainId) -> impl Iterator<Item = &Hash> {
        let all = (chain_id, Hash::ZERO)..=(chain_id, Hash([u8::MAX; 32]));
        self.incidents.range(all).map(|(_, hash)| hash)
    }

    /// When the next block becomes final: a block with this enterprise time or later executes it.
    #[must_use]
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.deadlines.first().map(|(due, _)| *due)
    }

    /// The log of final heights.
    #[must_use]
    pub const fn log(&self) -> &Frontier {
        &self.log
    }

    /// All tenants' states, ascending by chain id.
    pub fn states(&self) -> impl Iterator<Item = &TenantState> {
        self.tenants.values().map(|tenant| &tenant.state)
    }

    /// Whether a tenant's block is anchored, on whatever branch.
    #[must_use]
    pub fn is_anchored(&self, chain_id: ChainId, hash: Hash) -> bool {
        self.anchored.contains_key(&(chain_id, hash))
    }

    /// The state root as it stands.
    #[must_use]
    pub fn state_root(&self) -> Hash {
        self.tree.root()
    }

    /// Whether a tenant may be registered.
    ///
    /// # Errors
    /// [`EnterpriseError`] naming the rule.
    pub fn may_register(&self, genesis: &Genesis) -> Result<(), EnterpriseError> {
        if self.tenants.contains_key(&genesis.chain_id()) {
            return Err(EnterpriseError::RegisteredTwice(genesis.chain_id()));
        }
        if let Some(found) = genesis.enterprise_genesis
            && found != self.enterprise
        {
            return Err(EnterpriseError::OtherEnterprise {
                found,
                allowed: self.enterprise,
            });
        }
        let (found, allowed) = (genesis.rules.initial_target, self.limits.easiest_target);
        if found.target() > allowed.target() {
            return Err(EnterpriseError::TooEasy {
                found: found.bits(),
                allowed: allowed.bits(),
            });
        }
        Ok(())
    }

    /// Executes a block's entries under the rules of its version, at its enterprise time, without changing anything.
    ///
    /// # Errors
    /// [`EnterpriseError`] naming the first rule that an entry breaks.
    pub fn execute(
        &self,
        version: u16,
        time: TimestampMs,
        entries: &[Entry],
    ) -> Result<Effects, EnterpriseError> {
        let mut effects = self.begin(version, time);
        for entry in entries {
            self.effect(&mut effects, time, entry)?;
        }
        self.seal(&mut effects);
        Ok(effects)
    }

    /// Executes of `entries` those that are valid at `time`, for a proposer. A block that forks below the newest final one
    /// becomes the entry that records its refusal.
    #[must_use]
    pub fn select(&self, version: u16, time: TimestampMs, entries: Vec<Entry>) -> Selection {
        let mut selection = Selection {
            entries: Vec::with_capacity(entries.len()),
            effects: self.begin(version, time),
            refused: Vec::new(),
        };
        let mut early = BTreeSet::new();
        for entry in entries {
            let error = match self.effect(&mut selection.effects, time, &entry) {
                Ok(()) => {
                    selection.entries.push(entry);
                    continue;
                }
                Err(error) => error,
            };
            let Some(anchor) = entry.anchored() else {
                selection.refused.push(entry);
                continue;
            };
            if matches!(error, EnterpriseError::ForksFinal { .. }) {
                let incident = Entry::ForkRefused(anchor.clone());
                if self.effect(&mut selection.effects, time, &incident).is_ok() {
                    selection.entries.push(incident);
                }
            }
            let is_early = matches!(error, EnterpriseError::TooFarAhead { .. })
                || matches!(&error, EnterpriseError::ParentNotAnchored { previous, .. } if early.contains(previous));
            if is_early {
                early.insert(anchor.header.hash());
            } else {
                selection.refused.push(entry);
            }
        }
        self.seal(&mut selection.effects);
        selection
    }

    /// Takes over the effects of a decided block, which must have been computed on this state.
    pub fn apply(&mut self, effects: Effects) {
        for (chain_id, tenant) in &effects.tenants {
            let before = self
                .tenants
                .get(chain_id)
                .and_then(|tenant| tenant.deadline);
            if let Some(due) = before {
                self.deadlines.remove(&(due, *chain_id));
            }
            if let Some(due) = tenant.deadline {
                self.deadlines.insert((due, *chain_id));
            }
        }
        match self.changed_leaves(&effects) {
            Some(changed) => {
                for (index, leaf) in changed {
                    self.tree.set(index, leaf);
                }
                self.tenants.extend(effects.tenants);
            }
            None => {
                self.tenants.extend(effects.tenants);
                self.tree = Tree::new(self.tenants.values().map(|tenant| tenant.leaf).collect());
                self.order = self.tenants.keys().copied().collect();
            }
        }
        self.version = effects.version;
        self.anchored.extend(effects.anchored);
        put(&mut self.main, effects.main);
        put(&mut self.first_reports, effects.first_reports);
        self.incidents.extend(effects.incidents);
        self.voided_from.extend(effects.voided_from);
        self.log = effects.log;
    }

    fn begin(&self, version: u16, time: TimestampMs) -> Effects {
        let mut effects = Effects::none(version, self.log.clone());
        if version >= EnterpriseHeader::FINALITY_VERSION {
            self.finalise_due(&mut effects, time);
        }
        effects
    }

    /// Adds one entry's effects, or none.
    fn effect(
        &self,
        effects: &mut Effects,
        time: TimestampMs,
        entry: &Entry,
    ) -> Result<(), EnterpriseError> {
        match entry {
            Entry::TenantRegistered(genesis) => self.register(effects, genesis),
            Entry::BlockAnchored(anchor) => self.anchor(effects, time, anchor, Body::Whole),
            Entry::ForkRefused(anchor) => self.refuse(effects, time, anchor),
            // The verifier's business: it does nothing to tenants.
            Entry::SetChanged(_) => Ok(()),
            Entry::ReportAnchored(_) | Entry::TenantReset(_)
                if effects.version < EnterpriseHeader::FINALITY_VERSION =>
            {
                Err(EnterpriseError::Version {
                    found: effects.version,
                    allowed: EnterpriseHeader::FINALITY_VERSION,
                })
            }
            Entry::ReportAnchored(report) => {
                let (chain_id, header) = (report.chain_id, report.header.clone());
                let anchor = Anchor { chain_id, header };
                self.anchor(effects, time, &anchor, Body::Sealed)
            }
            Entry::TenantReset(reset) => self.reset(effects, reset),
        }
    }

    fn seal(&self, effects: &mut Effects) {
        if effects.version != self.version {
            // The leaf's layout follows the version, so that all are new once.
            for (chain_id, tenant) in &self.tenants {
                effects.tenants.entry(*chain_id).or_insert(*tenant);
            }
        }
        let touched: Vec<ChainId> = effects.tenants.keys().copied().collect();
        for chain_id in touched {
            let deadline = self.deadline_of(effects, chain_id);
            let version = effects.version;
            if let Some(tenant) = effects.tenants.get_mut(&chain_id) {
                tenant.deadline = deadline;
                tenant.leaf = if version >= EnterpriseHeader::FINALITY_VERSION {
                    tenant.state.leaf_with_finality(
                        tenant.newest_final.as_ref(),
                        deadline,
                        tenant.resets,
                    )
                } else {
                    tenant.state.leaf()
                };
            }
        }
        effects.state_root = match self.changed_leaves(effects) {
            Some(changed) => self.tree.root_with(&changed),
            None => self.root_with(&effects.tenants),
        };
    }

    fn register(&self, effects: &mut Effects, genesis: &Genesis) -> Result<(), EnterpriseError> {
        self.may_register(genesis)?;
        let chain_id = genesis.chain_id();
        let allowed = usize::try_from(self.limits.tenants_max).unwrap_or(usize::MAX);
        let registered = effects
            .tenants
            .keys()
            .filter(|chain_id| !self.tenants.contains_key(chain_id))
            .count();
        let found = self
            .tenants
            .len()
            .saturating_add(registered)
            .saturating_add(1);
        if found > allowed {
            return Err(EnterpriseError::TooLarge {
                what: "tenants",
                found,
                allowed,
            });
        }
        if effects.tenants.contains_key(&chain_id) {
            return Err(EnterpriseError::RegisteredTwice(chain_id));
        }
        let tenant = Tenant {
            interval_ms: genesis.rules.interval(),
            finality_delay_ms: genesis.rules.finality_delay_ms,
            state: TenantState::registered(chain_id),
            newest_final: None,
            deadline: None,
            incidents: 0,
            owner: matches!(genesis.access, Access::Private { .. }).then_some(genesis.owner),
            resets: 0,
            leaf: Hash::ZERO,
        };
        effects.tenants.insert(chain_id, tenant);
        Ok(())
    }

    fn anchor(
        &self,
        effects: &mut Effects,
        time: TimestampMs,
        anchor: &Anchor,
        body: Body,
    ) -> Result<(), EnterpriseError> {
        let Anchor { chain_id, header } = anchor;
        let mut tenant = self.tenant(effects, *chain_id)?;
        match (body, tenant.owner) {
            (Body::Whole, None) | (Body::Sealed, Some(_)) => {}
            (Body::Whole, Some(_)) => return Err(EnterpriseError::Private(*chain_id)),
            (Body::Sealed, None) => return Err(EnterpriseError::NotPrivate(*chain_id)),
        }
        let (record, hash) = self.check_anchor(effects, &tenant, time, anchor)?;
        if let Some(newest) = tenant.newest_final
            && !self.descends(effects, *chain_id, &record, &newest)
        {
            return Err(EnterpriseError::ForksFinal {
                hash,
                height: header.height,
                final_height: newest.height(),
            });
        }
        effects.anchored.insert((*chain_id, hash), record);
        let key = (*chain_id, header.height);
        if self.first_report(effects, key).is_none() {
            effects.first_reports.insert(key, Some(time));
        }
        if record.work > tenant.state.work {
            tenant.state = TenantState {
                chain_id: *chain_id,
                height: header.height,
                hash,
                work: record.work,
            };
            self.follow(effects, *chain_id, hash);
        }
        effects.tenants.insert(*chain_id, tenant);
        Ok(())
    }

    /// A fork below the newest final block, put on record once.
    fn refuse(
        &self,
        effects: &mut Effects,
        time: TimestampMs,
        anchor: &Anchor,
    ) -> Result<(), EnterpriseError> {
        let chain_id = &anchor.chain_id;
        let mut tenant = self.tenant(effects, *chain_id)?;
        let (record, hash) = self.check_anchor(effects, &tenant, time, anchor)?;
        let forks = tenant
            .newest_final
            .is_some_and(|newest| !self.descends(effects, *chain_id, &record, &newest));
        let key = (*chain_id, hash);
        if !forks || self.incidents.contains(&key) || effects.incidents.contains(&key) {
            return Err(EnterpriseError::NoIncident(hash));
        }
        tenant.incidents = tenant.incidents.saturating_add(1);
        if tenant.incidents > INCIDENTS_MAX {
            return Err(EnterpriseError::TooLarge {
                what: "incidents of a tenant",
                found: tenant.incidents,
                allowed: INCIDENTS_MAX,
            });
        }
        effects.incidents.insert(key);
        effects.tenants.insert(*chain_id, tenant);
        Ok(())
    }

    /// What a tenant's block must be whether it is anchored or refused: new, after its parent and not early.
    fn check_anchor(
        &self,
        effects: &Effects,
        tenant: &Tenant,
        time: TimestampMs,
        anchor: &Anchor,
    ) -> Result<(Anchored, Hash), EnterpriseError> {
        let Anchor { chain_id, header } = anchor;
        let allowed = time.plus_ms(tenant.interval_ms.saturating_mul(FUTURE_INTERVALS_MAX));
        if header.timestamp > allowed {
            return Err(EnterpriseError::TooFarAhead {
                found: header.timestamp,
                allowed,
            });
        }
        let (hash, previous) = (header.hash(), header.previous);
        for void in [hash, previous] {
            let known = self.known(effects, *chain_id, void);
            if known.is_some_and(|known| self.is_voided(effects, *chain_id, &known)) {
                return Err(EnterpriseError::Void { hash, void });
            }
        }
        if self.known(effects, *chain_id, hash).is_some() {
            return Err(EnterpriseError::AnchoredTwice(hash));
        }
        let (height, work) = match self.known(effects, *chain_id, previous) {
            Some(parent) => (parent.height, parent.work),
            None if previous == chain_id.0 => (Height::GENESIS, Work::ZERO),
            None => return Err(EnterpriseError::ParentNotAnchored { hash, previous }),
        };
        let (found, expected) = (header.height, height.next());
        if found != expected {
            return Err(EnterpriseError::TenantHeight { found, expected });
        }
        let record = Anchored {
            height: found,
            work: work.plus(header.work()),
            previous,
            reported: time,
            resets: tenant.resets,
        };
        Ok((record, hash))
    }

    pub(super) fn tenant(
        &self,
        effects: &Effects,
        chain_id: ChainId,
    ) -> Result<Tenant, EnterpriseError> {
        let touched = effects.tenants.get(&chain_id);
        let tenant = touched.or_else(|| self.tenants.get(&chain_id));
        tenant
            .copied()
            .ok_or(EnterpriseError::TenantUnknown(chain_id))
    }

    pub(super) fn known(
        &self,
        effects: &Effects,
        chain_id: ChainId,
        hash: Hash,
    ) -> Option<Anchored> {
        let key = (chain_id, hash);
        let new = effects.anchored.get(&key);
        new.or_else(|| self.anchored.get(&key)).copied()
    }

    /// The changed leaves by index; none if the tenants themselves change.
    fn changed_leaves(&self, effects: &Effects) -> Option<BTreeMap<usize, Hash>> {
        let leaves = effects.tenants.iter().map(|(chain_id, tenant)| {
            let index = self.order.binary_search(chain_id).ok()?;
            Some((index, tenant.leaf))
        });
        leaves.collect()
    }

    /// The root with some tenants replaced or added.
    fn root_with(&self, changed: &BTreeMap<ChainId, Tenant>) -> Hash {
        let mut leaves: BTreeMap<ChainId, Hash> = BTreeMap::new();
        for (chain_id, tenant) in self.tenants.iter().chain(changed) {
            leaves.insert(*chain_id, tenant.leaf);
        }
        let leaves: Vec<Hash> = leaves.into_values().collect();
        merkle::root(&leaves)
    }
}

/// How a block is anchored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Whole,
    Sealed,
}

/// Writes an overlay: what it has no value for goes.
fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, overlay: BTreeMap<K, Option<V>>) {
    for (key, value) in overlay {
        match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
    }
}
