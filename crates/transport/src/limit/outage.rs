//! A host that serves nothing any more.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// The fewest failures in a row that say anything about a host.
const FAILURES: u32 = 6;
/// How long a host is waited for that has not served anything in this run.
const UNKNOWN_HOST: Duration = Duration::from_secs(8);
/// The same, where all that it says is that requests are too many: quotas are counted by the minute.
const UNKNOWN_HOST_REFUSING: Duration = Duration::from_secs(90);
/// How often a host that was given up is asked again.
const ASKED_AGAIN: Duration = Duration::from_secs(30);

/// After how long without a question it is forgotten that a host was silent.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// That a host has been given up: for how long it has served nothing, and what came instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// How long it has served nothing.
    pub lasted: Duration,
    /// Requests that it refused in that time (429).
    pub refused: u32,
    /// Requests that it said it could not serve (503).
    pub unavailable: u32,
    /// Requests that it gave no answer to.
    pub lost: u32,
}

impl Outage {
    fn failures(&self) -> u32 {
        self.refused.saturating_add(self.unavailable).saturating_add(self.lost)
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lasted, refused, unavailable, lost } = self;
        write!(f, "the host has served nothing for {:.0} s", lasted.as_secs_f64())?;
        let parts =
            [(refused, "refused (429)"), (unavailable, "unavailable (503)"), (lost, "without an answer")];
        let mut separator = ": ";
        for (number, what) in parts.into_iter().filter(|(number, _)| **number > 0) {
            write!(f, "{separator}{number} {what}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// Watches whether a host serves anything.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    /// How long a host is waited for that has served something.
    patience: Duration,
    /// When the host has last served something.
    served: Option<Instant>,
    /// Since when nothing is served, and what came instead.
    silence: Option<(Instant, Outage)>,
    /// When the last request failed.
    failed: Option<Instant>,
    /// When the host is asked again that was given up.
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

    /// Counts a request that was refused or lost; it left at `admitted`.
    pub(super) fn failed(&mut self, now: Instant, admitted: Instant, count: impl FnOnce(&mut Outage)) {
        self.failed = Some(now);
        let nothing = Outage { lasted: Duration::ZERO, refused: 0, unavailable: 0, lost: 0 };
        // What left long ago says nothing about the time in which others were served.
        let since = self.served.map_or(admitted, |served| served.max(admitted));
        count(&mut self.silence.get_or_insert((since, nothing)).1);
    }

    /// Whether the host is given up. Then one request is let through now and then, to see whether it is back.
    /// `rested` is when the last rest is over that the host was given.
    pub(super) fn outage(&mut self, now: Instant, rested: Option<Instant>) -> Option<Outage> {
        // Nobody has asked for long, though it might have been: what was is no news of what is.
        let failed = self.failed.map(|failed| rested.map_or(failed, |rested| rested.max(failed)));
        if failed.is_some_and(|failed| now.saturating_duration_since(failed) > FORGOTTEN) {
            (self.silence, self.again, self.failed) = (None, None, None);
        }
        let (since, outage) = self.silence?;
        let lasted = now.saturating_duration_since(since);
        let patience = match outage {
            _ if self.served.is_some() => self.patience,
            Outage { unavailable: 0, lost: 0, .. } => UNKNOWN_HOST_REFUSING.min(self.patience),
            _ => UNKNOWN_HOST.min(self.patience),
        };
        if outage.failures() < FAILURES || lasted < patience {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(180);

    fn lose(watch: &mut Watch, now: Instant, admitted: Instant) {
        (0..FAILURES).for_each(|_| watch.failed(now, admitted, |outage| outage.lost += 1));
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

    /// While a host rests because it wants to, nobody asks; that is no reason to forget.
    #[test]
    fn long_rests_do_not_make_a_host_be_waited_for_for_ever() {
        let start = Instant::now();
        let mut watch = Watch::new(PATIENCE);
        let rest = Duration::from_secs(100);
        for round in 0..FAILURES {
            let now = start + rest * round;
            assert_eq!(watch.outage(now, Some(now)), None);
            watch.failed(now, now, |outage| outage.refused += 1);
        }
        let now = start + rest * FAILURES;
        assert!(watch.outage(now, Some(now)).is_some());
    }
}
