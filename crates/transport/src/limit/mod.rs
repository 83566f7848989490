//! The limits of one host, determined by observation: its rate, its concurrency, and when to send it no requests.
//!
//! [`Limiter`] decides. It is pure: its caller supplies the time. `Gate` queues the waiting requests and admits them as the
//! limiter decides. `docs/design/limits.md` describes how an unknown quota is determined.

#[cfg(test)]
mod announced;
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

/// The outcome of a request with regard to the limits of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// The host accepted the request.
    Served,
    /// The host accepted the request and announced that its quota is used up for this time
    /// ([`HostSettings::quota_deadline`](crate::HostSettings::quota_deadline)).
    UsedUp(Duration),
    /// The host refused the request because of a rate limit (429, 503 with `Retry-After`, or a 403 as GitHub sends it), and may
    /// have asked for a rest of this length.
    Refused(Option<Duration>),
    /// This request failed temporarily (408, any other temporary 5xx, a reset, a timeout). It says nothing about the rate, unless
    /// many requests fail.
    Failed,
}

/// Why a request was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// The host is given up.
    Outage(Outage),
    /// The quota of the host is used up for this time, and the request must not wait that long
    /// ([`HostSettings::quota_deadline`](crate::HostSettings::quota_deadline)).
    UsedUp(Duration),
    /// Requests wait, but no request is in progress whose end would admit them. This is a bug in this program. It is reported so
    /// that the run does not hang (spec 03.8).
    Stuck,
}

impl fmt::Display for NotAdmitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outage(outage) => outage.fmt(f),
            Self::UsedUp(time) => {
                let seconds = time.as_secs_f64().ceil();
                write!(
                    f,
                    "not sent: the rate limit of the host is used up for another {seconds} s, which is too long to wait"
                )
            }
            Self::Stuck => f.write_str(
                "not sent: requests to the host wait for others to end, but none is in progress; this is a bug in \
                 kpromo, please report it",
            ),
        }
    }
}

impl std::error::Error for NotAdmitted {}
