//! A copy of the store as it is at one moment, made while it is written to.
//!
//! One read transaction sees one state; it is written into a new file in one transaction, durable when this returns. A
//! table that this code does not know is an error: a copy is whole or none.

use std::path::Path;

use redb::{
    Database, Key, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    TableHandle as _, Value, WriteTransaction,
};

use super::snapshots::{CHUNKS, HISTORY, SNAPSHOTS};
use super::waiting::{REGISTRATIONS, RESETS};
use super::{
    ANCHORS, BLOCKS, BODIES, EVIDENCE, HELD, Head, META, Store, StoreError, begin, io, opening,
    reading, tip_of,
};

/// Whether a copy is still wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Go on.
    Yes,
    /// Stop; nobody waits for it.
    No,
}

impl Store {
    /// Copies the store into a new file and says where the copy ends. `wanted` is asked between rows.
    ///
    /// # Errors
    /// [`StoreError`]; the file is then not a store.
    pub fn copy_to(
        &self,
        path: &Path,
        wanted: impl Fn() -> Wanted,
    ) -> Result<Option<Head>, StoreError> {
        let read = self.database.begin_read().map_err(reading)?;
        for table in read.list_tables().map_err(reading)? {
            let known = [
                META.name(),
                BLOCKS.name(),
                BODIES.name(),
                ANCHORS.name(),
                HELD.name(),
                REGISTRATIONS.name(),
                EVIDENCE.name(),
                SNAPSHOTS.name(),
                HISTORY.name(),
                CHUNKS.name(),
                RESETS.name(),
            ];
            if !known.contains(&table.name()) {
                let name = table.name();
                return Err(StoreError::Io(format!(
                    "the table {name} is not known here"
                )));
            }
        }
        let copy = Database::create(path).map_err(opening)?;
        let write = begin(&copy)?;
        table(&read, &write, META, &wanted)?;
        table(&read, &write, BLOCKS, &wanted)?;
        table(&read, &write, BODIES, &wanted)?;
        table(&read, &write, ANCHORS, &wanted)?;
        table(&read, &write, HELD, &wanted)?;
        table(&read, &write, REGISTRATIONS, &wanted)?;
        table(&read, &write, EVIDENCE, &wanted)?;
        table(&read, &write, SNAPSHOTS, &wanted)?;
        table(&read, &write, HISTORY, &wanted)?;
        table(&read, &write, CHUNKS, &wanted)?;
        table(&read, &write, RESETS, &wanted)?;
        write.commit().map_err(io)?;
        copy.close().map_err(opening)?;
        tip_of(&read)
    }
}

fn table<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    definition: TableDefinition<'static, K, V>,
    wanted: &impl Fn() -> Wanted,
) -> Result<(), StoreError> {
    let from = match from.open_table(definition) {
        Ok(from) => from,
        // It comes with its first row.
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(reading(error)),
    };
    let mut to = to.open_table(definition).map_err(io)?;
    for row in from.iter().map_err(reading)? {
        if wanted() == Wanted::No {
            return Err(StoreError::Io("the validator is ending".into()));
        }
        let (key, value) = row.map_err(reading)?;
        to.insert(key.value(), value.value()).map_err(io)?;
    }
    Ok(())
}
