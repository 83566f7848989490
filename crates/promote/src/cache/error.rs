//! Why an inventory cache cannot be used.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a cache cannot be used.
#[derive(Debug)]
pub enum CacheError {
    /// Another process has it open.
    InUse(PathBuf),
    /// There is a file that is not an inventory cache; it is left as it is.
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
                write!(f, "{} is not an inventory cache of kpromo: it is left as it is", path.display())
            }
            Self::Failed(path, error) => {
                write!(f, "the inventory cache {} cannot be used: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for CacheError {}

/// The cause of an error of the database.
pub(super) fn failed(path: &Path, error: impl Into<redb::Error>) -> CacheError {
    CacheError::Failed(path.to_owned(), Box::new(error.into()))
}
