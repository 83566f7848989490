//! Statistics of requests by host and kind: requests, refusals, faults, retries, bytes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use crate::limit::{Observed, Permit};
use crate::timeline::{Bucket, Recorder};

/// The requests to one host and their answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostTally {
    /// Requests sent, including retries and redirects, by kind.
    pub requests: BTreeMap<&'static str, u64>,
    /// Requests that the host refused because of their rate: answers with 429, or with 503 and `Retry-After`.
    pub refused: u64,
    /// Requests that failed at the host: answers with another temporary 5xx. Those without an answer are not among them.
    pub faults: u64,
    /// Requests that were sent because an earlier attempt had failed.
    pub retried: u64,
    /// Requests without an answer.
    pub unanswered: u64,
    /// Bytes of received bodies.
    pub received: u64,
    /// Bytes of sent bodies.
    pub sent: u64,
    /// The time from the first request to the last answer or piece of a body, in milliseconds.
    pub milliseconds: u64,
}

impl HostTally {
    /// The total number of requests.
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }
}

/// The statistics by host.
pub type Tally = BTreeMap<String, HostTally>;

/// The live counters of one host.
#[derive(Debug)]
pub(crate) struct Counters {
    /// When the door was opened: the start of the timeline.
    opened: Instant,
    timeline: Mutex<Recorder>,
    requests: Mutex<BTreeMap<&'static str, u64>>,
    refused: AtomicU64,
    faults: AtomicU64,
    pub(crate) retried: AtomicU64,
    unanswered: AtomicU64,
    /// Whether the host refused the last request that it did not serve, rather than failing.
    has_refused: AtomicBool,
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    first: OnceLock<Instant>,
    /// When a request was last sent or answered, in milliseconds after the first request.
    last: AtomicU64,
    /// When the host last answered, in milliseconds after the first request; 0 for never.
    last_answer: AtomicU64,
    /// When the host last sent a part of an answer that is neither a refusal nor a failure, in the same unit.
    last_served: AtomicU64,
}

impl Counters {
    /// Returns the counters of a host before its first request, in a door that was opened at `opened`.
    pub(crate) fn new(opened: Instant) -> Self {
        let (timeline, requests, first) = Default::default();
        let (refused, faults, retried, unanswered, has_refused) = Default::default();
        let (received, sent, last, last_answer, last_served) = Default::default();
        Self {
            opened,
            timeline,
            requests,
            refused,
            faults,
            retried,
            unanswered,
            has_refused,
            received,
            sent,
            first,
            last,
            last_answer,
            last_served,
        }
    }

    /// Counts in the bucket of the current time.
    fn count(&self, count: impl FnOnce(&mut Bucket)) {
        let mut timeline = self.timeline.lock().unwrap_or_else(PoisonError::into_inner);
        count(timeline.at(self.opened.elapsed()));
    }

    /// Returns the buckets so far.
    pub(crate) fn timeline(&self) -> Recorder {
        self.timeline.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records that a request was sent or answered, and returns the time in milliseconds after the first request.
    fn touch(&self) -> u64 {
        let since = self.first.get_or_init(Instant::now).elapsed();
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.last.fetch_max(millis, Relaxed);
        millis
    }

    /// Records that the host has answered, with a head or a piece of a body.
    pub(crate) fn answered(&self) {
        self.last_answer.fetch_max(self.touch().max(1), Relaxed);
    }

    /// Records that the host has served a request: it sent a head or a piece of a body, neither a refusal nor a failure.
    pub(crate) fn served(&self) {
        self.answered();
        self.last_served.fetch_max(self.touch().max(1), Relaxed);
    }

    /// Returns when the host last answered.
    pub(crate) fn last_answer(&self) -> Option<Instant> {
        self.at(self.last_answer.load(Relaxed))
    }

    /// Returns when the host last served a request.
    pub(crate) fn last_served(&self) -> Option<Instant> {
        self.at(self.last_served.load(Relaxed))
    }

    fn at(&self, millis: u64) -> Option<Instant> {
        (millis > 0).then(|| *self.first.get_or_init(Instant::now) + Duration::from_millis(millis))
    }

    /// Counts an answer by what it says about the host.
    pub(crate) fn observed(&self, observed: Observed) {
        match observed {
            Observed::Served | Observed::UsedUp(_) => {}
            Observed::Refused(_) => {
                self.refused.fetch_add(1, Relaxed);
                self.has_refused.store(true, Relaxed);
                self.count(|bucket| bucket.refused += 1);
            }
            Observed::Failed => {
                self.faults.fetch_add(1, Relaxed);
                self.has_refused.store(false, Relaxed);
                self.count(|bucket| bucket.faults += 1);
            }
        }
    }

    /// Counts a request that ended without an answer.
    pub(crate) fn unanswered(&self) {
        self.unanswered.fetch_add(1, Relaxed);
        self.has_refused.store(false, Relaxed);
        self.count(|bucket| bucket.unanswered += 1);
    }

    /// Returns whether the host refused the last request that it did not serve, rather than failing.
    pub(crate) fn has_refused(&self) -> bool {
        self.has_refused.load(Relaxed)
    }

    /// Counts a request that is sent. The permit proves that its host admitted it.
    pub(crate) fn request(&self, _: &Permit, kind: &'static str) {
        self.touch();
        self.count(|bucket| bucket.requests += 1);
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
