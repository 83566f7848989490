//! Evenly spaced requests: a bucket that holds hardly more than one.

use std::time::Duration;

use tokio::time::Instant;

/// How much lateness is made up for, in seconds: timers are late on a busy machine.
const LATENESS: f64 = 0.025;

/// Lets so many requests a second pass, without saving up for bursts.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// Requests a second.
    rate: f64,
    /// Requests that may pass now.
    credit: f64,
    since: Instant,
    /// For how long, in seconds and in all, the rate was not used.
    idle: f64,
}

impl Pace {
    /// A pace of `rate` requests a second, of which the first `credit` may pass at once.
    pub(super) fn new(rate: f64, credit: f64, now: Instant) -> Self {
        Self { rate, credit, since: now, idle: 0.0 }
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// For how long, in seconds and in all, the rate was not used.
    pub(super) fn idle(&self) -> f64 {
        self.idle
    }

    /// Goes on at another rate from now on.
    pub(super) fn set_rate(&mut self, rate: f64, now: Instant) {
        self.fill(now);
        self.rate = rate;
    }

    /// Takes away what may pass at once.
    pub(super) fn empty(&mut self, now: Instant) {
        self.credit = 0.0;
        self.since = now;
    }

    /// Counts the time since the last request as idle.
    pub(super) fn skip(&mut self, now: Instant) {
        self.idle += now.saturating_duration_since(self.since).as_secs_f64();
        self.since = self.since.max(now);
    }

    /// When the next request may pass, which may be now.
    pub(super) fn next(&mut self, now: Instant) -> Instant {
        self.fill(now);
        if self.credit >= 1.0 { now } else { now + Duration::from_secs_f64((1.0 - self.credit) / self.rate) }
    }

    /// Counts one that passes.
    pub(super) fn take(&mut self) {
        self.credit -= 1.0;
    }

    /// Whether more may pass at once than can be saved up: whether something is left of a burst to begin with.
    pub(super) fn has_burst(&self) -> bool {
        self.credit > self.most_saved()
    }

    /// Takes away one of the credit that is more than can be saved up: what is left of a burst to begin with.
    pub(super) fn spend_burst(&mut self) {
        if self.has_burst() {
            self.credit -= 1.0;
        }
    }

    /// Gives one back that has not been sent.
    pub(super) fn give_back(&mut self) {
        self.credit += 1.0;
    }

    fn fill(&mut self, now: Instant) {
        let gained = now.saturating_duration_since(self.since).as_secs_f64() * self.rate;
        // The credit to begin with may be more than is ever saved up.
        let kept = self.credit.max((self.credit + gained).min(self.most_saved()));
        self.idle += (self.credit + gained - kept) / self.rate;
        self.credit = kept;
        self.since = self.since.max(now);
    }

    fn most_saved(&self) -> f64 {
        1.0 + self.rate * LATENESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_spaced_and_a_pause_saves_up_next_to_nothing() {
        let start = Instant::now();
        let mut pace = Pace::new(10.0, 2.0, start);
        for _ in 0..2 {
            assert_eq!(pace.next(start), start, "the credit to begin with");
            pace.take();
        }
        let next = pace.next(start);
        assert_eq!((next - start).as_millis(), 100);
        let late = start + Duration::from_secs(60);
        assert_eq!(pace.next(late), late);
        pace.take();
        assert!(pace.next(late) > late, "a minute has saved up one request");
        assert!((59.0..60.0).contains(&pace.idle()), "the rest of it is idle time");
    }
}
