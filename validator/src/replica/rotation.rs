//! Who proposes in which round: all validators in turn, those last that were absent when they should have.
//!
//! What it goes by is in the decided headers alone, so every validator computes the same: a block at height h whose
//! proposer is not the first in the order of h tells that those before were absent. An absent one is skipped for
//! [`SKIP_HEIGHTS_MIN`] heights, twice as many each time it happens again, at most [`SKIP_HEIGHTS_MAX`]; a block of its
//! own makes it present. At most f of N = 3f + 1 are skipped, so that the faulty can't skip the others.

use std::collections::BTreeMap;

use shared::encoding::{DecodeError, Reader, Writer};
use shared::enterprise::{EnterpriseHeader, EnterpriseHeight, ValidatorSet};
use shared::ids::PublicKey;

/// Heights for which one that was absent once is skipped.
pub const SKIP_HEIGHTS_MIN: u64 = 32;
/// Heights for which one that is always absent is skipped.
pub const SKIP_HEIGHTS_MAX: u64 = 4_096;

/// Who was absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    absent: BTreeMap<PublicKey, Absence>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Absence {
    skipped_for: u64,
    until: EnterpriseHeight,
}

impl Rotation {
    /// The proposers of a height, for rounds 0, 1, …
    #[must_use]
    pub fn proposers(&self, set: &ValidatorSet, height: EnterpriseHeight) -> Vec<PublicKey> {
        let keys: Vec<PublicKey> = set.validators().iter().map(|info| info.key).collect();
        let count = u64::try_from(keys.len()).unwrap_or(u64::MAX).max(1);
        let start = usize::try_from(height.0 % count).unwrap_or(0);
        let ring = keys.iter().cycle().skip(start).take(keys.len());
        let faulty = keys.len().saturating_sub(1) / 3;
        let mut skipped: Vec<PublicKey> = keys
            .iter()
            .filter(|key| self.is_skipped(key, height))
            .copied()
            .collect();
        skipped.truncate(faulty);
        let (last, mut first): (Vec<PublicKey>, Vec<PublicKey>) =
            ring.copied().partition(|key| skipped.contains(key));
        first.extend(last);
        first
    }

    /// Takes over what a decided header tells.
    pub fn advance(&mut self, set: &ValidatorSet, header: &EnterpriseHeader) {
        let height = header.height;
        let proposers = self.proposers(set, height);
        let before = proposers.iter().take_while(|key| **key != header.proposer);
        let missed: Vec<PublicKey> = before
            .filter(|key| !self.is_skipped(key, height))
            .copied()
            .collect();
        for key in missed {
            let skipped_for = self.absent.get(&key).map_or(SKIP_HEIGHTS_MIN, |absence| {
                absence.skipped_for.saturating_mul(2).min(SKIP_HEIGHTS_MAX)
            });
            let until = EnterpriseHeight(height.0.saturating_add(skipped_for));
            self.absent.insert(key, Absence { skipped_for, until });
        }
        self.absent.remove(&header.proposer);
        self.absent.retain(|key, _| set.index_of(key).is_some());
    }

    /// The number of those who were absent (2), then of each its key (32), for how many heights it is skipped (8) and until which (8), ascending by key.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u16(u16::try_from(self.absent.len()).unwrap_or(u16::MAX));
        for (key, absence) in &self.absent {
            writer
                .bytes(&key.0)
                .u64(absence.skipped_for)
                .u64(absence.until.0);
        }
        writer.finish()
    }

    /// Reads what [`Self::encode`] writes.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not in the one layout.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut absent = BTreeMap::new();
        for _ in 0..reader.u16()? {
            let key = reader.public_key()?;
            let absence = Absence {
                skipped_for: reader.u64()?,
                until: EnterpriseHeight(reader.u64()?),
            };
            absent.insert(key, absence);
        }
        reader.finish()?;
        Ok(Self { absent })
    }

    /// Those that are skipped at a height.
    pub fn skipped(&self, height: EnterpriseHeight) -> impl Iterator<Item = &PublicKey> {
        self.absent
            .keys()
            .filter(move |key| self.is_skipped(key, height))
    }

    fn is_skipped(&self, key: &PublicKey, height: EnterpriseHeight) -> bool {
        self.absent
            .get(key)
            .is_some_and(|absence| absence.until > height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::enterprise::ValidatorInfo;
    use shared::hash::Hash;
    use shared::identity::Identity;
    use shared::ids::{NetworkId, TimestampMs};

    fn set(count: u8) -> ValidatorSet {
        let validators = (1..=count).map(|seed| ValidatorInfo {
            key: Identity::from_seed([seed; 32]).public_key(),
            name: NetworkId::parse("v").unwrap(),
        });
        ValidatorSet::new(validators.collect()).unwrap()
    }

    fn header(height: u64, proposer: PublicKey) -> EnterpriseHeader {
        EnterpriseHeader {
            version: EnterpriseHeader::VERSION,
            height: EnterpriseHeight(height),
            previous: Hash::ZERO,
            time: TimestampMs(1),
            data_root: Hash::ZERO,
            state_root: Hash::ZERO,
            log_size: 0,
            log_root: Hash::ZERO,
            validators: Hash::ZERO,
            next_validators: Hash::ZERO,
            proposer,
        }
    }

    #[test]
    fn all_propose_in_turn() {
        let (set, rotation) = (set(4), Rotation::default());
        let first: Vec<PublicKey> = (0..4)
            .map(|height| rotation.proposers(&set, EnterpriseHeight(height))[0])
            .collect();
        let keys: Vec<PublicKey> = set.validators().iter().map(|info| info.key).collect();
        assert_eq!(first, keys);
        let mut rounds = rotation.proposers(&set, EnterpriseHeight(7));
        rounds.sort_unstable();
        assert_eq!(rounds, keys);
    }

    #[test]
    fn who_was_absent_leads_no_round_that_matters_for_a_while_and_then_again() {
        let set = set(4);
        let mut rotation = Rotation::default();
        let order = rotation.proposers(&set, EnterpriseHeight(4));
        let dead = order[0];
        rotation.advance(&set, &header(4, order[1]));
        for height in 5..4 + SKIP_HEIGHTS_MIN {
            let order = rotation.proposers(&set, EnterpriseHeight(height));
            assert_eq!(order[3], dead, "height {height}");
            rotation.advance(&set, &header(height, order[0]));
        }
        let height = 4 + SKIP_HEIGHTS_MIN;
        assert_eq!(height % 4, 0);
        let order = rotation.proposers(&set, EnterpriseHeight(height));
        assert_eq!(order[0], dead, "it gets another chance");
        rotation.advance(&set, &header(height, order[1]));
        let until = EnterpriseHeight(height + 2 * SKIP_HEIGHTS_MIN - 1);
        assert_eq!(rotation.skipped(until).collect::<Vec<_>>(), [&dead]);
        rotation.advance(&set, &header(height + 1, dead));
        assert_eq!(rotation.skipped(until).count(), 0);
    }

    #[test]
    fn no_more_than_the_faulty_are_skipped() {
        let set = set(4);
        let mut rotation = Rotation::default();
        let order = rotation.proposers(&set, EnterpriseHeight(1));
        rotation.advance(&set, &header(1, order[3]));
        assert_eq!(rotation.skipped(EnterpriseHeight(5)).count(), 3);
        let ring = Rotation::default().proposers(&set, EnterpriseHeight(5));
        let order = rotation.proposers(&set, EnterpriseHeight(5));
        assert_eq!(order, [ring[1], ring[2], ring[3], ring[0]]);
    }
}
