//! The copy of a TUF repository on disk. Only complete updates are written.
//!
//! An updater stores each part as soon as it has verified it. If a repository failed in the middle of an update, the copy would
//! consist of parts that do not fit together, and could not serve as a fallback.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sigstore_tuf::{FileStore, MetadataStore, Result};

/// A directory, and the changes to write to it.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    kept: FileStore,
    new: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Draft {
    pub(super) fn over(kept: FileStore) -> Self {
        Self { kept, new: Arc::default() }
    }

    /// Writes all changes. If the directory is not writable, a warning is logged and the next run asks the repository again.
    pub(super) fn keep(&self) {
        let new = std::mem::take(&mut *self.new.lock().unwrap_or_else(PoisonError::into_inner));
        for (name, bytes) in new {
            if let Err(error) = self.kept.store(&name, &bytes) {
                tracing::warn!("the files of the TUF repository cannot be cached: {error}");
                return;
            }
        }
    }
}

impl MetadataStore for Draft {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let new = self.new.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        new.map_or_else(|| self.kept.load(name), |bytes| Ok(Some(bytes)))
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.new.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), bytes.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_readable_immediately_and_written_only_when_kept() {
        let directory = tempfile::tempdir().unwrap();
        let kept = || FileStore::new(directory.path());
        kept().store("a", b"old").unwrap();
        let draft = Draft::over(kept());
        draft.store("a", b"new").unwrap();
        assert_eq!(draft.load("a").unwrap().unwrap(), b"new");
        assert_eq!(kept().load("a").unwrap().unwrap(), b"old");
        draft.keep();
        assert_eq!(kept().load("a").unwrap().unwrap(), b"new");
        assert_eq!(draft.load("absent").unwrap(), None);
    }
}
