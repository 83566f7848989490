//! The bounds of a lane.

/// How many requests a lane may have under way and may send a second, at first and at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    /// The most requests under way at once.
    pub(super) window: usize,
    /// How many to begin with.
    pub(super) first_window: usize,
    /// The most requests a second.
    pub(super) rate: f64,
    /// How many to begin with.
    pub(super) first_rate: f64,
    /// How many may leave at once before the first rate holds.
    pub(super) start_burst: f64,
}
