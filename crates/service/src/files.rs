//! Files that hold either the old content or the new one, also after a power cut.
//!
//! The content goes to a temporary file in the same directory, is flushed to the disk, and takes the name by one
//! rename; then the directory is flushed, because the rename lives there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Replaces the file at `path` by `bytes`, durable when it returns; creates missing directories.
///
/// Two callers must not write the same path at the same time: they would share the temporary file.
///
/// # Errors
/// Any failed step of the above; the old file is then untouched.
pub fn atomic_write(path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
    let path = path.as_ref();
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory)?;
    let temporary = temporary_path(path)?;
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}

fn temporary_path(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(".tmp");
    Ok(path.with_file_name(temporary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_content_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/file.json");
        atomic_write(&path, b"one").unwrap();
        atomic_write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_leftover_temporary_file_of_a_crash_does_not_matter() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.json");
        atomic_write(&path, b"good").unwrap();
        fs::write(temporary_path(&path).unwrap(), b"half-writ").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"good");
        atomic_write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_directory_is_refused() {
        assert!(atomic_write("/", b"x").is_err());
    }
}
