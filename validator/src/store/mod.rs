//! The durable store: one redb file with blocks, certificates, tenant bodies and what is held for later.
//!
//! Purpose: a decision is one transaction, durable (two-phase, flushed) when [`Store::commit`] returns. Every record
//! carries a checksum over its table, key and content. It does not judge content: whoever opens a store verifies the
//! chain in it again, block by block.
//!
//! Tables: `meta` (format, genesis, tip, base), `blocks` (height → block and certificate), `bodies` (chain id and hash →
//! tenant block), `anchors` (chain id and hash →
//! height of the enterprise block that anchors it), `held` (chain id and hash → arrival number; bodies that are not on the enterprise chain),
//! `resets` (resets of private tenants that wait to be executed). Of a private tenant's block the hash is that of its report.
//!
//! Opening checks every page of the file; a damaged file is refused, never repaired into an older state in silence: the
//! [`head`] file beside it says which tip it must reach.

mod copy;
mod head;
mod record;
mod snapshots;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use metrics::Histogram;
use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use shared::enterprise::{
    BlockLimits, Certificate, DecidedBlock, EnterpriseBlock, EnterpriseGenesis, EnterpriseHeight,
    Entry, SnapshotProof,
};
use shared::hash::Hash;
use shared::ids::ChainId;

use crate::agreement::Evidence;

pub use copy::Wanted;
pub use head::{Head, HeadFile};
pub use snapshots::{ChunkKey, StoredSnapshot};
pub use waiting::Waiting;

/// A tenant block in the store.
pub type BodyKey = (ChainId, Hash);

/// What one transaction writes.
#[derive(Debug, Default)]
pub struct Batch {
    /// The block decided, if one is.
    pub decided: Option<DecidedBlock>,
    /// New tenant blocks with their bytes.
    pub bodies: Vec<(BodyKey, Vec<u8>)>,
    /// Bodies that are accepted and not decided, with their arrival number.
    pub hold: BTreeMap<BodyKey, u64>,
    /// Held bodies that are on the enterprise chain now.
    pub release: Vec<BodyKey>,
    /// Held bodies that are dropped.
    pub forget: Vec<BodyKey>,
    /// The geneses of tenants that are accepted and not decided.
    pub registrations: BTreeMap<ChainId, Vec<u8>>,
    /// Tenants that are on the enterprise chain now.
    pub settled: Vec<ChainId>,
    /// Resets that are accepted and not executed, by their leaf.
    pub resets: BTreeMap<Hash, Vec<u8>>,
    /// Resets that are executed now, or can never be.
    pub settled_resets: Vec<Hash>,
    /// Whole chunks of the snapshots' history, by index.
    pub history: Vec<(u32, Vec<u8>)>,
    /// A snapshot that was made or taken, or that a quorum signed meanwhile.
    pub snapshot: Option<Box<StoredSnapshot>>,
    /// Snapshots that are dropped.
    pub dropped: Vec<EnterpriseHeight>,
}

impl Batch {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.decided.is_none()
            && self.bodies.is_empty()
            && self.hold.is_empty()
            && self.release.is_empty()
            && self.forget.is_empty()
            && self.registrations.is_empty()
            && self.settled.is_empty()
            && self.resets.is_empty()
            && self.settled_resets.is_empty()
            && self.history.is_empty()
            && self.snapshot.is_none()
            && self.dropped.is_empty()
    }

    /// Where the store stands after it: on the block that it decides, or on that of a snapshot with which the store begins.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        if let Some(decided) = &self.decided {
            return Some(Head {
                height: decided.block().header().height,
                hash: decided.certificate().block_hash,
            });
        }
        let begins = self.snapshot.as_ref();
        let begins = begins.filter(|snapshot| snapshot.begins.is_some())?;
        let manifest = &begins.proof.manifest;
        Some(Head {
            height: manifest.height,
            hash: manifest.block_hash,
        })
    }

    /// The block is decided: it is held no longer.
    pub fn release(&mut self, key: BodyKey) {
        if self.hold.remove(&key).is_none() {
            self.release.push(key);
        }
    }

    /// The block is held no longer, nor is its body.
    pub fn drop_body(&mut self, key: BodyKey) {
        self.hold.remove(&key);
        self.forget.push(key);
    }

    /// The reset waits no longer.
    pub fn settle_reset(&mut self, leaf: Hash) {
        if self.resets.remove(&leaf).is_none() {
            self.settled_resets.push(leaf);
        }
    }

    /// The tenant is decided: its genesis is in a block.
    pub fn settle(&mut self, chain_id: ChainId) {
        if self.registrations.remove(&chain_id).is_none() {
            self.settled.push(chain_id);
        }
    }
}

/// Why a store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file is damaged: pages, records or their order.
    #[error("{0}")]
    Damaged(String),
    /// Another process has the file open.
    #[error("another process has the store open")]
    InUse,
    /// The system refused.
    #[error("{0}")]
    Io(String),
}

/// What a validator asks of its store. [`Store`] is the one in a file.
pub trait Storage {
    /// Writes batches in one transaction; they are durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::Io`], and then nothing of them is written.
    fn commit(&self, batches: &[Batch]) -> Result<(), StoreError>;

    /// The tip that the last decision wrote; none before the first.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    fn tip(&self) -> Result<Option<Head>, StoreError>;

    /// A block and its certificate.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the record is missing or not intact.
    fn block(&self, height: EnterpriseHeight)
    -> Result<(EnterpriseBlock, Certificate), StoreError>;

    /// The bytes of a tenant block, if it is here.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the record is not intact.
    fn body(&self, key: &BodyKey) -> Result<Option<Vec<u8>>, StoreError>;

    /// The held bodies in the order in which they arrived.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    fn held(&self) -> Result<Vec<(BodyKey, u64)>, StoreError>;

    /// The geneses of tenants that were accepted and not decided.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or a record is not intact.
    fn registrations(&self) -> Result<Vec<Vec<u8>>, StoreError>;

    /// The resets that were accepted and not executed.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or a record is not intact.
    fn resets(&self) -> Result<Vec<Vec<u8>>, StoreError>;

    /// The block whose snapshot the store begins with; none if it begins with the genesis.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    fn base(&self) -> Result<Option<Head>, StoreError>;

    /// The proofs of the snapshots, ascending by height.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or a record is not intact.
    fn snapshots(&self) -> Result<Vec<SnapshotProof>, StoreError>;

    /// A chunk of a snapshot, if it is here.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or the record is not intact.
    fn chunk(&self, key: ChunkKey) -> Result<Option<Vec<u8>>, StoreError>;

    /// How many whole chunks of the snapshots' history there are.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    fn history_chunks(&self) -> Result<usize, StoreError>;
}

impl Storage for Store {
    fn commit(&self, batches: &[Batch]) -> Result<(), StoreError> {
        Self::commit(self, batches)
    }

    fn tip(&self) -> Result<Option<Head>, StoreError> {
        Self::tip(self)
    }

    fn block(
        &self,
        height: EnterpriseHeight,
    ) -> Result<(EnterpriseBlock, Certificate), StoreError> {
        Self::block(self, height)
    }

    fn body(&self, key: &BodyKey) -> Result<Option<Vec<u8>>, StoreError> {
        Self::body(self, key)
    }

    fn held(&self) -> Result<Vec<(BodyKey, u64)>, StoreError> {
        Self::held(self)
    }

    fn registrations(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        Self::registrations(self)
    }

    fn resets(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        Self::resets(self)
    }

    fn base(&self) -> Result<Option<Head>, StoreError> {
        Self::base(self)
    }

    fn snapshots(&self) -> Result<Vec<SnapshotProof>, StoreError> {
        Self::snapshots(self)
    }

    fn chunk(&self, key: ChunkKey) -> Result<Option<Vec<u8>>, StoreError> {
        Self::chunk(self, key)
    }

    fn history_chunks(&self) -> Result<usize, StoreError> {
        Self::history_chunks(self)
    }
}

/// An open store.
#[derive(Debug)]
pub struct Store {
    database: Database,
    genesis: EnterpriseGenesis,
    commits: Histogram,
}

impl Store {
    /// Creates a store with a genesis and no blocks; the file appears under `path` only when it is complete.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the file cannot be written.
    pub fn create(path: &Path, genesis: &EnterpriseGenesis) -> Result<(), StoreError> {
        let unfinished = unfinished_path(path);
        match std::fs::remove_file(&unfinished) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            Ok(()) | Err(_) => {}
        }
        let database = Database::create(&unfinished).map_err(opening)?;
        let transaction = begin(&database)?;
        {
            let mut meta = transaction.open_table(META).map_err(io)?;
            meta.insert(
                FORMAT_KEY,
                record::seal("meta", FORMAT_KEY.as_bytes(), &FORMAT).as_slice(),
            )
            .map_err(io)?;
            let sealed = record::seal("meta", GENESIS_KEY.as_bytes(), &genesis.encode());
            meta.insert(GENESIS_KEY, sealed.as_slice()).map_err(io)?;
            transaction.open_table(BLOCKS).map_err(io)?;
            transaction.open_table(BODIES).map_err(io)?;
            transaction.open_table(ANCHORS).map_err(io)?;
            transaction.open_table(HELD).map_err(io)?;
        }
        transaction.commit().map_err(io)?;
        database.close().map_err(opening)?;
        std::fs::rename(&unfinished, path).map_err(io)?;
        sync_directory(path)
    }

    /// Opens a store and checks every page of its file.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for a file that is not intact, [`StoreError::InUse`], [`StoreError::Io`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut builder = Database::builder();
        let database = builder
            .set_check_integrity_on_open(true)
            .set_cache_size(CACHE_BYTES)
            .open(path)
            .map_err(opening)?;
        let read = database.begin_read().map_err(reading)?;
        let meta = read.open_table(META).map_err(reading)?;
        let format = meta_value(&meta, FORMAT_KEY)?;
        if format != FORMAT {
            return Err(StoreError::Damaged(format!(
                "the store's format is {format:?}, this program knows {FORMAT:?}"
            )));
        }
        let genesis = EnterpriseGenesis::decode(&meta_value(&meta, GENESIS_KEY)?)
            .map_err(|error| StoreError::Damaged(format!("the enterprise genesis: {error}")))?;
        drop(meta);
        drop(read);
        let commits = Histogram::noop();
        Ok(Self {
            database,
            genesis,
            commits,
        })
    }

    /// The same store, noting how many seconds each commit takes.
    #[must_use]
    pub fn measured(self, commits: Histogram) -> Self {
        Self { commits, ..self }
    }

    /// The genesis of the chain in the store.
    #[must_use]
    pub const fn genesis(&self) -> &EnterpriseGenesis {
        &self.genesis
    }

    /// Writes batches in one transaction, one after the other; they are durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::Io`], and then nothing of them is written.
    pub fn commit(&self, batches: &[Batch]) -> Result<(), StoreError> {
        let watch = service::Stopwatch::start();
        let transaction = begin(&self.database)?;
        write_bodies(&transaction, batches)?;
        write_decided(&transaction, batches)?;
        if let Some(tip) = batches.iter().rev().find_map(Batch::head) {
            let mut meta = transaction.open_table(META).map_err(io)?;
            let sealed = record::seal("meta", TIP_KEY.as_bytes(), &tip.encode());
            meta.insert(TIP_KEY, sealed.as_slice()).map_err(io)?;
        }
        for batch in batches {
            waiting::write(&transaction, batch)?;
            let snapshot = batch.snapshot.as_deref();
            snapshots::write(&transaction, &batch.history, snapshot, &batch.dropped)?;
        }
        transaction.commit().map_err(io)?;
        self.commits.record(watch.seconds());
        Ok(())
    }

    /// The tip that the last decision wrote; none before the first.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub fn tip(&self) -> Result<Option<Head>, StoreError> {
        tip_of(&self.database.begin_read().map_err(reading)?)
    }

    /// How many blocks there are.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub fn block_count(&self) -> Result<u64, StoreError> {
        use redb::ReadableTableMetadata as _;
        let read = self.database.begin_read().map_err(reading)?;
        read.open_table(BLOCKS)
            .map_err(reading)?
            .len()
            .map_err(reading)
    }

    /// A block and its certificate, as stored.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the record is missing or not intact.
    pub fn block(
        &self,
        height: EnterpriseHeight,
    ) -> Result<(EnterpriseBlock, Certificate), StoreError> {
        self.decided(height, |bytes| read_block(bytes, self.genesis.blocks()))
    }

    /// The certificate of a block alone, which names its hash.
    ///
    /// # Errors
    /// As [`block`](Self::block).
    pub fn certificate(&self, height: EnterpriseHeight) -> Result<Certificate, StoreError> {
        self.decided(height, |bytes| Ok(split_block(bytes)?.0))
    }

    fn decided<T>(
        &self,
        height: EnterpriseHeight,
        parse: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<T, StoreError> {
        let read = self.database.begin_read().map_err(reading)?;
        let blocks = read.open_table(BLOCKS).map_err(reading)?;
        let value = blocks.get(height.0).map_err(reading)?;
        let value =
            value.ok_or_else(|| StoreError::Damaged(format!("block {height} is missing")))?;
        record::open("blocks", &height.0.to_be_bytes(), value.value())
            .map_err(|error| error.to_string())
            .and_then(parse)
            .map_err(|error| StoreError::Damaged(format!("block {height}: {error}")))
    }

    /// The bytes of a tenant block, if it is here.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the record is not intact.
    pub fn body(&self, key: &BodyKey) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.database.begin_read().map_err(reading)?;
        let bodies = read.open_table(BODIES).map_err(reading)?;
        let bytes = body_key(key);
        let Some(value) = bodies.get(bytes.as_slice()).map_err(reading)? else {
            return Ok(None);
        };
        let body = record::open("bodies", &bytes, value.value()).map_err(|error| {
            StoreError::Damaged(format!(
                "tenant block {} of chain {}: {error}",
                key.1, key.0
            ))
        })?;
        Ok(Some(body.to_vec()))
    }

    /// The height of the enterprise block that anchors a tenant block, if one does.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub fn anchor(&self, key: &BodyKey) -> Result<Option<EnterpriseHeight>, StoreError> {
        let read = self.database.begin_read().map_err(reading)?;
        let anchors = read.open_table(ANCHORS).map_err(reading)?;
        let height = anchors.get(body_key(key).as_slice()).map_err(reading)?;
        Ok(height.map(|height| EnterpriseHeight(height.value())))
    }

    /// The held bodies in the order in which they arrived.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub fn held(&self) -> Result<Vec<(BodyKey, u64)>, StoreError> {
        held_in(&self.database.begin_read().map_err(reading)?)
    }

    /// Keeps proofs that validators have contradicted themselves.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn keep_evidence(&self, proofs: &[Evidence]) -> Result<(), StoreError> {
        let transaction = begin(&self.database)?;
        {
            let mut table = transaction.open_table(EVIDENCE).map_err(io)?;
            for evidence in proofs {
                let name = crate::evidence::name(evidence);
                let key = name.as_bytes().as_slice();
                let sealed = record::seal("evidence", key, &evidence.encode());
                table.insert(key, sealed.as_slice()).map_err(io)?;
            }
        }
        transaction.commit().map_err(io)
    }

    /// The proofs that validators have contradicted themselves.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or a record is not intact.
    pub fn evidence(&self) -> Result<Vec<Evidence>, StoreError> {
        let read = self.database.begin_read().map_err(reading)?;
        let table = match read.open_table(EVIDENCE) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(reading(error)),
        };
        let mut found = Vec::new();
        for row in table.iter().map_err(reading)? {
            let (key, sealed) = row.map_err(reading)?;
            let content = record::open("evidence", key.value(), sealed.value());
            let content =
                content.map_err(|error| StoreError::Damaged(format!("evidence: {error}")))?;
            let evidence = Evidence::decode(content);
            found
                .push(evidence.map_err(|error| StoreError::Damaged(format!("evidence: {error}")))?);
        }
        Ok(found)
    }
}

/// Pages of the file that are kept in memory; the system keeps more.
const CACHE_BYTES: usize = 64 << 20;
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
const BODIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("bodies");
const ANCHORS: TableDefinition<'_, &[u8], u64> = TableDefinition::new("anchors");
const HELD: TableDefinition<'_, &[u8], u64> = TableDefinition::new("held");
const EVIDENCE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("evidence");
const FORMAT_KEY: &str = "format";
const GENESIS_KEY: &str = "genesis";
const TIP_KEY: &str = "tip";
const FORMAT: [u8; 2] = 1_u16.to_be_bytes();

fn begin(database: &Database) -> Result<redb::WriteTransaction, StoreError> {
    let mut transaction = database.begin_write().map_err(io)?;
    transaction
        .set_durability(Durability::Immediate)
        .map_err(io)?;
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

/// Writes of each row what the last batch says of it, in the order of keys: most bodies are held and decided within one
/// transaction, and nothing is written of that then.
fn write_bodies(transaction: &redb::WriteTransaction, batches: &[Batch]) -> Result<(), StoreError> {
    let (mut bodies, mut held) = (BTreeMap::new(), BTreeMap::new());
    for batch in batches {
        let added = batch.bodies.iter();
        bodies.extend(added.map(|(key, bytes)| (body_key(key), Some(bytes))));
        let added = batch.hold.iter();
        held.extend(added.map(|(key, arrival)| (body_key(key), Some(*arrival))));
        let removed = batch.release.iter().chain(&batch.forget);
        held.extend(removed.map(|key| (body_key(key), None)));
        bodies.extend(batch.forget.iter().map(|key| (body_key(key), None)));
    }
    let mut rows = transaction.open_table(BODIES).map_err(io)?;
    for (key, bytes) in bodies {
        if let Some(bytes) = bytes {
            let sealed = record::seal("bodies", &key, bytes);
            rows.insert(key.as_slice(), sealed.as_slice()).map_err(io)?;
        } else {
            rows.remove(key.as_slice()).map_err(io)?;
        }
    }
    let mut rows = transaction.open_table(HELD).map_err(io)?;
    for (key, arrival) in held {
        if let Some(arrival) = arrival {
            rows.insert(key.as_slice(), arrival).map_err(io)?;
        } else {
            rows.remove(key.as_slice()).map_err(io)?;
        }
    }
    Ok(())
}

fn write_decided(
    transaction: &redb::WriteTransaction,
    batches: &[Batch],
) -> Result<(), StoreError> {
    let mut anchors = BTreeMap::new();
    let mut blocks = transaction.open_table(BLOCKS).map_err(io)?;
    for decided in batches.iter().filter_map(|batch| batch.decided.as_ref()) {
        let height = decided.block().header().height;
        let sealed = record::seal("blocks", &height.0.to_be_bytes(), &block_bytes(decided));
        blocks.insert(height.0, sealed.as_slice()).map_err(io)?;
        anchors.extend(anchored(decided.block()).map(|key| (body_key(&key), height.0)));
    }
    let mut rows = transaction.open_table(ANCHORS).map_err(io)?;
    for (key, height) in anchors {
        rows.insert(key.as_slice(), height).map_err(io)?;
    }
    Ok(())
}

fn held_in(read: &redb::ReadTransaction) -> Result<Vec<(BodyKey, u64)>, StoreError> {
    let table = read.open_table(HELD).map_err(reading)?;
    let mut held = Vec::new();
    for row in table.iter().map_err(reading)? {
        let (key, arrival) = row.map_err(reading)?;
        let key = parse_body_key(key.value())
            .ok_or_else(|| StoreError::Damaged("a key of the table held is malformed".into()))?;
        held.push((key, arrival.value()));
    }
    held.sort_by_key(|(_, arrival)| *arrival);
    Ok(held)
}

fn tip_of(read: &redb::ReadTransaction) -> Result<Option<Head>, StoreError> {
    let meta = read.open_table(META).map_err(reading)?;
    head_in(&meta, TIP_KEY)
}

fn head_in(
    meta: &impl redb::ReadableTable<&'static str, &'static [u8]>,
    key: &'static str,
) -> Result<Option<Head>, StoreError> {
    let Some(value) = meta.get(key).map_err(reading)? else {
        return Ok(None);
    };
    let bytes = record::open("meta", key.as_bytes(), value.value()).map_err(StoreError::Damaged)?;
    Head::decode(bytes)
        .map(Some)
        .ok_or_else(|| StoreError::Damaged(format!("the record {key} is malformed")))
}

fn meta_value(
    meta: &impl redb::ReadableTable<&'static str, &'static [u8]>,
    key: &'static str,
) -> Result<Vec<u8>, StoreError> {
    let value = meta.get(key).map_err(reading)?;
    let value = value.ok_or_else(|| StoreError::Damaged(format!("the record {key} is missing")))?;
    let bytes = record::open("meta", key.as_bytes(), value.value());
    bytes
        .map(<[u8]>::to_vec)
        .map_err(|error| StoreError::Damaged(format!("the record {key}: {error}")))
}

fn body_key((chain_id, hash): &BodyKey) -> [u8; 64] {
    let mut key = [0; 64];
    let (left, right) = key.split_at_mut(32);
    left.copy_from_slice(chain_id.0.as_bytes());
    right.copy_from_slice(hash.as_bytes());
    key
}

fn parse_body_key(bytes: &[u8]) -> Option<BodyKey> {
    let (left, right) = bytes.split_at_checked(32)?;
    Some((
        ChainId(Hash(left.try_into().ok()?)),
        Hash(right.try_into().ok()?),
    ))
}

/// The tenant blocks that a block anchors, in order.
pub fn anchored(block: &EnterpriseBlock) -> impl Iterator<Item = BodyKey> {
    block.entries().iter().filter_map(stored_by)
}

/// What the tenant block that an entry anchors is stored by.
#[must_use]
pub fn stored_by(entry: &Entry) -> Option<BodyKey> {
    match entry {
        Entry::BlockAnchored(anchor) => Some((anchor.chain_id, anchor.header.hash())),
        Entry::ReportAnchored(report) => Some((report.chain_id, report.id())),
        Entry::TenantRegistered(_)
        | Entry::ForkRefused(_)
        | Entry::SetChanged(_)
        | Entry::TenantReset(_) => None,
    }
}

/// The length of the certificate (4 bytes), the certificate, the block.
fn block_bytes(decided: &DecidedBlock) -> Vec<u8> {
    let certificate = decided.certificate().encode();
    let length = u32::try_from(certificate.len()).unwrap_or(u32::MAX);
    [
        length.to_be_bytes().as_slice(),
        &certificate,
        &decided.block().encode(),
    ]
    .concat()
}

fn read_block(bytes: &[u8], limits: BlockLimits) -> Result<(EnterpriseBlock, Certificate), String> {
    let (certificate, block) = split_block(bytes)?;
    let block = EnterpriseBlock::decode(block, limits).map_err(|error| error.to_string())?;
    Ok((block, certificate))
}

/// The certificate of a record, and the bytes of its block.
fn split_block(bytes: &[u8]) -> Result<(Certificate, &[u8]), String> {
    let (length, rest) = bytes
        .split_first_chunk::<4>()
        .ok_or("the record is too short")?;
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    let (certificate, block) = rest
        .split_at_checked(length)
        .ok_or("the record is too short")?;
    let certificate = Certificate::decode(certificate).map_err(|error| error.to_string())?;
    Ok((certificate, block))
}

fn unfinished_path(path: &Path) -> PathBuf {
    path.with_extension("redb.unfinished")
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    std::fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(io)
}

fn io(error: impl std::fmt::Display) -> StoreError {
    StoreError::Io(error.to_string())
}

fn opening(error: redb::DatabaseError) -> StoreError {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, StorageFull};
    if let redb::DatabaseError::Storage(redb::StorageError::Io(error)) = &error
        && matches!(
            error.kind(),
            PermissionDenied | ReadOnlyFilesystem | StorageFull
        )
    {
        return io(error);
    }
    if matches!(error, redb::DatabaseError::DatabaseAlreadyOpen) {
        return StoreError::InUse;
    }
    StoreError::Damaged(error.to_string())
}

fn reading(error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(error.to_string())
}
