//! The door itself: admits, sends, judges the answer, and sends again where that may help.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http::Method;
use tokio::time::Instant;
use url::Url;

use crate::answer::Answer;
use crate::class::Class;
use crate::clients::Clients;
use crate::course::Course;
use crate::error::{Error, ErrorKind};
use crate::limit::{Gate, Permit};
use crate::pauses::Pauses;
use crate::request::{Place, Request};
use crate::retry::Budget;
use crate::settings::{HostSettings, InvalidSettings, Settings};
use crate::stream::{BodyStream, Sink};
use crate::tally::{Counters, Tally};
use crate::under_way::{Stall, UnderWay};

/// The one way out of the process. Clones are cheap and share everything.
#[derive(Clone, Debug)]
pub struct Door {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) clients: Clients,
    hosts: RwLock<HashMap<String, Arc<HostState>>>,
    pub(crate) under_way: UnderWay,
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

#[derive(Debug)]
pub(crate) struct HostState {
    pub(crate) gate: Arc<Gate>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) pauses: Pauses,
    last_failure: Mutex<Option<String>>,
}

impl HostState {
    /// Notes what a request has failed with, for the error of those that are not sent any more.
    pub(crate) fn note_failure(&self, failure: String) {
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }

    fn last_failure(&self) -> Option<String> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the host may have another request under way.
    pub(crate) async fn admit(&self, class: Class) -> Result<Permit, ErrorKind> {
        let admitted = self.gate.admit(class).await;
        admitted.map_err(|why| ErrorKind::NotAdmitted { why, last: self.last_failure() })
    }
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
        let clients = Clients::new(&settings)?;
        let (hosts, under_way) = Default::default();
        Ok(Self { shared: Arc::new(Shared { settings, clients, hosts, under_way }) })
    }

    /// Sends a request and gives its answer, whatever its status, with its whole body. Failures that may pass are tried
    /// again, a body that breaks in the middle included.
    ///
    /// # Errors
    /// When no whole answer came, its body is larger than the request's limit, or a redirect may not be followed.
    pub async fn send(&self, request: Request) -> Result<Answer, Error> {
        let limit = request.limit;
        let mut course = Course::new(self, request);
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
        let mut course = Course::new(self, request);
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
        let mut course = Course::new(self, request);
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
        let (host, since) = (self.host(url), Instant::now());
        match host.admit(class).await {
            Ok(permit) => Ok(Place(permit.unused())),
            Err(kind) => Err(Error::new(kind, &Method::PUT, url, 0, since.elapsed())),
        }
    }

    /// A retry budget as the settings have it, for an operation of several requests.
    pub fn budget(&self) -> Budget {
        Budget::new(self.shared.settings.retry)
    }

    /// What was sent so far, by host.
    pub fn tally(&self) -> Tally {
        let hosts = self.shared.hosts.read().unwrap_or_else(PoisonError::into_inner);
        hosts.iter().map(|(host, state)| (host.clone(), state.counters.snapshot())).collect()
    }

    /// When a host has last answered anything: a head of any status, or a piece of a body.
    pub fn last_answer(&self, authority: &str) -> Option<std::time::Instant> {
        let hosts = self.shared.hosts.read().unwrap_or_else(PoisonError::into_inner);
        hosts.get(authority)?.counters.last_answer()
    }

    /// The requests of which nothing has moved for so long, the longest first.
    pub fn stalled(&self, longer_than: Duration) -> Vec<Stall> {
        self.shared.under_way.stalled(longer_than)
    }

    /// The hosts for which requests wait: to be admitted, or, after a failure, for a second or longer to be sent again.
    pub fn queues(&self) -> Vec<Queue> {
        let hosts = self.shared.hosts.read().unwrap_or_else(PoisonError::into_inner);
        let queue = |(host, state): (&String, &Arc<HostState>)| {
            let (in_line, rests_until) = state.gate.waiting();
            let (pausing, paused_until) = state.pauses.waiting();
            let (requests, until) = (in_line + pausing, rests_until.max(paused_until));
            let rests = until.map(|until| until.saturating_duration_since(Instant::now()));
            (requests > 0).then(|| Queue { host: host.clone(), requests, rests: rests.unwrap_or_default() })
        };
        hosts.iter().filter_map(queue).collect()
    }

    /// The settings that hold for a host.
    pub fn host_settings(&self, authority: &str) -> &HostSettings {
        self.shared.settings.hosts.get(authority).unwrap_or(&self.shared.settings.other_hosts)
    }

    pub(crate) fn host(&self, url: &Url) -> Arc<HostState> {
        let authority = authority(url);
        let known = self.shared.hosts.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = known.get(&authority) {
            return Arc::clone(state);
        }
        drop(known);
        let mut hosts = self.shared.hosts.write().unwrap_or_else(PoisonError::into_inner);
        let state = hosts.entry(authority).or_insert_with_key(|authority| {
            let gate = Arc::new(Gate::new(self.host_settings(authority)));
            let (counters, pauses, last_failure) = Default::default();
            Arc::new(HostState { gate, counters, pauses, last_failure })
        });
        Arc::clone(state)
    }
}

/// The host of a URL with its port where that is not the scheme's own.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
