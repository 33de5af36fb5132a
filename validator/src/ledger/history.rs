//! The history part of snapshots: what each decided block said, in order. It only grows.
//!
//! | bytes | field of a record |
//! | ---: | --- |
//! | 8 + 32 | height and hash of the block |
//! | 2 | version |
//! | 6 | enterprise time |
//! | 4 | number of entries; then each with its length (4), an open tenant's anchored block followed by the number of its transactions (4) |
//!
//! Whole chunks of it are hashed once and never again; those that are not in the store wait here for the next snapshot.

use std::collections::BTreeMap;

use shared::encoding::{Reader, Writer};
use shared::enterprise::{
    EnterpriseBlock, EnterpriseError, EnterpriseHeight, Entry, SNAPSHOT_CHUNK_BYTES,
};
use shared::hash::{Hash, sha256};
use shared::ids::TimestampMs;

use crate::store::{BodyKey, Head};

/// The history so far.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The hashes of the whole chunks.
    chunks: Vec<Hash>,
    /// Whole chunks that are not in the store.
    unstored: Vec<(u32, Vec<u8>)>,
    /// So many are.
    stored: usize,
    /// What does not fill a chunk yet.
    tail: Vec<u8>,
}

impl History {
    /// The history that a snapshot brings: its whole chunks are in the store, or will be with it.
    pub(super) fn continued(chunks: Vec<Hash>, tail: Vec<u8>) -> Self {
        Self {
            stored: chunks.len(),
            chunks,
            unstored: Vec::new(),
            tail,
        }
    }

    /// The store has so many whole chunks.
    pub(super) fn stored(&mut self, chunks: usize) {
        self.stored = self.stored.max(chunks);
        let stored = u32::try_from(self.stored).unwrap_or(u32::MAX);
        self.unstored.retain(|(index, _)| *index >= stored);
    }

    /// Takes over what a decided block says; `transactions` are those of the blocks that it anchors.
    pub(super) fn append(
        &mut self,
        head: Head,
        block: &EnterpriseBlock,
        transactions: &BTreeMap<BodyKey, usize>,
    ) {
        let header = block.header();
        let mut writer = Writer::default();
        writer
            .bytes(&head.encode())
            .u16(header.version)
            .timestamp(header.time)
            .u32(u32::try_from(block.entries().len()).unwrap_or(u32::MAX));
        for entry in block.entries() {
            writer.counted_bytes(&entry.encode());
            if let Entry::BlockAnchored(anchor) = entry {
                let key = (anchor.chain_id, anchor.header.hash());
                let count = transactions.get(&key).copied().unwrap_or(0);
                writer.u32(u32::try_from(count).unwrap_or(u32::MAX));
            }
        }
        self.extend(&writer.finish());
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        // Once a chunk, instead of growing to it step by step.
        let room = CHUNK_BYTES.saturating_sub(self.tail.len());
        self.tail.reserve_exact(room.max(bytes.len()));
        self.tail.extend_from_slice(bytes);
        while self.tail.len() >= CHUNK_BYTES {
            let rest = self.tail.split_off(CHUNK_BYTES);
            let chunk = std::mem::replace(&mut self.tail, rest);
            let index = self.chunks.len();
            self.chunks.push(sha256(&[&chunk]));
            if index >= self.stored {
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                self.unstored.push((index, chunk));
            }
        }
    }

    /// The hashes of the whole chunks.
    pub(super) fn chunks(&self) -> &[Hash] {
        &self.chunks
    }

    /// What follows the whole chunks.
    pub(super) fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// Hands over the whole chunks that the store lacks.
    pub(super) fn take_unstored(&mut self) -> Vec<(u32, Vec<u8>)> {
        self.stored = self.chunks.len();
        std::mem::take(&mut self.unstored)
    }
}

/// What one decided block said.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) head: Head,
    pub(super) version: u16,
    pub(super) time: TimestampMs,
    /// The entries, an anchored block's with the number of its transactions.
    pub(super) entries: Vec<(Entry, usize)>,
}

impl Record {
    /// Reads the next one.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EnterpriseError> {
        let head = Head {
            height: EnterpriseHeight(reader.u64()?),
            hash: reader.hash()?,
        };
        let (version, time) = (reader.u16()?, reader.timestamp()?);
        let mut entries = Vec::new();
        for _ in 0..reader.u32()? {
            let entry = Entry::decode(reader.counted_bytes("the length of an entry", u32::MAX)?)?;
            let count = match entry {
                Entry::BlockAnchored(_) => reader.u32()?,
                Entry::TenantRegistered(_)
                | Entry::ForkRefused(_)
                | Entry::SetChanged(_)
                | Entry::ReportAnchored(_)
                | Entry::TenantReset(_) => 0,
            };
            entries.push((entry, usize::try_from(count).unwrap_or(usize::MAX)));
        }
        Ok(Self {
            head,
            version,
            time,
            entries,
        })
    }
}

/// Bytes of a chunk.
pub(super) const CHUNK_BYTES: usize = 262_144;
const _: () = assert!(CHUNK_BYTES as u64 == SNAPSHOT_CHUNK_BYTES);
