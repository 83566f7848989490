//! The errors of the inventory cache.

use std::fmt;
use std::path::{Path, PathBuf};

/// The reason why an inventory cache cannot be used.
#[derive(Debug)]
pub enum CacheError {
    /// Another process has the cache open.
    InUse(PathBuf),
    /// The file is not an inventory cache. It is left unchanged.
    Foreign(PathBuf),
    /// The file cannot be read or written.
    Failed(PathBuf, Box<redb::Error>),
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => {
                write!(f, "the inventory cache {} is in use by another process", path.display())
            }
            Self::Foreign(path) => {
                write!(f, "{} is not an inventory cache of kpromo and stays unchanged", path.display())
            }
            Self::Failed(path, error) => {
                write!(f, "the inventory cache {} cannot be used: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for CacheError {}

/// Wraps an error of the database.
pub(super) fn failed(path: &Path, error: impl Into<redb::Error>) -> CacheError {
    CacheError::Failed(path.to_owned(), Box::new(error.into()))
}
