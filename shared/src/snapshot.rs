//! Snapshots: the state after one block, with what it takes to go on from there.
//!
//! Layout: header 116 | active time A(h) in ms, u64 | cumulative work 32 | number of entries u32 | per entry key 32 and
//! value u64, strictly ascending by key ([`crate::state`]). A decoded snapshot's entries have the header's state root. What it
//! does not know is whether that block is final and on the way of proven work: the chain checks that against its own
//! headers before it takes one ([`crate::chain::Chain::adopt`]).
//!
//! Limit: [`SNAPSHOT_BYTES_MAX`](limits::SNAPSHOT_BYTES_MAX); a state that is larger has no snapshot. It is verified as a whole: a part alone proves
//! nothing, and the limit bounds what an unproved one costs.

use alloc::vec::Vec;

use crate::{
    encoding::{DecodeError, Reader, Writer, in_range},
    hash::Hash,
    header::{HEADER_BYTES, Header},
    ids::{Sequence, Work},
    limits,
    state::SparseMap,
};

/// The state after one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    header: Header,
    active_ms: u64,
    work: Work,
    state: SparseMap,
}

/// Why a snapshot is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Not the one layout, or over the limit.
    #[error("malformed snapshot: {0}")]
    Encoding(#[from] DecodeError),
    /// The entries are not strictly ascending, or one is zero.
    #[error("the snapshot's entries are not in the one order")]
    Order,
    /// The entries do not have the root of the header.
    #[error("the snapshot's state root is {found}, its header says {allowed}")]
    StateRoot {
        /// The root of the entries.
        found: Hash,
        /// The header's.
        allowed: Hash,
    },
    /// Active time or work differ from those of the headers.
    #[error("the snapshot's active time or work is not that of its header's chain")]
    Sums,
    /// The block is not on the way to the newest final block whose header is here: it is not trusted.
    #[error("block {found} of the snapshot is not known to be final")]
    NotFinal {
        /// The block.
        found: Hash,
    },
    /// It is the snapshot of another block than was asked for, be it true.
    #[error("a snapshot of block {found} where that of {allowed} was asked for")]
    OtherBlock {
        /// The block.
        found: Hash,
        /// The one that was asked for.
        allowed: Hash,
    },
    /// The main chain is as high already.
    #[error("the chain is beyond the snapshot")]
    NotNeeded,
}

impl Snapshot {
    pub(crate) const fn new(header: Header, active_ms: u64, work: Work, state: SparseMap) -> Self {
        Self {
            header,
            active_ms,
            work,
            state,
        }
    }

    /// The block's header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// A(h): the chain's active time up to the block, ms.
    #[must_use]
    pub const fn active_ms(&self) -> u64 {
        self.active_ms
    }

    /// The work of all blocks up to it.
    #[must_use]
    pub const fn work(&self) -> Work {
        self.work
    }

    /// The state after it.
    #[must_use]
    pub const fn state(&self) -> &SparseMap {
        &self.state
    }

    /// Number of bytes it has encoded.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        OVERHEAD_BYTES.saturating_add(self.state.len().saturating_mul(ENTRY_BYTES))
    }

    /// The bytes described above; none if there are more than allowed.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let count = u32::try_from(self.state.len()).ok()?;
        if self.encoded_len() > limits::SNAPSHOT_BYTES_MAX {
            return None;
        }
        let mut writer = Writer::with_capacity(self.encoded_len());
        writer
            .bytes(&self.header.encode())
            .u64(self.active_ms)
            .bytes(&self.work.to_be_bytes())
            .u32(count);
        for (key, value) in self.state.entries() {
            writer.bytes(&key.0).u64(value.0);
        }
        Some(writer.finish())
    }

    /// Parses a snapshot and computes its state root.
    ///
    /// # Errors
    /// [`SnapshotError`]: malformed, too long, out of order, or another root than the header's.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        in_range(
            "snapshot bytes",
            bytes.len() as u64,
            OVERHEAD_BYTES as u64,
            limits::SNAPSHOT_BYTES_MAX as u64,
        )?;
        let mut reader = Reader::new(bytes);
        let header = Header::read(&mut reader)?;
        let active_ms = reader.u64()?;
        let work = Work::from_be_bytes(reader.array()?);
        let count = reader.u32()?;
        let expected = u64::from(count).saturating_mul(ENTRY_BYTES as u64);
        in_range(
            "bytes of snapshot entries",
            reader.remaining() as u64,
            expected,
            expected,
        )?;
        let mut entries = Vec::with_capacity(reader.remaining() / ENTRY_BYTES);
        for _ in 0..count {
            entries.push((reader.hash()?, Sequence(reader.u64()?)));
        }
        reader.finish()?;
        let state = SparseMap::from_entries(&entries).ok_or(SnapshotError::Order)?;
        let (found, allowed) = (state.root(), header.state_root);
        if found != allowed {
            return Err(SnapshotError::StateRoot { found, allowed });
        }
        Ok(Self {
            header,
            active_ms,
            work,
            state,
        })
    }
}

const ENTRY_BYTES: usize = 40;
const OVERHEAD_BYTES: usize = HEADER_BYTES + 8 + 32 + 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        header::VERSION,
        ids::{Height, PublicKey, TimestampMs},
        pow::Target,
    };

    fn snapshot(senders: u8) -> Snapshot {
        let mut state = SparseMap::new();
        for sender in 1..=senders {
            state.set(&PublicKey([sender; 32]), Sequence(sender.into()));
        }
        let header = Header {
            version: VERSION,
            height: Height(7),
            previous: Hash([1; 32]),
            body_root: Hash([2; 32]),
            state_root: state.root(),
            timestamp: TimestampMs(5),
            target: Target::for_hashes(16).to_compact(),
            nonce: 9,
        };
        Snapshot::new(header, 11, Work::ZERO, state)
    }

    #[test]
    fn a_snapshot_survives_the_round_trip() {
        for senders in [0, 1, 2, 200] {
            let snapshot = snapshot(senders);
            let bytes = snapshot.encode().unwrap();
            assert_eq!(bytes.len(), snapshot.encoded_len());
            let decoded = Snapshot::decode(&bytes).unwrap();
            assert_eq!(decoded, snapshot);
            assert_eq!(decoded.encode().unwrap(), bytes);
        }
    }

    #[test]
    fn every_changed_byte_of_the_state_and_every_cut_is_noticed() {
        let bytes = snapshot(3).encode().unwrap();
        for index in OVERHEAD_BYTES - 4..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            assert!(Snapshot::decode(&changed).is_err(), "byte {index}");
        }
        for length in 0..bytes.len() {
            assert!(Snapshot::decode(&bytes[..length]).is_err());
        }
    }

    #[test]
    fn entries_out_of_order_twice_or_zero_are_refused() {
        let bytes = snapshot(2).encode().unwrap();
        let (head, entries) = bytes.split_at(OVERHEAD_BYTES);
        let (first, second) = entries.split_at(ENTRY_BYTES);
        for wrong in [[second, first], [first, first]] {
            let changed = [head, &wrong.concat()].concat();
            assert_eq!(Snapshot::decode(&changed), Err(SnapshotError::Order));
        }
        let mut zero = bytes.clone();
        zero[OVERHEAD_BYTES + 32..OVERHEAD_BYTES + 40].fill(0);
        assert_eq!(Snapshot::decode(&zero), Err(SnapshotError::Order));
    }

    #[test]
    fn a_claimed_number_of_entries_reserves_no_memory() {
        let mut bytes = snapshot(0).encode().unwrap();
        bytes[OVERHEAD_BYTES - 4..].fill(0xff);
        assert!(matches!(
            Snapshot::decode(&bytes),
            Err(SnapshotError::Encoding(_))
        ));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Snapshot::decode(&bytes);
        }
    }
}
