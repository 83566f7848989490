//! When a request is tried again: one place, one budget a request.

use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode, header};

/// How often, and for how long, something is tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// The most attempts, the first included.
    pub attempts: u32,
    /// The longest time from the first attempt to the start of the last.
    pub total: Duration,
    /// The upper bound of the first pause; it doubles with each further one. The pause itself is random below it (*full
    /// jitter*), so that many clients refused at once do not come back at once.
    pub first_pause: Duration,
    /// The upper bound that pauses stop growing at.
    pub longest_pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 6,
            total: Duration::from_secs(180),
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(20),
        }
    }
}

/// What is left of a [`Retry`]: of a request, or of something larger that the door cannot repeat, such as a stream.
///
/// Its time begins with the first attempt, so that waiting in a line costs nothing.
#[derive(Debug)]
pub struct Budget {
    retry: Retry,
    started: Instant,
    attempts: u32,
    /// Attempts that were refused for being too many: they are bounded by time alone, since nothing is wrong with them.
    refused: u32,
}

impl Budget {
    /// A budget of which nothing is spent.
    pub fn new(retry: Retry) -> Self {
        Self { retry, started: Instant::now(), attempts: 0, refused: 0 }
    }

    /// Attempts made so far.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Time since the first attempt.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Notes that something has moved since the last attempt: the time begins anew, the attempts do not.
    pub fn progressed(&mut self) {
        self.started = Instant::now();
    }

    /// Notes that an attempt is made.
    pub fn attempt(&mut self) {
        if self.attempts == 0 {
            self.started = Instant::now();
        }
        self.attempts += 1;
    }

    /// How long to wait after an attempt that the host refused for being one too many (429). The first time that is not at
    /// all: the host's limits know when the next may leave.
    pub fn pause_refused(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.refused += 1;
        let pause = if self.refused == 1 { Duration::ZERO } else { self.jitter(self.refused - 1) };
        self.within_total(pause.max(asked.unwrap_or_default())).then_some(pause)
    }

    /// How long to wait before the next attempt, or `None` where the budget is spent. `asked` is what the host asked for
    /// (`Retry-After`); it is obeyed as long as the total allows it.
    pub fn pause(&self, asked: Option<Duration>) -> Option<Duration> {
        let failed = self.attempts - self.refused.min(self.attempts);
        if failed >= self.retry.attempts {
            return None;
        }
        let jitter = self.jitter(failed);
        let pause = asked.map_or(jitter, |asked| asked + jitter.min(Duration::from_secs(1)));
        self.within_total(pause).then_some(pause)
    }

    /// A random pause; its bound doubles with every further attempt.
    fn jitter(&self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(16);
        let bound = (self.retry.first_pause * 2_u32.pow(doublings)).min(self.retry.longest_pause);
        bound.mul_f64(rand::random::<f64>())
    }

    fn within_total(&self, pause: Duration) -> bool {
        self.started.elapsed() + pause <= self.retry.total
    }
}

/// Whether an answer is one that another attempt may better.
pub(crate) fn is_temporary(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// Whether an answer says that the host is asked too much.
pub(crate) fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

/// What `Retry-After` asks for, in seconds; bounded, since it is the host that says it. Dates are not read: no registry
/// sends them, and they would trust two clocks.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    const LONGEST: u64 = 600;
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_ends_with_its_attempts() {
        let mut budget = Budget::new(Retry { attempts: 2, ..Retry::default() });
        budget.attempt();
        assert!(budget.pause(None).is_some());
        budget.attempt();
        assert_eq!(budget.pause(None), None);
    }

    #[test]
    fn pauses_grow_and_stay_below_their_bound() {
        let retry = Retry { attempts: 40, longest_pause: Duration::from_secs(2), ..Retry::default() };
        let mut budget = Budget::new(retry);
        for _ in 0..39 {
            budget.attempt();
            assert!(budget.pause(None).unwrap() <= Duration::from_secs(2));
        }
    }

    #[test]
    fn what_the_host_asks_for_is_obeyed_within_the_total() {
        let mut budget = Budget::new(Retry { total: Duration::from_secs(10), ..Retry::default() });
        budget.attempt();
        assert!(budget.pause(Some(Duration::from_secs(5))).unwrap() >= Duration::from_secs(5));
        assert_eq!(budget.pause(Some(Duration::from_secs(60))), None, "longer than anybody would wait");
    }

    /// A host that counts by the minute refuses longer than attempts would last.
    #[test]
    fn refusals_cost_time_and_no_attempts() {
        let retry = Retry { attempts: 2, total: Duration::from_secs(100), ..Retry::default() };
        let mut budget = Budget::new(retry);
        for _ in 0..20 {
            budget.attempt();
            assert!(budget.pause_refused(Some(Duration::from_secs(60))).is_some());
        }
        budget.attempt();
        assert_eq!(
            budget.pause_refused(Some(Duration::from_secs(101))),
            None,
            "longer than anybody would wait"
        );
        budget.attempt();
        assert!(budget.pause(None).is_some(), "the first failure");
        budget.attempt();
        assert_eq!(budget.pause(None), None, "the second");
    }

    #[test]
    fn retry_after_is_bounded_and_dates_are_left_alone() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        for (value, expected) in
            [("3", Some(3)), ("99999999", Some(600)), ("Wed, 21 Oct 2026 07:28:00 GMT", None)]
        {
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs));
        }
    }
}
