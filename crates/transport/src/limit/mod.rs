//! The limits of one host, found by asking: how many requests a second and at once, and when it must be left alone.
//!
//! [`Limiter`] decides; it is pure, so time is what its caller says it is. `Gate` keeps the lines of the requests that wait
//! and admits them as the limiter decides. `docs/design/limits.md` describes how an unknown quota is found.

mod bounds;
mod faults;
mod gate;
mod lane;
mod limiter;
mod outage;
mod pace;
mod search;
#[cfg(test)]
mod simulation;

use std::fmt;
use std::time::Duration;

pub(crate) use gate::{Gate, Permit};
pub use limiter::{Admission, Limiter, Pass};
pub use outage::Outage;

/// What became of a request, as far as its host's limits are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// The host took the request.
    Served,
    /// The host is asked too much (429, or 503 with `Retry-After`), and may have said how long to leave it alone.
    Refused(Option<Duration>),
    /// A temporary failure of this request (any other 5xx, a reset, a timeout). It says nothing about the rate, unless many
    /// requests fail.
    Failed,
}

/// Why a request was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// The host has been given up.
    Outage(Outage),
    /// Requests wait though none is under way whose end would admit them: a fault of this program, which is told so that the
    /// run does not hang (spec 03.8).
    Stuck,
}

impl fmt::Display for NotAdmitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outage(outage) => outage.fmt(f),
            Self::Stuck => f.write_str(
                "requests to the host wait for others to end, and none is under way; this is a fault of kpromo, please \
                 report it",
            ),
        }
    }
}

impl std::error::Error for NotAdmitted {}
