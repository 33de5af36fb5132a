//! The vote log: an append-only file beside the store, so that a validator never contradicts what it signed before a crash.
//!
//! It begins with [`MAGIC`] and the enterprise chain id (32 bytes). A record is `vote`, its length (4, big-endian), the
//! first 8 bytes of SHA-256 over its bytes, and the bytes. What was written and not flushed when the machine stopped may be
//! cut or garbled: such a tail was never told to anybody and is dropped. A damaged record with an intact one after it is
//! another matter: the log is not used then, and the validator abstains.
//!
//! When the store holds what the records say they are of no use; the file is cut back when it has grown beyond
//! [`CUT_BYTES`].

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use shared::hash::sha256;
use shared::ids::ChainId;

use crate::replica::LogRecord;

/// The file's first bytes.
pub const MAGIC: &[u8; 16] = b"distli-votes-01\n";
/// From this size on the file is cut back when the next height is decided.
pub const CUT_BYTES: u64 = 8 << 20;

const RECORD_MAGIC: &[u8; 4] = b"vote";
const RECORD_HEADER_BYTES: usize = 16;
const HEADER_BYTES: u64 = 48;

/// An open vote log.
#[derive(Debug)]
pub struct VoteLog {
    file: File,
    bytes: u64,
    buffer: Vec<u8>,
}

/// What a log holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Found {
    /// There is no file.
    #[default]
    Missing,
    /// The file is not a whole log of this chain; why.
    Damaged(String),
    /// The log is whole; its records.
    Intact(Vec<LogRecord>),
}

impl VoteLog {
    /// Makes an empty log in the place of what is there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path, chain: ChainId) -> io::Result<Self> {
        let unfinished = unfinished(path);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&unfinished)?;
        file.write_all(MAGIC)?;
        file.write_all(chain.0.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        if let Some(directory) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
            File::open(directory)?.sync_all()?;
        }
        Ok(Self {
            file,
            bytes: HEADER_BYTES,
            buffer: Vec::new(),
        })
    }

    /// Opens a log and reads it; one that is not intact is left as it is.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(path: &Path, chain: ChainId) -> io::Result<(Option<Self>, Found)> {
        let mut file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((None, Found::Missing));
            }
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        match read(&bytes, chain) {
            Ok((records, end)) => {
                file.set_len(end)?;
                file.seek(SeekFrom::Start(end))?;
                let log = Self {
                    file,
                    bytes: end,
                    buffer: Vec::new(),
                };
                Ok((Some(log), Found::Intact(records)))
            }
            Err(reason) => Ok((None, Found::Damaged(reason))),
        }
    }

    /// Appends a record; it is durable after [`Self::sync`].
    pub fn append(&mut self, record: &LogRecord) {
        let framed = frame(&record.encode());
        let length = u64::try_from(framed.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(length);
        self.buffer.extend_from_slice(&framed);
    }

    /// Makes all records durable.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        self.file.sync_data()
    }

    /// Whether it has grown so much that it should be cut back.
    #[must_use]
    pub const fn is_large(&self) -> bool {
        self.bytes >= CUT_BYTES
    }

    /// The store holds all that the records say: they are of no use any more.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn cut(&mut self) -> io::Result<()> {
        self.buffer.clear();
        self.file.set_len(HEADER_BYTES)?;
        self.file.seek(SeekFrom::Start(HEADER_BYTES))?;
        self.bytes = HEADER_BYTES;
        Ok(())
    }
}

/// A record as it is in the file.
fn frame(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    let checksum = checksum(bytes);
    [RECORD_MAGIC.as_slice(), &length, &checksum, bytes].concat()
}

fn checksum(bytes: &[u8]) -> [u8; 8] {
    let hash = sha256(&[b"distli/vote-log/1", bytes]);
    let mut checksum = [0; 8];
    checksum.copy_from_slice(hash.0.split_at(8).0);
    checksum
}

/// The records, and where the last one ends.
fn read(bytes: &[u8], chain: ChainId) -> Result<(Vec<LogRecord>, u64), String> {
    let (magic, rest) = bytes
        .split_first_chunk::<16>()
        .ok_or("it is shorter than its header")?;
    let (found, mut rest) = rest
        .split_first_chunk::<32>()
        .ok_or("it is shorter than its header")?;
    if magic != MAGIC {
        return Err("it is not a vote log".into());
    }
    if found != chain.0.as_bytes() {
        return Err(format!(
            "it is of the enterprise chain {}",
            hex::encode(found)
        ));
    }
    let (mut records, mut end) = (Vec::new(), HEADER_BYTES);
    while let Some((record, after)) = next_record(rest) {
        let record =
            LogRecord::decode(record).map_err(|error| format!("at byte {end}: {error}"))?;
        records.push(record);
        end =
            end.saturating_add(u64::try_from(rest.len().saturating_sub(after.len())).unwrap_or(0));
        rest = after;
    }
    let hides_more = (1..rest.len()).any(|at| {
        let rest = rest.split_at(at).1;
        rest.starts_with(RECORD_MAGIC) && next_record(rest).is_some()
    });
    if hides_more {
        return Err(format!("the record at byte {end} is damaged"));
    }
    Ok((records, end))
}

/// The record at the front, if it is intact, and what follows.
fn next_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>()?;
    let (magic, header) = header.split_first_chunk::<4>()?;
    let (length, found) = header.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (record, rest) = rest.split_at_checked(length)?;
    (magic == RECORD_MAGIC && found == checksum(record)).then_some((record, rest))
}

fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("votes.unfinished")
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::enterprise::EnterpriseHeight;
    use shared::hash::Hash;

    const CHAIN: ChainId = ChainId(Hash([7; 32]));

    fn record(height: u64) -> LogRecord {
        LogRecord::Block {
            height: EnterpriseHeight(height),
            block: vec![9; 40],
            bodies: vec![(CHAIN, vec![1, 2, 3])],
        }
    }

    fn written() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("v.votes");
        let mut log = VoteLog::create(&path, CHAIN).unwrap();
        for height in 1..=3 {
            log.append(&record(height));
        }
        log.sync().unwrap();
        (directory, path)
    }

    #[test]
    fn what_was_written_is_read() {
        let (_directory, path) = written();
        let (log, found) = VoteLog::open(&path, CHAIN).unwrap();
        assert_eq!(found, Found::Intact((1..=3).map(record).collect()));
        let mut log = log.unwrap();
        log.append(&record(4));
        log.sync().unwrap();
        let (_, found) = VoteLog::open(&path, CHAIN).unwrap();
        assert_eq!(found, Found::Intact((1..=4).map(record).collect()));
    }

    #[test]
    fn a_tail_that_was_cut_anywhere_is_dropped() {
        let (_directory, path) = written();
        let bytes = std::fs::read(&path).unwrap();
        let one = frame(&record(1).encode()).len();
        for length in 48..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let (_, found) = VoteLog::open(&path, CHAIN).unwrap();
            let whole = u64::try_from((length - 48) / one).unwrap();
            assert_eq!(
                found,
                Found::Intact((1..=whole).map(record).collect()),
                "{length}"
            );
        }
    }

    #[test]
    fn damage_before_an_intact_record_is_noticed() {
        let (_directory, path) = written();
        let bytes = std::fs::read(&path).unwrap();
        let one = frame(&record(1).encode()).len();
        for at in 48..48 + 2 * one {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            let (log, found) = VoteLog::open(&path, CHAIN).unwrap();
            assert!(
                log.is_none() && matches!(found, Found::Damaged(_)),
                "byte {at}"
            );
        }
    }

    #[test]
    fn a_log_of_another_chain_or_none_is_told() {
        let (_directory, path) = written();
        let other = ChainId(Hash([8; 32]));
        assert!(matches!(
            VoteLog::open(&path, other).unwrap().1,
            Found::Damaged(_)
        ));
        assert_eq!(
            VoteLog::open(&path.join("x"), CHAIN)
                .map(|found| found.1)
                .unwrap_or_default(),
            Found::Missing
        );
    }
}
