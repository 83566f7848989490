//! What all phases of a run share: who is told what happens, and whether to go on.

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
    /// A run whose events go to `observers`. When `stop` is cancelled, nothing new is begun and what is under way is
    /// finished; whoever cannot wait for that drops the run's future.
    pub fn new(observers: Vec<Arc<dyn Observer>>, stop: CancellationToken) -> Self {
        Self { observers, stop }
    }

    /// Tells what happened.
    pub(crate) fn tell(&self, event: &Event) {
        self.observers.iter().for_each(|observer| observer.observe(event));
    }

    /// Whether nothing new is to be begun.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Ends when nothing new is to be begun.
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Has nothing new begun.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Does the work of a phase and tells when it begins and ends.
    pub(crate) async fn phase<T>(&self, phase: Phase, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        self.tell(&Event::Started(phase));
        let result = work.await;
        self.tell(&Event::Ended { phase, elapsed: started.elapsed() });
        result
    }
}
