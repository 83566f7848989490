//! Classes of requests: the limits of a host tell requests apart by their class.

/// How a request counts towards its host's limits. Registries keep separate quotas for reads and writes, and requests that
/// are small and waited for go before large ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Asks for a token, which other requests wait for.
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
    /// Whether it may change something.
    pub(crate) fn is_write(self) -> bool {
        matches!(self, Self::Write | Self::BulkWrite)
    }

    /// Whether it moves many bytes, so that small requests go first.
    pub(crate) fn is_bulk(self) -> bool {
        matches!(self, Self::BulkRead | Self::BulkWrite)
    }
}
