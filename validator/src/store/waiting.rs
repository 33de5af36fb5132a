//! What is accepted and not decided, besides tenant blocks: the geneses of new tenants, and resets of private ones.
//!
//! `registrations`: chain id → genesis; `resets`: leaf of the log → reset.

use redb::{
    ReadableDatabase as _, ReadableTable as _, TableDefinition, TableHandle as _, WriteTransaction,
};

use super::{Batch, Store, StoreError, io, reading, record};

pub(super) const REGISTRATIONS: Table = TableDefinition::new("registrations");
pub(super) const RESETS: Table = TableDefinition::new("resets");

type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

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
        self.all_of(REGISTRATIONS, "a genesis that waits to be decided")
    }

    /// The resets that were accepted and not executed.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or a record is not intact.
    pub fn resets(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        self.all_of(RESETS, "a reset that waits to be executed")
    }

    fn all_of(&self, table: Table, what: &str) -> Result<Vec<Vec<u8>>, StoreError> {
        let read = self.database.begin_read().map_err(reading)?;
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
            let content =
                content.map_err(|error| StoreError::Damaged(format!("{what}: {error}")))?;
            all.push(content.to_vec());
        }
        Ok(all)
    }
}
