//! The door itself: admits, sends, judges the answer, and sends again where that may help.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::time::Instant;
use url::Url;

use crate::answer::Answer;
use crate::class::Class;
use crate::course::Course;
use crate::error::Error;
use crate::host::HostState;
use crate::request::{Place, Request};
use crate::retry::Budget;
use crate::settings::{HostSettings, InvalidSettings, Settings};
use crate::shared::Shared;
use crate::stream::{BodyStream, Sink};
use crate::tally::Tally;
use crate::under_way::Stall;

/// The one way out of the process. Clones are cheap and share everything.
#[derive(Clone, Debug)]
pub struct Door {
    shared: Arc<Shared>,
}

/// Requests that wait to be admitted to a host, or to be sent to it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The host.
    pub host: String,
    /// How many wait.
    pub requests: usize,
    /// For how long: until the host is no longer left alone, because it has refused requests, or until the last of the requests
    /// that pause is sent again, whichever is later.
    pub rests: Duration,
}

/// What [`Door::open`] brings: the body of a success while it arrives, or any other answer as a whole.
#[derive(Debug)]
pub enum Opened {
    /// A success.
    Body(Box<BodyStream>),
    /// Any other status.
    Other(Box<Answer>),
}

impl Door {
    /// Opens the door.
    ///
    /// # Errors
    /// When a certificate authority of the settings cannot be read.
    pub fn open(settings: Settings) -> Result<Self, InvalidSettings> {
        Ok(Self { shared: Arc::new(Shared::new(settings)?) })
    }

    /// Sends a request and gives its answer, whatever its status, with its whole body. Failures that may pass are tried
    /// again, a body that breaks in the middle included.
    ///
    /// # Errors
    /// When no whole answer came, its body is larger than the request's limit, or a redirect may not be followed.
    pub async fn send(&self, request: Request) -> Result<Answer, Error> {
        let limit = request.limit;
        let mut course = Course::new(&self.shared, request);
        loop {
            match course.head().await?.collect(limit).await {
                Ok(answer) => return Ok(answer),
                Err(error) => course.again_after(error).await?,
            }
        }
    }

    /// The same for an answer that is too large for memory: the body of a success goes to `sink` as it arrives, and the
    /// answer has an empty one.
    ///
    /// # Errors
    /// As [`Door::send`].
    pub async fn pieces(&self, request: Request, sink: &mut dyn Sink) -> Result<Answer, Error> {
        let limit = request.limit;
        let mut course = Course::new(&self.shared, request);
        loop {
            let head = course.head().await?;
            let read = if head.status().is_success() {
                head.read(limit, sink).await
            } else {
                head.collect(limit).await
            };
            match read {
                Ok(answer) => return Ok(answer),
                Err(error) => course.again_after(error).await?,
            }
        }
    }

    /// Sends a request and gives the body of its answer while it arrives. A body that breaks is its caller's to resume.
    ///
    /// # Errors
    /// When no answer came, or a redirect may not be followed.
    pub async fn stream(&self, request: Request) -> Result<Opened, Error> {
        let mut course = Course::new(&self.shared, request);
        let head = course.head().await?;
        if head.status().is_success() {
            return Ok(Opened::Body(Box::new(head.into_stream())));
        }
        head.collect(0).await.map(|answer| Opened::Other(Box::new(answer)))
    }

    /// Waits for a place at the host of `url`, for a request whose caller does something between its turn and its sending.
    ///
    /// # Errors
    /// When the host serves nothing any more.
    pub async fn place(&self, url: &Url, class: Class) -> Result<Place, Error> {
        let (host, since) = (self.shared.host(url), Instant::now());
        match host.admit(class).await {
            Ok(permit) => Ok(Place(permit.unused())),
            Err(kind) => Err(Error::new(kind, &Method::PUT, url, 0, since.elapsed())),
        }
    }

    /// A retry budget as the settings have it, for an operation of several requests.
    pub fn budget(&self) -> Budget {
        self.shared.budget()
    }

    /// What was sent so far, by host.
    pub fn tally(&self) -> Tally {
        self.shared.hosts().iter().map(|(host, state)| (host.clone(), state.counters.snapshot())).collect()
    }

    /// When a host has last answered anything: a head of any status, or a piece of a body.
    pub fn last_answer(&self, authority: &str) -> Option<std::time::Instant> {
        self.shared.hosts().get(authority)?.counters.last_answer()
    }

    /// The requests of which nothing has moved for so long, the longest first.
    pub fn stalled(&self, longer_than: Duration) -> Vec<Stall> {
        self.shared.under_way.stalled(longer_than)
    }

    /// The hosts for which requests wait: to be admitted, or, after a failure, for a second or longer to be sent again.
    pub fn queues(&self) -> Vec<Queue> {
        let queue = |(host, state): (&String, &Arc<HostState>)| {
            let (in_line, rests_until) = state.gate.waiting();
            let (pausing, paused_until) = state.pauses.waiting();
            let (requests, until) = (in_line + pausing, rests_until.max(paused_until));
            let rests = until.map(|until| until.saturating_duration_since(Instant::now()));
            (requests > 0).then(|| Queue { host: host.clone(), requests, rests: rests.unwrap_or_default() })
        };
        self.shared.hosts().iter().filter_map(queue).collect()
    }

    /// The settings that hold for a host.
    pub fn host_settings(&self, authority: &str) -> &HostSettings {
        self.shared.host_settings(authority)
    }
}
