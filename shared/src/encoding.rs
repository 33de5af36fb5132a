//! Reading and writing hashed bytes: one fixed layout, big-endian, nothing optional, nothing left over.
//!
//! Every hashed type encodes with [`Writer`] and decodes with [`Reader`] such that `decode(encode(x)) == x`, and such
//! that bytes that decode are exactly the bytes that would be encoded.

use alloc::vec::Vec;

use crate::{
    hash::Hash,
    ids::{NetworkIdError, PublicKey, Signature, TimestampMs},
    pow::CompactError,
};

/// Takes fields from the front of a byte slice.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not yet read.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes `len` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let error = DecodeError::Truncated {
            found: self.rest.len(),
            wanted: len,
        };
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(error)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Takes `N` bytes as an array.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let error = DecodeError::Truncated {
            found: self.rest.len(),
            wanted: N,
        };
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(error)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// None is left.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    /// Takes two bytes as a number.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Takes four bytes as a number.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Takes eight bytes as a number.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Takes six bytes as a time.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn timestamp(&mut self) -> Result<TimestampMs, DecodeError> {
        let [a, b, c, d, e, f] = self.array()?;
        Ok(TimestampMs(u64::from_be_bytes([0, 0, a, b, c, d, e, f])))
    }

    /// Takes a hash.
    ///
    /// # Errors
    /// Fewer than 32 bytes are left.
    pub fn hash(&mut self) -> Result<Hash, DecodeError> {
        self.array().map(Hash)
    }

    /// Takes a public key.
    ///
    /// # Errors
    /// Fewer than 32 bytes are left.
    pub fn public_key(&mut self) -> Result<PublicKey, DecodeError> {
        self.array().map(PublicKey)
    }

    /// Takes a signature.
    ///
    /// # Errors
    /// Fewer than 64 bytes are left.
    pub fn signature(&mut self) -> Result<Signature, DecodeError> {
        self.array().map(Signature)
    }

    /// Takes a count of four bytes and as many bytes.
    ///
    /// # Errors
    /// The count is over `allowed`, or fewer bytes are left.
    pub fn counted_bytes(
        &mut self,
        field: &'static str,
        allowed: u32,
    ) -> Result<&'a [u8], DecodeError> {
        let len = self.u32()?;
        in_range(field, len.into(), 0, allowed.into())?;
        self.bytes(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Bytes are left over.
    pub const fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing {
                found: self.rest.len(),
            })
        }
    }
}

/// Appends fields to a byte vector.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Starts with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity),
        }
    }

    /// Appends bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    /// Appends two bytes.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends four bytes.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends eight bytes.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends the low six bytes of a time.
    pub fn timestamp(&mut self, value: TimestampMs) -> &mut Self {
        let [_, _, rest @ ..] = value.0.to_be_bytes();
        self.bytes(&rest)
    }

    /// Appends a count of four bytes and the bytes.
    pub fn counted_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX))
            .bytes(bytes)
    }

    /// The bytes written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Checks that a decoded number lies in its range.
///
/// # Errors
/// It does not.
pub const fn in_range(
    field: &'static str,
    found: u64,
    min: u64,
    max: u64,
) -> Result<(), DecodeError> {
    if found < min || found > max {
        return Err(DecodeError::OutOfRange {
            field,
            found,
            min,
            max,
        });
    }
    Ok(())
}

/// Bytes are not the canonical form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("{found} bytes left where {wanted} are needed")]
    Truncated {
        /// Bytes left.
        found: usize,
        /// Bytes the field needs.
        wanted: usize,
    },
    /// Bytes follow the last field.
    #[error("{found} bytes after the end")]
    Trailing {
        /// How many.
        found: usize,
    },
    /// A number is outside its range.
    #[error("{field} is {found}, allowed are {min} to {max}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// Its value.
        found: u64,
        /// Smallest allowed value.
        min: u64,
        /// Largest allowed value.
        max: u64,
    },
    /// A text is not UTF-8.
    #[error("{field} is not UTF-8")]
    NotUtf8 {
        /// The field.
        field: &'static str,
    },
    /// A network id is malformed.
    #[error("network id: {0}")]
    NetworkId(#[from] NetworkIdError),
    /// A compact target is malformed.
    #[error("target: {0}")]
    Target(#[from] CompactError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_in_order() {
        let mut writer = Writer::default();
        writer
            .u8(1)
            .u16(2)
            .u32(3)
            .u64(4)
            .timestamp(TimestampMs::MAX)
            .counted_bytes(b"abc");
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(2));
        assert_eq!(reader.u32(), Ok(3));
        assert_eq!(reader.u64(), Ok(4));
        assert_eq!(reader.timestamp(), Ok(TimestampMs::MAX));
        assert_eq!(reader.counted_bytes("text", 3), Ok(&b"abc"[..]));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn too_little_and_too_much_are_refused() {
        assert_eq!(
            Reader::new(&[0]).u16(),
            Err(DecodeError::Truncated {
                found: 1,
                wanted: 2
            })
        );
        assert_eq!(
            Reader::new(&[0]).finish(),
            Err(DecodeError::Trailing { found: 1 })
        );
        let counted = [0, 0, 0, 9, 1];
        assert!(Reader::new(&counted).counted_bytes("x", 8).is_err());
    }
}
