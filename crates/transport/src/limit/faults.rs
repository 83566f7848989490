//! Determines whether the latest failures mean that the host is overloaded, rather than merely unreliable.

/// An overload requires that at least one in this many requests has failed.
const OVERLOADED: u32 = 5;
/// The minimum number of failures for a conclusion. With 5 % random failures, a lane sees that many among its first 80 requests
/// once in about 200,000 runs, and a fifth of [`OUTCOMES`] practically never.
const FEWEST: u32 = 16;
/// This many failures in a row also mean an overload. With 5 % random failures this happens once in sixty million requests.
const IN_A_ROW: u32 = 6;
/// The same limit for a host that has not served any request. Such a host may not exist, and single requests are enough to
/// determine that.
const IN_A_ROW_AT_FIRST: u32 = 2;
/// The number of outcomes that are remembered.
const OUTCOMES: u32 = u128::BITS;
/// An earlier overload is over after this many outcomes, if less than a fifth of them are failures.
const RECOVERED: u32 = 32;

/// The outcomes of the latest requests of a lane.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    /// One bit for each request, set if it failed. The lowest bit is the latest request.
    failed: u128,
    /// The number of valid bits.
    outcomes: u32,
    /// Whether any request was served.
    has_served: bool,
}

impl Faults {
    /// Records the outcome of a request.
    pub(super) fn record(&mut self, failed: bool) {
        self.has_served |= !failed;
        self.failed = self.failed << 1 | u128::from(failed);
        self.outcomes = (self.outcomes + 1).min(OUTCOMES);
    }

    /// Returns `true` if the failures mean that the host is overloaded.
    pub(super) fn is_overload(&self) -> bool {
        let in_a_row = if self.has_served { IN_A_ROW } else { IN_A_ROW_AT_FIRST };
        self.failed.trailing_ones() >= in_a_row || self.failed.count_ones() >= FEWEST && self.many_failed()
    }

    /// Returns `true` if the outcomes since [`Faults::clear`] suffice to conclude that an earlier overload is over.
    pub(super) fn has_recovered(&self) -> bool {
        self.outcomes >= RECOVERED && !self.many_failed()
    }

    /// Returns `true` if the proportion of failures is that of an overload.
    fn many_failed(&self) -> bool {
        self.failed.count_ones() * OVERLOADED >= self.outcomes
    }

    /// Returns `true` if any request was served, including before [`Faults::clear`].
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
            assert_eq!(faults.has_recovered(), !overload);
        }
    }

    #[test]
    fn a_few_failures_in_a_row_are_an_overload() {
        let mut faults = Faults::default();
        (0..100).for_each(|_| faults.record(false));
        (1..IN_A_ROW).for_each(|_| faults.record(true));
        assert!(!faults.is_overload());
        faults.record(true);
        assert!(faults.is_overload());
        faults.clear();
        assert!(!faults.is_overload() && !faults.has_recovered());
    }

    #[test]
    fn two_failures_are_an_overload_if_no_request_was_served_yet() {
        let mut faults = Faults::default();
        faults.record(true);
        assert!(!faults.is_overload());
        faults.record(true);
        assert!(faults.is_overload() && !faults.has_served());
    }
}
