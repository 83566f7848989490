//! Errors of the storage.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the storage.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An operation of the file system failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Another process has the directory open.
    #[error("the registry directory {} is in use by another process: stop that one, or choose another directory", directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// Something in the directory was not written by this registry.
    #[error("{} does not belong in a registry directory: {reason}", path.display())]
    Foreign {
        /// Its path.
        path: PathBuf,
        /// Why it does not belong there.
        reason: String,
    },
    /// The runtime dropped a task because it is shutting down.
    #[error("the runtime is shutting down")]
    Shutdown,
}

impl StoreError {
    /// Returns the error for something in the directory that this registry has not written.
    pub(super) fn foreign(path: &Path, reason: impl Into<String>) -> Self {
        Self::Foreign { path: path.to_owned(), reason: reason.into() }
    }
}

/// Turns an I/O error into one that names the action and the path.
pub(super) fn at(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.as_ref().to_owned();
    move |source| StoreError::Io { action, path, source }
}
