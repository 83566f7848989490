//! What a server is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::accounts::Authentication;

/// How a server serves. The default is a plain, open, conformant registry in memory on a free loopback port.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where content is kept.
    pub storage: Storage,
    /// Who may do what.
    pub authentication: Authentication,
    /// Whether there is a referrers API. Without it clients fall back to the tag `<algorithm>-<hash>` (distribution
    /// specification, *Referrers Tag Schema*).
    pub referrers_api: bool,
    /// Whether tag lists are those of gcr.io and pkg.dev: one page, with `manifest` and `child`.
    pub google_listing: bool,
    /// How many entries a page of tags, repositories or referrers has at most, and where the client names no number.
    pub page_size: NonZeroUsize,
    /// What uploads may take.
    pub uploads: UploadLimits,
    /// How long a request's body may pause.
    pub body_idle: Duration,
    /// How many of the latest requests [`crate::Tally::log`] remembers; 0 remembers none.
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

/// Where content is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In memory, until the last handle of the store is dropped.
    Memory,
    /// In a folder, which is made if it is missing. What was acknowledged survives a crash.
    Folder(PathBuf),
    /// Blobs are hashed and thrown away, only their digests and sizes are kept: for benchmarks. Manifests are in memory.
    Discard,
}

/// What uploads of blobs may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadLimits {
    /// The largest blob, in bytes.
    pub blob_size: u64,
    /// How many uploads may be open at once.
    pub open: usize,
    /// After how long without a request an open upload is forgotten.
    pub idle: Duration,
}

impl Default for UploadLimits {
    fn default() -> Self {
        Self { blob_size: 64 << 30, open: 4096, idle: Duration::from_secs(3600) }
    }
}
