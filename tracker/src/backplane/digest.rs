//! What a tracker has of the registry, in half a KiB: enough to see which part of it another one lacks.
//!
//! The chain ids are dealt into [`SHARES`] shares by their first byte, and eight bytes of each id in a share are combined by exclusive or. Two trackers
//! with the same networks have the same digest; where a share differs, all of it is told. An id is a hash, so that nobody meets a
//! digest by accident; who makes networks that cancel each other out hides those and no others.

use shared::encoding::{DecodeError, Reader, Writer};
use shared::ids::ChainId;

/// Parts of the registry that are compared each for itself.
const SHARES: usize = 64;

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest([u64; SHARES]);

/// The shares in which two digests differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares([bool; SHARES]);

impl Digest {
    /// The digest of a registry.
    pub fn of<'a>(networks: impl Iterator<Item = &'a ChainId>) -> Self {
        let mut shares = [0; SHARES];
        for chain_id in networks {
            let [_, a, b, c, d, e, f, g, h, ..] = chain_id.0.0;
            if let Some(share) = shares.get_mut(share_of(chain_id)) {
                *share ^= u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            }
        }
        Self(shares)
    }

    /// Where this one and another differ; none if nowhere.
    #[must_use]
    pub fn differing(&self, other: &Self) -> Option<Shares> {
        let mut shares = [false; SHARES];
        for (differs, (one, other)) in shares.iter_mut().zip(self.0.iter().zip(&other.0)) {
            *differs = one != other;
        }
        shares.contains(&true).then_some(Shares(shares))
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        for share in self.0 {
            writer.u64(share);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut shares = [0; SHARES];
        for share in &mut shares {
            *share = reader.u64()?;
        }
        Ok(Self(shares))
    }
}

impl Shares {
    /// Whether a network belongs to one of them.
    #[must_use]
    pub fn hold(&self, chain_id: &ChainId) -> bool {
        self.0.get(share_of(chain_id)).copied().unwrap_or(false)
    }
}

fn share_of(chain_id: &ChainId) -> usize {
    let [first, ..] = chain_id.0.0;
    usize::from(first) % SHARES
}

#[cfg(test)]
mod tests {
    use shared::hash::sha256;

    use super::*;

    #[test]
    fn a_digest_shows_where_one_network_is_missing() {
        let all: Vec<ChainId> = (0_u32..500)
            .map(|number| ChainId(sha256(&[&number.to_be_bytes()])))
            .collect();
        let whole = Digest::of(all.iter());
        assert_eq!(whole.differing(&Digest::of(all.iter().rev())), None);
        for missing in &all {
            let rest = Digest::of(all.iter().filter(|chain_id| *chain_id != missing));
            let shares = whole.differing(&rest).unwrap();
            assert_eq!(rest.differing(&whole), Some(shares));
            assert!(shares.hold(missing));
            let told = all.iter().filter(|chain_id| shares.hold(chain_id));
            assert!(told.count() < 30, "a share is a small part");
        }
    }
}
