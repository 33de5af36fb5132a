//! Succession: the owner of a private network answers a leaked invite with a new network, and hands its key to chosen members.
//!
//! The new genesis names a block of the old chain and is signed by the old owner ([`Genesis::succeed`]). The old chain tells of it by a
//! *record* transaction of the owner with this payload, big-endian: `distli/succession/1` | genesis (u32 length, bytes) | ephemeral key 32 |
//! u8 count | shares, ascending by member (member's key 32 | sealed network key 48).
//!
//! A share is the new network key under XChaCha20-Poly1305 with a nonce of zeros, because its key is used once: HKDF-SHA256 of the X25519
//! secret between the ephemeral key and the member's key (both Ed25519 keys, taken to the Montgomery form as RFC 7748 has it), with the
//! info `distli/succession/1 ‖ old chain id ‖ ephemeral key ‖ member's key`. Who has no share learns that the network moved, and no more.
//!
//! Limits: [`MEMBERS_MAX`] shares; the rest is invited by the new link.

use alloc::vec::Vec;

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::encoding::{DecodeError, Reader, Writer, in_range};
use crate::genesis::{Access, Genesis, SuccessorError};
use crate::identity::Identity;
use crate::ids::{ChainId, PublicKey};
use crate::limits::GENESIS_BYTES_MAX;
use crate::private::NetworkKey;

/// Most members that are handed the key.
pub const MEMBERS_MAX: usize = 150;

const TAG: &[u8] = b"distli/succession/1";
const SEALED_BYTES: usize = 48;

/// What the owner tells the old network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succession {
    genesis: Genesis,
    ephemeral: PublicKey,
    shares: Vec<(PublicKey, [u8; SEALED_BYTES])>,
}

impl Succession {
    /// Hands the key of the network with `genesis` to members of the old chain; members that can't be sealed for, because their key is
    /// none, are left out. `seed` is fresh and used for nothing else.
    #[must_use]
    pub fn new(
        genesis: Genesis,
        old: ChainId,
        key: &NetworkKey,
        members: &[PublicKey],
        seed: [u8; 32],
    ) -> Self {
        let ephemeral = Identity::from_seed(seed);
        let public = ephemeral.public_key();
        let mut members: Vec<PublicKey> = members.to_vec();
        members.sort_unstable();
        members.dedup();
        members.truncate(MEMBERS_MAX);
        let share = |member: PublicKey| {
            let cipher = cipher(old, &public, &member, &ephemeral, &member)?;
            let sealed = cipher.encrypt(&XNonce::default(), &key.as_bytes()[..]);
            Some((member, sealed.ok()?.try_into().ok()?))
        };
        Self {
            genesis,
            ephemeral: public,
            shares: members.into_iter().filter_map(share).collect(),
        }
    }

    /// The payload of the record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(512);
        writer
            .bytes(TAG)
            .counted_bytes(&self.genesis.encode())
            .bytes(&self.ephemeral.0)
            .u8(u8::try_from(self.shares.len()).unwrap_or(u8::MAX));
        for (member, sealed) in &self.shares {
            writer.bytes(&member.0).bytes(sealed);
        }
        writer.finish()
    }

    /// Whether a record's payload is meant as one.
    #[must_use]
    pub fn is_tagged(payload: &[u8]) -> bool {
        payload.starts_with(TAG)
    }

    /// Reads a payload and checks that the owner of the `old` chain made it: `sender` is the transaction's verified sender.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(
        payload: &[u8],
        old: &Genesis,
        sender: &PublicKey,
    ) -> Result<Self, SuccessionError> {
        if *sender != old.owner {
            return Err(SuccessionError::NotTheOwner);
        }
        let succession = Self::decode(payload)?;
        succession.genesis.check_successor(old)?;
        match succession.genesis.access {
            Access::Private { .. } => Ok(succession),
            Access::Open => Err(SuccessionError::Open),
        }
    }

    fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let tag = reader.bytes(TAG.len())?;
        in_range("succession's tag", u64::from(tag == TAG), 1, 1)?;
        let genesis_max = u32::try_from(GENESIS_BYTES_MAX).unwrap_or(u32::MAX);
        let genesis = Genesis::decode(reader.counted_bytes("genesis", genesis_max)?)?;
        let ephemeral = reader.public_key()?;
        let count = reader.u8()?;
        in_range("shares", count.into(), 0, MEMBERS_MAX as u64)?;
        let mut shares = Vec::with_capacity(count.into());
        for _ in 0..count {
            shares.push((reader.public_key()?, reader.array()?));
        }
        reader.finish()?;
        let ascending = shares.is_sorted_by(|(a, _), (b, _)| a < b);
        in_range("shares in ascending order", ascending.into(), 1, 1)?;
        Ok(Self {
            genesis,
            ephemeral,
            shares,
        })
    }

    /// The new network.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Who is handed the key.
    pub fn members(&self) -> impl Iterator<Item = &PublicKey> {
        self.shares.iter().map(|(member, _)| member)
    }

    /// The new network's key, if there is a share for this member that holds it.
    #[must_use]
    pub fn open(&self, old: ChainId, member: &Identity) -> Option<NetworkKey> {
        let own = member.public_key();
        let (_, sealed) = self.shares.iter().find(|(key, _)| *key == own)?;
        let cipher = cipher(old, &self.ephemeral, &own, member, &self.ephemeral)?;
        let key = cipher.decrypt(&XNonce::default(), &sealed[..]).ok()?;
        let key = NetworkKey::from_bytes(key.try_into().ok()?);
        let is_its = |join: &PublicKey| *join == key.keys().join_key();
        let fits =
            matches!(&self.genesis.access, Access::Private { join_key, .. } if is_its(join_key));
        fits.then_some(key)
    }
}

/// The cipher of one share, from either end; none if the other key gives no secret.
fn cipher(
    old: ChainId,
    ephemeral: &PublicKey,
    member: &PublicKey,
    own: &Identity,
    other: &PublicKey,
) -> Option<XChaCha20Poly1305> {
    let secret = own.agree(other)?;
    let info = [TAG, old.0.as_bytes(), &ephemeral.0, &member.0].concat();
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(None, &secret)
        .expand(&info, &mut key)
        .ok()?;
    Some(XChaCha20Poly1305::new(&key.into()))
}

/// A payload is no succession.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SuccessionError {
    /// Not of the owner.
    #[error("only the network's owner can move it")]
    NotTheOwner,
    /// The bytes are malformed.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// The new genesis is no successor.
    #[error(transparent)]
    Successor(#[from] SuccessorError),
    /// The new network is open.
    #[error("the new network is not private")]
    Open,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::Rules;
    use crate::hash::Hash;
    use crate::ids::{Height, NetworkId, TimestampMs};
    use crate::pow::Target;

    fn member(byte: u8) -> Identity {
        Identity::from_seed([byte; 32])
    }

    fn genesis(key: &NetworkKey) -> Genesis {
        let owner = member(1).public_key();
        Genesis {
            network_id: NetworkId::parse("club").unwrap(),
            rules: Rules::open_default(Target::for_hashes(1_000).to_compact()),
            created_at: TimestampMs(1),
            owner,
            enterprise_genesis: None,
            predecessor: None,
            access: Access::Private {
                join_key: key.keys().join_key(),
                reporters: Vec::from([owner]),
            },
        }
    }

    fn moved() -> (Genesis, NetworkKey, Succession) {
        let (old, key) = (
            genesis(&NetworkKey::from_bytes([7; 32])),
            NetworkKey::from_bytes([8; 32]),
        );
        let last = (Height(9), Hash([9; 32]));
        let new = genesis(&key).succeed(old.chain_id(), last, &member(1));
        let members = [2, 3].map(|byte| member(byte).public_key());
        let succession = Succession::new(new, old.chain_id(), &key, &members, [5; 32]);
        (old, key, succession)
    }

    #[test]
    fn chosen_members_get_the_key_and_nobody_else() {
        let (old, key, succession) = moved();
        let owner = member(1).public_key();
        let read = Succession::check(&succession.encode(), &old, &owner).unwrap();
        assert_eq!(read, succession);
        for chosen in [2, 3] {
            assert_eq!(
                read.open(old.chain_id(), &member(chosen)),
                Some(key.clone())
            );
        }
        for other in [1, 4] {
            assert_eq!(read.open(old.chain_id(), &member(other)), None);
        }
        assert_eq!(read.open(read.genesis().chain_id(), &member(2)), None);
    }

    #[test]
    fn only_the_owner_moves_a_network_and_no_changed_byte_does() {
        let (old, _, succession) = moved();
        let owner = member(1).public_key();
        let payload = succession.encode();
        let error = Succession::check(&payload, &old, &member(2).public_key());
        assert_eq!(error, Err(SuccessionError::NotTheOwner));
        let other = genesis(&NetworkKey::from_bytes([6; 32]));
        assert!(
            Succession::check(&payload, &other, &owner).is_err(),
            "another chain's"
        );
        for at in 0..payload.len() {
            let mut changed = payload.clone();
            changed[at] ^= 1;
            let Ok(read) = Succession::check(&changed, &old, &owner) else {
                continue;
            };
            // Signed is the genesis; a changed share opens to nothing, and the record as a whole is signed by its sender.
            assert_eq!(read.genesis(), succession.genesis(), "byte {at}");
            let opened = [2, 3].map(|byte| read.open(old.chain_id(), &member(byte)));
            assert!(opened.contains(&None), "byte {at}");
        }
        for cut in 0..payload.len() {
            assert!(Succession::check(&payload[..cut], &old, &owner).is_err());
        }
    }
}
