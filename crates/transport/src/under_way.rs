//! The requests in progress, for progress reports to the user.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use tokio::time::{Instant, sleep_until};
use url::Url;

use crate::host::authority;
use crate::redact::shown;

/// A request without progress for some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Identifies the request within this process.
    pub number: u64,
    /// The request, in a form that may be displayed: `PUT https://…`.
    pub what: String,
    /// How long the request has made no progress.
    pub silent: Duration,
}

/// The requests that were sent and whose answers are not complete.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnderWay {
    next: Arc<AtomicU64>,
    requests: Arc<Mutex<HashMap<u64, Entry>>>,
}

#[derive(Debug)]
struct Entry {
    method: Method,
    url: Url,
    progress: Progress,
}

/// The entry of a request in progress. Dropping it removes the entry.
#[derive(Debug)]
pub(crate) struct Ticket {
    number: u64,
    pub(crate) progress: Progress,
    all: UnderWay,
}

impl UnderWay {
    /// Adds a request that is about to be sent.
    pub(crate) fn enter(&self, method: &Method, url: &Url) -> Ticket {
        let number = self.next.fetch_add(1, Relaxed);
        let progress = Progress::new();
        let entry = Entry { method: method.clone(), url: url.clone(), progress: progress.clone() };
        self.requests().insert(number, entry);
        Ticket { number, progress, all: self.clone() }
    }

    /// Returns the requests without progress for longer than the given time, the longest first.
    pub(crate) fn stalled(&self, longer_than: Duration) -> Vec<Stall> {
        let mut stalls: Vec<Stall> = self
            .requests()
            .iter()
            .map(|(number, entry)| (number, entry, entry.progress.last().elapsed()))
            .filter(|(_, _, silent)| *silent > longer_than)
            .map(|(number, entry, silent)| Stall {
                number: *number,
                what: format!("{} {}", entry.method, shown(&entry.url)),
                silent,
            })
            .collect();
        stalls.sort_by_key(|stall| std::cmp::Reverse(stall.silent));
        stalls
    }

    /// Returns the hosts of these requests, each with the longest time that one of its requests has made no progress. A request
    /// that waits for content of this process does not count.
    pub(crate) fn silent(&self) -> BTreeMap<String, Duration> {
        let mut hosts: BTreeMap<String, Duration> = BTreeMap::new();
        for entry in self.requests().values() {
            let silent =
                if entry.progress.is_starved() { Duration::ZERO } else { entry.progress.last().elapsed() };
            let longest = hosts.entry(authority(&entry.url)).or_default();
            *longest = silent.max(*longest);
        }
        hosts
    }

    fn requests(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.all.requests().remove(&self.number);
    }
}

/// When a request last made progress: when it was sent, or when a piece of either body was transferred.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    started: Instant,
    /// In milliseconds after the start.
    moved: Arc<AtomicU64>,
    /// Whether the request waits for content that this process has to send.
    starved: Arc<AtomicBool>,
}

impl Progress {
    fn new() -> Self {
        Self { started: Instant::now(), moved: Arc::default(), starved: Arc::default() }
    }

    /// Records progress.
    pub(crate) fn touch(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(millis, Relaxed);
    }

    /// Records whether the request waits for content of this process. While it does, the host is not the cause of the silence.
    pub(crate) fn set_starved(&self, starved: bool) {
        if self.starved.swap(starved, Relaxed) && !starved {
            self.touch();
        }
    }

    fn is_starved(&self) -> bool {
        self.starved.load(Relaxed)
    }

    pub(crate) fn last(&self) -> Instant {
        self.started + Duration::from_millis(self.moved.load(Relaxed))
    }

    /// Completes when there is no progress for `limit` although all content was sent.
    pub(crate) async fn silence(&self, limit: Duration) {
        loop {
            if self.is_starved() {
                self.touch();
            }
            let deadline = self.last() + limit;
            if Instant::now() >= deadline {
                return;
            }
            sleep_until(deadline).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_counts_only_while_the_host_has_to_answer() {
        let progress = Progress::new();
        let limit = Duration::from_secs(60);
        progress.set_starved(true);
        assert!(
            timeout(Duration::from_secs(600), progress.silence(limit)).await.is_err(),
            "the request waits for content to send"
        );
        progress.set_starved(false);
        assert!(timeout(Duration::from_secs(59), progress.silence(limit)).await.is_err());
        assert!(timeout(Duration::from_secs(2), progress.silence(limit)).await.is_ok());
    }
}
