//! Backups: a directory with a copy of store and head file, made while the validator serves and proved by opening it.
//!
//! The store belongs to the process that serves, so that process makes the copy; it is asked over a socket in the data
//! directory that the directory's owner alone can reach ([`operate()`]). The program `validator backup` asks, then verifies the copy as
//! `validator verify` does, in its own process, and gives the directory its name only after that. Without a running
//! validator it makes the copy itself.
//!
//! A backup has no key: a key is kept apart, and two validators with one key would be one that contradicts itself.

mod operate;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::ids::NetworkId;

use crate::start::{self, Files, StartError};
use crate::store::{HeadFile, Store, StoreError, Wanted};

pub use operate::{operate, socket};

/// What was copied, where the copy ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// The height of its newest block.
    pub height: u64,
    /// That block's hash, hex; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// The height of the block whose snapshot it begins with; 0 when it has all blocks from the first on.
    #[serde(default)]
    pub snapshot: u64,
}

/// Why there is no backup; nothing has the name that was asked for then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is something already.
    #[error("{} exists; a backup needs a new name", .0.display())]
    Exists(PathBuf),
    /// A file or directory cannot be used.
    #[error("{}: {error}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The store cannot be read, or the copy not be written.
    #[error("the copy: {0}")]
    Store(#[from] StoreError),
    /// The running validator refused or failed.
    #[error("the running validator made no copy: {0}")]
    Refused(String),
    /// The copy does not verify.
    #[error("the copy in {} does not verify and is no backup: {error}", path.display())]
    Unproved {
        /// Where it is left.
        path: PathBuf,
        /// What is wrong.
        error: StartError,
    },
    /// The copy ends elsewhere than it should.
    #[error("the copy in {} ends at block {found}, not {wanted}, and is no backup", path.display())]
    Differs {
        /// Where it is left.
        path: PathBuf,
        /// Where it ends.
        found: u64,
        /// Where it should.
        wanted: u64,
    },
}

/// Makes a backup of the validator `id` in `data`, whether it runs or not, and proves it; the directory `to` appears when it is whole.
///
/// # Errors
/// [`BackupError`].
pub async fn backup(data: &Path, id: &NetworkId, to: &Path) -> Result<Copied, BackupError> {
    let to = std::path::absolute(to).map_err(|error| failed(to, error))?;
    if to.exists() {
        return Err(BackupError::Exists(to));
    }
    let unfinished = beside(&to);
    let files = Files::new(data, id);
    let copied = match operate::ask(&socket(data, id), &unfinished).await {
        Some(answer) => answer?,
        None => copy(&Store::open(&files.store)?, id, &unfinished, || Wanted::Yes)?,
    };
    prove(id, &unfinished, &copied)?;
    std::fs::rename(&unfinished, &to).map_err(|error| failed(&to, error))?;
    sync_parent(&to)?;
    Ok(copied)
}

/// Copies a store with its head file into a new directory; when that fails, the directory is gone again.
///
/// # Errors
/// [`BackupError::Exists`], [`BackupError::Io`] or [`BackupError::Store`].
pub fn copy(
    store: &Store,
    id: &NetworkId,
    to: &Path,
    wanted: impl Fn() -> Wanted,
) -> Result<Copied, BackupError> {
    std::fs::create_dir(to).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            BackupError::Exists(to.to_owned())
        } else {
            failed(to, error)
        }
    })?;
    let filled = fill(store, &Files::new(to, id), to, wanted);
    if filled.is_err()
        && let Err(error) = std::fs::remove_dir_all(to)
    {
        tracing::warn!(directory = %to.display(), %error, "half a backup was left");
    }
    filled
}

fn fill(
    store: &Store,
    files: &Files,
    to: &Path,
    wanted: impl Fn() -> Wanted,
) -> Result<Copied, BackupError> {
    let head = store.copy_to(&files.store, wanted)?;
    if let Some(head) = head {
        let written = HeadFile::new(files.head.clone()).write(head);
        let written = written.and_then(|()| File::open(&files.head)?.sync_all());
        written.map_err(|error| failed(&files.head, error))?;
    }
    let synced = File::open(to).and_then(|directory| directory.sync_all());
    synced.map_err(|error| failed(to, error))?;
    sync_parent(to)?;
    Ok(Copied {
        height: head.map_or(0, |head| head.height.0),
        hash: head.map(|head| head.hash.to_string()),
        snapshot: store.base()?.map_or(0, |base| base.height.0),
    })
}

/// Opens a copy and verifies every block in it.
fn prove(id: &NetworkId, directory: &Path, copied: &Copied) -> Result<(), BackupError> {
    let files = Files::new(directory, id);
    let head = HeadFile::read(&files.head).map_err(|error| failed(&files.head, error))?;
    let verified = start::verified(&files, head);
    let (_, ledger, _) = verified.map_err(|error| BackupError::Unproved {
        path: directory.to_owned(),
        error,
    })?;
    let found = ledger.verifier().height().0;
    if found == copied.height {
        return Ok(());
    }
    Err(BackupError::Differs {
        path: directory.to_owned(),
        found,
        wanted: copied.height,
    })
}

/// The name of a directory that is not whole yet.
fn beside(to: &Path) -> PathBuf {
    let mut name: OsString = to.file_name().unwrap_or_default().to_owned();
    name.push(".unfinished");
    to.with_file_name(name)
}

fn sync_parent(path: &Path) -> Result<(), BackupError> {
    let parent = path.parent().unwrap_or(path);
    let synced = File::open(parent).and_then(|directory| directory.sync_all());
    synced.map_err(|error| failed(parent, error))
}

fn failed(path: &Path, error: io::Error) -> BackupError {
    BackupError::Io {
        path: path.to_owned(),
        error,
    }
}
