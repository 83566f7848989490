//! Whether so many of the latest requests have failed that the host is overloaded, and not merely imperfect.

/// One in so many requests has to fail.
const OVERLOADED: u32 = 5;
/// The fewest failures that say anything. With 5 % random failures, a lane sees that many among its first 80 requests once in
/// some 200,000 runs, and a fifth of [`OUTCOMES`] practically never.
const FEWEST: u32 = 16;
/// As many failures in a row are enough: with 5 % random failures they come once in sixty million requests.
const IN_A_ROW: u32 = 6;
/// The same of a host that has not served anything yet: it may not be there at all, which single requests find out.
const IN_A_ROW_AT_FIRST: u32 = 2;
/// How many outcomes are remembered.
const OUTCOMES: u32 = u128::BITS;
/// After so many outcomes, of which less than a fifth are failures, an earlier overload is over.
const SOUND: u32 = 32;

/// The outcomes of the latest requests of a lane.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    /// One bit a request, set where it failed; the latest is the lowest.
    failed: u128,
    /// How many bits count.
    outcomes: u32,
    /// Whether any request was served.
    has_served: bool,
}

impl Faults {
    /// Records whether a request has failed.
    pub(super) fn record(&mut self, failed: bool) {
        self.has_served |= !failed;
        self.failed = self.failed << 1 | u128::from(failed);
        self.outcomes = (self.outcomes + 1).min(OUTCOMES);
    }

    /// Whether so many failed that the host counts as overloaded.
    pub(super) fn is_overload(&self) -> bool {
        let in_a_row = if self.has_served { IN_A_ROW } else { IN_A_ROW_AT_FIRST };
        self.failed.trailing_ones() >= in_a_row || self.failed.count_ones() >= FEWEST && self.are_many()
    }

    /// Whether enough outcomes have come since [`Faults::clear`] to tell that an earlier overload is over.
    pub(super) fn is_sound(&self) -> bool {
        self.outcomes >= SOUND && !self.are_many()
    }

    /// Whether as large a part failed as an overload would make fail.
    fn are_many(&self) -> bool {
        self.failed.count_ones() * OVERLOADED >= self.outcomes
    }

    /// Whether any request was served, also before [`Faults::clear`].
    pub(super) fn has_served(&self) -> bool {
        self.has_served
    }

    /// Forgets the outcomes.
    pub(super) fn clear(&mut self) {
        (self.failed, self.outcomes) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_in_ten_is_no_overload_and_one_in_four_is() {
        for (every, overload) in [(10, false), (4, true)] {
            let mut faults = Faults::default();
            (0..1_000).for_each(|number| faults.record(number % every == 1));
            assert_eq!(faults.is_overload(), overload, "every {every}th request fails");
            assert_eq!(faults.is_sound(), !overload);
        }
    }

    #[test]
    fn failures_in_a_row_are_an_overload_as_soon_as_they_are_a_few() {
        let mut faults = Faults::default();
        (0..100).for_each(|_| faults.record(false));
        (1..IN_A_ROW).for_each(|_| faults.record(true));
        assert!(!faults.is_overload());
        faults.record(true);
        assert!(faults.is_overload());
        faults.clear();
        assert!(!faults.is_overload() && !faults.is_sound());
    }

    #[test]
    fn two_failures_are_enough_where_nothing_was_served_yet() {
        let mut faults = Faults::default();
        faults.record(true);
        assert!(!faults.is_overload());
        faults.record(true);
        assert!(faults.is_overload() && !faults.has_served());
    }
}
