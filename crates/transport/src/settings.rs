//! The settings of a door.

use std::collections::HashMap;
use std::time::Duration;

use crate::retry::Retry;

/// The limits of one host, and how to connect to it.
#[derive(Clone, Debug, PartialEq)]
pub struct HostSettings {
    /// The most requests under way at once: reads, writes and requests for tokens each, so that none waits for a place that
    /// another kind holds (spec 03.8).
    pub concurrency: usize,
    /// How many to begin with.
    pub start_concurrency: usize,
    /// The most requests a second, all kinds together, where a cap is known. `None`: as many as the host answers.
    pub requests_per_second: Option<f64>,
    /// The most writes a second, where there is a cap of their own.
    pub writes_per_second: Option<f64>,
    /// Requests a second to begin with, each kind. As soon as answers tell how far away the host is, the rate grows fast (spec
    /// 03.11); at the first refusal it returns to this one.
    pub start_requests_per_second: f64,
    /// Requests, of all kinds together, that may leave before that rate holds.
    pub start_burst: f64,
    /// How long the host is waited for when it no longer serves anything; also the longest rest that `Retry-After` can ask for.
    pub patience: Duration,
    /// How long the head of an answer is waited for. `None`: [`Timeouts::answer`], and five times as long for writes, since a
    /// registry may commit a large blob for minutes.
    pub answer: Option<Duration>,
    /// Whether plain HTTP may be used with the host.
    pub plain_http: bool,
    /// Whether the host is reached without the proxy that the environment may name.
    pub direct: bool,
}

impl Default for HostSettings {
    fn default() -> Self {
        let concurrency = test_concurrency().unwrap_or(32);
        Self {
            concurrency,
            start_concurrency: concurrency.min(8),
            requests_per_second: None,
            writes_per_second: None,
            start_requests_per_second: 80.0,
            start_burst: 80.0,
            patience: Duration::from_secs(180),
            answer: None,
            plain_http: false,
            direct: false,
        }
    }
}

/// The concurrency that `cargo xtask test` sets for all hosts that have no settings of their own. Release builds have none.
#[expect(clippy::disallowed_methods, reason = "a switch of the tests, which release builds do not have")]
fn test_concurrency() -> Option<usize> {
    if cfg!(debug_assertions) { std::env::var("KPROMO_TEST_CONCURRENCY").ok()?.parse().ok() } else { None }
}

/// How long the door waits. None of these cuts off a stream that moves at a reasonable speed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the head of an answer, counted from the last piece of a stream that was sent. Where the body is sent in one piece,
    /// the time that it needs at a tenth of a megabyte a second is added.
    pub answer: Duration,
    /// For the next piece of a body. At least a kilobyte must come in each such span.
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
    /// Hosts of metadata services, as they stand in URLs, besides those that are known: no answer may lead to them, even where
    /// `hosts` has settings for them.
    pub metadata_hosts: Vec<String>,
    /// How often, and for how long, a request is tried.
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
            metadata_hosts: Vec::new(),
            retry: Retry::default(),
            timeouts: Timeouts::default(),
        }
    }
}

/// Why a door cannot be opened with these settings.
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
    /// The HTTP client refuses them.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(reqwest::Error),
}
