//! Errors of the storage.

use std::io;
use std::path::{Path, PathBuf};

/// Why the storage failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// Another process has the folder open.
    #[error("the registry folder {} is in use by another process: stop that one, or choose another folder", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// Something in the folder was not written by this registry.
    #[error("{} does not belong in a registry folder: {reason}", path.display())]
    Foreign {
        /// What it is.
        path: PathBuf,
        /// Why it cannot belong there.
        reason: String,
    },
    /// A task of the runtime was lost, because the runtime is shutting down.
    #[error("the runtime is shutting down")]
    Shutdown,
}

impl StoreError {
    /// The error for something in the folder that this registry has not written.
    pub(super) fn foreign(path: &Path, reason: impl Into<String>) -> Self {
        Self::Foreign { path: path.to_owned(), reason: reason.into() }
    }
}

/// Turns an I/O error into one that names the action and the path.
pub(super) fn at(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.as_ref().to_owned();
    move |source| StoreError::Io { action, path, source }
}
