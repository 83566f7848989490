//! A host that no longer serves anything.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// The fewest failures in a row that say anything about a host, unless rests have not helped.
const FAILURES: u32 = 6;
/// How long a host is waited for that has not served anything in this run.
const UNKNOWN_HOST: Duration = Duration::from_secs(8);
/// The same, where it only refuses requests: quotas are counted by the minute.
const UNKNOWN_HOST_REFUSING: Duration = Duration::from_secs(90);
/// How often a host that was given up is asked again.
const ASKED_AGAIN: Duration = Duration::from_secs(30);

/// After how long without a request it is forgotten that a host served nothing.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// That a host has been given up: for how long it has served nothing, and what came instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// How long it has served nothing.
    pub lasted: Duration,
    /// Requests that it refused in that time as too many (429, or 503 with `Retry-After`).
    pub refused: u32,
    /// Requests that failed in that time (any other temporary 5xx, a reset, a timeout).
    pub failed: u32,
}

impl Outage {
    fn failures(&self) -> u32 {
        self.refused.saturating_add(self.failed)
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lasted, refused, failed } = self;
        write!(f, "the host has served nothing for {:.0} s", lasted.as_secs_f64())?;
        let parts =
            [(refused, "refused (429, or 503 with Retry-After)"), (failed, "failed (5xx or no answer)")];
        let mut separator = ": ";
        for (number, what) in parts.into_iter().filter(|(number, _)| **number > 0) {
            write!(f, "{separator}{number} {what}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// How a request failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    /// When the request left.
    pub(super) admitted: Instant,
    /// Whether the host refused it as one too many.
    pub(super) refused: bool,
    /// Whether it left after a rest, which then has not helped.
    pub(super) rested: bool,
}

/// What a host did since it last served something.
#[derive(Clone, Copy, Debug)]
struct Silence {
    since: Instant,
    outage: Outage,
    /// Failures after a rest.
    rested: u32,
}

/// Watches whether a host serves anything.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    /// How long a host is waited for that has served something.
    patience: Duration,
    /// When the host has last served something.
    served: Option<Instant>,
    silence: Option<Silence>,
    /// When the last request failed.
    failed: Option<Instant>,
    /// When a host that was given up is asked again.
    again: Option<Instant>,
}

impl Watch {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, served: None, silence: None, failed: None, again: None }
    }

    pub(super) fn served(&mut self, now: Instant) {
        self.served = Some(now);
        self.silence = None;
        self.again = None;
    }

    /// Counts a request that was refused or failed.
    pub(super) fn failed(&mut self, now: Instant, failure: Failure) {
        self.failed = Some(now);
        let Failure { admitted, refused, rested } = failure;
        // A request that left long ago says nothing about the time in which others were served.
        let since = self.served.map_or(admitted, |served| served.max(admitted));
        let outage = Outage { lasted: Duration::ZERO, refused: 0, failed: 0 };
        let silence = self.silence.get_or_insert(Silence { since, outage, rested: 0 });
        silence.outage.refused += u32::from(refused);
        silence.outage.failed += u32::from(!refused);
        silence.rested += u32::from(rested);
    }

    /// The time beyond which no rest goes on: when patience ends, so that one last request finds out whether the host is
    /// given up.
    pub(super) fn rest_limit(&self, now: Instant) -> Instant {
        let end = self.silence.map(|silence| silence.since + self.patience_with(&silence.outage));
        end.filter(|end| *end > now).unwrap_or(now + self.patience)
    }

    /// Whether the host is given up. Then one request is let through now and then, to see whether it is back.
    /// `rested` is when the last rest of the host ends, or has ended.
    pub(super) fn outage(&mut self, now: Instant, rested: Option<Instant>) -> Option<Outage> {
        // For long no request was sent, though it might have been: what was known is out of date.
        let failed = self.failed.map(|failed| rested.map_or(failed, |rested| rested.max(failed)));
        if failed.is_some_and(|failed| now.saturating_duration_since(failed) > FORGOTTEN) {
            (self.silence, self.again, self.failed) = (None, None, None);
        }
        let Silence { since, outage, rested } = self.silence?;
        let lasted = now.saturating_duration_since(since);
        let says_enough = outage.failures() >= FAILURES || rested > 0;
        if !says_enough || lasted < self.patience_with(&outage) {
            return None;
        }
        match self.again {
            Some(again) if now >= again => {
                self.again = Some(now + ASKED_AGAIN);
                None
            }
            Some(_) => Some(Outage { lasted, ..outage }),
            None => {
                self.again = Some(now + ASKED_AGAIN);
                Some(Outage { lasted, ..outage })
            }
        }
    }

    /// How long the host is waited for that does this.
    fn patience_with(&self, outage: &Outage) -> Duration {
        match outage {
            _ if self.served.is_some() => self.patience,
            Outage { failed: 0, .. } => UNKNOWN_HOST_REFUSING.min(self.patience),
            _ => UNKNOWN_HOST.min(self.patience),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(180);

    fn lose(watch: &mut Watch, now: Instant, admitted: Instant) {
        (0..FAILURES).for_each(|_| watch.failed(now, Failure { admitted, refused: false, rested: false }));
    }

    #[test]
    fn long_requests_that_break_together_are_no_outage_where_others_were_served() {
        let start = Instant::now();
        let mut watch = Watch::new(PATIENCE);
        let now = start + Duration::from_secs(240);
        watch.served(now - Duration::from_secs(1));
        lose(&mut watch, now, start);
        assert_eq!(watch.outage(now, None), None);
        let later = now + PATIENCE;
        lose(&mut watch, later, later);
        assert!(watch.outage(later, None).is_some());
    }

    /// While a host rests because it has asked for it, no request is sent; that is no reason to forget its failures.
    #[test]
    fn long_rests_do_not_make_a_host_be_waited_for_for_ever() {
        let start = Instant::now();
        let mut watch = Watch::new(PATIENCE);
        let rest = Duration::from_secs(100);
        for round in 0..FAILURES {
            let now = start + rest * round;
            assert_eq!(watch.outage(now, Some(now)), None);
            watch.failed(now, Failure { admitted: now, refused: true, rested: false });
        }
        let now = start + rest * FAILURES;
        assert!(watch.outage(now, Some(now)).is_some());
    }

    #[test]
    fn a_failure_after_a_rest_ends_patience_with_fewer_failures_but_not_before_its_time() {
        let start = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(5));
        watch.failed(start, Failure { admitted: start, refused: true, rested: false });
        let end = start + Duration::from_secs(5);
        assert_eq!(watch.rest_limit(start), end);
        assert_eq!(watch.outage(end, Some(end)), None, "a last request finds out");
        watch.failed(end, Failure { admitted: end, refused: true, rested: true });
        assert!(watch.outage(end, Some(end)).is_some_and(|outage| outage.refused == 2));
    }
}
