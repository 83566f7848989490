//! What was sent: requests by host and kind, refusals, faults, retries, bytes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::limit::{Observed, Permit};

/// Counts of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostTally {
    /// Requests sent, retries and redirects included, by kind.
    pub requests: BTreeMap<&'static str, u64>,
    /// Requests that the host refused for their rate (429, and 503 with `Retry-After`).
    pub refused: u64,
    /// Requests that failed at the host (any other 5xx that may pass), without those that got no answer.
    pub faults: u64,
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
    refused: AtomicU64,
    faults: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) unanswered: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    first: OnceLock<Instant>,
    /// When something was last sent or answered, in milliseconds after the first request.
    last: AtomicU64,
    /// When something was last answered, in milliseconds after the first request; 0: never.
    last_answer: AtomicU64,
}

impl Counters {
    /// Notes that something was sent or answered, and when, in milliseconds after the first request.
    fn touch(&self) -> u64 {
        let since = self.first.get_or_init(Instant::now).elapsed();
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.last.fetch_max(millis, Relaxed);
        millis
    }

    /// Notes that the host has answered: with a head, or with a piece of a body.
    pub(crate) fn answered(&self) {
        self.last_answer.fetch_max(self.touch().max(1), Relaxed);
    }

    /// When the host has last answered.
    pub(crate) fn last_answer(&self) -> Option<Instant> {
        let millis = self.last_answer.load(Relaxed);
        (millis > 0).then(|| *self.first.get_or_init(Instant::now) + Duration::from_millis(millis))
    }

    /// Counts an answer by what it says about the host.
    pub(crate) fn observed(&self, observed: Observed) {
        match observed {
            Observed::Served => {}
            Observed::Refused(_) => drop(self.refused.fetch_add(1, Relaxed)),
            Observed::Failed => drop(self.faults.fetch_add(1, Relaxed)),
        }
    }

    /// Counts a request that is sent, for which its host's permit has to be shown.
    pub(crate) fn request(&self, _: &Permit, kind: &'static str) {
        self.touch();
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    pub(crate) fn snapshot(&self) -> HostTally {
        HostTally {
            requests: self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            refused: self.refused.load(Relaxed),
            faults: self.faults.load(Relaxed),
            retried: self.retried.load(Relaxed),
            unanswered: self.unanswered.load(Relaxed),
            received: self.received.load(Relaxed),
            sent: self.sent.load(Relaxed),
            milliseconds: self.last.load(Relaxed),
        }
    }
}
