//! A run: phases that report events to observers, and that can be stopped.
//!
//! `promote` and `files` have different phases and events. This crate contains what they share, so that one progress display,
//! one report and one reaction to an interrupt work for both.

mod phases;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::phases::PhaseTimes;

/// An event of a run with phases.
pub trait Event {
    /// The phases of the run.
    type Phase: Copy;

    /// Returns the event that a phase has started.
    fn started(phase: Self::Phase) -> Self;

    /// Returns the event that a phase has ended.
    fn ended(phase: Self::Phase, elapsed: Duration) -> Self;
}

/// Receives the events of a run. Many tasks call it concurrently, so it should return quickly.
pub trait Observer<E>: Send + Sync {
    /// Handles an event.
    fn observe(&self, event: &E);
}

/// A run: its observers, and whether it continues.
pub struct Run<E> {
    observers: Vec<Arc<dyn Observer<E>>>,
    stop: CancellationToken,
}

/// A derived implementation would require `E: Clone`.
impl<E> Clone for Run<E> {
    fn clone(&self) -> Self {
        Self { observers: self.observers.clone(), stop: self.stop.clone() }
    }
}

impl<E: Event> Run<E> {
    /// Creates a run that sends its events to `observers`. When `stop` is cancelled, the run starts no new work, completes
    /// short operations, and abandons the others in an orderly way. To stop immediately, drop the future of the run.
    pub fn new(observers: Vec<Arc<dyn Observer<E>>>, stop: CancellationToken) -> Self {
        Self { observers, stop }
    }

    /// Sends an event to all observers.
    pub fn emit(&self, event: &E) {
        self.observers.iter().for_each(|observer| observer.observe(event));
    }

    /// Returns `true` if the run is stopping: it starts no new work.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits until the run is stopping.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Returns the token that stops the run, for work that must react to it directly.
    pub fn token(&self) -> &CancellationToken {
        &self.stop
    }

    /// Stops the run: it starts no new work.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Runs a phase and reports its start and end.
    pub async fn phase<T>(&self, phase: E::Phase, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        self.emit(&E::started(phase));
        let result = work.await;
        self.emit(&E::ended(phase, started.elapsed()));
        result
    }
}
