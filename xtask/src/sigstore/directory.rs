//! The directory of one Sigstore, and the removal of abandoned ones.

use std::fs::{self, File};
use std::path::Path;

use tempfile::TempDir;

use crate::error::Error;

/// A directory with a lock that marks it as in use. The kernel releases the lock when its holder exits, in any way.
#[derive(Debug)]
pub(super) struct Directory {
    directory: TempDir,
    _lock: File,
}

impl Directory {
    /// Creates a directory in `parent`, and removes directories there that are no longer in use.
    ///
    /// # Errors
    /// If the directory cannot be created.
    pub(super) fn create(parent: &Path) -> Result<Self, Error> {
        fs::create_dir_all(parent).map_err(Error::file("making the directory of Sigstores", parent))?;
        // Held until the new directory has its lock, so that no other process removes it first.
        let _all = lock(&parent.join("lock"))?;
        remove_abandoned(parent)?;
        let directory = tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(parent)
            .map_err(Error::file("making a directory for a Sigstore below", parent))?;
        let lock = lock(&directory.path().join("lock"))?;
        Ok(Self { directory, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn lock(file: &Path) -> Result<File, Error> {
    let open = File::create(file).map_err(Error::file("making the lock", file))?;
    open.lock().map_err(Error::file("locking", file))?;
    Ok(open)
}

/// Removes the directories whose locks are not held. A directory without a lock is left from an interrupted removal, because a
/// new directory gets its lock while `parent` is locked. If a directory cannot be removed because an exiting process still
/// writes to it, a later call removes it.
fn remove_abandoned(parent: &Path) -> Result<(), Error> {
    let entries = fs::read_dir(parent).map_err(Error::file("listing", parent))?;
    for directory in entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir()) {
        let is_in_use = File::open(directory.join("lock")).is_ok_and(|lock| lock.try_lock().is_err());
        if !is_in_use {
            let _ = fs::remove_dir_all(&directory);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_removed_by_its_owner_or_by_the_next_one_and_never_while_in_use() {
        let parent = tempfile::tempdir().unwrap();
        let [abandoned, half_removed] = ["run-one", "run-two"].map(|name| parent.path().join(name));
        fs::create_dir(&abandoned).unwrap();
        File::create(abandoned.join("lock")).unwrap();
        fs::create_dir(&half_removed).unwrap();
        File::create(half_removed.join("db")).unwrap();
        let first = Directory::create(parent.path()).unwrap();
        assert!(!abandoned.exists() && !half_removed.exists());
        let second = Directory::create(parent.path()).unwrap();
        assert!(first.path().is_dir() && first.path() != second.path());
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists() && second.path().is_dir());
    }
}
