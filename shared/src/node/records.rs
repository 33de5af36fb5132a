//! Names and bytes of stored records.
//!
//! | key | value |
//! | --- | --- |
//! | `block/<hash>` | the canonical block |
//! | `tip` | hash of the main chain's tip, 32 bytes |
//! | `outbox/<transaction id>` | the canonical transaction |
//! | `outbox/conflict/<transaction id>` | id of the transaction that was kept, or zeros, 32 bytes; then the canonical transaction that lost |
//! | `identity/sequence` | the next sequence to sign with, 8 bytes |
//! | `synced` | height, 4 bytes, and hash of the newest block the tracker confirmed |
//! | `headers/<first height>/<number>` | so many main-chain headers from that height on, 116 bytes each |
//! | `snapshot/<height>` | the snapshot after that block ([`crate::snapshot`]) |
//! | `final` | the newest final block, 100 bytes (`enterprise::FinalBlock`) |
//! | `proof` | the newest proof of finality as it came (`enterprise::FinalityProof`) |
//! | `resets` | resets followed, 4 bytes, and the lowest void block of each that voided something here, 32 bytes each |
//! | `split` | the first two decided blocks of one height that were seen (`enterprise::Split`) |
//! | `abandoned/<tip hash>` | lowest height, highest height, final height of a branch left behind, 4 bytes each |
//! | `damaged/<key>` | a record that could not be read, set aside as it was |
//!
//! `outbox/…` and `identity/…` belong to the identity; the driver keeps them apart for each.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{Abandoned, Change, Record};
use crate::{
    encoding::{DecodeError, Reader, Writer},
    hash::Hash,
    ids::{Height, Sequence},
};

/// What a record's key says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Block(Hash),
    Tip,
    Outbox(Hash),
    Conflict(Hash),
    Sequence,
    Synced,
    Final,
    Proof,
    Resets,
    Split,
    Abandoned(Hash),
    Headers(u32, u32),
    Snapshot(Height),
}

impl Key {
    /// Reads a key; none if this machine did not write it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "tip" => return Some(Self::Tip),
            "identity/sequence" => return Some(Self::Sequence),
            "synced" => return Some(Self::Synced),
            "final" => return Some(Self::Final),
            "proof" => return Some(Self::Proof),
            "resets" => return Some(Self::Resets),
            "split" => return Some(Self::Split),
            _ => {}
        }
        if let Some(hash) = text.strip_prefix("block/") {
            return hash.parse().ok().map(Self::Block);
        }
        if let Some(rest) = text.strip_prefix("headers/") {
            let (first, count) = rest.split_once('/')?;
            return Some(Self::Headers(first.parse().ok()?, count.parse().ok()?));
        }
        if let Some(height) = text.strip_prefix("snapshot/") {
            return height
                .parse()
                .ok()
                .map(|height| Self::Snapshot(Height(height)));
        }
        if let Some(hash) = text.strip_prefix("abandoned/") {
            return hash.parse().ok().map(Self::Abandoned);
        }
        let rest = text.strip_prefix("outbox/")?;
        match rest.strip_prefix("conflict/") {
            Some(hash) => hash.parse().ok().map(Self::Conflict),
            None => rest.parse().ok().map(Self::Outbox),
        }
    }

    /// The change that stores a value.
    pub(super) fn put(self, value: Vec<u8>) -> Change {
        Change {
            key: self.to_string(),
            value: Some(value),
        }
    }

    /// The change that deletes the record.
    pub(super) fn delete(self) -> Change {
        Change {
            key: self.to_string(),
            value: None,
        }
    }
}

impl core::fmt::Display for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Block(hash) => write!(f, "block/{hash}"),
            Self::Tip => f.write_str("tip"),
            Self::Outbox(id) => write!(f, "outbox/{id}"),
            Self::Conflict(id) => write!(f, "outbox/conflict/{id}"),
            Self::Sequence => f.write_str("identity/sequence"),
            Self::Synced => f.write_str("synced"),
            Self::Final => f.write_str("final"),
            Self::Proof => f.write_str("proof"),
            Self::Resets => f.write_str("resets"),
            Self::Split => f.write_str("split"),
            Self::Abandoned(hash) => write!(f, "abandoned/{hash}"),
            Self::Headers(first, count) => write!(f, "headers/{first}/{count}"),
            Self::Snapshot(height) => write!(f, "snapshot/{height}"),
        }
    }
}

/// The changes that set a damaged record aside: its bytes stay, under a name that no start reads.
pub(super) fn set_aside(record: Record) -> [Change; 2] {
    let aside: String = format!("damaged/{}", record.key);
    [
        Change {
            key: aside,
            value: Some(record.value),
        },
        Change {
            key: record.key,
            value: None,
        },
    ]
}

/// True for a record that was set aside earlier.
pub(super) fn is_set_aside(key: &str) -> bool {
    key.starts_with("damaged/")
}

pub(super) fn encode_sequence(sequence: Sequence) -> Vec<u8> {
    sequence.0.to_be_bytes().to_vec()
}

pub(super) fn decode_sequence(bytes: &[u8]) -> Result<Sequence, DecodeError> {
    let mut reader = Reader::new(bytes);
    let sequence = Sequence(reader.u64()?);
    reader.finish()?;
    Ok(sequence)
}

pub(super) fn encode_hash(hash: Hash) -> Vec<u8> {
    hash.0.to_vec()
}

pub(super) fn decode_hash(bytes: &[u8]) -> Result<Hash, DecodeError> {
    let mut reader = Reader::new(bytes);
    let hash = reader.hash()?;
    reader.finish()?;
    Ok(hash)
}

pub(super) fn encode_synced(height: Height, hash: Hash) -> Vec<u8> {
    let mut writer = Writer::with_capacity(36);
    writer.u32(height.0).bytes(hash.as_bytes());
    writer.finish()
}

pub(super) fn decode_synced(bytes: &[u8]) -> Result<(Height, Hash), DecodeError> {
    let mut reader = Reader::new(bytes);
    let synced = (Height(reader.u32()?), reader.hash()?);
    reader.finish()?;
    Ok(synced)
}

pub(super) fn encode_resets(followed: u32, void: &[Hash]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(36);
    writer.u32(followed);
    for hash in void {
        writer.bytes(hash.as_bytes());
    }
    writer.finish()
}

pub(super) fn decode_resets(bytes: &[u8]) -> Result<(u32, Vec<Hash>), DecodeError> {
    let mut reader = Reader::new(bytes);
    let (followed, mut void) = (reader.u32()?, Vec::new());
    while reader.remaining() > 0 {
        void.push(reader.hash()?);
    }
    Ok((followed, void))
}

pub(super) fn encode_abandoned(branch: &Abandoned) -> Vec<u8> {
    let mut writer = Writer::with_capacity(12);
    writer
        .u32(branch.from.0)
        .u32(branch.to.0)
        .u32(branch.final_height.0);
    writer.finish()
}

pub(super) fn decode_abandoned(tip: Hash, bytes: &[u8]) -> Result<Abandoned, DecodeError> {
    let mut reader = Reader::new(bytes);
    let (from, to) = (Height(reader.u32()?), Height(reader.u32()?));
    let final_height = Height(reader.u32()?);
    reader.finish()?;
    Ok(Abandoned {
        from,
        to,
        tip,
        final_height,
    })
}

pub(super) fn encode_conflict(kept: Option<Hash>, transaction: &[u8]) -> Vec<u8> {
    [kept.unwrap_or(Hash::ZERO).as_bytes(), transaction].concat()
}

/// The transaction that was kept, and the bytes of the one that lost.
pub(super) fn decode_conflict(bytes: &[u8]) -> Result<(Option<Hash>, &[u8]), DecodeError> {
    let mut reader = Reader::new(bytes);
    let kept = reader.hash()?;
    let transaction = reader.bytes(reader.remaining())?;
    Ok(((kept != Hash::ZERO).then_some(kept), transaction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_survives_the_round_trip() {
        let hash = Hash([0xab; 32]);
        for key in [
            Key::Block(hash),
            Key::Tip,
            Key::Outbox(hash),
            Key::Conflict(hash),
            Key::Sequence,
            Key::Synced,
            Key::Final,
            Key::Proof,
            Key::Resets,
            Key::Split,
            Key::Abandoned(hash),
            Key::Headers(1, 512),
            Key::Snapshot(Height(77)),
        ] {
            assert_eq!(Key::parse(&key.to_string()), Some(key));
        }
        for other in [
            "",
            "block/",
            "block/xyz",
            "outbox/conflict/12",
            "damaged/tip",
            "fence",
        ] {
            assert_eq!(Key::parse(other), None);
        }
    }

    #[test]
    fn every_value_survives_the_round_trip() {
        let hash = Hash([1; 32]);
        assert_eq!(
            decode_sequence(&encode_sequence(Sequence(7))),
            Ok(Sequence(7))
        );
        assert_eq!(decode_hash(&encode_hash(hash)), Ok(hash));
        assert_eq!(
            decode_synced(&encode_synced(Height(9), hash)),
            Ok((Height(9), hash))
        );
        assert_eq!(
            decode_conflict(&encode_conflict(Some(hash), b"tx")),
            Ok((Some(hash), &b"tx"[..]))
        );
        assert_eq!(
            decode_conflict(&encode_conflict(None, b"")),
            Ok((None, &b""[..]))
        );
        assert!(decode_synced(&[1]).is_err());
        let resets = encode_resets(2, &[hash]);
        assert_eq!(decode_resets(&resets), Ok((2, alloc::vec![hash])));
        assert!(decode_resets(&resets[..35]).is_err());
        let branch = Abandoned {
            from: Height(3),
            to: Height(9),
            tip: hash,
            final_height: Height(4),
        };
        assert_eq!(
            decode_abandoned(hash, &encode_abandoned(&branch)),
            Ok(branch)
        );
    }
}
