//! What is accepted and not decided, besides tenant blocks: the geneses of new tenants, and resets of private ones.
//!
//! `registrations`: chain id → genesis; `resets`: leaf of the log → reset.

use redb::{
    ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableHandle as _,
    WriteTransaction,
};

use super::{Batch, BodyKey, Head, Store, StoreError, held_in, io, reading, record, tip_of};

pub(super) const REGISTRATIONS: Table = TableDefinition::new("registrations");
pub(super) const RESETS: Table = TableDefinition::new("resets");

type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// What waits at one moment, and the tip at that moment: what is decided later waits here, what is decided before does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The newest block; none before the first.
    pub tip: Option<Head>,
    /// The geneses of tenants that are not decided.
    pub geneses: Vec<Vec<u8>>,
    /// The held bodies in the order in which they arrived.
    pub held: Vec<(BodyKey, u64)>,
    /// The resets that are not executed.
    pub resets: Vec<Vec<u8>>,
}

/// Writes what a batch says of them.
pub(super) fn write(transaction: &WriteTransaction, batch: &Batch) -> Result<(), StoreError> {
    let geneses = batch.registrations.iter();
    let geneses = geneses.map(|(chain_id, genesis)| (chain_id.0.as_bytes().as_slice(), genesis));
    let decided = batch.settled.iter();
    let decided = decided.map(|chain_id| chain_id.0.as_bytes().as_slice());
    write_table(transaction, REGISTRATIONS, geneses, decided)?;
    let resets = batch.resets.iter();
    let resets = resets.map(|(leaf, reset)| (leaf.as_bytes().as_slice(), reset));
    let executed = batch.settled_resets.iter();
    let executed = executed.map(|leaf| leaf.as_bytes().as_slice());
    write_table(transaction, RESETS, resets, executed)
}

fn write_table<'a>(
    transaction: &WriteTransaction,
    table: Table,
    added: impl ExactSizeIterator<Item = (&'a [u8], &'a Vec<u8>)>,
    removed: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Result<(), StoreError> {
    if added.len() == 0 && removed.len() == 0 {
        return Ok(());
    }
    let name = table.name().to_owned();
    let mut waiting = transaction.open_table(table).map_err(io)?;
    for (key, content) in added {
        let sealed = record::seal(&name, key, content);
        waiting.insert(key, sealed.as_slice()).map_err(io)?;
    }
    for key in removed {
        waiting.remove(key).map_err(io)?;
    }
    Ok(())
}

impl Store {
    /// The geneses of tenants that were accepted and not decided.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or a record is not intact.
    pub fn registrations(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let read = self.database.begin_read().map_err(reading)?;
        geneses_in(&read)
    }

    /// The resets that were accepted and not executed.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or a record is not intact.
    pub fn resets(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let read = self.database.begin_read().map_err(reading)?;
        resets_in(&read)
    }

    /// All that waits, and the tip, of one moment.
    ///
    /// # Errors
    /// [`StoreError`] when a table cannot be read or a record is not intact.
    pub fn waiting(&self) -> Result<Waiting, StoreError> {
        let read = self.database.begin_read().map_err(reading)?;
        Ok(Waiting {
            tip: tip_of(&read)?,
            geneses: geneses_in(&read)?,
            held: held_in(&read)?,
            resets: resets_in(&read)?,
        })
    }
}

fn geneses_in(read: &ReadTransaction) -> Result<Vec<Vec<u8>>, StoreError> {
    all_of(read, REGISTRATIONS, "a genesis that waits to be decided")
}

fn resets_in(read: &ReadTransaction) -> Result<Vec<Vec<u8>>, StoreError> {
    all_of(read, RESETS, "a reset that waits to be executed")
}

fn all_of(read: &ReadTransaction, table: Table, what: &str) -> Result<Vec<Vec<u8>>, StoreError> {
    let rows = match read.open_table(table) {
        Ok(rows) => rows,
        // It comes with its first row.
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(reading(error)),
    };
    let mut all = Vec::new();
    for row in rows.iter().map_err(reading)? {
        let (key, sealed) = row.map_err(reading)?;
        let content = record::open(table.name(), key.value(), sealed.value());
        let content = content.map_err(|error| StoreError::Damaged(format!("{what}: {error}")))?;
        all.push(content.to_vec());
    }
    Ok(all)
}
