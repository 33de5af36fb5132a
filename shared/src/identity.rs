//! Ed25519 keys: signing and strict verification under a domain.
//!
//! A signature is over `domain ‖ chain id ‖ bytes`, so that it means one thing on one chain. The verdict is that of
//! `verify_strict`, never of a batch: batch and strict verdicts can differ, and every peer must reach the same one.

mod verifier;

use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek::{Signer, SigningKey, Verifier as _, VerifyingKey};

use crate::ids::{ChainId, PeerId, PublicKey, Signature};

pub use verifier::{Keys, KnownKey, Unknown, Verifier, Verify};

/// A secret key. Its debug form shows the public half only.
#[derive(Clone)]
pub struct Identity {
    key: SigningKey,
}

impl Identity {
    /// The identity of a 32-byte secret seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self {
            key: SigningKey::from_bytes(&seed),
        }
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.key.verifying_key().to_bytes())
    }

    /// The peer id of this key.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        PeerId::of(&self.public_key())
    }

    /// The secret that only the two keys' owners can compute: X25519 (RFC 7748) of both keys in their Montgomery form. None if the other
    /// is no point of the curve or of small order.
    #[must_use]
    pub fn agree(&self, other: &PublicKey) -> Option<[u8; 32]> {
        let other = VerifyingKey::from_bytes(&other.0).ok()?;
        if other.is_weak() {
            return None;
        }
        let secret = self.key.to_scalar() * other.to_montgomery();
        Some(secret.to_bytes())
    }

    /// Signs `bytes` for one purpose on one chain.
    #[must_use]
    pub fn sign(&self, domain: &str, chain: ChainId, bytes: &[u8]) -> Signature {
        Signature(
            self.key
                .sign(&signed_bytes(domain, chain, bytes))
                .to_bytes(),
        )
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.public_key()).finish()
    }
}

/// Verifies a signature made by [`Identity::sign`].
///
/// # Errors
/// The key is no point of the curve or of small order, or the signature is not canonical or not of this key, domain,
/// chain and bytes.
pub fn verify(
    domain: &str,
    chain: ChainId,
    key: &PublicKey,
    bytes: &[u8],
    signature: &Signature,
) -> Result<(), SignatureError> {
    verify_bytes(key, &signed_bytes(domain, chain, bytes), signature)
}

/// Verifies a bare Ed25519 signature, strictly.
///
/// `verify_strict` also takes the point R apart, to see whether it is of small order; that is a tenth of its time. Here R's
/// bytes are compared: a signature holds only if they are the canonical ones of the point computed, so that R is of small
/// order exactly when they are one of [`SMALL_ORDER`].
///
/// # Errors
/// As for [`verify`].
pub fn verify_bytes(
    key: &PublicKey,
    message: &[u8],
    signature: &Signature,
) -> Result<(), SignatureError> {
    let key = VerifyingKey::from_bytes(&key.0).map_err(|_| SignatureError::Key)?;
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    if key.is_weak() || SMALL_ORDER.contains(signature.r_bytes()) {
        return Err(SignatureError::Signature);
    }
    key.verify(message, &signature)
        .map_err(|_| SignatureError::Signature)
}

/// The canonical bytes of the eight points whose order divides eight.
const SMALL_ORDER: [[u8; 32]; 8] = {
    let [mut one, mut minus_one, zero] = [[0; 32], [0xff; 32], [0; 32]];
    one[0] = 1;
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    let (low, high) = (ORDER_EIGHT.0, ORDER_EIGHT.1);
    [
        one,
        minus_one,
        zero,
        negated(zero),
        low,
        negated(low),
        high,
        negated(high),
    ]
};

/// Two points of order eight; the other two are their negatives.
const ORDER_EIGHT: ([u8; 32], [u8; 32]) = (
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
);

const fn negated(mut point: [u8; 32]) -> [u8; 32] {
    point[31] |= 0x80;
    point
}

fn signed_bytes(domain: &str, chain: ChainId, bytes: &[u8]) -> Vec<u8> {
    [domain.as_bytes(), chain.0.as_bytes(), bytes].concat()
}

/// A signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The public key is not a point of the curve.
    #[error("the public key is not a point of the curve")]
    Key,
    /// The signature is not of this key over these bytes.
    #[error("the signature does not match its key and bytes")]
    Signature,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hash;

    #[test]
    fn a_signature_holds_for_its_domain_chain_and_bytes_only() {
        let identity = Identity::from_seed([1; 32]);
        let chain = ChainId(Hash([2; 32]));
        let key = identity.public_key();
        let signature = identity.sign("distli/test/1", chain, b"text");
        assert_eq!(
            verify("distli/test/1", chain, &key, b"text", &signature),
            Ok(())
        );
        let error = Err(SignatureError::Signature);
        assert_eq!(
            verify("distli/test/2", chain, &key, b"text", &signature),
            error
        );
        assert_eq!(
            verify(
                "distli/test/1",
                ChainId(Hash([3; 32])),
                &key,
                b"text",
                &signature
            ),
            error
        );
        assert_eq!(
            verify("distli/test/1", chain, &key, b"texT", &signature),
            error
        );
    }

    #[test]
    fn two_keys_agree_and_a_weak_one_with_nobody() {
        let (a, b) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
        let secret = a.agree(&b.public_key());
        assert!(secret.is_some());
        assert_eq!(secret, b.agree(&a.public_key()));
        assert_ne!(secret, a.agree(&a.public_key()));
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert_eq!(a.agree(&PublicKey(neutral)), None);
    }

    #[test]
    fn the_points_of_small_order_are_eight_weak_keys() {
        let distinct: alloc::collections::BTreeSet<_> = SMALL_ORDER.iter().collect();
        assert_eq!(distinct.len(), 8);
        for bytes in &SMALL_ORDER {
            let key = VerifyingKey::from_bytes(bytes).unwrap();
            assert!(key.is_weak(), "{bytes:02x?}");
            assert_eq!(
                key.to_bytes(),
                *bytes,
                "the bytes are the point's canonical ones"
            );
        }
    }

    /// `a` times `b` plus nothing, modulo the order of the base point, by doubling and adding.
    fn times(a: &[u8; 32], b: &[u8]) -> [u8; 32] {
        use ethnum::U256;
        let order = U256::from_str_hex(
            "0x1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed",
        )
        .unwrap();
        let factor = U256::from_le_bytes(*a) % order;
        let mut product = U256::ZERO;
        for byte in b.iter().rev() {
            for bit in (0..8).rev() {
                product = (product << 1u32) % order;
                if byte >> bit & 1 == 1 {
                    product = (product + factor) % order;
                }
            }
        }
        product.to_le_bytes()
    }

    #[test]
    fn a_signature_whose_r_is_of_small_order_is_refused_as_by_verify_strict() {
        use sha2::{Digest, Sha512};
        let identity = Identity::from_seed([1; 32]);
        let key = identity.public_key();
        // R = 0·B, so that s = hash · secret: it holds by the equation alone.
        let r = SMALL_ORDER[0];
        let hash = Sha512::new()
            .chain_update(r)
            .chain_update(key.0)
            .chain_update(b"text")
            .finalize();
        let secret = identity.key.to_scalar_bytes();
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&r);
        signature[32..].copy_from_slice(&times(&clamped(secret), &hash));
        let parsed = ed25519_dalek::Signature::from_bytes(&signature);
        let verifying = VerifyingKey::from_bytes(&key.0).unwrap();
        assert!(verifying.verify(b"text", &parsed).is_ok());
        assert!(verifying.verify_strict(b"text", &parsed).is_err());
        let refused = Err(SignatureError::Signature);
        assert_eq!(verify_bytes(&key, b"text", &Signature(signature)), refused);
    }

    const fn clamped(mut secret: [u8; 32]) -> [u8; 32] {
        secret[0] &= 0xf8;
        secret[31] = secret[31] & 0x7f | 0x40;
        secret
    }

    #[test]
    fn the_secret_is_not_printed() {
        let text = format!("{:?}", Identity::from_seed([1; 32]));
        assert!(!text.contains("0101"), "{text}");
    }
}
