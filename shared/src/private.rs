//! Private networks: the network key, what follows from it, and what it proves and seals.
//!
//! Members share one secret, the network key K (32 bytes). HKDF-SHA256 (RFC 5869; no salt, `info` as below) makes of it
//!
//! | info | what it is |
//! | --- | --- |
//! | `distli/private/1/join` | seed of the Ed25519 *join key*, whose public half is in the genesis |
//! | `distli/private/1/signal` | key of what leads to a link: session descriptions, candidates, the genesis |
//! | `distli/private/1/gossip` | key of what peers say to each other over the tracker's relay |
//! | `distli/private/1/body` | key of the bodies that are kept beside a report |
//!
//! The *room*, all that a tracker knows a private network by, is `SHA-256("distli/room/1" ‖ public join key)`: who presents the join
//! key and signs with it is a member, so a tracker admits without having been told of the network and keeps nothing.
//!
//! **Admission**: an Ed25519 signature of the join key under [`ADMISSION_DOMAIN`] and the room (in the chain id's place) over
//! `peer id (32) ‖ nonce (32) ‖ host`. The host is the tracker's `host[:port]` as the client knows it, so that another tracker
//! can't use the proof. It says that the peer is a member, not that the peer id is its own: peers prove that to each other.
//!
//! **Sealed bytes**: `nonce (24) ‖ XChaCha20-Poly1305 ciphertext with its tag (16)`; what is bound to them (who sends them to whom) is
//! the associated data, behind the room. A nonce is random or drawn from a secret seed and never used twice. A block's body is bound to
//! `chain id ‖ block hash`, and its nonce is HKDF-SHA256 of the body key, salted with the block hash, `info` `distli/private/1/body-nonce`.
//!
//! It deliberately does not: hide lengths, times, addresses or who speaks to whom from the tracker.

use alloc::vec::Vec;
use core::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::hash::{Hash, sha256};
use crate::identity::{Identity, SignatureError, verify};
use crate::ids::{ChainId, PeerId, PublicKey, Signature};

/// Domain of the signature that admits a peer to a room.
pub const ADMISSION_DOMAIN: &str = "distli/admission/1";
/// By how much sealed bytes are longer.
pub const SEAL_BYTES: usize = NONCE_BYTES + 16;
/// The longest host that an admission is for, in bytes: a DNS name and a port.
pub const HOST_BYTES_MAX: usize = 262;

const NONCE_BYTES: usize = 24;

/// What a tracker knows a private network by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoomId(pub Hash);

impl RoomId {
    /// The room of a join key.
    #[must_use]
    pub fn of(join_key: &PublicKey) -> Self {
        Self(sha256(&[b"distli/room/1", &join_key.0]))
    }

    /// The room where a chain's id would be: rooms and chains are hashes under different tags, so no two are the same.
    #[must_use]
    pub const fn as_chain(self) -> ChainId {
        ChainId(self.0)
    }
}

/// The secret that members of a private network share. Its debug form shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct NetworkKey([u8; 32]);

impl NetworkKey {
    /// The key with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for the invite and the member's own storage only.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What follows from it.
    ///
    /// # Panics
    /// Never: HKDF gives as many bytes as are asked for here.
    #[must_use]
    pub fn keys(&self) -> NetworkKeys {
        let derived = Hkdf::<Sha256>::new(None, &self.0);
        let key = |info: &str| {
            let mut bytes = [0; 32];
            derived
                .expand(info.as_bytes(), &mut bytes)
                .expect("HKDF-SHA256 gives up to 8,160 bytes, and these are 32");
            bytes
        };
        let join = Identity::from_seed(key("distli/private/1/join"));
        NetworkKeys {
            room: RoomId::of(&join.public_key()),
            join,
            signal: key("distli/private/1/signal"),
            gossip: key("distli/private/1/gossip"),
            body: key("distli/private/1/body"),
        }
    }
}

impl fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkKey")
    }
}

/// What sealed bytes are for; each purpose has its own key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What leads to a link.
    Signal,
    /// What peers say to each other over the relay.
    Gossip,
    /// A block's body beside its report.
    Body,
}

/// The keys that follow from a network key. Their debug form shows the room only.
#[derive(Clone)]
pub struct NetworkKeys {
    room: RoomId,
    join: Identity,
    signal: [u8; 32],
    gossip: [u8; 32],
    body: [u8; 32],
}

impl NetworkKeys {
    /// The room.
    #[must_use]
    pub const fn room(&self) -> RoomId {
        self.room
    }

    /// The public join key, as it is in the genesis.
    #[must_use]
    pub fn join_key(&self) -> PublicKey {
        self.join.public_key()
    }

    /// The proof that `peer` is a member, for the tracker at `host` that gave `nonce`.
    #[must_use]
    pub fn admission(&self, host: &str, peer: PeerId, nonce: &[u8; 32]) -> Signature {
        let bytes = admission_bytes(host, peer, nonce);
        self.join
            .sign(ADMISSION_DOMAIN, self.room.as_chain(), &bytes)
    }

    /// Seals bytes. The nonce must never have been used with this network key.
    ///
    /// # Panics
    /// Never for messages of this protocol: the cipher takes 256 GiB.
    #[must_use]
    pub fn seal(
        &self,
        purpose: Purpose,
        nonce: &[u8; NONCE_BYTES],
        bound: &[u8],
        bytes: &[u8],
    ) -> Vec<u8> {
        let aad = self.bound(bound);
        let payload = Payload {
            msg: bytes,
            aad: &aad,
        };
        let sealed = self
            .cipher(purpose)
            .encrypt(&XNonce::from(*nonce), payload)
            .expect("a message is far below the cipher's 256 GiB");
        [&nonce[..], &sealed].concat()
    }

    /// Opens sealed bytes.
    ///
    /// # Errors
    /// They are not of a member, for another purpose, bound to something else, or changed.
    pub fn open(
        &self,
        purpose: Purpose,
        bound: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SealError {
            found: sealed.len(),
        })?;
        let aad = self.bound(bound);
        let payload = Payload {
            msg: sealed,
            aad: &aad,
        };
        self.cipher(purpose)
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| SealError {
                found: sealed.len().saturating_add(NONCE_BYTES),
            })
    }

    /// Seals a block's body as it is kept beside a report. One block is always sealed to the same bytes: the nonce is drawn from the body
    /// key and the block's hash, which commits to the body.
    ///
    /// # Panics
    /// Never: HKDF gives as many bytes as are asked for here.
    #[must_use]
    pub fn seal_body(&self, chain_id: ChainId, block: &Hash, body: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        Hkdf::<Sha256>::new(Some(block.as_bytes()), &self.body)
            .expand(b"distli/private/1/body-nonce", &mut nonce)
            .expect("HKDF-SHA256 gives up to 8,160 bytes, and these are 24");
        self.seal(Purpose::Body, &nonce, &body_bound(chain_id, block), body)
    }

    /// Opens a sealed body of this block.
    ///
    /// # Errors
    /// No member sealed it, it is another block's, or it was changed.
    pub fn open_body(
        &self,
        chain_id: ChainId,
        block: &Hash,
        sealed: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        self.open(Purpose::Body, &body_bound(chain_id, block), sealed)
    }

    fn cipher(&self, purpose: Purpose) -> XChaCha20Poly1305 {
        let key = match purpose {
            Purpose::Signal => &self.signal,
            Purpose::Gossip => &self.gossip,
            Purpose::Body => &self.body,
        };
        XChaCha20Poly1305::new(&(*key).into())
    }

    fn bound(&self, bound: &[u8]) -> Vec<u8> {
        [self.room.0.as_bytes(), bound].concat()
    }
}

impl fmt::Debug for NetworkKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NetworkKeys").field(&self.room).finish()
    }
}

/// Checks that who has `join_key` admits `peer` to `room` at this host and for this nonce.
///
/// # Errors
/// Names what does not fit.
pub fn check_admission(
    (room, join_key): (RoomId, &PublicKey),
    host: &str,
    peer: PeerId,
    nonce: &[u8; 32],
    signature: &Signature,
) -> Result<(), AdmissionError> {
    if RoomId::of(join_key) != room {
        return Err(AdmissionError::OtherRoom);
    }
    if host.len() > HOST_BYTES_MAX {
        return Err(AdmissionError::Host { found: host.len() });
    }
    let bytes = admission_bytes(host, peer, nonce);
    verify(
        ADMISSION_DOMAIN,
        room.as_chain(),
        join_key,
        &bytes,
        signature,
    )
    .map_err(AdmissionError::Signature)
}

fn body_bound(chain_id: ChainId, block: &Hash) -> Vec<u8> {
    [chain_id.0.as_bytes(), block.as_bytes().as_slice()].concat()
}

fn admission_bytes(host: &str, peer: PeerId, nonce: &[u8; 32]) -> Vec<u8> {
    [&peer.0.0[..], nonce, host.as_bytes()].concat()
}

/// A peer is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// The join key is not the room's.
    #[error("the join key is of another room")]
    OtherRoom,
    /// The host is too long.
    #[error("a host of {found} bytes, allowed are {HOST_BYTES_MAX}")]
    Host {
        /// Its length.
        found: usize,
    },
    /// Not of this key, host, peer and nonce.
    #[error("admission: {0}")]
    Signature(SignatureError),
}

/// Sealed bytes can't be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} sealed bytes that no member made for this")]
pub struct SealError {
    /// How many bytes there were.
    pub found: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> NetworkKeys {
        NetworkKey::from_bytes([7; 32]).keys()
    }

    fn peer(byte: u8) -> PeerId {
        PeerId(Hash([byte; 32]))
    }

    #[test]
    fn an_admission_holds_for_its_room_host_peer_and_nonce_only() {
        let (keys, join) = (keys(), keys().join_key());
        let signature = keys.admission("mesh.example", peer(1), &[2; 32]);
        let check = |room, join: &PublicKey, host, peer, nonce: [u8; 32]| {
            check_admission((room, join), host, peer, &nonce, &signature)
        };
        assert_eq!(
            check(keys.room(), &join, "mesh.example", peer(1), [2; 32]),
            Ok(())
        );
        let other = NetworkKey::from_bytes([8; 32]).keys();
        for (result, what) in [
            (
                check(other.room(), &join, "mesh.example", peer(1), [2; 32]),
                "room",
            ),
            (
                check(
                    other.room(),
                    &other.join_key(),
                    "mesh.example",
                    peer(1),
                    [2; 32],
                ),
                "key",
            ),
            (
                check(keys.room(), &join, "mesh.example:1", peer(1), [2; 32]),
                "host",
            ),
            (
                check(keys.room(), &join, "mesh.example", peer(3), [2; 32]),
                "peer",
            ),
            (
                check(keys.room(), &join, "mesh.example", peer(1), [3; 32]),
                "nonce",
            ),
        ] {
            assert!(result.is_err(), "{what}");
        }
    }

    #[test]
    fn no_changed_byte_of_sealed_bytes_is_taken() {
        let keys = keys();
        let sealed = keys.seal(Purpose::Gossip, &[1; 24], b"bound", b"a block");
        assert_eq!(sealed.len(), b"a block".len() + SEAL_BYTES);
        assert_eq!(
            keys.open(Purpose::Gossip, b"bound", &sealed).unwrap(),
            b"a block"
        );
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keys.open(Purpose::Gossip, b"bound", &changed).is_err());
        }
        for cut in 0..sealed.len() {
            assert!(
                keys.open(Purpose::Gossip, b"bound", &sealed[..cut])
                    .is_err()
            );
        }
        assert!(keys.open(Purpose::Signal, b"bound", &sealed).is_err());
        assert!(keys.open(Purpose::Body, b"bound", &sealed).is_err());
        assert!(keys.open(Purpose::Gossip, b"other", &sealed).is_err());
        let others = NetworkKey::from_bytes([8; 32]).keys();
        assert!(others.open(Purpose::Gossip, b"bound", &sealed).is_err());
    }

    #[test]
    fn a_body_is_sealed_to_its_block_and_always_alike() {
        let (keys, chain) = (keys(), ChainId(Hash([1; 32])));
        let sealed = keys.seal_body(chain, &Hash([2; 32]), b"body");
        assert_eq!(sealed, keys.seal_body(chain, &Hash([2; 32]), b"body"));
        assert_eq!(
            keys.open_body(chain, &Hash([2; 32]), &sealed).unwrap(),
            b"body"
        );
        assert!(keys.open_body(chain, &Hash([3; 32]), &sealed).is_err());
        let other = ChainId(Hash([9; 32]));
        assert!(keys.open_body(other, &Hash([2; 32]), &sealed).is_err());
        let next = keys.seal_body(chain, &Hash([3; 32]), b"body");
        assert_ne!(sealed[..NONCE_BYTES], next[..NONCE_BYTES]);
    }

    #[test]
    fn secrets_are_not_printed() {
        let key = NetworkKey::from_bytes([7; 32]);
        let text = format!("{key:?} {:?}", key.keys());
        assert!(!text.contains("0707") && !text.contains("7, 7"), "{text}");
    }
}
