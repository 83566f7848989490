//! Content with its source.

use std::sync::Arc;

/// Content with its source, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The scan, the file or the attestation.
    pub source: Arc<str>,
    /// The content.
    pub content: T,
}
