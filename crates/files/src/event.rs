//! The events of a run, and what its phases share. Progress display, log and report all consume the same events.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// The phases of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Asks the stores.
    Read,
    /// Decides what to do, and reads what only its content tells.
    Plan,
    /// Copies files.
    Copy,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Plan => "plan",
            Self::Copy => "copy",
        })
    }
}

/// A file that is copied to a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The URL of the object in the source.
    pub source: String,
    /// The URL of the object at the destination.
    pub destination: String,
    /// Whether it replaces other content.
    pub replaces: bool,
}

/// Writes `COPY "<source>" to "<destination>"`, as the Go tool does, or the same with `REPLACE`.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.replaces { "REPLACE" } else { "COPY" };
        write!(f, "{word} \"{}\" to \"{}\"", self.source, self.destination)
    }
}

/// An event of a run.
#[derive(Clone, Debug)]
pub enum Event {
    /// A phase has started.
    Started(Phase),
    /// A phase has ended.
    Ended {
        /// The phase.
        phase: Phase,
        /// How long it took.
        elapsed: Duration,
    },
    /// The phase has found more work.
    Work {
        /// The unit of the work: `files`, `stores`.
        units: &'static str,
        /// The number of additional units.
        more: usize,
    },
    /// One unit of work is done.
    Worked,
    /// A warning. The run continues.
    Warned(String),
    /// A file is in neither the source nor a destination. It is skipped.
    Lost(String),
    /// The content of an object was read, in bytes.
    Read(u64),
    /// A file is at a destination now.
    Copied {
        /// The file.
        operation: Operation,
        /// The size, in bytes.
        size: u64,
        /// Whether this run has written it, rather than found it when it was about to.
        sent: bool,
    },
    /// A file could not be copied to a destination.
    Failed(Operation, Arc<Error>),
}

/// Receives the events of a run. Many tasks call it concurrently, so it should return quickly.
pub trait Observer: Send + Sync {
    /// Handles an event.
    fn observe(&self, event: &Event);
}

/// A run: its observers, and whether it goes on.
#[derive(Clone)]
pub struct Run {
    observers: Vec<Arc<dyn Observer>>,
    stop: CancellationToken,
}

impl Run {
    /// Creates a run that sends its events to `observers`. When `stop` is cancelled, the run starts nothing new, completes the
    /// small files that are under way, and aborts uploads in parts. To stop at once, drop the future of the run.
    pub fn new(observers: Vec<Arc<dyn Observer>>, stop: CancellationToken) -> Self {
        Self { observers, stop }
    }

    /// Sends an event to all observers.
    pub(crate) fn emit(&self, event: &Event) {
        self.observers.iter().for_each(|observer| observer.observe(event));
    }

    /// Returns whether the run is stopping.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
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
