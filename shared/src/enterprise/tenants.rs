//! What entries do to tenants: the consensus state of the enterprise chain.
//!
//! A block's validity is a function of the block and of this state before it, never of a pool or a clock:
//! - a tenant registers once, under a genesis that names this enterprise chain (or none) and is not too easy;
//! - a tenant block is anchored once, after its parent, and its time is at most two of its intervals ahead of the
//!   block's enterprise time;
//! - the heaviest anchored chain is the tenant's state; the first anchored wins a tie.
//!
//! Whether an anchored header's target, state root and body are right is for whoever holds the bodies to check before
//! it votes: those rules are the tenant chain's own.
//!
//! [`Tenants::execute`] changes nothing, so that a proposal can be judged and thrown away; [`Tenants::apply`] takes over
//! the effects of a decided block. Limits: tenants by the genesis; one record of 64 bytes per anchored block.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::entry::{Anchor, Entry, TenantState};
use super::error::EnterpriseError;
use super::genesis::{EnterpriseGenesis, TenantLimits};
use crate::genesis::Genesis;
use crate::hash::Hash;
use crate::ids::{ChainId, Height, TimestampMs, Work};
use crate::limits::FUTURE_INTERVALS_MAX;
use crate::merkle;

/// The tenants after some block.
#[derive(Clone, Debug)]
pub struct Tenants {
    enterprise: Hash,
    limits: TenantLimits,
    tenants: BTreeMap<ChainId, Tenant>,
    anchored: BTreeMap<(ChainId, Hash), (Height, Work)>,
}

#[derive(Clone, Copy, Debug)]
struct Tenant {
    interval_ms: u64,
    state: TenantState,
    leaf: Hash,
}

/// What the entries of one block do, not yet applied.
#[derive(Clone, Debug)]
pub struct Effects {
    tenants: BTreeMap<ChainId, Tenant>,
    anchored: BTreeMap<(ChainId, Hash), (Height, Work)>,
    state_root: Hash,
}

/// The entries of a proposal.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Those that are valid, in order.
    pub entries: Vec<Entry>,
    /// What they do.
    pub effects: Effects,
    /// Those that can not become valid. What is in neither is early, or follows what is.
    pub refused: Vec<Entry>,
}

impl Effects {
    /// The state root after the block.
    #[must_use]
    pub const fn state_root(&self) -> Hash {
        self.state_root
    }
}

impl Tenants {
    /// No tenants yet, as after the genesis.
    #[must_use]
    pub fn new(genesis: &EnterpriseGenesis) -> Self {
        let (enterprise, limits) = (genesis.hash(), genesis.tenants());
        Self {
            enterprise,
            limits,
            tenants: BTreeMap::new(),
            anchored: BTreeMap::new(),
        }
    }

    /// A tenant's heaviest anchored chain, if it is registered.
    #[must_use]
    pub fn state(&self, chain_id: &ChainId) -> Option<&TenantState> {
        self.tenants.get(chain_id).map(|tenant| &tenant.state)
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
        self.root_with(&BTreeMap::new())
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
        let (initial, easiest) = (genesis.rules.initial_target, self.limits.easiest_target);
        if initial.target().value() > easiest.target().value() {
            return Err(EnterpriseError::TooEasy {
                found: initial.bits(),
                allowed: easiest.bits(),
            });
        }
        Ok(())
    }

    /// Computes what `entries` do in a block of enterprise time `time`.
    ///
    /// # Errors
    /// [`EnterpriseError`] naming the first rule that an entry breaks.
    pub fn execute(
        &self,
        time: TimestampMs,
        entries: &[Entry],
    ) -> Result<Effects, EnterpriseError> {
        let mut effects = self.no_effects();
        for entry in entries {
            self.effect(&mut effects, time, entry)?;
        }
        self.seal(&mut effects);
        Ok(effects)
    }

    /// Executes of `entries` those that are valid at `time`, for a proposer.
    #[must_use]
    pub fn select(&self, time: TimestampMs, entries: Vec<Entry>) -> Selection {
        let mut selection = Selection {
            entries: Vec::with_capacity(entries.len()),
            effects: self.no_effects(),
            refused: Vec::new(),
        };
        let mut early = BTreeSet::new();
        for entry in entries {
            match self.effect(&mut selection.effects, time, &entry) {
                Ok(()) => selection.entries.push(entry),
                Err(error) => {
                    let is_early = match &error {
                        EnterpriseError::TooFarAhead { .. } => true,
                        EnterpriseError::ParentNotAnchored { previous, .. } => {
                            early.contains(previous)
                        }
                        _ => false,
                    };
                    if let Entry::BlockAnchored(anchor) = &entry
                        && is_early
                    {
                        early.insert(anchor.header.hash());
                    } else {
                        selection.refused.push(entry);
                    }
                }
            }
        }
        self.seal(&mut selection.effects);
        selection
    }

    fn no_effects(&self) -> Effects {
        Effects {
            tenants: BTreeMap::new(),
            anchored: BTreeMap::new(),
            state_root: Hash::ZERO,
        }
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
            Entry::BlockAnchored(anchor) => self.anchor(effects, time, anchor),
        }
    }

    fn seal(&self, effects: &mut Effects) {
        for tenant in effects.tenants.values_mut() {
            tenant.leaf = tenant.state.leaf();
        }
        effects.state_root = self.root_with(&effects.tenants);
    }

    /// Takes over the effects of a decided block, which must have been computed on this state.
    pub fn apply(&mut self, effects: Effects) {
        self.tenants.extend(effects.tenants);
        self.anchored.extend(effects.anchored);
    }

    fn register(&self, effects: &mut Effects, genesis: &Genesis) -> Result<(), EnterpriseError> {
        self.may_register(genesis)?;
        let chain_id = genesis.chain_id();
        let allowed = usize::try_from(self.limits.tenants_max).unwrap_or(usize::MAX);
        let found = self
            .tenants
            .len()
            .saturating_add(effects.registered(self))
            .saturating_add(1);
        if found > allowed {
            return Err(EnterpriseError::TooLarge {
                what: "tenants",
                found,
                allowed,
            });
        }
        let state = TenantState::registered(chain_id);
        let tenant = Tenant {
            interval_ms: genesis.rules.interval(),
            state,
            leaf: Hash::ZERO,
        };
        match effects.tenants.insert(chain_id, tenant) {
            None => Ok(()),
            Some(_) => Err(EnterpriseError::RegisteredTwice(chain_id)),
        }
    }

    fn anchor(
        &self,
        effects: &mut Effects,
        time: TimestampMs,
        anchor: &Anchor,
    ) -> Result<(), EnterpriseError> {
        let Anchor { chain_id, header } = anchor;
        let tenant = effects
            .tenants
            .get(chain_id)
            .or_else(|| self.tenants.get(chain_id));
        let mut tenant = *tenant.ok_or(EnterpriseError::TenantUnknown(*chain_id))?;
        let allowed = time.plus_ms(tenant.interval_ms.saturating_mul(FUTURE_INTERVALS_MAX));
        if header.timestamp > allowed {
            return Err(EnterpriseError::TooFarAhead {
                found: header.timestamp,
                allowed,
            });
        }
        let (hash, previous) = (header.hash(), header.previous);
        if self.known(effects, *chain_id, hash).is_some() {
            return Err(EnterpriseError::AnchoredTwice(hash));
        }
        let (height, work) = match self.known(effects, *chain_id, previous) {
            Some(parent) => parent,
            None if previous == chain_id.0 => (Height::GENESIS, Work::ZERO),
            None => return Err(EnterpriseError::ParentNotAnchored { hash, previous }),
        };
        let (found, expected) = (header.height, height.next());
        if found != expected {
            return Err(EnterpriseError::TenantHeight { found, expected });
        }
        let work = work.plus(header.work());
        effects.anchored.insert((*chain_id, hash), (found, work));
        if work > tenant.state.work {
            tenant.state = TenantState {
                chain_id: *chain_id,
                height: header.height,
                hash,
                work,
            };
        }
        effects.tenants.insert(*chain_id, tenant);
        Ok(())
    }

    fn known(&self, effects: &Effects, chain_id: ChainId, hash: Hash) -> Option<(Height, Work)> {
        let key = (chain_id, hash);
        effects
            .anchored
            .get(&key)
            .or_else(|| self.anchored.get(&key))
            .copied()
    }

    /// The root with some tenants replaced or added, by a merge of two ascending sequences.
    fn root_with(&self, changed: &BTreeMap<ChainId, Tenant>) -> Hash {
        let mut leaves = BTreeMap::new();
        leaves.extend(
            self.tenants
                .iter()
                .map(|(chain_id, tenant)| (*chain_id, tenant.leaf)),
        );
        leaves.extend(
            changed
                .iter()
                .map(|(chain_id, tenant)| (*chain_id, tenant.leaf)),
        );
        let leaves: Vec<Hash> = leaves.into_values().collect();
        merkle::root(&leaves)
    }
}

impl Effects {
    fn registered(&self, before: &Tenants) -> usize {
        self.tenants
            .keys()
            .filter(|chain_id| !before.tenants.contains_key(chain_id))
            .count()
    }
}
