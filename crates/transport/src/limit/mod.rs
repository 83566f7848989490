//! What one host bears, found by asking: how many requests a second and at once, and when it wants to be left alone.
//!
//! [`Limiter`] decides; it is pure, so time is what its caller says it is. `Gate` lets requests in as it decides. How a
//! quota is found that nobody has told is written in `docs/design/limits.md`.

mod gate;
mod lane;
mod limiter;
mod outage;
mod pace;
#[cfg(test)]
mod simulation;

use std::time::Duration;

pub(crate) use gate::{Gate, Permit};
pub use limiter::{Admission, Limiter, Pass};
pub use outage::Outage;

/// What a host answered, as far as its limits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// The host took the request.
    Served,
    /// The request is one too many (429), and the host may have said for how long to leave it alone.
    Refused(Option<Duration>),
    /// The host is in trouble (503), and may have said for how long. Unlike a refusal it may be about this request alone.
    Unavailable(Option<Duration>),
    /// No answer came: nothing is learnt about a rate, but as much as there was may have been too much at once.
    Lost,
}
