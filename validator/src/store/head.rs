//! The head file: the newest decided height and hash, in a small file of its own beside the store.
//!
//! Purpose: a store that was damaged may open at an older commit, and a store that was replaced by an old copy opens
//! as if nothing had happened. The head file tells: a store below it has lost decided blocks. It is written after each
//! commit and not flushed, so after a power cut it may lag behind, which is harmless; it never leads.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use shared::enterprise::EnterpriseHeight;
use shared::hash::{Hash, sha256};

/// A height and the hash of its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The height.
    pub height: EnterpriseHeight,
    /// The block's hash.
    pub hash: Hash,
}

impl Head {
    /// Height (8 bytes) and hash (32).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [self.height.0.to_be_bytes().as_slice(), self.hash.as_bytes()].concat()
    }

    /// Reads the 40 bytes.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (height, hash) = bytes.split_first_chunk::<8>()?;
        let height = EnterpriseHeight(u64::from_be_bytes(*height));
        Some(Self {
            height,
            hash: Hash(hash.try_into().ok()?),
        })
    }
}

/// The open head file.
#[derive(Debug)]
pub struct HeadFile {
    path: PathBuf,
    file: Option<File>,
}

impl HeadFile {
    /// The head file at a path; it is made at the first write.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// The head that a file names, if the file is there.
    ///
    /// # Errors
    /// When it cannot be read or is not a head file.
    pub fn read(path: &Path) -> io::Result<Option<Head>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        parse(&text)
            .map(Some)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is not a head file"))
    }

    /// Writes the head over the one before.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, head: Head) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(
                OpenOptions::new()
                    .create(true)
                    .write(true)
                    .truncate(false)
                    .open(&self.path)?,
            ),
        };
        file.seek(SeekFrom::Start(0))?;
        file.write_all(line(head).as_bytes())
    }
}

/// Fixed width, so that an overwritten line leaves nothing behind.
fn line(head: Head) -> String {
    let text = format!("distli-head-1 {:020} {}", head.height.0, head.hash);
    let checksum = sha256(&[text.as_bytes()]).to_string();
    format!("{text} {checksum}\n")
}

fn parse(text: &str) -> Option<Head> {
    let mut parts = text.trim_end().split(' ');
    let (_, height, hash) = (parts.next()?, parts.next()?, parts.next()?);
    let head = Head {
        height: EnterpriseHeight(height.parse().ok()?),
        hash: hash.parse().ok()?,
    };
    (line(head) == text).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_head_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head");
        assert_eq!(HeadFile::read(&path).unwrap(), None);
        let mut file = HeadFile::new(path.clone());
        for height in [9, 10, 123_456] {
            let head = Head {
                height: EnterpriseHeight(height),
                hash: Hash([3; 32]),
            };
            file.write(head).unwrap();
            assert_eq!(HeadFile::read(&path).unwrap(), Some(head));
        }
    }

    #[test]
    fn a_changed_head_file_is_no_head() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head");
        let head = Head {
            height: EnterpriseHeight(7),
            hash: Hash([3; 32]),
        };
        std::fs::write(&path, line(head).replace("07 ", "06 ")).unwrap();
        assert!(HeadFile::read(&path).is_err());
    }
}
