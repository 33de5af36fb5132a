//! What a reset does to a private tenant.
//!
//! Everything that was anchored at the reset's height and above is void, final or not: it stays on record and can neither be
//! anchored again nor be built on. What stays is the newest final block, and the next reports follow it.
//!
//! The log of final heights is only ever extended: a reset appends its own leaf, then, unless nothing final is left, the
//! block that stays once more, with the number of resets in it. Heights that become final later append leaves with that
//! number. So there is exactly one leaf for each final height and number of resets up to the next reset, and of two leaves of
//! one height the one with more resets counts.
//!
//! Limits: [`RESETS_MAX`] resets a tenant; each voids at least one final block.

use alloc::boxed::Box;

use super::effects::Effects;
use super::entry::TenantState;
use super::error::EnterpriseError;
use super::finality::FinalBlock;
use super::reset::{LogEntry, Reset};
use super::tenants::{Anchored, Tenant, Tenants};
use crate::hash::Hash;
use crate::ids::{ChainId, Height, Work};

/// Resets that a tenant may have.
pub const RESETS_MAX: u32 = 64;

impl Tenants {
    /// The resets of a tenant so far.
    #[must_use]
    pub fn resets(&self, chain_id: &ChainId) -> u32 {
        self.tenants.get(chain_id).map_or(0, |tenant| tenant.resets)
    }

    /// Whether an anchored block was voided.
    #[must_use]
    pub fn is_void(&self, chain_id: ChainId, hash: Hash) -> bool {
        let record = self.anchored.get(&(chain_id, hash));
        record.is_some_and(|record| {
            let later = (chain_id, record.resets.saturating_add(1))..=(chain_id, u32::MAX);
            let mut later = self.voided_from.range(later);
            later.any(|(_, from)| *from <= record.height)
        })
    }

    /// Whether a reset could be executed now.
    ///
    /// # Errors
    /// [`EnterpriseError`] naming the rule.
    pub fn check_reset(&self, reset: &Reset) -> Result<(), EnterpriseError> {
        let effects = Effects::none(self.version, self.log.clone());
        self.what_stays(&effects, reset).map(drop)
    }

    /// Whether a record was voided, by this block's resets too.
    pub(super) fn is_voided(
        &self,
        effects: &Effects,
        chain_id: ChainId,
        record: &Anchored,
    ) -> bool {
        let later = (chain_id, record.resets.saturating_add(1))..=(chain_id, u32::MAX);
        let before = self.voided_from.range(later.clone());
        let mut all = before.chain(effects.voided_from.range(later));
        all.any(|(_, from)| *from <= record.height)
    }

    pub(super) fn reset(
        &self,
        effects: &mut Effects,
        reset: &Reset,
    ) -> Result<(), EnterpriseError> {
        let (mut tenant, work) = self.what_stays(effects, reset)?;
        let chain_id = reset.chain_id;
        let top = tenant.state.height;
        for height in reset.from.0..=top.0 {
            let key = (chain_id, Height(height));
            effects.main.insert(key, None);
            effects.first_reports.insert(key, None);
        }
        // A lighter branch may be higher than the heaviest.
        let mut above = (chain_id, top.next());
        while self.first_report(effects, above).is_some() {
            effects.first_reports.insert(above, None);
            above.1 = above.1.next();
        }
        let below = Height(reset.from.0.saturating_sub(1));
        tenant.resets = reset.number;
        tenant.state = TenantState {
            chain_id,
            height: below,
            hash: reset.stays,
            work,
        };
        let stays = FinalBlock::executed(chain_id, below, reset.stays, work, reset.number);
        tenant.newest_final = (below > Height::GENESIS).then_some(stays);
        effects.log_entry(LogEntry::Reset(Box::new(reset.clone())));
        if let Some(stays) = tenant.newest_final {
            effects.log_entry(LogEntry::Final(stays));
        }
        let key = (chain_id, reset.number);
        effects.voided_from.insert(key, reset.from);
        effects.tenants.insert(chain_id, tenant);
        Ok(())
    }

    /// The tenant, and the work of the block that stays, if the reset may be executed.
    fn what_stays(
        &self,
        effects: &Effects,
        reset: &Reset,
    ) -> Result<(Tenant, Work), EnterpriseError> {
        let chain_id = reset.chain_id;
        let tenant = self.tenant(effects, chain_id)?;
        let owner = tenant.owner.ok_or(EnterpriseError::NotPrivate(chain_id))?;
        let (found, expected) = (reset.number, tenant.resets.saturating_add(1));
        if found != expected {
            return Err(EnterpriseError::ResetNumber { found, expected });
        }
        if found > RESETS_MAX {
            return Err(EnterpriseError::TooLarge {
                what: "resets of a tenant",
                found: usize::try_from(found).unwrap_or(usize::MAX),
                allowed: usize::try_from(RESETS_MAX).unwrap_or(usize::MAX),
            });
        }
        let newest = tenant.newest_final;
        let newest = newest.filter(|newest| (Height(1)..=newest.height()).contains(&reset.from));
        let newest = newest.ok_or_else(|| EnterpriseError::ResetHeight {
            found: reset.from,
            allowed: tenant
                .newest_final
                .map_or(Height::GENESIS, |newest| newest.height()),
        })?;
        reset
            .verify(&owner)
            .map_err(|_| EnterpriseError::NotTheOwner(chain_id))?;
        let (mut height, mut hash) = (newest.height(), newest.hash());
        while height >= reset.from {
            let record = self.known(effects, chain_id, hash);
            let record = record.ok_or(EnterpriseError::TenantUnknown(chain_id))?;
            (height, hash) = (Height(height.0.saturating_sub(1)), record.previous);
        }
        if hash != reset.stays {
            return Err(EnterpriseError::Mismatch {
                field: "the block that stays",
                found: reset.stays,
                computed: hash,
            });
        }
        let record = self.known(effects, chain_id, hash);
        Ok((tenant, record.map_or(Work::ZERO, |record| record.work)))
    }
}
