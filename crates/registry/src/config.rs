//! The configuration of a server.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::accounts::Authentication;

/// The configuration of a server. The default is an open, conformant registry in memory on a free loopback port.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address to listen on. Port 0 selects a free port.
    pub listen: SocketAddr,
    /// Where the content is stored.
    pub storage: Storage,
    /// How requests are authenticated.
    pub authentication: Authentication,
    /// Whether there is a referrers API. Without it, clients fall back to the tag `<algorithm>-<hash>` (distribution
    /// specification, *Referrers Tag Schema*).
    pub referrers_api: bool,
    /// Whether tag lists have the format of gcr.io and pkg.dev: one page, with `manifest` and `child`.
    pub google_listing: bool,
    /// The maximum and the default number of entries in a page of tags, repositories or referrers.
    pub page_size: NonZeroUsize,
    /// The limits for uploads.
    pub uploads: UploadLimits,
    /// The maximum time between two chunks of a request body.
    pub body_idle: Duration,
    /// How many of the latest requests [`crate::Tally::log`] keeps. With 0, it keeps none.
    pub request_log: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            storage: Storage::Memory,
            authentication: Authentication::Open,
            referrers_api: true,
            google_listing: false,
            page_size: NonZeroUsize::MIN.saturating_add(999),
            uploads: UploadLimits::default(),
            body_idle: Duration::from_secs(60),
            request_log: 0,
        }
    }
}

/// Where the content is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In memory, until the last handle of the store is dropped.
    Memory,
    /// In a directory, which is created if it does not exist. Acknowledged writes survive a crash.
    Directory(PathBuf),
    /// Blobs are hashed and discarded. Only their digests and sizes are kept, for benchmarks. Manifests are kept in memory.
    Discard,
}

/// The limits for uploads of blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadLimits {
    /// The maximum size of a blob, in bytes.
    pub blob_size: u64,
    /// The maximum number of open uploads.
    pub open: usize,
    /// An open upload is dropped after this time without a request.
    pub idle: Duration,
}

impl Default for UploadLimits {
    fn default() -> Self {
        Self { blob_size: 64 << 30, open: 4096, idle: Duration::from_secs(3600) }
    }
}
