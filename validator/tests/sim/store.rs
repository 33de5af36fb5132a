//! The model of a store: what was committed, and nothing else, survives a crash.

use std::cell::RefCell;
use std::collections::BTreeMap;

use shared::enterprise::{
    BlockLimits, Certificate, EnterpriseBlock, EnterpriseHeight, SnapshotProof,
};
use shared::hash::Hash;
use shared::ids::ChainId;
use validator::store::{Batch, BodyKey, ChunkKey, Head, Storage, StoreError};

/// A store in memory.
#[derive(Debug)]
pub(crate) struct ModelStore {
    limits: BlockLimits,
    tables: RefCell<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    blocks: BTreeMap<u64, (Vec<u8>, Vec<u8>)>,
    tip: Option<Head>,
    bodies: BTreeMap<BodyKey, Vec<u8>>,
    held: BTreeMap<BodyKey, u64>,
    registrations: BTreeMap<ChainId, Vec<u8>>,
    resets: BTreeMap<Hash, Vec<u8>>,
    base: Option<Head>,
    snapshots: BTreeMap<u64, Vec<u8>>,
    history: BTreeMap<u32, Vec<u8>>,
    chunks: BTreeMap<(u64, u32), Vec<u8>>,
}

impl ModelStore {
    pub(crate) fn new(limits: BlockLimits) -> Self {
        Self {
            limits,
            tables: RefCell::default(),
        }
    }

    pub(crate) fn height(&self) -> u64 {
        self.tables.borrow().tip.map_or(0, |tip| tip.height.0)
    }
}

impl ModelStore {
    fn write(&self, batch: &Batch) {
        let mut tables = self.tables.borrow_mut();
        tables.bodies.extend(batch.bodies.iter().cloned());
        tables.held.extend(&batch.hold);
        for key in &batch.release {
            tables.held.remove(key);
        }
        for key in &batch.forget {
            tables.held.remove(key);
            tables.bodies.remove(key);
        }
        let waiting = batch.registrations.iter();
        tables
            .registrations
            .extend(waiting.map(|(id, genesis)| (*id, genesis.clone())));
        for chain_id in &batch.settled {
            tables.registrations.remove(chain_id);
        }
        let resets = batch.resets.iter();
        tables
            .resets
            .extend(resets.map(|(leaf, reset)| (*leaf, reset.clone())));
        for leaf in &batch.settled_resets {
            tables.resets.remove(leaf);
        }
        if let Some(decided) = &batch.decided {
            let height = decided.block().header().height;
            let (certificate, block) = (decided.certificate().encode(), decided.block().encode());
            tables.blocks.insert(height.0, (certificate, block));
            tables.tip = Some(Head {
                height,
                hash: decided.certificate().block_hash,
            });
        }
        tables.write_snapshots(batch);
    }
}

impl Tables {
    fn write_snapshots(&mut self, batch: &Batch) {
        self.history.extend(batch.history.iter().cloned());
        if let Some(snapshot) = &batch.snapshot {
            let height = snapshot.proof.manifest.height.0;
            self.snapshots.insert(height, snapshot.proof.encode());
            let chunks = snapshot.chunks.iter();
            self.chunks
                .extend(chunks.map(|(index, bytes)| ((height, *index), bytes.clone())));
            if snapshot.begins.is_some() {
                self.base = batch.head();
                self.tip = batch.head();
            }
        }
        for height in &batch.dropped {
            self.snapshots.remove(&height.0);
            self.chunks.retain(|(at, _), _| *at != height.0);
        }
    }
}

impl Storage for ModelStore {
    fn commit(&self, batches: &[Batch]) -> Result<(), StoreError> {
        for batch in batches {
            self.write(batch);
        }
        Ok(())
    }

    fn tip(&self) -> Result<Option<Head>, StoreError> {
        Ok(self.tables.borrow().tip)
    }

    fn block(
        &self,
        height: EnterpriseHeight,
    ) -> Result<(EnterpriseBlock, Certificate), StoreError> {
        let tables = self.tables.borrow();
        let (certificate, block) = tables.blocks.get(&height.0).unwrap();
        let block = EnterpriseBlock::decode(block, self.limits).unwrap();
        Ok((block, Certificate::decode(certificate).unwrap()))
    }

    fn body(&self, key: &BodyKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables.borrow().bodies.get(key).cloned())
    }

    fn held(&self) -> Result<Vec<(BodyKey, u64)>, StoreError> {
        let tables = self.tables.borrow();
        let mut held: Vec<_> = tables.held.iter().map(|(key, at)| (*key, *at)).collect();
        held.sort_by_key(|(_, arrival)| *arrival);
        Ok(held)
    }

    fn registrations(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let tables = self.tables.borrow();
        Ok(tables.registrations.values().cloned().collect())
    }

    fn resets(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let tables = self.tables.borrow();
        Ok(tables.resets.values().cloned().collect())
    }

    fn base(&self) -> Result<Option<Head>, StoreError> {
        Ok(self.tables.borrow().base)
    }

    fn snapshots(&self) -> Result<Vec<SnapshotProof>, StoreError> {
        let tables = self.tables.borrow();
        let proofs = tables.snapshots.values();
        Ok(proofs
            .map(|bytes| SnapshotProof::decode(bytes).unwrap())
            .collect())
    }

    fn chunk(&self, key: ChunkKey) -> Result<Option<Vec<u8>>, StoreError> {
        let tables = self.tables.borrow();
        Ok(match key {
            ChunkKey::Shared(index) => tables.history.get(&index).cloned(),
            ChunkKey::Own(height, index) => tables.chunks.get(&(height.0, index)).cloned(),
        })
    }

    fn history_chunks(&self) -> Result<usize, StoreError> {
        Ok(self.tables.borrow().history.len())
    }
}
