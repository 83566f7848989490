//! The state of one host: its gate, its counters, its pauses and its last failure.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use url::Url;

use crate::class::Class;
use crate::error::ErrorKind;
use crate::limit::{Gate, Permit};
use crate::pauses::Pauses;
use crate::settings::HostSettings;
use crate::tally::Counters;

/// What is known about one host.
#[derive(Debug)]
pub(crate) struct HostState {
    pub(crate) gate: Arc<Gate>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) pauses: Pauses,
    last_failure: Mutex<Option<String>>,
}

impl HostState {
    /// Constructs the state of a host before its first request, in a door that was opened at `opened`.
    pub(crate) fn new(settings: &HostSettings, opened: Instant) -> Self {
        let gate = Arc::new(Gate::new(settings));
        let counters = Arc::new(Counters::new(opened));
        let (pauses, last_failure) = Default::default();
        Self { gate, counters, pauses, last_failure }
    }

    /// Records the failure of a request, for the error of requests that are no longer sent.
    pub(crate) fn note_failure(&self, failure: String) {
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }

    fn last_failure(&self) -> Option<String> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until another request may be sent to the host.
    pub(crate) async fn admit(&self, class: Class) -> Result<Permit, ErrorKind> {
        let admitted = self.gate.admit(class).await;
        admitted.map_err(|why| ErrorKind::NotAdmitted { why, last: self.last_failure() })
    }
}

/// Returns the host of a URL, with the port unless it is the default of the scheme.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
