//! Resets of private tenants: what waits, and what an executed one does to the tenant's chain here.
//!
//! # Limits
//! [`RESETS_WAITING_MAX`] a tenant, each signed by its owner.

use std::collections::BTreeSet;

use shared::enterprise::{EnterpriseError, EnterpriseHeight, Entry, FinalBlock, Reset};

use super::pending::Subject;
use super::{Ledger, Refusal};
use crate::body::is_private;
use crate::store::Head;

/// Resets of a tenant that wait at once: its owner may sign several of one number, and one is executed.
pub const RESETS_WAITING_MAX: usize = 4;

/// A reset that a block executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutedReset {
    /// The reset.
    pub reset: Reset,
    /// Its place in the log of final heights.
    pub index: usize,
    /// The height of the block that executed it.
    pub executed_in: EnterpriseHeight,
}

impl Ledger {
    /// Takes a reset that could be executed now; answers whether it was new.
    ///
    /// # Errors
    /// [`Refusal::Reset`] naming the rule; nothing is kept then.
    pub fn accept_reset(&mut self, reset: Reset) -> Result<bool, Refusal> {
        if self.knows_reset(&reset) {
            return Ok(false);
        }
        self.state.check_reset(&reset).map_err(Refusal::Reset)?;
        self.wait_for_reset(reset)
    }

    /// Takes a reset that another validator accepted, which may be ahead of this one: the owner signed it, and it is not out
    /// of turn for ever. Answers whether it was new.
    ///
    /// # Errors
    /// [`Refusal::Reset`] naming the rule; nothing is kept then.
    pub fn accept_reset_of_validator(&mut self, reset: Reset) -> Result<bool, Refusal> {
        if self.knows_reset(&reset) {
            return Ok(false);
        }
        let chain_id = reset.chain_id;
        let tenant = self.tenants.get(&chain_id);
        let tenant = tenant.ok_or(Refusal::Reset(EnterpriseError::TenantUnknown(chain_id)))?;
        if !is_private(tenant.genesis()) {
            return Err(Refusal::Reset(EnterpriseError::NotPrivate(chain_id)));
        }
        let (found, expected) = (reset.number, self.state.resets(&chain_id).saturating_add(1));
        if found < expected {
            let error = EnterpriseError::ResetNumber { found, expected };
            return Err(Refusal::Reset(error));
        }
        if !reset.is_of(tenant.genesis()) {
            return Err(Refusal::Reset(EnterpriseError::NotTheOwner(chain_id)));
        }
        self.wait_for_reset(reset)
    }

    /// Takes a reset again that was accepted and not executed. The chain here may be behind where it was then.
    pub fn replay_reset(&mut self, reset: Reset) {
        if reset.number <= self.state.resets(&reset.chain_id) {
            self.batch.settle_reset(reset.leaf());
            return;
        }
        if self.knows_reset(&reset) {
            return;
        }
        if let Err(error) = self.wait_for_reset(reset) {
            tracing::warn!(%error, "an accepted reset does not wait any more");
        }
    }

    /// The resets that wait for a block.
    pub fn pending_resets(&self) -> impl Iterator<Item = &Reset> {
        self.pending.resets()
    }

    /// Whether it waits already, or was executed.
    fn knows_reset(&self, reset: &Reset) -> bool {
        let executed = self.executed_reset(reset.chain_id, reset.number);
        executed.is_some_and(|executed| executed.reset == *reset)
            || self.pending.resets().any(|waiting| waiting == reset)
    }

    fn wait_for_reset(&mut self, reset: Reset) -> Result<bool, Refusal> {
        let others = self.pending.resets();
        let others = others.filter(|waiting| waiting.chain_id == reset.chain_id);
        let found = others.count().saturating_add(1);
        if found > RESETS_WAITING_MAX {
            return Err(Refusal::Reset(EnterpriseError::TooLarge {
                what: "resets of a tenant that wait",
                found,
                allowed: RESETS_WAITING_MAX,
            }));
        }
        self.batch.resets.insert(reset.leaf(), reset.encode());
        self.pending.push(Entry::TenantReset(Box::new(reset)));
        self.all_early = false;
        Ok(true)
    }

    /// Whether an entry is a reset whose turn may come: after a restart the chain may not have reached what it voids.
    pub(super) fn is_early_reset(&self, entry: &Entry) -> bool {
        match entry {
            Entry::TenantReset(reset) => reset.number > self.state.resets(&reset.chain_id),
            Entry::TenantRegistered(_)
            | Entry::BlockAnchored(_)
            | Entry::ForkRefused(_)
            | Entry::SetChanged(_)
            | Entry::ReportAnchored(_) => false,
        }
    }

    /// A block executed a reset: what it voids is gone here, with all that waited to be anchored on it. What was anchored
    /// stays in the store, for it is on record.
    pub(super) fn execute_reset(&mut self, head: Head, reset: &Reset, stays: Option<FinalBlock>) {
        let chain_id = reset.chain_id;
        self.log.push_reset(reset, head.height);
        if let Some(stays) = stays {
            self.log.push(stays);
        }
        let stale = self.pending.resets_up_to(chain_id, reset.number);
        let stale = stale.into_iter().map(|leaf| Subject::Reset(chain_id, leaf));
        let mut gone: BTreeSet<Subject> = stale.collect();
        if let Some(tenant) = self.tenants.get_mut(&chain_id) {
            let voided = tenant.chain.reset(reset.from, stays);
            let voided = voided.unwrap_or_else(|error| {
                tracing::error!(%chain_id, %error, "what stays after a reset is not on the tenant's chain");
                Vec::new()
            });
            for (hash, id) in voided {
                tenant.release(&hash);
                gone.insert(Subject::Block((chain_id, hash)));
                if !self.state.is_anchored(chain_id, hash) {
                    self.batch.drop_body((chain_id, id));
                }
            }
            let state = &self.state;
            tenant.forget_live(|hash| state.is_void(chain_id, *hash));
        }
        self.pending.remove(&gone);
        self.forget(chain_id);
    }
}
