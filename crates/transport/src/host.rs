//! One host as the door sees it: its gate, its counters, its pauses and its last failure.

use std::sync::{Arc, Mutex, PoisonError};

use url::Url;

use crate::class::Class;
use crate::error::ErrorKind;
use crate::limit::{Gate, Permit};
use crate::pauses::Pauses;
use crate::settings::HostSettings;
use crate::tally::Counters;

/// What is known of one host.
#[derive(Debug)]
pub(crate) struct HostState {
    pub(crate) gate: Arc<Gate>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) pauses: Pauses,
    last_failure: Mutex<Option<String>>,
}

impl HostState {
    /// The state of a host before its first request.
    pub(crate) fn new(settings: &HostSettings) -> Self {
        let gate = Arc::new(Gate::new(settings));
        let (counters, pauses, last_failure) = Default::default();
        Self { gate, counters, pauses, last_failure }
    }

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

/// The host of a URL with its port where that is not the scheme's own.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
