//! The requests that are under way, so that a user who waits can be told what for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use tokio::time::{Instant, sleep_until};
use url::Url;

use crate::redact::shown;

/// A request of which nothing has moved for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Identifies it within this process.
    pub number: u64,
    /// The request, as it may be shown: `PUT https://…`.
    pub what: String,
    /// For how long nothing of it has moved.
    pub silent: Duration,
}

/// The requests that were sent and whose answers have not come to an end.
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

/// A request's entry among those that are under way; dropping it removes the entry.
#[derive(Debug)]
pub(crate) struct Ticket {
    number: u64,
    pub(crate) progress: Progress,
    all: UnderWay,
}

impl UnderWay {
    /// Enters a request that is about to be sent.
    pub(crate) fn enter(&self, method: &Method, url: &Url) -> Ticket {
        let number = self.next.fetch_add(1, Relaxed);
        let progress = Progress::new();
        let entry = Entry { method: method.clone(), url: url.clone(), progress: progress.clone() };
        self.requests().insert(number, entry);
        Ticket { number, progress, all: self.clone() }
    }

    /// The requests of which nothing has moved for so long, the longest first.
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

    fn requests(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.all.requests().remove(&self.number);
    }
}

/// When a request last moved: when it was sent, or when a piece of either body passed.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    started: Instant,
    /// Milliseconds after the start.
    moved: Arc<AtomicU64>,
    /// Whether the request waits for the content that we are to send.
    starved: Arc<AtomicBool>,
}

impl Progress {
    fn new() -> Self {
        Self { started: Instant::now(), moved: Arc::default(), starved: Arc::default() }
    }

    /// Notes that something has moved.
    pub(crate) fn touch(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(millis, Relaxed);
    }

    /// Notes whether the request waits for content of ours. While it does, silence is not the host's.
    pub(crate) fn set_starved(&self, starved: bool) {
        if self.starved.swap(starved, Relaxed) && !starved {
            self.touch();
        }
    }

    pub(crate) fn last(&self) -> Instant {
        self.started + Duration::from_millis(self.moved.load(Relaxed))
    }

    /// Ends when nothing has moved for `limit` though all that we have to send was sent.
    pub(crate) async fn silence(&self, limit: Duration) {
        loop {
            if self.starved.load(Relaxed) {
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
    async fn silence_counts_only_while_the_host_is_to_answer() {
        let progress = Progress::new();
        let limit = Duration::from_secs(60);
        progress.set_starved(true);
        assert!(timeout(Duration::from_secs(600), progress.silence(limit)).await.is_err(), "we have to send");
        progress.set_starved(false);
        assert!(timeout(Duration::from_secs(59), progress.silence(limit)).await.is_err());
        assert!(timeout(Duration::from_secs(2), progress.silence(limit)).await.is_ok());
    }
}
