//! Changes of the validator set: what waits, what a block takes, what light clients have to be told.

use std::collections::BTreeSet;

use shared::enterprise::{
    Certificate, EnterpriseError, EnterpriseHeader, EnterpriseHeight, Entry, SetChange, SetLink,
};

use super::Ledger;
use super::pending::Subject;

/// Set changes that wait at once: signatures can be put together in many ways, and one is enough.
pub const CHANGES_MAX: usize = 4;

impl Ledger {
    /// Takes a set change that a quorum signed; answers whether it was new.
    ///
    /// # Errors
    /// [`EnterpriseError`] when it can't be decided now, or too many wait.
    pub fn accept_change(&mut self, change: SetChange) -> Result<bool, EnterpriseError> {
        if self.pending.changes().any(|waiting| *waiting == change) {
            return Ok(false);
        }
        self.verifier.check_change(&change)?;
        let found = self.pending.changes().count().saturating_add(1);
        if found > CHANGES_MAX {
            return Err(EnterpriseError::TooLarge {
                what: "set changes that wait",
                found,
                allowed: CHANGES_MAX,
            });
        }
        self.pending.push(Entry::SetChanged(Box::new(change)));
        self.all_early = false;
        Ok(true)
    }

    /// The set changes that wait for a block.
    pub fn pending_changes(&self) -> impl Iterator<Item = &SetChange> {
        self.pending.changes()
    }

    /// The headers by which the validators changed, oldest first.
    #[must_use]
    pub fn links(&self) -> &[SetLink] {
        &self.links
    }

    /// Leaves one valid set change among entries; those that can't become valid any more are named.
    pub(super) fn with_one_change(&self, entries: Vec<Entry>) -> (Vec<Entry>, BTreeSet<Subject>) {
        let (mut gone, mut has_change) = (BTreeSet::new(), false);
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            if let Entry::SetChanged(change) = &entry {
                if self.verifier.check_change(change).is_err() {
                    gone.insert(Subject::of(&entry));
                    continue;
                }
                if std::mem::replace(&mut has_change, true) {
                    continue;
                }
            }
            kept.push(entry);
        }
        (kept, gone)
    }

    /// The verifier stands on this header now.
    pub(super) fn stand_on(&mut self, head: (EnterpriseHeader, Certificate)) {
        let (header, certificate) = &head;
        let link = SetLink::of(header, certificate, self.verifier.validators());
        self.links.extend(link);
        self.newest = Some(head);
    }

    /// The links that lead to the set of a height.
    pub(super) fn links_below(&self, height: EnterpriseHeight) -> Vec<SetLink> {
        let below = self.links.iter();
        let below = below.take_while(|link| link.checkpoint.header.height < height);
        below.cloned().collect()
    }
}
