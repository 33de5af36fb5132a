//! Ed25519 keys: signing and strict verification under a domain.
//!
//! A signature is over `domain ‖ chain id ‖ bytes`, so that it means one thing on one chain. Verification is
//! `verify_strict` and never in batch: batch and strict verdicts can differ, and every peer must reach the same one.

use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use crate::ids::{ChainId, PeerId, PublicKey, Signature};

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
/// # Errors
/// As for [`verify`].
pub fn verify_bytes(
    key: &PublicKey,
    message: &[u8],
    signature: &Signature,
) -> Result<(), SignatureError> {
    let key = VerifyingKey::from_bytes(&key.0).map_err(|_| SignatureError::Key)?;
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    key.verify_strict(message, &signature)
        .map_err(|_| SignatureError::Signature)
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
    fn the_secret_is_not_printed() {
        let text = format!("{:?}", Identity::from_seed([1; 32]));
        assert!(!text.contains("0101"), "{text}");
    }
}
