//! The vote log: an append-only file beside the store, so that a validator never contradicts what it signed before a crash.
//!
//! It begins with [`MAGIC`], the enterprise chain id (32 bytes), the generation (4) and the first 8 bytes of SHA-256 over
//! these. A record is `vote`, its generation (4), its length (4), the first 8 bytes of SHA-256 over generation and bytes, and
//! the bytes; integers are big-endian. What was written and not flushed when the machine stopped may be cut or garbled: such
//! a tail was never told to anybody and is dropped. A damaged record with an intact one after it is another matter: the log
//! is not used then, and the validator abstains.
//!
//! When the store holds what the records say they are of no use: beyond [`CUT_BYTES`] the next generation begins at the
//! front. The file is filled with zeros to [`FILE_BYTES`] at first and written over from then on: making a record durable
//! then costs one write of the disk and none of the file system's books.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use shared::enterprise::EnterpriseHeight;
use shared::hash::sha256;
use shared::ids::ChainId;

use crate::replica::LogRecord;

/// The file's first bytes.
pub const MAGIC: &[u8; 16] = b"distli-votes-01\n";
/// From this size on the next generation begins when the next height is decided.
pub const CUT_BYTES: u64 = 6 << 20;
/// The size of the file, unless one generation needs more.
pub const FILE_BYTES: u64 = 8 << 20;

const RECORD_MAGIC: &[u8; 4] = b"vote";
const RECORD_HEADER_BYTES: usize = 20;
const HEADER_BYTES: u64 = 60;

/// An open vote log.
#[derive(Debug)]
pub struct VoteLog {
    file: File,
    chain: ChainId,
    generation: u32,
    bytes: u64,
    buffer: Vec<u8>,
    /// The highest height that a record is about.
    highest: EnterpriseHeight,
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
        file.write_all(&header(chain, 0))?;
        let zeros = vec![0; 1 << 20];
        let mut left = FILE_BYTES.saturating_sub(HEADER_BYTES);
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
            file.write_all(zeros.split_at(part).0)?;
            left = left.saturating_sub(u64::try_from(part).unwrap_or(left));
        }
        file.seek(SeekFrom::Start(HEADER_BYTES))?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        if let Some(directory) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
            File::open(directory)?.sync_all()?;
        }
        Ok(Self {
            file,
            chain,
            generation: 0,
            bytes: HEADER_BYTES,
            buffer: Vec::new(),
            highest: EnterpriseHeight(0),
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
            Ok((generation, records, end)) => {
                file.seek(SeekFrom::Start(end))?;
                let heights = records.iter().filter_map(LogRecord::height);
                let log = Self {
                    file,
                    chain,
                    generation,
                    bytes: end,
                    buffer: Vec::new(),
                    highest: heights.max().unwrap_or_default(),
                };
                Ok((Some(log), Found::Intact(records)))
            }
            Err(reason) => Ok((None, Found::Damaged(reason))),
        }
    }

    /// Appends a record; it is durable after [`Self::sync`].
    pub fn append(&mut self, record: &LogRecord) {
        let framed = frame(self.generation, &record.encode());
        let length = u64::try_from(framed.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(length);
        self.highest = self.highest.max(record.height().unwrap_or_default());
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

    /// Whether it has grown so much that it should be cut back, and may be once this height is in the store: after a crash
    /// it can hold votes of heights above.
    #[must_use]
    pub fn should_be_cut(&self, decided: EnterpriseHeight) -> bool {
        self.bytes >= CUT_BYTES && self.highest <= decided
    }

    /// The store holds all that the records say: they are of no use any more.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn cut(&mut self) -> io::Result<()> {
        self.buffer.clear();
        self.generation = self.generation.wrapping_add(1);
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header(self.chain, self.generation))?;
        self.bytes = HEADER_BYTES;
        self.file.sync_data()
    }
}

fn header(chain: ChainId, generation: u32) -> Vec<u8> {
    let generation = generation.to_be_bytes();
    let content = [MAGIC.as_slice(), chain.0.as_bytes(), &generation].concat();
    let checksum = checksum(&[&content]);
    [content.as_slice(), &checksum].concat()
}

/// A record as it is in the file.
fn frame(generation: u32, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    let generation = generation.to_be_bytes();
    let checksum = checksum(&[&generation, bytes]);
    [
        RECORD_MAGIC.as_slice(),
        &generation,
        &length,
        &checksum,
        bytes,
    ]
    .concat()
}

fn checksum(parts: &[&[u8]]) -> [u8; 8] {
    let hash = sha256(&[b"distli/vote-log/1".as_slice(), &parts.concat()]);
    let mut checksum = [0; 8];
    checksum.copy_from_slice(hash.0.split_at(8).0);
    checksum
}

/// The generation, its records, and where the last one ends.
fn read(bytes: &[u8], chain: ChainId) -> Result<(u32, Vec<LogRecord>, u64), String> {
    let short = "it is shorter than its header";
    let (content, rest) = bytes.split_at_checked(52).ok_or(short)?;
    let (found, mut rest) = rest.split_first_chunk::<8>().ok_or(short)?;
    if !content.starts_with(MAGIC) || *found != checksum(&[content]) {
        return Err("it is not a vote log".into());
    }
    let (_, content) = content.split_at_checked(16).ok_or(short)?;
    let (found, generation) = content.split_first_chunk::<32>().ok_or(short)?;
    if found != chain.0.as_bytes() {
        return Err(format!(
            "it is of the enterprise chain {}",
            hex::encode(found)
        ));
    }
    let generation = generation
        .try_into()
        .map(u32::from_be_bytes)
        .map_err(|_| short)?;
    let (mut records, mut end) = (Vec::new(), HEADER_BYTES);
    while let Some((record, after)) = next_record(rest, generation) {
        let record =
            LogRecord::decode(record).map_err(|error| format!("at byte {end}: {error}"))?;
        records.push(record);
        let length = rest.len().saturating_sub(after.len());
        end = end.saturating_add(u64::try_from(length).unwrap_or(0));
        rest = after;
    }
    let mark = [RECORD_MAGIC.as_slice(), &generation.to_be_bytes()].concat();
    let hides_more = (1..rest.len()).any(|at| {
        let rest = rest.split_at(at).1;
        rest.starts_with(&mark) && next_record(rest, generation).is_some()
    });
    if hides_more {
        return Err(format!("the record at byte {end} is damaged"));
    }
    Ok((generation, records, end))
}

/// The record of this generation at the front, if it is intact, and what follows.
fn next_record(bytes: &[u8], generation: u32) -> Option<(&[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>()?;
    let (magic, header) = header.split_first_chunk::<4>()?;
    let (found, header) = header.split_first_chunk::<4>()?;
    let (length, sum) = header.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (record, rest) = rest.split_at_checked(length)?;
    let is_ours = magic == RECORD_MAGIC && u32::from_be_bytes(*found) == generation;
    (is_ours && sum == checksum(&[found, record])).then_some((record, rest))
}

fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("votes.unfinished")
}

#[cfg(test)]
mod tests {
    use super::*;
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

    /// The file's bytes up to the last record.
    fn content(path: &Path) -> (Vec<u8>, usize) {
        let bytes = std::fs::read(path).unwrap();
        let one = frame(0, &record(1).encode()).len();
        (bytes[..60 + 3 * one].to_vec(), one)
    }

    #[test]
    fn a_tail_that_was_cut_or_garbled_anywhere_is_dropped() {
        let (_directory, path) = written();
        let (bytes, one) = content(&path);
        for length in 60..bytes.len() {
            for filler in [&[][..], &[0; 90], &[0xa5; 90]] {
                std::fs::write(&path, [&bytes[..length], filler].concat()).unwrap();
                let (_, found) = VoteLog::open(&path, CHAIN).unwrap();
                let whole = u64::try_from((length - 60) / one).unwrap();
                let expected = Found::Intact((1..=whole).map(record).collect());
                assert_eq!(found, expected, "{length}");
            }
        }
    }

    #[test]
    fn damage_before_an_intact_record_is_noticed() {
        let (_directory, path) = written();
        let (bytes, one) = content(&path);
        for at in 0..60 + 2 * one {
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
    fn the_next_generation_hides_what_was_cut_away() {
        let (_directory, path) = written();
        let (log, _) = VoteLog::open(&path, CHAIN).unwrap();
        let mut log = log.unwrap();
        log.cut().unwrap();
        let (_, found) = VoteLog::open(&path, CHAIN).unwrap();
        assert_eq!(found, Found::Intact(Vec::new()));
        log.append(&record(9));
        log.sync().unwrap();
        let (_, found) = VoteLog::open(&path, CHAIN).unwrap();
        assert_eq!(found, Found::Intact(vec![record(9)]));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), FILE_BYTES);
    }

    #[test]
    fn a_log_of_another_chain_or_none_is_told() {
        let (_directory, path) = written();
        let other = ChainId(Hash([8; 32]));
        let (_, found) = VoteLog::open(&path, other).unwrap();
        assert!(matches!(found, Found::Damaged(_)));
        let (_, found) = VoteLog::open(&path.with_extension("none"), CHAIN).unwrap();
        assert_eq!(found, Found::Missing);
    }
}
