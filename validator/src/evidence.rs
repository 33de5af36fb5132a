//! Which proofs of contradictions are kept: the first [`KEPT_MAX`] of each validator. More of them say no more, and a validator
//! that contradicts itself at every height must not fill the others' disks. Pure.

use std::collections::{BTreeMap, BTreeSet};

use shared::enterprise::EnterpriseHeight;
use shared::hash::{Hash, sha256};
use shared::ids::PublicKey;

use crate::agreement::Evidence;

/// Proofs that are kept of one validator.
pub const KEPT_MAX: usize = 16;

/// What is kept, by validator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contradictions {
    offenders: BTreeMap<PublicKey, Offender>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Offender {
    proofs: BTreeSet<Hash>,
    since: EnterpriseHeight,
}

impl Contradictions {
    /// What these proofs say, each of which is kept already.
    pub fn of<'proof>(proofs: impl IntoIterator<Item = &'proof Evidence>) -> Self {
        let mut found = Self::default();
        for evidence in proofs {
            found.note(evidence);
        }
        found
    }

    /// Takes a proof in; answers whether it is to be kept: not when it is known, or enough are.
    pub fn note(&mut self, evidence: &Evidence) -> bool {
        let height = evidence.first.height();
        let offender = self.offenders.entry(evidence.offender);
        let offender = offender.or_insert_with(|| Offender {
            proofs: BTreeSet::new(),
            since: height,
        });
        if offender.proofs.len() >= KEPT_MAX || !offender.proofs.insert(name(evidence)) {
            return false;
        }
        offender.since = offender.since.min(height);
        true
    }

    /// How many proofs are kept.
    #[must_use]
    pub fn count(&self) -> usize {
        let kept = self.offenders.values();
        kept.map(|offender| offender.proofs.len()).sum()
    }

    /// The lowest height at which a validator is known to have contradicted itself.
    #[must_use]
    pub fn since(&self, validator: &PublicKey) -> Option<EnterpriseHeight> {
        Some(self.offenders.get(validator)?.since)
    }
}

/// What a proof is kept by.
#[must_use]
pub fn name(evidence: &Evidence) -> Hash {
    sha256(&[&evidence.encode()])
}

#[cfg(test)]
mod tests {
    use shared::enterprise::VoteKind;
    use shared::identity::Identity;
    use shared::ids::ChainId;

    use super::*;
    use crate::agreement::Message;

    /// A vote for a block and one for none.
    fn contradiction(offender: PublicKey, height: u64) -> Evidence {
        let (identity, chain) = (Identity::from_seed([1; 32]), ChainId(Hash::ZERO));
        let slot = (VoteKind::Precommit, EnterpriseHeight(height), 0);
        let vote = |block| Message::signed_vote(&identity, chain, slot, block);
        Evidence {
            offender,
            first: vote(Some(sha256(&[b"a block"]))),
            second: vote(None),
        }
    }

    #[test]
    fn the_first_proofs_of_each_validator_are_kept_and_no_more() {
        let mut found = Contradictions::default();
        let many = 3 * KEPT_MAX as u64;
        let of = |offender, height| contradiction(PublicKey([offender; 32]), height);
        let kept = (0..many).filter(|step| found.note(&of(1, many - step)));
        assert_eq!(kept.count(), KEPT_MAX);
        assert!(found.note(&of(2, 5)));
        assert_eq!(found.count(), KEPT_MAX + 1);
        let lowest = EnterpriseHeight(many - KEPT_MAX as u64 + 1);
        assert_eq!(found.since(&PublicKey([1; 32])), Some(lowest));
        assert_eq!(found.since(&PublicKey([3; 32])), None);
    }

    #[test]
    fn a_proof_that_comes_again_counts_once_also_after_a_restart() {
        let proof = contradiction(PublicKey([1; 32]), 9);
        let mut found = Contradictions::default();
        assert!(found.note(&proof));
        assert!(!found.note(&proof));
        let mut restarted = Contradictions::of([&proof]);
        assert_eq!(restarted, found);
        assert!(!restarted.note(&proof));
        assert_eq!(restarted.count(), 1);
    }
}
