//! Names for the small values of the protocol, so that a height is never taken for a sequence.

use alloc::string::{String, ToString};
use core::{fmt, str::FromStr};

use ethnum::U256;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    hash::{Hash, HexError, parse_hex, sha256},
    limits,
};

/// A network's label: `^[a-z0-9][a-z0-9_-]{0,62}$`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetworkId(String);

impl NetworkId {
    /// Parses a label.
    ///
    /// # Errors
    /// The length or a character is not allowed.
    pub fn parse(text: &str) -> Result<Self, NetworkIdError> {
        if text.is_empty() || text.len() > limits::NETWORK_ID_CHARS_MAX {
            return Err(NetworkIdError::Length {
                found: text.len(),
                allowed: limits::NETWORK_ID_CHARS_MAX,
            });
        }
        for (position, found) in text.chars().enumerate() {
            let inner = position > 0 && matches!(found, '_' | '-');
            if !(found.is_ascii_lowercase() || found.is_ascii_digit() || inner) {
                return Err(NetworkIdError::Character { found, position });
            }
        }
        Ok(Self(text.to_string()))
    }

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NetworkId {
    type Err = NetworkIdError;

    fn from_str(text: &str) -> Result<Self, NetworkIdError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for NetworkId {
    type Error = NetworkIdError;

    fn try_from(text: String) -> Result<Self, NetworkIdError> {
        Self::parse(&text)
    }
}

impl From<NetworkId> for String {
    fn from(id: NetworkId) -> Self {
        id.0
    }
}

/// A text is no network id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkIdError {
    /// Empty or too long.
    #[error("a network id has 1 to {allowed} characters, found {found}")]
    Length {
        /// Length of the text in bytes.
        found: usize,
        /// Longest allowed length.
        allowed: usize,
    },
    /// A character that is not allowed there.
    #[error(
        "character {found:?} at position {position}: a network id has a-z, 0-9 and, not first, _ or -"
    )]
    Character {
        /// The character.
        found: char,
        /// Its place, from 0.
        position: usize,
    },
}

macro_rules! hash_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub Hash);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = HexError;

            fn from_str(text: &str) -> Result<Self, HexError> {
                text.parse().map(Self)
            }
        }

        impl From<Hash> for $name {
            fn from(hash: Hash) -> Self {
                Self(hash)
            }
        }
    };
}

hash_newtype! {
    /// A chain's identity: the hash of its genesis.
    ChainId
}
hash_newtype! {
    /// A peer's identity: the hash of its public key.
    PeerId
}

impl PeerId {
    /// The identity of the peer that holds `key`.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        Self(sha256(&[b"distli/peer/1", &key.0]))
    }
}

macro_rules! bytes_newtype {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = HexError;

            fn from_str(text: &str) -> Result<Self, HexError> {
                parse_hex(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Bytes;
                impl<'de> de::Visitor<'de> for Bytes {
                    type Value = [u8; $len];

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "{} bytes", $len)
                    }

                    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<[u8; $len], E> {
                        bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
                    }
                }
                deserializer.deserialize_bytes(Bytes).map(Self)
            }
        }
    };
}

bytes_newtype! {
    /// An Ed25519 public key. Not every value is a point on the curve; verification decides.
    PublicKey, 32
}
bytes_newtype! {
    /// An Ed25519 signature.
    Signature, 64
}

/// A block's place in its chain; the first block is 1, the genesis 0.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize,
)]
pub struct Height(pub u32);

impl Height {
    /// The genesis.
    pub const GENESIS: Self = Self(0);

    /// The height above; stays at the end of the range.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A sender's transaction counter, from 0.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize,
)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The following number; stays at the end of the range.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Milliseconds since 1970; 48 bits in hashed bytes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize,
)]
pub struct TimestampMs(pub u64);

impl TimestampMs {
    /// The largest time that 48 bits hold.
    pub const MAX: Self = Self((1 << 48) - 1);

    /// This time moved on by `ms`; stays within 48 bits.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        let sum = self.0.saturating_add(ms);
        if sum > Self::MAX.0 {
            Self::MAX
        } else {
            Self(sum)
        }
    }

    /// This time moved back by `ms`; stays at zero.
    #[must_use]
    pub const fn minus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }

    /// Milliseconds since `earlier`; zero if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Cumulative proof of work: expected hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Work(pub U256);

impl Work {
    /// No work.
    pub const ZERO: Self = Self(U256::ZERO);

    /// The sum; stays at the end of the range.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Thirty-two big-endian bytes.
    #[must_use]
    pub fn to_be_bytes(self) -> [u8; 32] {
        self.0.to_be_bytes()
    }

    /// Reads thirty-two big-endian bytes.
    #[must_use]
    pub fn from_be_bytes(bytes: [u8; 32]) -> Self {
        Self(U256::from_be_bytes(bytes))
    }
}

impl Serialize for Work {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_be_bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Work {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[u8; 32]>::deserialize(deserializer).map(Self::from_be_bytes)
    }
}

macro_rules! display_inner {
    ($($name:ident),*) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )* };
}
display_inner!(Height, Sequence, TimestampMs, Work);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_ids_follow_the_pattern() {
        let longest = "a".repeat(63);
        for good in ["a", "0", "my-net_1", longest.as_str()] {
            assert_eq!(NetworkId::parse(good).unwrap().as_str(), good);
        }
        let too_long = "a".repeat(64);
        for bad in ["", "-a", "_a", "A", "a b", "ä", "a/..", too_long.as_str()] {
            assert!(NetworkId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_saturate_in_48_bits() {
        assert_eq!(TimestampMs::MAX.plus_ms(1), TimestampMs::MAX);
        assert_eq!(TimestampMs(5).since(TimestampMs(9)), 0);
    }

    #[test]
    fn keys_and_signatures_survive_postcard() {
        let value = (
            PublicKey([7; 32]),
            Signature([9; 64]),
            Work(U256::from(77u8)),
        );
        let bytes = postcard::to_allocvec(&value).unwrap();
        assert_eq!(
            postcard::from_bytes::<(PublicKey, Signature, Work)>(&bytes).unwrap(),
            value
        );
    }
}
