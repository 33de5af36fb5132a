//! Verifying many signatures of few keys, as a chain's history and a busy network are.
//!
//! The equation `R = [s]B - [k]A` is that of every Ed25519 verification. Of a key that comes again and again, the multiples
//! `d * 16^i` of A are kept, as they are of B, so that a signature costs 128 additions of points and no doubling: half the time in
//! WebAssembly. The verdict is that of [`verify_bytes`]: the same strict equation, never a batch. Nothing here is secret, and so
//! nothing takes constant time.
//!
//! Limits: [`TABLES_MAX`] keys with a table of 80 KiB each, of which the one longest unused goes; [`COUNTED_MAX`] others are counted.

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};

use curve25519_dalek::{
    constants::ED25519_BASEPOINT_POINT, edwards::EdwardsPoint, scalar::Scalar, traits::Identity,
};
use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha512};

use super::{SMALL_ORDER, SignatureError, signed_bytes, verify_bytes};
use crate::ids::{ChainId, PublicKey, Signature};

/// Keys with a table.
const TABLES_MAX: usize = 16;
/// Keys without a table whose signatures are counted; then all counts begin anew.
const COUNTED_MAX: usize = 256;
/// The signature of a key for which its table is made: a table costs as much as five verifications save.
const TABLE_AT: u8 = 8;

/// Remembers keys. A new one knows none, and costs nothing.
#[derive(Default)]
pub struct Verifier {
    base: Option<Multiples>,
    tabled: BTreeMap<PublicKey, Tabled>,
    counted: BTreeMap<PublicKey, u8>,
    uses: u64,
}

struct Tabled {
    used: u64,
    minus_a: Multiples,
}

impl Verifier {
    /// As [`verify`](super::verify), by what is known of the key.
    ///
    /// # Errors
    /// As for [`verify`](super::verify).
    pub fn verify(
        &mut self,
        domain: &str,
        chain: ChainId,
        key: &PublicKey,
        bytes: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        self.verify_bytes(key, &signed_bytes(domain, chain, bytes), signature)
    }

    /// As [`verify_bytes`], by what is known of the key.
    ///
    /// # Errors
    /// As for [`verify_bytes`].
    pub fn verify_bytes(
        &mut self,
        key: &PublicKey,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        self.uses = self.uses.wrapping_add(1);
        if let (Some(base), Some(tabled)) = (&self.base, self.tabled.get_mut(key)) {
            tabled.used = self.uses;
            return base.holds(&tabled.minus_a, key, message, signature);
        }
        verify_bytes(key, message, signature)?;
        self.count(key);
        Ok(())
    }

    /// Counts a key whose signature held, and so is a good one.
    fn count(&mut self, key: &PublicKey) {
        if self.counted.len() >= COUNTED_MAX && !self.counted.contains_key(key) {
            self.counted.clear();
        }
        let count = self.counted.entry(*key).or_default();
        *count = count.saturating_add(1);
        if *count < TABLE_AT {
            return;
        }
        self.counted.remove(key);
        let Ok(point) = VerifyingKey::from_bytes(&key.0) else {
            return;
        };
        if self.tabled.len() >= TABLES_MAX {
            let unused = self.tabled.iter().min_by_key(|(_, tabled)| tabled.used);
            let unused = unused.map(|(key, _)| *key);
            unused.and_then(|key| self.tabled.remove(&key));
        }
        self.base
            .get_or_insert_with(|| Multiples::of(&ED25519_BASEPOINT_POINT));
        let tabled = Tabled {
            used: self.uses,
            minus_a: Multiples::of(&-point.to_edwards()),
        };
        self.tabled.insert(*key, tabled);
    }
}

impl core::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let keys = self.tabled.keys();
        f.debug_set().entries(keys).finish()
    }
}

/// The multiples `d * 16^i` of a point, `d` from 1 to 8, for each of the digits of a scalar.
struct Multiples(Box<[[EdwardsPoint; HALF]]>);

impl Multiples {
    fn of(point: &EdwardsPoint) -> Self {
        let mut first = *point;
        let mut rows = Vec::with_capacity(DIGITS);
        for _ in 0..DIGITS {
            let mut multiple = EdwardsPoint::identity();
            let row = [(); HALF].map(|()| {
                multiple += first;
                multiple
            });
            rows.push(row);
            first = multiple + multiple;
        }
        Self(rows.into())
    }

    /// `sum` and the multiple of the point by `scalar`.
    fn add_to(&self, mut sum: EdwardsPoint, scalar: &Scalar) -> EdwardsPoint {
        let mut carry = 0;
        let digits = scalar
            .as_bytes()
            .iter()
            .flat_map(|byte| [byte & 0xf, byte >> 4]);
        for (row, digit) in self.0.iter().zip(digits) {
            let digit = usize::from(digit) + carry;
            carry = usize::from(digit > HALF);
            if carry == 0 {
                if let Some(multiple) = digit.checked_sub(1).and_then(|index| row.get(index)) {
                    sum += multiple;
                }
            } else if let Some(multiple) = (15_usize)
                .checked_sub(digit)
                .and_then(|index| row.get(index))
            {
                sum -= multiple;
            }
        }
        sum
    }

    /// Whether the signature holds; these are the base point's multiples.
    fn holds(
        &self,
        minus_a: &Self,
        key: &PublicKey,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        let parts = ed25519_dalek::Signature::from_bytes(&signature.0);
        let r = parts.r_bytes();
        let s: Option<Scalar> = Scalar::from_canonical_bytes(*parts.s_bytes()).into();
        let s = s.ok_or(SignatureError::Signature)?;
        let hash = Sha512::new()
            .chain_update(r)
            .chain_update(key.0)
            .chain_update(message);
        let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
        let found = minus_a.add_to(self.add_to(EdwardsPoint::identity(), &s), &k);
        if found.compress().as_bytes() == r && !SMALL_ORDER.contains(r) {
            Ok(())
        } else {
            Err(SignatureError::Signature)
        }
    }
}

/// Digits of a scalar to the base 16; one is below 2^253, so that the last takes a carry and gives none.
const DIGITS: usize = 64;
/// A digit is from -7 to 8.
const HALF: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity as Signer;

    fn pairs(signer: &Signer, count: u8) -> impl Iterator<Item = (Vec<u8>, Signature)> {
        let chain = ChainId(crate::hash::Hash([2; 32]));
        let signer = signer.clone();
        (0..count).map(move |number| {
            let message = Vec::from([number; 40]);
            let signature = signer.sign("distli/test/1", chain, &message);
            (signed_bytes("distli/test/1", chain, &message), signature)
        })
    }

    #[test]
    fn verdicts_stay_those_of_one_signature_alone_once_a_key_is_known() {
        let mut verifier = Verifier::default();
        let signer = Signer::from_seed([1; 32]);
        let key = signer.public_key();
        for (message, signature) in pairs(&signer, 40) {
            assert_eq!(verifier.verify_bytes(&key, &message, &signature), Ok(()));
            for bit in 0..512 {
                let mut wrong = signature;
                wrong.0[bit / 8] ^= 1 << (bit % 8);
                let alone = verify_bytes(&key, &message, &wrong);
                assert_eq!(
                    verifier.verify_bytes(&key, &message, &wrong),
                    alone,
                    "{bit}"
                );
            }
            let mut other = message.clone();
            other[50] ^= 1;
            assert!(verifier.verify_bytes(&key, &other, &signature).is_err());
        }
        assert_eq!(verifier.tabled.len(), 1);
    }

    #[test]
    fn a_known_key_takes_no_s_beyond_the_order() {
        let mut verifier = Verifier::default();
        let signer = Signer::from_seed([1; 32]);
        let key = signer.public_key();
        let mut order = [0; 32];
        order.copy_from_slice((Scalar::ZERO - Scalar::ONE).as_bytes());
        order[0] += 1;
        for (message, signature) in pairs(&signer, 20) {
            assert_eq!(verifier.verify_bytes(&key, &message, &signature), Ok(()));
            let mut malleable = signature;
            let mut carry = 0;
            for (byte, more) in malleable.0[32..].iter_mut().zip(order) {
                let sum = u16::from(*byte) + u16::from(more) + carry;
                *byte = sum.to_le_bytes()[0];
                carry = sum >> 8;
            }
            let refused = Err(SignatureError::Signature);
            assert_eq!(verifier.verify_bytes(&key, &message, &malleable), refused);
        }
        assert_eq!(verifier.tabled.len(), 1);
    }

    #[test]
    fn multiples_are_those_of_the_library() {
        let base = Multiples::of(&ED25519_BASEPOINT_POINT);
        let mut scalars = Vec::from([Scalar::ZERO, Scalar::ONE, Scalar::ZERO - Scalar::ONE]);
        for (_, signature) in pairs(&Signer::from_seed([3; 32]), 200) {
            scalars.push(Scalar::from_bytes_mod_order_wide(&signature.0));
        }
        for byte in 0..=255 {
            scalars.push(Scalar::from_bytes_mod_order([byte; 32]));
        }
        for scalar in scalars {
            let found = base.add_to(EdwardsPoint::identity(), &scalar);
            assert_eq!(found, EdwardsPoint::mul_base(&scalar));
        }
    }

    #[test]
    fn whatever_keys_come_memory_is_bounded() {
        let mut verifier = Verifier::default();
        for seed in 0..20 {
            let signer = Signer::from_seed([seed; 32]);
            for (message, signature) in pairs(&signer, TABLE_AT) {
                let verdict = verifier.verify_bytes(&signer.public_key(), &message, &signature);
                assert_eq!(verdict, Ok(()));
            }
        }
        assert_eq!(verifier.tabled.len(), TABLES_MAX);
        assert_eq!(verifier.counted.len(), 0);
        for seed in 0..300_u16 {
            let mut bytes = [9; 32];
            bytes[..2].copy_from_slice(&seed.to_le_bytes());
            let signer = Signer::from_seed(bytes);
            for (message, signature) in pairs(&signer, 1) {
                let verdict = verifier.verify_bytes(&signer.public_key(), &message, &signature);
                assert_eq!(verdict, Ok(()));
            }
            assert!(verifier.counted.len() <= COUNTED_MAX);
        }
        assert_eq!(verifier.tabled.len(), TABLES_MAX);
    }
}
