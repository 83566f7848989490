//! The folder of one Sigstore, and the removal of abandoned ones.

use std::fs::{self, File};
use std::path::Path;

use tempfile::TempDir;

use crate::error::Error;

/// A folder with a lock that marks it as in use. The kernel releases the lock however its holder ends.
#[derive(Debug)]
pub(super) struct Folder {
    folder: TempDir,
    _lock: File,
}

impl Folder {
    /// Creates a folder in `parent`, and removes folders there that are no longer in use.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub(super) fn create(parent: &Path) -> Result<Self, Error> {
        fs::create_dir_all(parent).map_err(Error::file("making the directory of Sigstores", parent))?;
        // Held until the new folder has its lock, so that no other process removes it before.
        let _all = lock(&parent.join("lock"))?;
        remove_abandoned(parent)?;
        let folder = tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(parent)
            .map_err(Error::file("making a directory for a Sigstore below", parent))?;
        let lock = lock(&folder.path().join("lock"))?;
        Ok(Self { folder, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn lock(file: &Path) -> Result<File, Error> {
    let open = File::create(file).map_err(Error::file("making the lock", file))?;
    open.lock().map_err(Error::file("locking", file))?;
    Ok(open)
}

/// Removes the folders whose locks are not held. A folder without a lock is left from an interrupted removal, because a new
/// folder gets its lock while `parent` is locked. If a folder cannot be removed because a process that ends still writes to
/// it, a later call removes it.
fn remove_abandoned(parent: &Path) -> Result<(), Error> {
    let entries = fs::read_dir(parent).map_err(Error::file("listing", parent))?;
    for folder in entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir()) {
        let is_in_use = File::open(folder.join("lock")).is_ok_and(|lock| lock.try_lock().is_err());
        if !is_in_use {
            let _ = fs::remove_dir_all(&folder);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_owner_or_else_with_the_next_one_and_never_before() {
        let parent = tempfile::tempdir().unwrap();
        let [abandoned, half_removed] = ["run-one", "run-two"].map(|name| parent.path().join(name));
        fs::create_dir(&abandoned).unwrap();
        File::create(abandoned.join("lock")).unwrap();
        fs::create_dir(&half_removed).unwrap();
        File::create(half_removed.join("db")).unwrap();
        let first = Folder::create(parent.path()).unwrap();
        assert!(!abandoned.exists() && !half_removed.exists());
        let second = Folder::create(parent.path()).unwrap();
        assert!(first.path().is_dir() && first.path() != second.path());
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists() && second.path().is_dir());
    }
}
