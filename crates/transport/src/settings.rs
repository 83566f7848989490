//! The settings of a door.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::authorities::Authorities;
use crate::retry::Retry;

/// The limits of one host, and how to connect to it.
#[derive(Clone, Debug, PartialEq)]
pub struct HostSettings {
    /// The maximum number of requests in progress, for each of reads, writes and token requests, so that none waits for a permit
    /// that another kind holds (spec 03.8).
    pub concurrency: usize,
    /// The initial number of requests in progress.
    pub start_concurrency: usize,
    /// The maximum number of requests a second, all kinds together. `None`: as many as the host answers.
    pub requests_per_second: Option<f64>,
    /// The maximum number of writes a second, if they have a cap of their own.
    pub writes_per_second: Option<f64>,
    /// The initial number of requests a second, for each kind. As soon as answers show the distance of the host, the rate grows
    /// fast (spec 03.11). At the first refusal it returns to this value.
    pub start_requests_per_second: f64,
    /// How many requests, of all kinds together, may be sent before that rate applies.
    pub start_burst: f64,
    /// How long to wait for a host that no longer serves any request. This is also the maximum wait for a `Retry-After`.
    pub patience: Duration,
    /// The latest time until which to wait for a quota whose end the host announces: by `Retry-After` of a refusal, or by
    /// `x-ratelimit-reset` if `x-ratelimit-remaining` is 0, which is then obeyed in every answer. If the quota ends later, no
    /// request waits for it. `None`: [`HostSettings::patience`] limits the wait, and only refusals count.
    pub quota_deadline: Option<Instant>,
    /// The timeout for the head of an answer. `None`: [`Timeouts::answer`], and five times as long for writes, since a registry
    /// may take minutes to commit a large blob.
    pub answer: Option<Duration>,
    /// Whether plain HTTP is permitted.
    pub plain_http: bool,
    /// Whether to bypass the proxy of the environment.
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
            quota_deadline: None,
            answer: None,
            plain_http: false,
            direct: false,
        }
    }
}

/// The concurrency that `cargo xtask test` sets for all hosts without settings of their own. Release builds ignore it.
#[expect(clippy::disallowed_methods, reason = "a switch for tests, which release builds ignore")]
fn test_concurrency() -> Option<usize> {
    if cfg!(debug_assertions) { std::env::var("KPROMO_TEST_CONCURRENCY").ok()?.parse().ok() } else { None }
}

/// The timeouts of the door. None of them ends a stream that makes progress at a reasonable speed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeouts {
    /// For establishing a connection.
    pub connect: Duration,
    /// For the head of an answer, from the last piece of a stream that was sent. If the body is sent in one piece, the time that
    /// it needs at a tenth of a megabyte a second is added.
    pub answer: Duration,
    /// For the next piece of a body. At least a kilobyte must arrive in each such span.
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

/// All settings of the door.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `User-Agent` of every request.
    pub user_agent: String,
    /// Certificate authorities to trust in addition to those of the system.
    pub authorities: Authorities,
    /// Settings by host, as it is written in URLs: `gcr.io`, `127.0.0.1:5000`.
    pub hosts: HashMap<String, HostSettings>,
    /// Settings of all other hosts.
    pub other_hosts: HostSettings,
    /// Hosts of metadata services in addition to the known ones, as they are written in URLs. No answer may lead to them, even if
    /// `hosts` has settings for them.
    pub metadata_hosts: Vec<String>,
    /// How often and for how long a request is tried.
    pub retry: Retry,
    /// The timeouts.
    pub timeouts: Timeouts,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            user_agent: concat!("kpromo/", env!("CARGO_PKG_VERSION")).to_owned(),
            authorities: Authorities::default(),
            hosts: HashMap::new(),
            other_hosts: HostSettings::default(),
            metadata_hosts: Vec::new(),
            retry: Retry::default(),
            timeouts: Timeouts::default(),
        }
    }
}

/// Why a door cannot be created with these settings.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSettings {
    /// Neither the system nor the settings have an authority.
    #[error(
        "no certificate authority can be read; install the certificates of the system (the package ca-certificates), or correct \
         SSL_CERT_FILE and SSL_CERT_DIR, which replace them; an empty SSL_CERT_FILE does so, too"
    )]
    NoAuthorities,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
    /// The HTTP client rejects the settings.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(reqwest::Error),
}
