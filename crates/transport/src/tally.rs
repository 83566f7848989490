//! What went through the door: requests by host and kind, refusals, retries, bytes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use serde::Serialize;

use crate::limit::Permit;

/// Counts of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostTally {
    /// Requests sent, retries and redirects included, by kind.
    pub requests: BTreeMap<&'static str, u64>,
    /// Requests that the host refused for being too many (429 and 503).
    pub refused: u64,
    /// Requests that were sent because an earlier one had failed.
    pub retried: u64,
    /// Requests that got no answer.
    pub unanswered: u64,
    /// Bytes of bodies received.
    pub received: u64,
    /// Bytes of bodies sent.
    pub sent: u64,
    /// From the first request to the last answer or piece of a body, in milliseconds.
    pub milliseconds: u64,
}

impl HostTally {
    /// All requests together.
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }
}

/// Counts by host.
pub type Tally = BTreeMap<String, HostTally>;

/// The counters of one host, while they move.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: Mutex<BTreeMap<&'static str, u64>>,
    pub(crate) refused: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) unanswered: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    first: OnceLock<Instant>,
    /// Milliseconds after the first request.
    last: AtomicU64,
}

impl Counters {
    /// Takes note that the host has answered something.
    pub(crate) fn touch(&self) {
        let since = self.first.get_or_init(Instant::now).elapsed();
        self.last.fetch_max(u64::try_from(since.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Counts a request that leaves, for which its host's permit has to be shown.
    pub(crate) fn request(&self, _: &Permit, kind: &'static str) {
        self.touch();
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    pub(crate) fn snapshot(&self) -> HostTally {
        HostTally {
            requests: self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            refused: self.refused.load(Relaxed),
            retried: self.retried.load(Relaxed),
            unanswered: self.unanswered.load(Relaxed),
            received: self.received.load(Relaxed),
            sent: self.sent.load(Relaxed),
            milliseconds: self.last.load(Relaxed),
        }
    }
}
