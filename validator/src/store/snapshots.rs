//! Snapshots in the store: their proofs, their chunks, and the one that the store begins with.
//!
//! Tables: `snapshots` (height → proof), `history` (index → a chunk that all later snapshots share), `chunks` (height and index → a
//! chunk of one snapshot). A store that begins with a snapshot says so under `base` in `meta`: it has no blocks up to that height.

use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition};
use shared::enterprise::{EnterpriseHeight, SnapshotProof};

use super::{ANCHORS, BodyKey, Head, META, Store, StoreError, body_key, io, reading, record};

/// A snapshot as it is stored.
#[derive(Debug)]
pub struct StoredSnapshot {
    /// What it consists of, and who vouches for it so far.
    pub proof: SnapshotProof,
    /// The chunks that are its alone; none if they are in the store.
    pub chunks: Vec<(u32, Vec<u8>)>,
    /// The enterprise block of every anchored block, if the store begins with this snapshot.
    pub begins: Option<Vec<(BodyKey, EnterpriseHeight)>>,
}

/// Where a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkKey {
    /// In the history, by index.
    Shared(u32),
    /// In one snapshot.
    Own(EnterpriseHeight, u32),
}

impl ChunkKey {
    /// Where the chunk `index` of a snapshot is.
    #[must_use]
    pub fn of(proof: &SnapshotProof, index: u32) -> Self {
        if u64::from(index) < proof.manifest.shared_chunks() {
            Self::Shared(index)
        } else {
            Self::Own(proof.manifest.height, index)
        }
    }
}

pub(super) const SNAPSHOTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("snapshots");
pub(super) const HISTORY: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("history");
pub(super) const CHUNKS: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("chunks");
const BASE_KEY: &str = "base";

impl Store {
    /// The block whose snapshot the store begins with; none if it begins with the genesis.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub fn base(&self) -> Result<Option<Head>, StoreError> {
        let read = self.database.begin_read().map_err(reading)?;
        let meta = read.open_table(META).map_err(reading)?;
        super::head_in(&meta, BASE_KEY)
    }

    /// The proofs of the snapshots, ascending by height.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or a record is not intact.
    pub fn snapshots(&self) -> Result<Vec<SnapshotProof>, StoreError> {
        let read = self.database.begin_read().map_err(reading)?;
        let table = match read.open_table(SNAPSHOTS) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(reading(error)),
        };
        let mut proofs = Vec::new();
        for row in table.iter().map_err(reading)? {
            let (height, sealed) = row.map_err(reading)?;
            let key = height.value().to_be_bytes();
            let bytes = record::open("snapshots", &key, sealed.value());
            let proof = bytes
                .and_then(|bytes| SnapshotProof::decode(bytes).map_err(|error| error.to_string()));
            let height = height.value();
            proofs.push(proof.map_err(|error| {
                StoreError::Damaged(format!("the snapshot at block {height}: {error}"))
            })?);
        }
        Ok(proofs)
    }

    /// A chunk, if it is here.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or the record is not intact.
    pub fn chunk(&self, key: ChunkKey) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.database.begin_read().map_err(reading)?;
        let opened = match key {
            ChunkKey::Shared(index) => match read.open_table(HISTORY) {
                Ok(table) => table.get(u64::from(index)),
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(reading(error)),
            },
            ChunkKey::Own(height, index) => match read.open_table(CHUNKS) {
                Ok(table) => table.get((height.0, index)),
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(reading(error)),
            },
        };
        let Some(sealed) = opened.map_err(reading)? else {
            return Ok(None);
        };
        let (table, place) = place_of(key);
        let bytes = record::open(table, &place, sealed.value());
        let bytes = bytes
            .map_err(|error| StoreError::Damaged(format!("a chunk of a snapshot: {error}")))?;
        Ok(Some(bytes.to_vec()))
    }

    /// How many whole chunks of the history there are.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub fn history_chunks(&self) -> Result<usize, StoreError> {
        use redb::ReadableTableMetadata as _;
        let read = self.database.begin_read().map_err(reading)?;
        let table = match read.open_table(HISTORY) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(0),
            Err(error) => return Err(reading(error)),
        };
        let chunks = table.len().map_err(reading)?;
        Ok(usize::try_from(chunks).unwrap_or(usize::MAX))
    }
}

/// The name of a chunk's table, and its key in bytes.
fn place_of(key: ChunkKey) -> (&'static str, Vec<u8>) {
    match key {
        ChunkKey::Shared(index) => ("history", u64::from(index).to_be_bytes().to_vec()),
        ChunkKey::Own(height, index) => (
            "chunks",
            [
                height.0.to_be_bytes().as_slice(),
                index.to_be_bytes().as_slice(),
            ]
            .concat(),
        ),
    }
}

/// Writes what a batch has of snapshots.
pub(super) fn write(
    transaction: &redb::WriteTransaction,
    history: &[(u32, Vec<u8>)],
    snapshot: Option<&StoredSnapshot>,
    dropped: &[EnterpriseHeight],
) -> Result<(), StoreError> {
    if !history.is_empty() {
        let mut table = transaction.open_table(HISTORY).map_err(io)?;
        for (index, bytes) in history {
            let (name, place) = place_of(ChunkKey::Shared(*index));
            let sealed = record::seal(name, &place, bytes);
            table
                .insert(u64::from(*index), sealed.as_slice())
                .map_err(io)?;
        }
    }
    if let Some(snapshot) = snapshot {
        write_snapshot(transaction, snapshot)?;
    }
    for height in dropped {
        let mut table = transaction.open_table(SNAPSHOTS).map_err(io)?;
        table.remove(height.0).map_err(io)?;
        let mut chunks = transaction.open_table(CHUNKS).map_err(io)?;
        let all = (height.0, 0)..=(height.0, u32::MAX);
        chunks.retain_in(all, |_, _| false).map_err(io)?;
    }
    Ok(())
}

fn write_snapshot(
    transaction: &redb::WriteTransaction,
    snapshot: &StoredSnapshot,
) -> Result<(), StoreError> {
    let manifest = &snapshot.proof.manifest;
    let height = manifest.height;
    let mut table = transaction.open_table(SNAPSHOTS).map_err(io)?;
    let proof = snapshot.proof.encode();
    let sealed = record::seal("snapshots", &height.0.to_be_bytes(), &proof);
    table.insert(height.0, sealed.as_slice()).map_err(io)?;
    let mut chunks = transaction.open_table(CHUNKS).map_err(io)?;
    for (index, bytes) in &snapshot.chunks {
        let (name, place) = place_of(ChunkKey::Own(height, *index));
        let sealed = record::seal(name, &place, bytes);
        chunks
            .insert((height.0, *index), sealed.as_slice())
            .map_err(io)?;
    }
    let Some(placed) = &snapshot.begins else {
        return Ok(());
    };
    let mut anchors = transaction.open_table(ANCHORS).map_err(io)?;
    for (key, height) in placed {
        let key = body_key(key);
        anchors.insert(key.as_slice(), height.0).map_err(io)?;
    }
    let head = Head {
        height,
        hash: manifest.block_hash,
    };
    let mut meta = transaction.open_table(META).map_err(io)?;
    let sealed = record::seal("meta", BASE_KEY.as_bytes(), &head.encode());
    meta.insert(BASE_KEY, sealed.as_slice()).map_err(io)?;
    Ok(())
}
