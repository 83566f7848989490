//! A watchdog that warns about long waits of a run, once per wait.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;
use transport::{Door, Queue, Stall};

use crate::render::{counted, duration};

/// The interval between two checks.
const EVERY: Duration = Duration::from_secs(1);
/// A request without progress for this long is reported, well before it times out.
const SILENT: Duration = Duration::from_secs(20);
/// A host that the door leaves alone for this long is reported at once.
const LONG_REST: Duration = Duration::from_secs(5);
/// A host with shorter rests is reported when requests have waited for it at this many looks, which is this many seconds.
const LOOKS_WAITED: u32 = 3;
/// After this many looks without a wait, the next wait for the host counts as a new one.
const LOOKS_WITHOUT: u32 = 5;
/// The maximum number of requests that one look reports: many stalled requests have the same cause.
const AT_ONCE: usize = 3;

/// The current waits, and which of them have been reported.
#[derive(Debug, Default)]
struct Watchdog {
    stalls: HashSet<u64>,
    hosts: HashMap<String, Episode>,
}

/// A period in which requests wait for a host that refuses them.
#[derive(Debug, Default)]
struct Episode {
    /// The number of looks at which requests waited.
    waited: u32,
    /// The number of looks since the last of these.
    without: u32,
    is_named: bool,
}

/// Watches the door while it is polled, and logs warnings.
pub(crate) async fn watch(door: &Door) -> Infallible {
    let mut watchdog = Watchdog::default();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for text in watchdog.check(door.stalled(SILENT), &door.queues()) {
            tracing::warn!("{text}");
        }
    }
}

impl Watchdog {
    /// Returns the warnings of one look.
    fn check(&mut self, stalls: Vec<Stall>, queues: &[Queue]) -> Vec<String> {
        let mut warnings = self.stalled(stalls);
        warnings.extend(self.resting(queues));
        warnings
    }

    /// Reports requests without progress that have not been reported yet.
    fn stalled(&mut self, stalls: Vec<Stall>) -> Vec<String> {
        let hang: HashSet<u64> = stalls.iter().map(|stall| stall.number).collect();
        self.stalls.retain(|number| hang.contains(number));
        let new: Vec<Stall> = stalls.into_iter().filter(|stall| self.stalls.insert(stall.number)).collect();
        let mut warnings: Vec<String> = new
            .iter()
            .take(AT_ONCE)
            .map(|stall| format!("no progress for {} s: {}", stall.silent.as_secs(), stall.what))
            .collect();
        if new.len() > AT_ONCE {
            let hidden = new.len() - AT_ONCE;
            warnings.push(format!("and {} without progress", counted(hidden, "more request")));
        }
        warnings
    }

    /// Reports hosts that the door leaves alone while requests wait for them, unless they have been reported already.
    fn resting(&mut self, queues: &[Queue]) -> Vec<String> {
        let waits = || queues.iter().filter(|queue| queue.requests > 0 && !queue.rests.is_zero());
        self.hosts.retain(|host, episode| {
            episode.without = if waits().any(|queue| queue.host == *host) { 0 } else { episode.without + 1 };
            episode.without < LOOKS_WITHOUT
        });
        let mut warnings = Vec::new();
        for Queue { host, requests, rests, refuses, is_quota } in waits() {
            let episode = self.hosts.entry(host.clone()).or_default();
            episode.waited += 1;
            if episode.is_named || (*rests < LONG_REST && episode.waited < LOOKS_WAITED) {
                continue;
            }
            episode.is_named = true;
            let seconds = rests.as_secs_f64().ceil();
            if *is_quota {
                let wait = if *requests == 1 { "waits" } else { "wait" };
                warnings.push(format!(
                    "the rate limit of {host} is used up; {} {wait} until {:.0} (for {})",
                    counted(*requests, "request"),
                    Timestamp::now().saturating_add(*rests).unwrap_or(Timestamp::MAX),
                    duration(*rests)
                ));
                continue;
            }
            let what = if *refuses { "limits the rate of requests" } else { "fails" };
            let requests = counted(*requests, "request");
            warnings.push(format!("{host} {what}; retrying in {seconds} s ({requests} waiting)"));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stall(number: u64) -> Stall {
        Stall { number, what: format!("GET https://r.example/{number}"), silent: Duration::from_secs(21) }
    }

    fn queue(milliseconds: u64) -> Queue {
        let (host, rests) = ("r.example".to_owned(), Duration::from_millis(milliseconds));
        Queue { host, requests: 7, rests, refuses: true, is_quota: false }
    }

    /// Returns the looks, counted from 1, that report the host. Each item is the remaining rest at a look, in milliseconds.
    fn named_at(rests: &[u64]) -> Vec<usize> {
        let mut watchdog = Watchdog::default();
        let ticks = rests.iter().enumerate().map(|(check, rest)| (check + 1, queue(*rest)));
        ticks
            .filter_map(|(check, queue)| (!watchdog.check(Vec::new(), &[queue]).is_empty()).then_some(check))
            .collect()
    }

    #[test]
    fn a_stalled_request_is_reported_once_and_again_when_it_stalls_again() {
        let mut watchdog = Watchdog::default();
        let warnings = watchdog.check(vec![stall(1)], &[]);
        assert_eq!(warnings, ["no progress for 21 s: GET https://r.example/1"]);
        assert!(watchdog.check(vec![stall(1)], &[]).is_empty());
        assert!(watchdog.check(Vec::new(), &[]).is_empty());
        assert_eq!(watchdog.check(vec![stall(1)], &[]).len(), 1);
    }

    #[test]
    fn many_stalled_requests_are_counted() {
        let warnings = Watchdog::default().check((0..10).map(stall).collect(), &[]);
        assert_eq!((warnings.len(), warnings[3].as_str()), (4, "and 7 more requests without progress"));
    }

    #[test]
    fn a_host_with_a_rest_of_five_seconds_or_more_is_reported_at_the_first_check() {
        let mut watchdog = Watchdog::default();
        let warnings = watchdog.check(Vec::new(), &[queue(29_400)]);
        assert_eq!(
            warnings,
            ["r.example limits the rate of requests; retrying in 30 s (7 requests waiting)"]
        );
        assert!(watchdog.check(Vec::new(), &[queue(28_400)]).is_empty());
        assert_eq!(named_at(&[5_000, 4_000, 3_000, 2_000, 1_000, 0]), [1]);
    }

    #[test]
    fn a_host_is_reported_after_requests_have_waited_three_seconds_in_total() {
        let mut watchdog = Watchdog::default();
        assert!(watchdog.check(Vec::new(), &[queue(1_000)]).is_empty());
        assert!(watchdog.check(Vec::new(), &[]).is_empty());
        assert!(watchdog.check(Vec::new(), &[queue(200)]).is_empty());
        let failing = Queue { refuses: false, requests: 1, ..queue(400) };
        let warnings = watchdog.check(Vec::new(), &[failing]);
        assert_eq!(warnings, ["r.example fails; retrying in 1 s (1 request waiting)"]);
    }

    /// In each row the report comes within the five seconds after which a wait for a quota must be reported.
    #[test]
    fn a_wait_is_reported_once_within_five_checks_and_again_when_it_restarts() {
        assert_eq!(named_at(&[900, 900, 900, 900, 900, 900]), [3]);
        assert_eq!(named_at(&[900, 0, 900, 0, 900, 900]), [5]);
        assert_eq!(
            named_at(&[900, 900, 0, 0, 0, 0, 0, 900, 900]),
            [] as [usize; 0],
            "short rests of a limit"
        );
        assert_eq!(named_at(&[9_000, 0, 0, 0, 0, 0, 9_000]), [1, 7]);
        assert_eq!(named_at(&[9_000, 0, 0, 0, 0, 9_000]), [1], "the same wait goes on");
    }

    #[test]
    fn a_host_that_is_only_paced_is_not_named() {
        assert_eq!(named_at(&[0; 20]), [] as [usize; 0]);
    }
}
