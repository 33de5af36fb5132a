//! SHA-256 values.
//!
//! [`struct@Hash`] orders by its bytes as a big-endian number, which is also how proof of work reads it.

use core::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A SHA-256 value.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Hash(pub [u8; 32]);

impl Ord for Hash {
    // Word by word: the first one decides nearly always, and the call of `memcmp` that comparing the bytes would be takes
    // longer than all four. Maps by hash are searched everywhere.
    fn cmp(&self, other: &Self) -> Ordering {
        let (words, _) = self.0.as_chunks::<8>();
        let (others, _) = other.0.as_chunks::<8>();
        for (word, other) in words.iter().zip(others) {
            let order = u64::from_be_bytes(*word).cmp(&u64::from_be_bytes(*other));
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }
}

impl PartialOrd for Hash {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash {
    /// Thirty-two zero bytes: the empty subtree, and "none".
    pub const ZERO: Self = Self([0; 32]);

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Counts the leading zero bits.
    #[must_use]
    pub fn leading_zeros(&self) -> u8 {
        let mut bits = 0u8;
        for byte in self.0 {
            if byte != 0 {
                return bits.saturating_add(u8::try_from(byte.leading_zeros()).unwrap_or(8));
            }
            bits = bits.saturating_add(8);
        }
        bits
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.write_str(core::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        parse_hex(text).map(Self)
    }
}

/// Computes SHA-256 over the concatenation of `parts`.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    Hash(hasher.finalize().into())
}

/// A text is not the lower-case hexadecimal form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{found} characters are not {allowed} lower-case hexadecimal digits")]
pub struct HexError {
    /// Length of the text in bytes.
    pub found: usize,
    /// Digits the value has.
    pub allowed: usize,
}

/// Parses exactly `N` bytes of lower-case hexadecimal.
///
/// # Errors
/// A wrong length, an upper-case letter or another character.
pub fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let error = HexError {
        found: text.len(),
        allowed: N.saturating_mul(2),
    };
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(error);
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| error)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_input_has_the_known_hash() {
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(&[]).to_string(), text);
        assert_eq!(text.parse::<Hash>().unwrap(), sha256(&[b"", b""]));
    }

    #[test]
    fn upper_case_hex_is_refused() {
        let text = "E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert!(text.parse::<Hash>().is_err());
    }

    #[test]
    fn hashes_order_as_their_bytes_do() {
        for at in 0..32 {
            for (left, right) in [(0, 1), (1, 0x80), (0x7f, 0xff)] {
                let [mut low, mut high] = [Hash([at; 32]); 2];
                let index = usize::from(at);
                (low.0[index], high.0[index]) = (left, right);
                if let Some(next) = low.0.get_mut(index + 1) {
                    *next = 0xff;
                }
                assert!(low < high, "byte {at}");
                assert_eq!(low.cmp(&high), low.0.cmp(&high.0));
                assert_eq!(low.cmp(&low), Ordering::Equal);
            }
        }
    }

    #[test]
    fn leading_zeros_are_counted_across_bytes() {
        let mut hash = Hash::ZERO;
        assert_eq!(hash.leading_zeros(), 255);
        hash.0[2] = 0x10;
        assert_eq!(hash.leading_zeros(), 19);
    }
}
