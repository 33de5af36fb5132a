//! Making a snapshot of the ledger right after a decided block: the same bytes on every validator.
//!
//! History ([`super::history`]), then
//!
//! | bytes | field |
//! | ---: | --- |
//! | 2 | format: 1 |
//! | 4 | changes of the validator set so far, one that is not in force included |
//! | 4 + n | the set of the height after the next, if it is another than that of the next; otherwise nothing |
//! | 4 + n | who was absent ([`Rotation`]) |
//! | … | per registered tenant, ascending by chain id: 1 if a block of it is final, and then number of senders (4), and per sender key (32) and next sequence number (8) after the newest final block (none of a private tenant, whose state nobody sees); number of blocks (4), and the bodies (4 + n each; reports with sealed bodies of a private one) of the anchored blocks above it, in the order in which they were anchored |
//!
//! What follows from that is not written down: a newcomer executes the history again, with the code that executes blocks.
//! So a snapshot leaves out the bodies of final blocks, which are nearly all of the chain, and all certificates.

use shared::encoding::Writer;
use shared::enterprise::{EnterpriseHeight, SnapshotManifest, ValidatorSet};
use shared::hash::{Hash, sha256};
use shared::ids::ChainId;

use super::history::CHUNK_BYTES;
use super::{Ledger, TenantLedger};
use crate::body::is_private;
use crate::replica::Rotation;

/// A snapshot that was just made.
#[derive(Debug)]
pub struct Snapshot {
    /// What it consists of.
    pub manifest: SnapshotManifest,
    /// The chunks that are this snapshot's alone.
    pub chunks: Vec<(u32, Vec<u8>)>,
}

/// The format of what follows the history.
pub(super) const FORMAT: u16 = 1;

impl Ledger {
    /// The snapshot at the newest decided block.
    ///
    /// # Errors
    /// The block whose body is not in memory, so that there is none.
    pub fn snapshot(&mut self, rotation: &Rotation) -> Result<Snapshot, Hash> {
        let live = self.live_part(rotation)?;
        let (shared, tail) = (self.history.chunks().len(), self.history.tail());
        let before = u64::try_from(shared.saturating_mul(CHUNK_BYTES)).unwrap_or(u64::MAX);
        let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let history_bytes = before.saturating_add(length(tail));
        let rest = [tail, &live].concat();
        let first = u32::try_from(shared).unwrap_or(u32::MAX);
        let chunks: Vec<(u32, Vec<u8>)> = (first..)
            .zip(rest.chunks(CHUNK_BYTES).map(<[u8]>::to_vec))
            .collect();
        let own = chunks.iter().map(|(_, chunk)| sha256(&[chunk]));
        let manifest = SnapshotManifest {
            height: self.verifier.height(),
            block_hash: self.verifier.hash(),
            history_bytes,
            bytes: before.saturating_add(length(&rest)),
            chunks: self.history.chunks().iter().copied().chain(own).collect(),
        };
        Ok(Snapshot { manifest, chunks })
    }

    /// Hands over the chunks of the history that the store lacks.
    #[must_use]
    pub fn take_history(&mut self) -> Vec<(u32, Vec<u8>)> {
        self.history.take_unstored()
    }

    /// The store has so many whole chunks of the history.
    pub fn history_is_stored(&mut self, chunks: usize) {
        self.history.stored(chunks);
    }

    /// The set in force at a height up to the next.
    #[must_use]
    pub fn set_at(&self, height: EnterpriseHeight) -> &ValidatorSet {
        let below = self.links.iter();
        let below = below.take_while(|link| link.checkpoint.header.height < height);
        below
            .last()
            .map_or_else(|| self.genesis.validators(), |link| &link.next)
    }

    fn live_part(&mut self, rotation: &Rotation) -> Result<Vec<u8>, Hash> {
        let mut writer = Writer::default();
        writer.u16(FORMAT).u32(self.verifier.changes());
        let (set, next) = (self.verifier.validators(), self.verifier.next_validators());
        let coming = if set == next {
            Vec::new()
        } else {
            next.encode()
        };
        writer
            .counted_bytes(&coming)
            .counted_bytes(&rotation.encode());
        let tenants: Vec<ChainId> = self.state.states().map(|state| state.chain_id).collect();
        for chain_id in tenants {
            self.write_tenant(&mut writer, chain_id)?;
        }
        Ok(writer.finish())
    }

    fn write_tenant(&mut self, writer: &mut Writer, chain_id: ChainId) -> Result<(), Hash> {
        let newest = self.state.newest_final(&chain_id).map(|block| block.hash());
        let tenant = self.tenants.get_mut(&chain_id).ok_or(chain_id.0)?;
        match newest {
            None => {
                writer.u8(0);
            }
            Some(_) if is_private(tenant.genesis()) => {
                writer.u8(1).u32(0);
            }
            Some(hash) => {
                let state = self.points.get(&(chain_id, hash)).ok_or(hash)?.state();
                writer
                    .u8(1)
                    .u32(u32::try_from(state.len()).unwrap_or(u32::MAX));
                for (key, value) in state.entries() {
                    writer.bytes(&key.0).u64(value.0);
                }
            }
        }
        let live = tenant.live(newest.unwrap_or(chain_id.0));
        writer.u32(u32::try_from(live.len()).unwrap_or(u32::MAX));
        for hash in live {
            let id = tenant.chain.id_of(&hash);
            let bytes = id.and_then(|id| tenant.chain.bytes(&id)).ok_or(hash)?;
            writer.counted_bytes(&bytes);
        }
        Ok(())
    }
}

impl TenantLedger {
    /// The anchored blocks above `floor` that descend from it, in the order in which they were anchored; lets go of the others.
    pub(super) fn live(&mut self, floor: Hash) -> Vec<Hash> {
        let mut alive = std::collections::BTreeSet::from([floor]);
        self.live
            .retain(|(hash, previous)| alive.contains(previous) && alive.insert(*hash));
        self.live_kept = self.live.len();
        self.live.iter().map(|(hash, _)| *hash).collect()
    }

    /// Lets go of anchored blocks that are void.
    pub(super) fn forget_live(&mut self, is_void: impl Fn(&Hash) -> bool) {
        self.live.retain(|(hash, _)| !is_void(hash));
        self.live_kept = self.live_kept.min(self.live.len());
    }

    /// Lets go of what finality left behind, once that is the greater part.
    pub(super) fn trim_live(&mut self, floor: Hash) {
        if self.live.len() > self.live_kept.saturating_mul(2).saturating_add(LIVE_SLACK) {
            self.live(floor);
        }
    }
}

/// Blocks that may wait to be let go of.
const LIVE_SLACK: usize = 256;
