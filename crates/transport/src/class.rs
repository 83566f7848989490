//! Classes of requests, by which the limits of a host distinguish them.

/// How a request counts towards the limits of its host. Registries have separate quotas for reads and writes. Small requests,
/// which others wait for, take precedence over large ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Requests a token, which other requests wait for.
    Token,
    /// Changes nothing.
    Read,
    /// May change something.
    Write,
    /// Changes nothing and has a large answer.
    BulkRead,
    /// Sends a large body.
    BulkWrite,
}

impl Class {
    /// Returns `true` if the request may change something.
    pub(crate) fn is_write(self) -> bool {
        matches!(self, Self::Write | Self::BulkWrite)
    }

    /// Returns `true` if the request transfers much data, so that small requests take precedence.
    pub(crate) fn is_bulk(self) -> bool {
        matches!(self, Self::BulkRead | Self::BulkWrite)
    }
}
