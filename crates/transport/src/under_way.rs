//! What is under way, so that whoever waits can be told what for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use tokio::time::Instant;
use url::Url;

use crate::redact::shown;

/// Something that keeps a run waiting: nothing of it has moved for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Tells it from all others of this process.
    pub number: u64,
    /// What hangs, as it may be shown: `PUT https://…`.
    pub what: String,
    /// For how long nothing of it has moved.
    pub silent: Duration,
}

/// The requests that have left and whose answers have not come to an end.
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

/// A request's place among those that are under way; dropping it takes it out.
#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    pub(crate) progress: Progress,
    all: UnderWay,
}

impl UnderWay {
    /// Takes note of a request that leaves.
    pub(crate) fn enter(&self, method: &Method, url: &Url) -> Place {
        let number = self.next.fetch_add(1, Relaxed);
        let progress = Progress::new();
        let entry = Entry { method: method.clone(), url: url.clone(), progress: progress.clone() };
        self.requests().insert(number, entry);
        Place { number, progress, all: self.clone() }
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

impl Drop for Place {
    fn drop(&mut self) {
        self.all.requests().remove(&self.number);
    }
}

/// When a request last moved: when it left, or a piece of either body passed.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    started: Instant,
    /// Milliseconds after the start.
    moved: Arc<AtomicU64>,
}

impl Progress {
    fn new() -> Self {
        Self { started: Instant::now(), moved: Arc::default() }
    }

    /// Takes note that something has moved.
    pub(crate) fn touch(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(millis, Relaxed);
    }

    pub(crate) fn last(&self) -> Instant {
        self.started + Duration::from_millis(self.moved.load(Relaxed))
    }
}
