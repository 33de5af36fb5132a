//! Proof of work: targets, their compact form, and work.
//!
//! The compact form is Bitcoin's nBits (one byte of size, three of mantissa). Only the canonical form of a positive
//! target is a [`CompactTarget`]: negative, zero, overflowing or unnormalised bits never become one, so the same
//! difficulty has the same bytes everywhere.

use core::fmt;

use ethnum::U256;

use crate::{hash::Hash, ids::Work};

/// A hash meets a target if it is not above it, read as a big-endian number. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target(U256);

impl Target {
    /// A target from a number; none for zero.
    #[must_use]
    pub fn new(value: U256) -> Option<Self> {
        (value != U256::ZERO).then_some(Self(value))
    }

    /// The target that a random hash meets once in `hashes` trials (at least one trial).
    #[must_use]
    pub fn for_hashes(hashes: u64) -> Self {
        let hashes = U256::from(hashes.max(1));
        // 2^256 / hashes - 1, rounded down, without a 257th bit.
        let quotient = U256::MAX / hashes;
        Self(if hashes.is_power_of_two() {
            quotient
        } else {
            quotient - U256::ONE
        })
    }

    /// The number.
    #[must_use]
    pub const fn value(&self) -> U256 {
        self.0
    }

    /// Thirty-two big-endian bytes.
    #[must_use]
    pub fn to_be_bytes(&self) -> [u8; 32] {
        self.0.to_be_bytes()
    }

    /// Reads thirty-two big-endian bytes; none for zero.
    #[must_use]
    pub fn from_be_bytes(bytes: [u8; 32]) -> Option<Self> {
        Self::new(U256::from_be_bytes(bytes))
    }

    /// True if `hash` is not above this target.
    #[must_use]
    pub fn is_met_by(&self, hash: &Hash) -> bool {
        U256::from_be_bytes(hash.0) <= self.0
    }

    /// The expected number of hashes: 2^256 / (target + 1).
    #[must_use]
    pub fn work(&self) -> Work {
        // (2^256 - 1 - target) / (target + 1) + 1, which needs no 257th bit.
        self.0
            .checked_add(U256::ONE)
            .map_or(Work(U256::ONE), |above| {
                Work((!self.0 / above).saturating_add(U256::ONE))
            })
    }

    /// The compact form, rounded down to its 23 or 24 significant bits.
    #[must_use]
    pub fn to_compact(&self) -> CompactTarget {
        let bits = 256u32.saturating_sub(self.0.leading_zeros());
        let mut size = bits.div_ceil(8);
        let mut mantissa = if size <= 3 {
            (self.0 << (8 * (3 - size))).as_u32()
        } else {
            (self.0 >> (8 * (size - 3))).as_u32()
        };
        if mantissa & SIGN != 0 {
            mantissa >>= 8;
            size += 1;
        }
        CompactTarget((size << 24) | (mantissa & 0x007f_ffff))
    }
}

/// A target in four bytes, canonical.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CompactTarget(u32);

impl CompactTarget {
    /// Parses compact bits.
    ///
    /// # Errors
    /// They are negative, zero, more than 256 bits, or not the canonical form of their value.
    pub fn from_bits(bits: u32) -> Result<Self, CompactError> {
        let target = expand(bits).ok_or(CompactError { found: bits })?;
        let canonical = target.to_compact();
        if canonical.0 == bits {
            Ok(canonical)
        } else {
            Err(CompactError { found: bits })
        }
    }

    /// The four bytes as a number.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The target.
    #[must_use]
    pub fn target(self) -> Target {
        // The invariant of this type is that it expands; the fallback is the hardest target there is.
        expand(self.0).unwrap_or(Target(U256::ONE))
    }

    /// The expected number of hashes.
    #[must_use]
    pub fn work(self) -> Work {
        self.target().work()
    }
}

impl fmt::Debug for CompactTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

impl fmt::Display for CompactTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

fn expand(bits: u32) -> Option<Target> {
    let size = bits >> 24;
    let mantissa = U256::from(bits & 0x007f_ffff);
    if bits & SIGN != 0 || mantissa == U256::ZERO {
        return None;
    }
    if size <= 3 {
        return Target::new(mantissa >> (8 * (3 - size)));
    }
    let shift = 8 * (size - 3);
    if shift >= 256 {
        return None;
    }
    let value = mantissa << shift;
    if value >> shift == mantissa {
        Target::new(value)
    } else {
        None
    }
}

/// Four bytes are not the canonical compact form of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{found:#010x} is not the canonical form of a positive 256-bit target")]
pub struct CompactError {
    /// The bits.
    pub found: u32,
}

const SIGN: u32 = 0x0080_0000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_forms_expand() {
        assert_eq!(
            CompactTarget::from_bits(0x0101_0000)
                .unwrap()
                .target()
                .value(),
            U256::ONE
        );
        let bitcoin = CompactTarget::from_bits(0x1d00_ffff).unwrap();
        assert_eq!(bitcoin.target().value(), U256::from(0xffffu32) << 208);
        assert_eq!(bitcoin.work(), Work(U256::from(0x1_0001_0001u64)));
    }

    #[test]
    fn zero_negative_overflowing_and_unnormalised_bits_are_refused() {
        for bits in [
            0,
            0x0100_0000,
            0x0180_0000,
            0x1d80_ffff,
            0xff12_3456,
            0x2200_ffff,
            0x1e00_00ff,
            0x0101_0001,
        ] {
            assert!(CompactTarget::from_bits(bits).is_err(), "{bits:#010x}");
        }
    }

    #[test]
    fn a_hash_meets_its_own_value_and_none_below() {
        let target = Target::new(U256::from(1000u32)).unwrap();
        assert!(target.is_met_by(&Hash(U256::from(1000u32).to_be_bytes())));
        assert!(!target.is_met_by(&Hash(U256::from(1001u32).to_be_bytes())));
    }

    #[test]
    fn the_easiest_target_costs_one_hash() {
        assert_eq!(Target::for_hashes(1).work(), Work(U256::ONE));
        assert_eq!(Target::for_hashes(1000).work(), Work(U256::from(1000u32)));
    }

    proptest! {
        #[test]
        fn compact_rounds_down_and_is_stable(high: u128, low: u128, shift in 0u32..255) {
            let Some(target) = Target::new(U256::from_words(high, low) >> shift) else { return Ok(()) };
            let compact = target.to_compact();
            prop_assert_eq!(CompactTarget::from_bits(compact.bits()).unwrap(), compact);
            prop_assert!(compact.target() <= target);
            prop_assert!(target.value() - compact.target().value() <= target.value() >> 15u32);
            prop_assert_eq!(compact.target().to_compact(), compact);
        }
    }
}
