//! The bounds of a lane.

/// The initial and maximum concurrency and rate of a lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    /// The maximum number of requests in progress.
    pub(super) window: usize,
    /// The initial number of requests in progress.
    pub(super) first_window: usize,
    /// The maximum number of requests a second.
    pub(super) rate: f64,
    /// The initial number of requests a second.
    pub(super) first_rate: f64,
    /// How many requests may be sent at once before the initial rate applies.
    pub(super) start_burst: f64,
}
