//! The counts of the registries over time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oci::RepositoryPath;
use registry::{Kind, Server, Snapshot, Watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::fill::Expected;
use crate::protocol::{HostReading, Point, Reading};

/// The interval between samples, which is the resolution of the time of the last write.
const SAMPLE: Duration = Duration::from_millis(50);
/// The number of samples for each point of the timeline.
const SAMPLES_A_POINT: u64 = 5;
/// The suffix of tags with signatures.
const SIGNATURE: &str = ".sig";

/// A registry that is sampled.
pub(super) struct Watched {
    pub(super) server: Arc<Server>,
    state: Mutex<State>,
}

struct State {
    since: Instant,
    written: u64,
    last_write: Option<f64>,
    timeline: Vec<Point>,
    strikes: Strikes,
}

/// The faults of a registry, with their counts.
#[derive(Default)]
pub(super) struct Strikes {
    pub(super) unavailable: Vec<Watch>,
    pub(super) reset: Vec<Watch>,
}

impl State {
    fn new(strikes: Strikes) -> Self {
        Self { since: Instant::now(), written: 0, last_write: None, timeline: Vec::new(), strikes }
    }
}

impl Watched {
    pub(super) fn new(server: &Arc<Server>) -> Self {
        Self { server: Arc::clone(server), state: Mutex::new(State::new(Strikes::default())) }
    }

    pub(super) fn set_strikes(&self, strikes: Strikes) {
        self.state().strikes = strikes;
    }

    /// Returns the time since the last reset, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.state().since.elapsed().as_secs_f64()
    }

    pub(super) fn reset(&self) {
        let mut state = self.state();
        self.server.tally().reset();
        let strikes = std::mem::take(&mut state.strikes);
        *state = State::new(strikes);
    }

    fn sample(&self, is_point: bool) {
        let mut state = self.state();
        let seconds = state.since.elapsed().as_secs_f64();
        let counts = self.server.tally().snapshot();
        let written = written(&counts);
        if written > state.written {
            state.written = written;
            state.last_write = Some(seconds);
        }
        if is_point {
            let refused = counts.total_refused();
            state.timeline.push(Point { seconds, served: counts.total() - refused, refused });
        }
    }

    fn read(&self, expected: &[Expected]) -> HostReading {
        self.sample(true);
        let state = self.state();
        let counts = self.server.tally().snapshot();
        let store = self.server.store();
        let repositories = store.repositories();
        let signatures = |repository: &RepositoryPath| {
            store.tags(repository).keys().filter(|tag| tag.as_str().ends_with(SIGNATURE)).count()
        };
        let kinds = Kind::ALL.iter().map(|kind| (format!("{kind:?}"), counts.requests(*kind)));
        HostReading {
            kinds: kinds.filter(|(_, requests)| *requests > 0).collect(),
            requests: counts.total(),
            writes: written(&counts),
            refused: counts.total_refused(),
            unavailable: state.strikes.unavailable.iter().map(Watch::struck).sum(),
            reset: state.strikes.reset.iter().map(Watch::struck).sum(),
            bytes_in: counts.bytes_in,
            blob_bytes_out: counts.blob_bytes_out,
            last_write: state.last_write,
            images: expected.iter().filter(|image| image.is_in(store)).count(),
            manifests: repositories.iter().map(|repository| store.manifests(repository).len()).sum(),
            signatures: repositories.iter().map(signatures).sum(),
            timeline: state.timeline.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how many writing requests were served.
fn written(counts: &Snapshot) -> u64 {
    let writes = Kind::ALL.iter().filter(|kind| kind.is_write());
    writes.map(|kind| counts.requests(*kind).saturating_sub(counts.refused(*kind))).sum()
}

/// Samples all registries periodically.
pub(super) async fn sample(watched: Arc<[Watched]>) {
    let mut ticks = interval(SAMPLE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0u64.. {
        ticks.tick().await;
        watched.iter().for_each(|watched| watched.sample(number.is_multiple_of(SAMPLES_A_POINT)));
    }
}

pub(super) fn read(watched: &[Watched], expected: &[Expected]) -> Reading {
    Reading { hosts: watched.iter().map(|watched| watched.read(expected)).collect() }
}
