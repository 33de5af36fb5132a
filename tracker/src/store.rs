//! The store: networks, verified blocks, confirmations and resets, in one redb file.
//!
//! One [`Store::commit`] is one transaction, flushed to the disk before it returns. Whatever cannot be read back is
//! refused at the start, by name and with what to do; the tracker never begins empty over a damaged file, nor where a
//! store is missing of which the derived file tells. A new store appears whole or not at all.

use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use shared::hash::Hash;
use shared::ids::{ChainId, TimestampMs};

use crate::derived::{self, Derived};
use crate::hub::message::Listing;
use crate::label::Label;
use crate::ledger::{Change, Confirmed, Forwarding, Ledger, StoredReset};

/// The store's file in the data directory.
pub const FILE_NAME: &str = "tracker.redb";

/// An open store.
#[derive(Debug)]
pub struct Store {
    database: Database,
    path: PathBuf,
}

impl Store {
    /// Opens the store in `directory`, or makes an empty one there if there is none.
    ///
    /// # Errors
    /// The file is damaged, of another version, in use, or cannot be made.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE_NAME);
        let failed = |reason: String| StoreError::Open {
            path: path.clone(),
            reason,
        };
        std::fs::create_dir_all(directory).map_err(|error| failed(error.to_string()))?;
        if !path.exists() {
            if let Some(reason) = Derived::find(directory).tells_of_a_store() {
                let beside = directory.join(derived::FILE_NAME);
                return Err(StoreError::Missing {
                    path,
                    beside,
                    reason,
                });
            }
            create(&path).map_err(|error| failed(error.to_string()))?;
        }
        // Checks every page: an open that trusts a file may later find less in it than was acknowledged.
        let database = Database::builder()
            .set_check_integrity_on_open(true)
            .open(&path)
            .map_err(|error| failed(error.to_string()))?;
        let store = Self { database, path };
        store.check_version()?;
        Ok(store)
    }

    /// Makes all changes durable, or none.
    ///
    /// # Errors
    /// The disk refused. What the changes were made from is then ahead of the disk, so the caller stops.
    pub fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.write(|transaction| {
            for change in changes {
                write_change(transaction, change)?;
            }
            Ok(())
        })
    }

    /// Reads everything back.
    ///
    /// # Errors
    /// A record is damaged or does not fit the others.
    pub fn restore(&self, forwarding: Forwarding, now: TimestampMs) -> Result<Ledger, StoreError> {
        let mut ledger = Ledger::new(forwarding);
        let transaction = self
            .database
            .begin_read()
            .map_err(|error| self.damaged(error))?;
        let networks = transaction
            .open_table(NETWORKS)
            .map_err(|error| self.damaged(error))?;
        for row in networks.iter().map_err(|error| self.damaged(error))? {
            let (key, value) = row.map_err(|error| self.damaged(error))?;
            let record: NetworkRecord =
                serde_json::from_slice(value.value()).map_err(|error| self.damaged(error))?;
            let label = Label::parse(&record.label).map_err(|error| self.damaged(error))?;
            let genesis = hex::decode(&record.genesis).map_err(|error| self.damaged(error))?;
            let listing = Listing::from_flag(record.listed);
            let chain_id = ledger
                .restore_network(label, listing, &genesis)
                .map_err(|error| self.damaged(error))?;
            if chain_id.0.as_bytes() != key.value() {
                return Err(self.damaged(format!("the genesis stored for {chain_id} is another's")));
            }
        }
        let blocks = transaction
            .open_table(BLOCKS)
            .map_err(|error| self.damaged(error))?;
        for row in blocks.iter().map_err(|error| self.damaged(error))? {
            let (key, value) = row.map_err(|error| self.damaged(error))?;
            let ((chain_id, (height, _)), bytes) = (key.value(), value.value());
            let restored = ledger.restore_block(ChainId(Hash(*chain_id)), bytes);
            restored.map_err(|error| self.damaged(format!("block {height}: {error}")))?;
        }
        let confirmed = transaction
            .open_table(CONFIRMED)
            .map_err(|error| self.damaged(error))?;
        for row in confirmed.iter().map_err(|error| self.damaged(error))? {
            let (key, value) = row.map_err(|error| self.damaged(error))?;
            let record: Confirmed =
                serde_json::from_slice(value.value()).map_err(|error| self.damaged(error))?;
            ledger.restore_confirmed(ChainId(Hash(*key.value())), record);
        }
        self.restore_resets(&transaction, &mut ledger, now)?;
        ledger.restored(now);
        Ok(ledger)
    }

    /// The table is there only if a private network was ever reset here.
    fn restore_resets(
        &self,
        transaction: &redb::ReadTransaction,
        ledger: &mut Ledger,
        now: TimestampMs,
    ) -> Result<(), StoreError> {
        let resets = match transaction.open_table(RESETS) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
            resets => resets.map_err(|error| self.damaged(error))?,
        };
        for row in resets.iter().map_err(|error| self.damaged(error))? {
            let (key, value) = row.map_err(|error| self.damaged(error))?;
            let record: StoredReset =
                serde_json::from_slice(value.value()).map_err(|error| self.damaged(error))?;
            let chain_id = ChainId(Hash(*key.value()));
            let restored = ledger.restore_resets(now, chain_id, &record);
            restored.map_err(|error| self.damaged(format!("reset of {chain_id}: {error}")))?;
        }
        Ok(())
    }

    fn check_version(&self) -> Result<(), StoreError> {
        let transaction = self
            .database
            .begin_read()
            .map_err(|error| self.damaged(error))?;
        let meta = transaction
            .open_table(META)
            .map_err(|error| self.damaged(error))?;
        let found = meta
            .get(VERSION_KEY)
            .map_err(|error| self.damaged(error))?
            .map_or(0, |value| value.value());
        if found == VERSION {
            return Ok(());
        }
        Err(StoreError::Version {
            path: self.path.clone(),
            found,
            allowed: VERSION,
        })
    }

    fn write(
        &self,
        body: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let commit = || -> Result<(), redb::Error> {
            let mut transaction = self.database.begin_write()?;
            transaction.set_two_phase_commit(true);
            body(&transaction)?;
            transaction.commit()?;
            Ok(())
        };
        commit().map_err(|error| StoreError::Write {
            path: self.path.clone(),
            reason: error.to_string(),
        })
    }

    fn damaged(&self, reason: impl std::fmt::Display) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            reason: reason.to_string(),
        }
    }
}

/// Makes an empty store; the file has its name only when it is complete, so a crash meanwhile leaves none.
fn create(path: &Path) -> Result<(), redb::Error> {
    let unfinished = path.with_extension("redb.new");
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let database = Database::create(&unfinished)?;
    let transaction = database.begin_write()?;
    transaction.open_table(NETWORKS)?;
    transaction.open_table(BLOCKS)?;
    transaction.open_table(CONFIRMED)?;
    transaction.open_table(META)?.insert(VERSION_KEY, VERSION)?;
    transaction.commit()?;
    database.close()?;
    std::fs::rename(&unfinished, path)?;
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    std::fs::File::open(directory)?.sync_all()?;
    Ok(())
}

fn write_change(transaction: &redb::WriteTransaction, change: &Change) -> Result<(), redb::Error> {
    match change {
        Change::Network {
            chain_id,
            label,
            listing,
            genesis,
        } => {
            let record = NetworkRecord {
                label: label.to_string(),
                listed: listing.is_listed(),
                genesis: hex::encode(genesis),
            };
            transaction
                .open_table(NETWORKS)?
                .insert(chain_id.0.as_bytes(), to_json(&record).as_slice())?;
        }
        Change::Block {
            chain_id,
            height,
            hash,
            bytes,
        } => {
            let key = (chain_id.0.as_bytes(), (height.0, hash.as_bytes()));
            transaction
                .open_table(BLOCKS)?
                .insert(key, bytes.as_slice())?;
        }
        Change::Confirmed {
            chain_id,
            confirmed: Some(confirmed),
        } => {
            transaction
                .open_table(CONFIRMED)?
                .insert(chain_id.0.as_bytes(), to_json(confirmed).as_slice())?;
        }
        Change::Confirmed {
            chain_id,
            confirmed: None,
        } => {
            transaction
                .open_table(CONFIRMED)?
                .remove(chain_id.0.as_bytes())?;
        }
        Change::BlockGone {
            chain_id,
            height,
            hash,
        } => {
            let key = (chain_id.0.as_bytes(), (height.0, hash.as_bytes()));
            transaction.open_table(BLOCKS)?.remove(key)?;
        }
        Change::BlocksGone { chain_id, from } => {
            let chain = chain_id.0.as_bytes();
            let void = (chain, (from.0, &[0; 32]))..=(chain, (u32::MAX, &[0xff; 32]));
            transaction
                .open_table(BLOCKS)?
                .retain_in(void, |_, _| false)?;
        }
        Change::Resets { chain_id, resets } => {
            transaction
                .open_table(RESETS)?
                .insert(chain_id.0.as_bytes(), to_json(resets).as_slice())?;
        }
    }
    Ok(())
}

fn to_json(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record)
        .expect("a record has string keys and no failing parts, so it serialises")
}

#[derive(Serialize, Deserialize)]
struct NetworkRecord {
    label: String,
    listed: bool,
    genesis: String,
}

/// The store cannot be used; each message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be opened.
    #[error(
        "{path}: {reason}. If another tracker runs on this directory, end it; if the file is damaged, put back a copy \
         of it, or move the whole directory away to start empty: the browsers then report their blocks again"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        reason: String,
    },
    /// It is not there, and yet something tells that it was.
    #[error(
        "{path} is missing, and yet {beside} {reason}. Put the store back, or move the other file away too to start \
         empty: the browsers then report their blocks again"
    )]
    Missing {
        /// The store.
        path: PathBuf,
        /// What tells of it.
        beside: PathBuf,
        /// What it tells.
        reason: String,
    },
    /// It was written by another version.
    #[error(
        "{path}: written in version {found}, this program reads version {allowed}; use the program that wrote it"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version this program reads.
        allowed: u32,
    },
    /// A record cannot be read back.
    #[error(
        "{path} is damaged: {reason}. Put back a copy of it, or move the whole directory away to start empty: the browsers then report \
         their blocks again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        reason: String,
    },
    /// A change could not be made durable.
    #[error("{path}: {reason}; see whether the disk is full")]
    Write {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        reason: String,
    },
}

/// Chain id → the network.
const NETWORKS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("networks");
/// Chain id, then height and hash → canonical block; so a scan gives parents before children.
#[expect(clippy::type_complexity, reason = "the key's parts say what it is")]
const BLOCKS: TableDefinition<'_, (&[u8; 32], (u32, &[u8; 32])), &[u8]> =
    TableDefinition::new("blocks");
/// Chain id → the newest confirmed block.
const CONFIRMED: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("confirmed");
/// Chain id → the resets of a private network.
const RESETS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("resets");
const META: TableDefinition<'_, &str, u32> = TableDefinition::new("meta");
const VERSION_KEY: &str = "version";
const VERSION: u32 = 1;
