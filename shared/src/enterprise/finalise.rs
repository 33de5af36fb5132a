//! Finality (PROTOCOL §4): time makes final, descendants alone never do.
//!
//! The lowest block of the heaviest chain above the newest final one becomes final when the tenant's finality delay of
//! enterprise time has passed since that block's own first report, or [`HEIGHT_INTERVALS_MAX`] intervals since the first
//! report of its height, whichever is first. A heavier report until then replaces it, and its own delay starts with its
//! own report. Each final height appends one leaf to the log. What is due is executed before a block's entries, so that
//! a report in a block that comes too late replaces nothing.

use super::effects::Effects;
use super::finality::FinalBlock;
use super::reset::LogEntry;
use super::tenants::{Anchored, Tenants};
use crate::hash::Hash;
use crate::ids::{ChainId, Height, TimestampMs};

/// So many target intervals after a height's first report, the then heaviest block of it is final.
pub const HEIGHT_INTERVALS_MAX: u64 = 30;

impl Tenants {
    pub(super) fn finalise_due(&self, effects: &mut Effects, time: TimestampMs) {
        let all = ChainId(Hash([u8::MAX; 32]));
        for (_, chain_id) in self.deadlines.range(..=(time, all)) {
            while self
                .deadline_of(effects, *chain_id)
                .is_some_and(|due| due <= time)
            {
                if self.finalise_next(effects, *chain_id).is_none() {
                    break;
                }
            }
        }
    }

    /// When the lowest block that is not final becomes so.
    pub(super) fn deadline_of(&self, effects: &Effects, chain_id: ChainId) -> Option<TimestampMs> {
        let tenant = self.tenant(effects, chain_id).ok()?;
        let height = tenant
            .newest_final
            .map_or(Height::GENESIS, |newest| newest.height())
            .next();
        let key = (chain_id, height);
        let hash = self.main_at(effects, key)?;
        let own = self.known(effects, chain_id, hash)?.reported;
        let first = self.first_report(effects, key)?;
        let bound = tenant.interval_ms.saturating_mul(HEIGHT_INTERVALS_MAX);
        let due = own.plus_ms(tenant.finality_delay_ms);
        Some(due.min(first.plus_ms(bound)))
    }

    fn finalise_next(&self, effects: &mut Effects, chain_id: ChainId) -> Option<()> {
        let mut tenant = self.tenant(effects, chain_id).ok()?;
        let height = tenant
            .newest_final
            .map_or(Height::GENESIS, |newest| newest.height())
            .next();
        let key = (chain_id, height);
        let hash = self.main_at(effects, key)?;
        let work = self.known(effects, chain_id, hash)?.work;
        let block = FinalBlock::executed(chain_id, height, hash, work, tenant.resets);
        tenant.newest_final = Some(block);
        effects.log_entry(LogEntry::Final(block));
        effects.main.insert(key, None);
        effects.first_reports.insert(key, None);
        effects.tenants.insert(chain_id, tenant);
        Some(())
    }

    /// Whether a new block's chain contains the newest final block.
    pub(super) fn descends(
        &self,
        effects: &Effects,
        chain_id: ChainId,
        record: &Anchored,
        newest: &FinalBlock,
    ) -> bool {
        let (mut height, mut hash) = (record.height.0.saturating_sub(1), record.previous);
        // A branch beside the heaviest chain is walked down; on that chain the answer is at hand.
        while height > newest.height().0 {
            if self.main_at(effects, (chain_id, Height(height))) == Some(hash) {
                return true;
            }
            let Some(known) = self.known(effects, chain_id, hash) else {
                return false;
            };
            (height, hash) = (height.saturating_sub(1), known.previous);
        }
        height == newest.height().0 && hash == newest.hash()
    }

    /// Writes the path of the new tip, from the top down until it meets what is there.
    pub(super) fn follow(&self, effects: &mut Effects, chain_id: ChainId, tip: Hash) {
        let mut hash = tip;
        let Some(top) = self.known(effects, chain_id, tip) else {
            return;
        };
        // A heavier chain may be lower than the one it replaces.
        let mut above = top.height.next();
        while self.main_at(effects, (chain_id, above)).is_some() {
            effects.main.insert((chain_id, above), None);
            above = above.next();
        }
        while let Some(known) = self.known(effects, chain_id, hash) {
            let key = (chain_id, known.height);
            let tenant = self.tenant(effects, chain_id).ok();
            let newest = tenant.and_then(|tenant| tenant.newest_final);
            let is_final = newest.is_some_and(|newest| known.height <= newest.height());
            if is_final || self.main_at(effects, key) == Some(hash) {
                return;
            }
            effects.main.insert(key, Some(hash));
            hash = known.previous;
        }
    }

    fn main_at(&self, effects: &Effects, key: (ChainId, Height)) -> Option<Hash> {
        let new = effects.main.get(&key).copied();
        new.unwrap_or_else(|| self.main.get(&key).copied())
    }

    pub(super) fn first_report(
        &self,
        effects: &Effects,
        key: (ChainId, Height),
    ) -> Option<TimestampMs> {
        let new = effects.first_reports.get(&key).copied();
        new.unwrap_or_else(|| self.first_reports.get(&key).copied())
    }
}
