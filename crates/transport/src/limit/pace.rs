//! Evenly spaced requests: a token bucket that holds little more than one token.

use std::time::Duration;

use tokio::time::Instant;

/// How much timer delay is compensated, in seconds: timers are late on a busy machine.
const LATENESS: f64 = 0.025;

/// Permits a number of requests a second, without accumulating credit for bursts.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// The rate, in requests a second.
    rate: f64,
    /// How many requests may be sent now.
    credit: f64,
    since: Instant,
    /// For how long the rate was not used, in seconds in total.
    idle: f64,
}

impl Pace {
    /// Constructs a pace of `rate` requests a second. The first `credit` requests may be sent at once.
    pub(super) fn new(rate: f64, credit: f64, now: Instant) -> Self {
        Self { rate, credit, since: now, idle: 0.0 }
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// Returns for how long the rate was not used, in seconds in total.
    pub(super) fn idle(&self) -> f64 {
        self.idle
    }

    /// Changes the rate from now on.
    pub(super) fn set_rate(&mut self, rate: f64, now: Instant) {
        self.fill(now);
        self.rate = rate;
    }

    /// Drops the credit.
    pub(super) fn empty(&mut self, now: Instant) {
        self.credit = 0.0;
        self.since = now;
    }

    /// Counts the time since the last request as idle.
    pub(super) fn skip(&mut self, now: Instant) {
        self.idle += now.saturating_duration_since(self.since).as_secs_f64();
        self.since = self.since.max(now);
    }

    /// Returns when the next request may be sent, which may be now.
    pub(super) fn next(&mut self, now: Instant) -> Instant {
        self.fill(now);
        if self.credit >= 1.0 { now } else { now + Duration::from_secs_f64((1.0 - self.credit) / self.rate) }
    }

    /// Counts a request that is sent.
    pub(super) fn take(&mut self) {
        self.credit -= 1.0;
    }

    /// Returns `true` if the credit exceeds what can accumulate, which means that a part of the initial burst is left.
    pub(super) fn has_burst(&self) -> bool {
        self.credit > self.max_credit()
    }

    /// Reduces the rest of the initial burst by one request.
    pub(super) fn spend_burst(&mut self) {
        if self.has_burst() {
            self.credit -= 1.0;
        }
    }

    /// Returns the credit of a request that was not sent.
    pub(super) fn give_back(&mut self) {
        self.credit += 1.0;
    }

    fn fill(&mut self, now: Instant) {
        let gained = now.saturating_duration_since(self.since).as_secs_f64() * self.rate;
        // The initial credit may exceed what can accumulate.
        let kept = self.credit.max((self.credit + gained).min(self.max_credit()));
        self.idle += (self.credit + gained - kept) / self.rate;
        self.credit = kept;
        self.since = self.since.max(now);
    }

    fn max_credit(&self) -> f64 {
        1.0 + self.rate * LATENESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_spaced_and_idle_time_accumulates_little_credit() {
        let start = Instant::now();
        let mut pace = Pace::new(10.0, 2.0, start);
        for _ in 0..2 {
            assert_eq!(pace.next(start), start, "the initial credit");
            pace.take();
        }
        let next = pace.next(start);
        assert_eq!((next - start).as_millis(), 100);
        let late = start + Duration::from_secs(60);
        assert_eq!(pace.next(late), late);
        pace.take();
        assert!(pace.next(late) > late, "a minute accumulates credit for one request");
        assert!((59.0..60.0).contains(&pace.idle()), "the rest of the minute is idle time");
    }
}
