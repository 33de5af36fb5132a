//! Checksums over records: the first 16 bytes of SHA-256 over table, key and content, before the content.
//!
//! The table and the key are covered, so a record that moved to another place does not pass.

use shared::hash::sha256;

const CHECKSUM_BYTES: usize = 16;

/// The stored form of `content`.
pub(super) fn seal(table: &str, key: &[u8], content: &[u8]) -> Vec<u8> {
    [checksum(table, key, content).as_slice(), content].concat()
}

/// The content of a stored record.
///
/// # Errors
/// Says what is wrong when the checksum does not match.
pub(super) fn open<'a>(table: &str, key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], String> {
    let (found, content) = stored
        .split_first_chunk::<CHECKSUM_BYTES>()
        .ok_or("the record is shorter than its checksum")?;
    if *found == checksum(table, key, content) {
        Ok(content)
    } else {
        Err("the checksum does not match".into())
    }
}

fn checksum(table: &str, key: &[u8], content: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let length = u64::try_from(key.len()).unwrap_or(u64::MAX).to_be_bytes();
    let hash = sha256(&[b"distli/record/1", table.as_bytes(), &length, key, content]);
    let [
        checksum @ ..,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
    ] = hash.0;
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_opens_only_unchanged_and_in_its_place() {
        let sealed = seal("t", b"k", b"content");
        assert_eq!(open("t", b"k", &sealed), Ok(b"content".as_slice()));
        assert!(open("t", b"l", &sealed).is_err());
        assert!(open("u", b"k", &sealed).is_err());
        for index in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[index] ^= 1;
            assert!(open("t", b"k", &flipped).is_err(), "byte {index}");
        }
        assert!(open("t", b"k", &sealed[..10]).is_err());
    }
}
