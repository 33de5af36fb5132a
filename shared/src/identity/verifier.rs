//! Verifying many signatures of few keys, as a chain's history and a busy network are.
//!
//! The equation `R = [s]B - [k]A` is that of every Ed25519 verification. Of a key that comes again and again, multiples `d * 32^i`
//! of A are kept, as `d * 256^i` are of B, so that a signature costs 83 additions of points and no doubling: about half the time.
//! The verdict is that of [`verify_bytes`]: the same strict equation, never a batch. Nothing here is secret, and so
//! nothing takes constant time.
//!
//! Limits: so many keys as [`Keys::new`] is told have a table of 128 KiB each, of which the one longest unused goes; [`COUNTED_MAX`]
//! others are counted. The multiples of B take 640 KiB.

use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec::Vec};

use curve25519_dalek::{
    constants::ED25519_BASEPOINT_POINT, edwards::EdwardsPoint, scalar::Scalar, traits::Identity,
};
use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha512};

use super::{SMALL_ORDER, SignatureError, signed_bytes, verify_bytes};
use crate::ids::{ChainId, PublicKey, Signature};

/// Keys with a table, of a [`Verifier`].
const TABLES_MAX: usize = 16;
/// Keys without a table whose signatures are counted; then all counts begin anew.
const COUNTED_MAX: usize = 256;
/// The signature of a key for which its table is made: a table costs as much as about 15 verifications save.
const TABLE_AT: u8 = 16;

/// Judges signatures, by what it remembers of keys. The verdict is always that of [`verify`](super::verify).
pub trait Verify {
    /// As [`verify`](super::verify).
    ///
    /// # Errors
    /// As there.
    fn verify(
        &mut self,
        domain: &str,
        chain: ChainId,
        key: &PublicKey,
        bytes: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        self.verify_bytes(key, &signed_bytes(domain, chain, bytes), signature)
    }

    /// As [`verify_bytes`].
    ///
    /// # Errors
    /// As there.
    fn verify_bytes(
        &mut self,
        key: &PublicKey,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError>;
}

/// Remembers keys. A new one knows none, and costs nothing.
#[derive(Debug)]
pub struct Verifier(Keys);

impl Default for Verifier {
    fn default() -> Self {
        Self(Keys::new(TABLES_MAX))
    }
}

impl Verify for Verifier {
    fn verify_bytes(
        &mut self,
        key: &PublicKey,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        if let Some(known) = self.0.find(key) {
            return known.verify_bytes(message, signature);
        }
        verify_bytes(key, message, signature)?;
        if let Some(known) = self.0.count(key).and_then(Unknown::learn) {
            self.0.keep(known);
        }
        Ok(())
    }
}

/// Which keys are known. It verifies nothing itself, so that many threads can share it behind a lock and verify outside.
pub struct Keys {
    tables_max: usize,
    base: Option<Arc<Multiples>>,
    tabled: BTreeMap<PublicKey, Tabled>,
    counted: BTreeMap<PublicKey, u8>,
    uses: u64,
}

struct Tabled {
    used: u64,
    known: KnownKey,
}

impl Keys {
    /// Remembers up to so many keys with a table.
    #[must_use]
    pub const fn new(tables_max: usize) -> Self {
        Self {
            tables_max,
            base: None,
            tabled: BTreeMap::new(),
            counted: BTreeMap::new(),
            uses: 0,
        }
    }

    /// What to verify a signature of this key with, if the key is known.
    pub fn find(&mut self, key: &PublicKey) -> Option<KnownKey> {
        self.uses = self.uses.wrapping_add(1);
        let tabled = self.tabled.get_mut(key)?;
        tabled.used = self.uses;
        Some(tabled.known.clone())
    }

    /// Counts a signature of a key that is not known, and that held: the key is a good one. Gives what is to be learned, when it is.
    pub fn count(&mut self, key: &PublicKey) -> Option<Unknown> {
        if self.counted.len() >= COUNTED_MAX && !self.counted.contains_key(key) {
            self.counted.clear();
        }
        let count = self.counted.entry(*key).or_default();
        *count = count.saturating_add(1);
        if *count < TABLE_AT {
            return None;
        }
        self.counted.remove(key);
        let base = self
            .base
            .get_or_insert_with(|| Arc::new(Multiples::of(&ED25519_BASEPOINT_POINT, BASE_BITS)));
        Some(Unknown {
            key: *key,
            base: Arc::clone(base),
        })
    }

    /// Remembers a key.
    pub fn keep(&mut self, known: KnownKey) {
        // Two threads may have learned it at once.
        if self.tabled.len() >= self.tables_max && !self.tabled.contains_key(&known.key) {
            let unused = self.tabled.iter().min_by_key(|(_, tabled)| tabled.used);
            let unused = unused.map(|(key, _)| *key);
            unused.and_then(|key| self.tabled.remove(&key));
        }
        let used = self.uses;
        self.tabled.insert(known.key, Tabled { used, known });
    }
}

impl core::fmt::Debug for Keys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let keys = self.tabled.keys();
        f.debug_set().entries(keys).finish()
    }
}

/// A key whose multiples are to be computed, which takes a while.
pub struct Unknown {
    key: PublicKey,
    base: Arc<Multiples>,
}

impl Unknown {
    /// Computes them; none if the key is no point of the curve.
    #[must_use]
    pub fn learn(self) -> Option<KnownKey> {
        let point = VerifyingKey::from_bytes(&self.key.0).ok()?;
        Some(KnownKey {
            key: self.key,
            base: self.base,
            minus_a: Arc::new(Multiples::of(&-point.to_edwards(), KEY_BITS)),
        })
    }
}

impl core::fmt::Debug for Unknown {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Unknown").field(&self.key).finish()
    }
}

/// A key with its multiples.
#[derive(Clone)]
pub struct KnownKey {
    key: PublicKey,
    base: Arc<Multiples>,
    minus_a: Arc<Multiples>,
}

impl KnownKey {
    /// As [`verify_bytes`], of this key.
    ///
    /// # Errors
    /// As there.
    pub fn verify_bytes(
        &self,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        let parts = ed25519_dalek::Signature::from_bytes(&signature.0);
        let r = parts.r_bytes();
        let s: Option<Scalar> = Scalar::from_canonical_bytes(*parts.s_bytes()).into();
        let s = s.ok_or(SignatureError::Signature)?;
        let hash = Sha512::new()
            .chain_update(r)
            .chain_update(self.key.0)
            .chain_update(message);
        let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
        let found = self.base.add_to(EdwardsPoint::identity(), &s);
        let found = self.minus_a.add_to(found, &k);
        if found.compress().as_bytes() == r && !SMALL_ORDER.contains(r) {
            Ok(())
        } else {
            Err(SignatureError::Signature)
        }
    }
}

impl core::fmt::Debug for KnownKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("KnownKey").field(&self.key).finish()
    }
}

/// The multiples `d * 2^(bits * i)` of a point, `d` from 1 to `2^(bits - 1)`, for each of the digits of a scalar.
struct Multiples {
    /// From 2 to 8.
    bits: usize,
    rows: Box<[EdwardsPoint]>,
}

impl Multiples {
    fn of(point: &EdwardsPoint, bits: usize) -> Self {
        let mut first = *point;
        let mut rows = Vec::with_capacity(SCALAR_BITS.div_ceil(bits) << (bits - 1));
        for _ in 0..SCALAR_BITS.div_ceil(bits) {
            let mut multiple = EdwardsPoint::identity();
            for _ in 0..1 << (bits - 1) {
                multiple += first;
                rows.push(multiple);
            }
            first = multiple + multiple;
        }
        let rows = rows.into();
        Self { bits, rows }
    }

    /// `sum` and the multiple of the point by `scalar`.
    fn add_to(&self, mut sum: EdwardsPoint, scalar: &Scalar) -> EdwardsPoint {
        // All are fetched before the first is added, so that the processor waits for memory once.
        let mut chosen = [(EdwardsPoint::identity(), false); DIGITS_MAX];
        let mut count = 0;
        let mut digits = Digits::of(scalar, self.bits);
        for row in self.rows.chunks_exact(1 << (self.bits - 1)) {
            let (distance, is_negative) = digits.next();
            let multiple = distance.checked_sub(1).and_then(|index| row.get(index));
            if let (Some(multiple), Some(place)) = (multiple, chosen.get_mut(count)) {
                *place = (*multiple, is_negative);
                count += 1;
            }
        }
        for (multiple, is_negative) in chosen.iter().take(count) {
            if *is_negative {
                sum -= multiple;
            } else {
                sum += multiple;
            }
        }
        sum
    }
}

/// The digits of a scalar to the base `2^bits`, the lowest first, from `-2^(bits - 1) + 1` to `2^(bits - 1)`.
struct Digits<'a> {
    bytes: &'a [u8; 32],
    bits: usize,
    at: usize,
    carry: usize,
}

impl<'a> Digits<'a> {
    const fn of(scalar: &'a Scalar, bits: usize) -> Self {
        Self {
            bytes: scalar.as_bytes(),
            bits,
            at: 0,
            carry: 0,
        }
    }

    /// How far from zero it is, and whether below.
    fn next(&mut self) -> (usize, bool) {
        let byte = |index: usize| self.bytes.get(index).copied().map_or(0, usize::from);
        let both = byte(self.at / 8) | byte(self.at / 8 + 1) << 8;
        let digit = (both >> (self.at % 8) & ((1 << self.bits) - 1)) + self.carry;
        self.at += self.bits;
        let is_negative = digit > 1 << (self.bits - 1);
        self.carry = usize::from(is_negative);
        if is_negative {
            ((1 << self.bits) - digit, true)
        } else {
            (digit, false)
        }
    }
}

/// A scalar is below 2^253; for 5 and 8 bits a digit the highest takes a carry and gives none.
const SCALAR_BITS: usize = 253;
const BASE_BITS: usize = 8;
const KEY_BITS: usize = 5;
const DIGITS_MAX: usize = SCALAR_BITS.div_ceil(KEY_BITS);

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
        assert_eq!(verifier.0.tabled.len(), 1);
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
        assert_eq!(verifier.0.tabled.len(), 1);
    }

    #[test]
    fn multiples_are_those_of_the_library() {
        let tables =
            [BASE_BITS, KEY_BITS].map(|bits| Multiples::of(&ED25519_BASEPOINT_POINT, bits));
        let mut scalars = Vec::from([Scalar::ZERO, Scalar::ONE, Scalar::ZERO - Scalar::ONE]);
        for (_, signature) in pairs(&Signer::from_seed([3; 32]), 200) {
            scalars.push(Scalar::from_bytes_mod_order_wide(&signature.0));
        }
        for byte in 0..=255 {
            scalars.push(Scalar::from_bytes_mod_order([byte; 32]));
        }
        for scalar in scalars {
            for table in &tables {
                let found = table.add_to(EdwardsPoint::identity(), &scalar);
                assert_eq!(found, EdwardsPoint::mul_base(&scalar));
            }
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
        assert_eq!(verifier.0.tabled.len(), TABLES_MAX);
        assert_eq!(verifier.0.counted.len(), 0);
        for seed in 0..300_u16 {
            let mut bytes = [9; 32];
            bytes[..2].copy_from_slice(&seed.to_le_bytes());
            let signer = Signer::from_seed(bytes);
            for (message, signature) in pairs(&signer, 1) {
                let verdict = verifier.verify_bytes(&signer.public_key(), &message, &signature);
                assert_eq!(verdict, Ok(()));
            }
            assert!(verifier.0.counted.len() <= COUNTED_MAX);
        }
        assert_eq!(verifier.0.tabled.len(), TABLES_MAX);
    }
}
