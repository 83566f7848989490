//! Detection of hosts that no longer serve any request.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// The minimum number of failures in a row for a conclusion about a host, unless rests have not helped.
const FAILURES: u32 = 6;
/// How long to wait for a host that has not served any request in this run.
const UNKNOWN_HOST: Duration = Duration::from_secs(8);
/// The same limit if the host only refuses requests: quotas may be counted by the minute.
const UNKNOWN_HOST_REFUSING: Duration = Duration::from_secs(90);
/// The interval at which one request is sent to a host that is given up.
const ASKED_AGAIN: Duration = Duration::from_secs(30);

/// How often in a row a host may announce the end of its quota and still refuse requests after it.
const ANNOUNCED: u32 = 3;

/// The time without a request after which the failures of a host are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// A host that is given up: for how long it has served nothing, and how its requests ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// How long the host has served nothing.
    pub lasted: Duration,
    /// Requests in that time that it refused because of a rate limit (429, 503 with `Retry-After`, or a 403 as GitHub sends it).
    pub refused: u32,
    /// Requests in that time that failed (408, any other temporary 5xx, a reset, a timeout).
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
        let counted = |number: u32, what: &str| match number {
            0 => None,
            1 => Some(format!("1 {what}")),
            _ => Some(format!("{number} {what}s")),
        };
        let parts = [counted(*refused, "refusal"), counted(*failed, "failure")];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        write!(f, "gave up after {} in {:.0} s", parts.join(" and "), lasted.as_secs_f64())
    }
}

/// A failure of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    /// When the request was sent.
    pub(super) admitted: Instant,
    /// Whether the host refused the request because of a rate limit.
    pub(super) refused: bool,
    /// Whether the request followed a rest, which has therefore not helped.
    pub(super) rested: bool,
}

/// The behaviour of a host since it last served a request.
#[derive(Clone, Copy, Debug)]
struct Silence {
    since: Instant,
    outage: Outage,
    /// Failures after a rest.
    rested: u32,
}

/// Determines whether a host serves any request.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    /// How long to wait for a host that has served a request before.
    patience: Duration,
    /// When the host last served a request.
    served: Option<Instant>,
    silence: Option<Silence>,
    /// When the last request failed.
    failed: Option<Instant>,
    /// When a request is next sent to a host that is given up.
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
        // A request that was sent long ago says nothing about the time in which others were served.
        let since = self.served.map_or(admitted, |served| served.max(admitted));
        let outage = Outage { lasted: Duration::ZERO, refused: 0, failed: 0 };
        let silence = self.silence.get_or_insert(Silence { since, outage, rested: 0 });
        silence.outage.refused += u32::from(refused);
        silence.outage.failed += u32::from(!refused);
        silence.rested += u32::from(rested);
    }

    /// Records that the host, which has refused a request, announced the end of its quota. The time until then does not count as
    /// silence. Returns `false` if earlier announcements were wrong, in which case this time counts.
    pub(super) fn announced(&mut self, end: Instant) -> bool {
        let Some(silence) = self.silence.as_mut().filter(|silence| silence.rested < ANNOUNCED) else {
            return false;
        };
        silence.since = silence.since.max(end);
        true
    }

    /// Returns the latest end of any rest: the end of the patience, so that one last request determines whether the host is given
    /// up.
    pub(super) fn rest_limit(&self, now: Instant) -> Instant {
        let end = self.silence.map(|silence| silence.since + self.patience_with(&silence.outage));
        end.filter(|end| *end > now).unwrap_or(now + self.patience)
    }

    /// Returns the outage if the host is given up. In that case one request is admitted every [`ASKED_AGAIN`], to determine
    /// whether the host is back. `rested` is the end of the host's last rest, past or future.
    pub(super) fn outage(&mut self, now: Instant, rested: Option<Instant>) -> Option<Outage> {
        // If no request was sent for a long time although it was permitted, the failures are out of date.
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

    /// Returns how long to wait for a host with this behaviour.
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
    fn an_outage_is_displayed_with_its_counts() {
        let outage =
            |refused, failed| Outage { lasted: Duration::from_secs(90), refused, failed }.to_string();
        assert_eq!(outage(12, 0), "gave up after 12 refusals in 90 s");
        assert_eq!(outage(1, 6), "gave up after 1 refusal and 6 failures in 90 s");
    }

    #[test]
    fn long_requests_that_fail_together_are_no_outage_if_others_were_served() {
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

    /// No request is sent during a rest that the host has asked for; the failures before it must not be forgotten.
    #[test]
    fn a_host_that_asks_for_long_rests_is_given_up_eventually() {
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
    fn a_failure_after_a_rest_counts_as_enough_once_patience_ends() {
        let start = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(5));
        watch.failed(start, Failure { admitted: start, refused: true, rested: false });
        let end = start + Duration::from_secs(5);
        assert_eq!(watch.rest_limit(start), end);
        assert_eq!(watch.outage(end, Some(end)), None, "one last request is admitted");
        watch.failed(end, Failure { admitted: end, refused: true, rested: true });
        assert!(watch.outage(end, Some(end)).is_some_and(|outage| outage.refused == 2));
    }
}
