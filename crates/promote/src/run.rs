//! The state that all phases of a run share: the observers, and whether to continue.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::event::{Event, Observer, Phase};

/// A run.
#[derive(Clone)]
pub struct Run {
    observers: Vec<Arc<dyn Observer>>,
    stop: CancellationToken,
}

impl Run {
    /// Creates a run that sends its events to `observers`. When `stop` is cancelled, the run starts nothing new and finishes
    /// what is in progress. To stop at once, drop the future of the run.
    pub fn new(observers: Vec<Arc<dyn Observer>>, stop: CancellationToken) -> Self {
        Self { observers, stop }
    }

    /// Sends an event to all observers.
    pub(crate) fn emit(&self, event: &Event) {
        self.observers.iter().for_each(|observer| observer.observe(event));
    }

    /// Returns whether the run is stopping: it starts nothing new.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits until the run is stopping.
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Stops the run: it starts nothing new.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Runs a phase and reports its start and end.
    pub(crate) async fn phase<T>(&self, phase: Phase, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        self.emit(&Event::Started(phase));
        let result = work.await;
        self.emit(&Event::Ended { phase, elapsed: started.elapsed() });
        result
    }
}
