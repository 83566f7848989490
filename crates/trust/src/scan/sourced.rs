//! Things with their sources.

use std::sync::Arc;

/// A thing with its source, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The scan, the file or the attestation.
    pub source: Arc<str>,
    /// The thing.
    pub content: T,
}
