//! The events of a run. Progress display, log and report all consume the same events.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::summary::Summary;

/// The phases of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Reads the state of the stores.
    Read,
    /// Decides what to do. Reads content where the metadata does not suffice.
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
    /// Whether the file replaces other content.
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
    /// A file is in neither the source nor a destination, in words for users. The run skips it. Strict runs, which end instead, do
    /// not emit it.
    Lost(String),
    /// The plan is complete.
    Planned {
        /// Its counts.
        summary: Summary,
        /// The files that cannot be promoted.
        failures: Vec<(Operation, Arc<Error>)>,
        /// The files that are in neither the source nor the destination: a sentence for users about each, in strict runs too.
        lost: Vec<String>,
    },
    /// The content of an object was read; its size, in bytes.
    Read(u64),
    /// The copy of a file to a destination begins.
    Begun(Operation),
    /// A destination has a file now.
    Copied {
        /// The file.
        operation: Operation,
        /// The size, in bytes.
        size: u64,
        /// Whether this run has written it. If false, the run found it when it was about to write.
        sent: bool,
    },
    /// A file could not be copied to a destination.
    Failed(Operation, Arc<Error>),
}

/// A run that promotes files.
pub type Run = run::Run<Event>;

impl run::Event for Event {
    type Phase = Phase;

    fn started(phase: Phase) -> Self {
        Self::Started(phase)
    }

    fn ended(phase: Phase, elapsed: Duration) -> Self {
        Self::Ended { phase, elapsed }
    }
}
