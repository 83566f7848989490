//! What the door is told before it opens.

use std::collections::HashMap;
use std::time::Duration;

use crate::retry::Retry;

/// What one host bears and how it is spoken with.
#[derive(Clone, Debug, PartialEq)]
pub struct HostSettings {
    /// The most reads, and the most writes, under way at once.
    pub concurrency: usize,
    /// How many to begin with.
    pub start_concurrency: usize,
    /// The most requests a second, where a cap is known. `None`: as many as the host answers.
    pub requests_per_second: Option<f64>,
    /// The most writes a second, where there is a cap of their own.
    pub writes_per_second: Option<f64>,
    /// Requests a second to begin with, reads and writes each.
    pub start_requests_per_second: f64,
    /// Requests that may leave before that rate holds.
    pub start_burst: f64,
    /// How long the host is waited for when it no longer serves anything.
    pub patience: Duration,
    /// Whether plain HTTP may be spoken with the host.
    pub plain_http: bool,
    /// Whether the host is reached without the proxy that the environment may name.
    pub direct: bool,
}

impl Default for HostSettings {
    fn default() -> Self {
        Self {
            concurrency: 32,
            start_concurrency: 8,
            requests_per_second: None,
            writes_per_second: None,
            start_requests_per_second: 80.0,
            start_burst: 80.0,
            patience: Duration::from_secs(180),
            plain_http: false,
            direct: false,
        }
    }
}

/// How long the door waits. A stream that moves, however slowly within reason, is not cut off by any of these.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the head of an answer: counted from the last piece of a stream that was sent; for bytes that are sent in one, from
    /// when these have left at a tenth of a megabyte a second.
    pub answer: Duration,
    /// For the next piece of a body. In each such span at least a kilobyte must come, so that a drip is no stream.
    pub idle: Duration,
    /// For the whole of a body that is read into memory.
    pub whole: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            whole: Duration::from_secs(300),
        }
    }
}

/// All of the door's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `User-Agent` of every request.
    pub user_agent: String,
    /// Certificates of authorities to trust besides the system's, each a PEM text that may hold several.
    pub authorities: Vec<Vec<u8>>,
    /// Settings by host, as it stands in URLs: `gcr.io`, `127.0.0.1:5000`.
    pub hosts: HashMap<String, HostSettings>,
    /// Settings of every other host.
    pub other_hosts: HostSettings,
    /// How often a request is tried.
    pub retry: Retry,
    /// How long the door waits.
    pub timeouts: Timeouts,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            user_agent: concat!("kpromo/", env!("CARGO_PKG_VERSION")).to_owned(),
            authorities: Vec::new(),
            hosts: HashMap::new(),
            other_hosts: HostSettings::default(),
            retry: Retry::default(),
            timeouts: Timeouts::default(),
        }
    }
}

/// Why a door cannot be opened with some settings.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSettings {
    /// A certificate cannot be read.
    #[error("certificate authority number {position} cannot be read as PEM: {source}")]
    Authority {
        /// Its place in [`Settings::authorities`], from 1.
        position: usize,
        /// Why.
        source: reqwest::Error,
    },
    /// The client refuses them.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(reqwest::Error),
}
