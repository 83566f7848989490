//! The door: it admits requests, sends them, evaluates the answers, and retries if that may help.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::time::Instant;
use url::Url;

use crate::answer::Answer;
use crate::class::Class;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::host::HostState;
use crate::request::{Request, Reservation};
use crate::retry::Budget;
use crate::settings::{HostSettings, InvalidSettings, Settings};
use crate::shared::Shared;
use crate::stream::{BodyStream, Sink};
use crate::tally::Tally;
use crate::timeline::Timeline;
use crate::under_way::Stall;

/// The only way for requests to leave the process. Clones are cheap and share all state.
#[derive(Clone, Debug)]
pub struct Door {
    shared: Arc<Shared>,
}

/// The requests that wait for admission to a host, or for their next attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The host.
    pub host: String,
    /// The number of requests that wait.
    pub requests: usize,
    /// The time until requests may be sent to the host again after refusals, or until the last of the paused requests is sent
    /// again, whichever is longer.
    pub rests: Duration,
    /// Whether `rests` is the time until a renewal of the quota that the host has announced.
    pub is_quota: bool,
    /// Whether the host refused the last unserved request because of a rate limit (429, 503 with `Retry-After`, or a 403 as
    /// GitHub sends it), rather than failing.
    pub refuses: bool,
}

/// The result of [`Door::stream`]: the body of a successful answer as a stream, or any other answer as a whole.
#[derive(Debug)]
pub enum Opened {
    /// A successful answer.
    Body(Box<BodyStream>),
    /// An answer of any other status.
    Other(Box<Answer>),
}

impl Door {
    /// Creates a door.
    ///
    /// # Errors
    /// Returns an error if no certificate authority is available, if TLS cannot be configured, or if the HTTP client rejects the
    /// settings.
    pub fn open(settings: Settings) -> Result<Self, InvalidSettings> {
        Ok(Self { shared: Arc::new(Shared::new(settings)?) })
    }

    /// Sends a request and returns its answer, of any status, with the complete body. Retries after temporary failures,
    /// including a body that is interrupted.
    ///
    /// # Errors
    /// Returns an error if no complete answer was received, if its body exceeds the limit of the request, or if a redirect must
    /// not be followed.
    pub async fn send(&self, request: Request) -> Result<Answer, Error> {
        let limit = request.limit;
        let mut exchange = Exchange::new(&self.shared, request);
        loop {
            match exchange.head().await?.collect(limit).await {
                Ok(answer) => return Ok(answer),
                Err(error) => exchange.again_after(error).await?,
            }
        }
    }

    /// Sends a request whose answer is too large for memory. The body of a successful answer is passed to `sink` as it arrives,
    /// and the returned answer has an empty body.
    ///
    /// # Errors
    /// Returns the errors of [`Door::send`].
    pub async fn pieces(&self, request: Request, sink: &mut dyn Sink) -> Result<Answer, Error> {
        let limit = request.limit;
        let mut exchange = Exchange::new(&self.shared, request);
        loop {
            let head = exchange.head().await?;
            let read = if head.status().is_success() {
                head.read(limit, sink).await
            } else {
                head.collect(limit).await
            };
            match read {
                Ok(answer) => return Ok(answer),
                Err(error) => exchange.again_after(error).await?,
            }
        }
    }

    /// Sends a request and returns the body of its answer as a stream. If the body is interrupted, the caller may resume it.
    ///
    /// # Errors
    /// Returns an error if there was no answer, or if a redirect must not be followed.
    pub async fn stream(&self, request: Request) -> Result<Opened, Error> {
        let mut exchange = Exchange::new(&self.shared, request);
        let head = exchange.head().await?;
        if head.status().is_success() {
            return Ok(Opened::Body(Box::new(head.into_stream())));
        }
        head.collect(0).await.map(|answer| Opened::Other(Box::new(answer)))
    }

    /// Waits for a permit at the host of `url`, for a caller that does something between admission and sending.
    ///
    /// # Errors
    /// Returns an error if the host is given up.
    pub async fn reserve(&self, url: &Url, class: Class) -> Result<Reservation, Error> {
        let (host, since) = (self.shared.host(url), Instant::now());
        match host.admit(class).await {
            Ok(permit) => Ok(Reservation(permit.unused())),
            Err(kind) => Err(Error::new(kind, &Method::PUT, url, 0, since.elapsed())),
        }
    }

    /// Returns a retry budget according to the settings, for an operation of several requests.
    pub fn budget(&self) -> Budget {
        self.shared.budget()
    }

    /// Returns the counts of all requests so far, by host.
    pub fn tally(&self) -> Tally {
        self.shared.hosts().iter().map(|(host, state)| (host.clone(), state.counters.snapshot())).collect()
    }

    /// Returns the requests so far over time, by host. The first bucket begins when the door was opened.
    pub fn timeline(&self) -> Timeline {
        let hosts = self.shared.hosts();
        Timeline::of(
            self.shared.age(),
            hosts.iter().map(|(host, state)| (host.clone(), state.counters.timeline())),
        )
    }

    /// Returns when a host last answered: the head of an answer of any status, or a piece of a body.
    pub fn last_answer(&self, authority: &str) -> Option<std::time::Instant> {
        self.shared.hosts().get(authority)?.counters.last_answer()
    }

    /// Returns when a host last served a request: it sent a part of an answer that is neither a refusal because of a rate limit nor
    /// a temporary failure.
    pub fn last_served(&self, authority: &str) -> Option<std::time::Instant> {
        self.shared.hosts().get(authority)?.counters.last_served()
    }

    /// Returns the requests without progress for longer than the given time, the longest first.
    pub fn stalled(&self, longer_than: Duration) -> Vec<Stall> {
        self.shared.under_way.stalled(longer_than)
    }

    /// Returns the hosts with requests under way, each with the time that it has been silent: since its last answer, or since one
    /// of these requests last made progress, whichever is shorter.
    pub fn silent(&self) -> BTreeMap<String, Duration> {
        let mut silent = self.shared.under_way.silent();
        for (host, silent) in &mut silent {
            let answered = self.last_answer(host).map_or(Duration::MAX, |answered| answered.elapsed());
            *silent = answered.min(*silent);
        }
        silent
    }

    /// Returns the hosts for which requests wait: for admission, or for their next attempt after a failure if the pause is a
    /// second or longer.
    pub fn queues(&self) -> Vec<Queue> {
        let queue = |(host, state): (&String, &Arc<HostState>)| {
            let (in_line, rests_until) = state.gate.waiting();
            let (pausing, paused_until) = state.pauses.waiting();
            let (requests, until) = (in_line + pausing, rests_until.max(paused_until));
            let rests = until.map(|until| until.saturating_duration_since(Instant::now()));
            let (host, rests, is_quota) =
                (host.clone(), rests.unwrap_or_default(), state.gate.waits_for_quota());
            let refuses = is_quota || state.counters.has_refused();
            (requests > 0).then_some(Queue { host, requests, rests, is_quota, refuses })
        };
        self.shared.hosts().iter().filter_map(queue).collect()
    }

    /// Returns the settings that apply to a host.
    pub fn host_settings(&self, authority: &str) -> &HostSettings {
        self.shared.host_settings(authority)
    }
}
