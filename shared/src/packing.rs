//! Compression of history on the wire: raw DEFLATE (RFC 1951), with a hard limit on what comes out.
//!
//! Only bytes between two nodes are packed, never what is hashed or stored: two packers may give different bytes for one
//! input. What unpacks to more than the limit is refused while it unpacks; no memory is taken beyond the limit.

use alloc::vec::Vec;

use miniz_oxide::{deflate::compress_to_vec, inflate::decompress_to_vec_with_limit};

/// Fast: signatures and hashes do not pack at any level (`docs/adr/0091-packed-history.md`).
const LEVEL: u8 = 1;

/// Packed bytes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// No DEFLATE stream.
    #[error("malformed packed bytes")]
    Malformed,
    /// They unpack to more than allowed.
    #[error("packed bytes unpack to more than {allowed} bytes")]
    TooLong {
        /// Most bytes allowed.
        allowed: usize,
    },
}

/// Packs bytes.
#[must_use]
pub fn pack(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, LEVEL)
}

/// Unpacks bytes to at most `allowed` bytes.
///
/// # Errors
/// Malformed, or more would come out.
pub fn unpack(packed: &[u8], allowed: usize) -> Result<Vec<u8>, UnpackError> {
    decompress_to_vec_with_limit(packed, allowed).map_err(|error| {
        if error.status == miniz_oxide::inflate::TINFLStatus::HasMoreOutput {
            UnpackError::TooLong { allowed }
        } else {
            UnpackError::Malformed
        }
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bomb_is_refused_at_its_limit() {
        let packed = pack(&vec![0; 64 * 1024 * 1024]);
        assert!(packed.len() < 1024 * 1024, "{}", packed.len());
        let allowed = 1024 * 1024;
        assert_eq!(
            unpack(&packed, allowed),
            Err(UnpackError::TooLong { allowed })
        );
    }

    proptest! {
        #[test]
        fn unpacking_is_the_inverse_of_packing(bytes in proptest::collection::vec(0_u8..4, 1..2_000)) {
            let packed = pack(&bytes);
            prop_assert_eq!(unpack(&packed, bytes.len()), Ok(bytes.clone()));
            if let Some(allowed) = bytes.len().checked_sub(1) {
                prop_assert_eq!(unpack(&packed, allowed), Err(UnpackError::TooLong { allowed }));
            }
        }

        #[test]
        fn strangers_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(unpacked) = unpack(&bytes, 1_000) {
                prop_assert!(unpacked.len() <= 1_000);
            }
        }
    }
}
