//! The limiter against simulated hosts: no clock and no network, so that long runs take no time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::Observed;
use super::limiter::{Admission, Limiter, Pass};
use crate::request::Class;
use crate::settings::HostSettings;

/// A host with a quota for reads and writes together: so many requests a second, and what it saves up for bursts.
#[derive(Clone, Copy, Debug)]
struct Host {
    per_second: f64,
    burst: f64,
    round_trip: Duration,
    retry_after: Option<Duration>,
}

/// What Kubernetes' project has been held to, 20 ms away.
const KUBERNETES: Host =
    Host { per_second: 83.0, burst: 100.0, round_trip: Duration::from_millis(22), retry_after: None };

/// What came of a run, second by second.
#[derive(Debug)]
struct Course {
    served: Vec<u32>,
    refused: Vec<u32>,
    /// The most that were ever under way.
    at_once: usize,
}

impl Course {
    /// Requests served a second.
    fn rate(&self, seconds: Range<usize>) -> f64 {
        let length = seconds.len() as f64;
        f64::from(self.served[seconds].iter().sum::<u32>()) / length
    }

    fn refused(&self, seconds: Range<usize>) -> u32 {
        self.refused[seconds].iter().sum()
    }

    fn share_refused(&self) -> f64 {
        let (refused, served) = (self.refused.iter().sum::<u32>(), self.served.iter().sum::<u32>());
        f64::from(refused) / f64::from(refused + served)
    }
}

/// A host's bucket, which may be filled at another rate as time goes by.
struct Bucket<Q> {
    host: Host,
    quota: Q,
    level: f64,
    filled: Duration,
}

impl<Q: Fn(f64) -> f64> Bucket<Q> {
    fn ask(&mut self, time: Duration) -> Observed {
        let gained = (time - self.filled).as_secs_f64() * (self.quota)(time.as_secs_f64());
        self.level = (self.level + gained).min(self.host.burst);
        self.filled = time;
        if self.level < 1.0 {
            return Observed::Refused(self.host.retry_after);
        }
        self.level -= 1.0;
        Observed::Served
    }
}

/// Asks a host for so many seconds as much as the limiter lets, requests of all `classes` at once.
fn run_changing(
    host: Host,
    settings: &HostSettings,
    classes: &[Class],
    seconds: usize,
    quota: impl Fn(f64) -> f64,
) -> Course {
    let start = Instant::now();
    let mut limiter = Limiter::new(settings, start);
    let mut course = Course { served: vec![0; seconds], refused: vec![0; seconds], at_once: 0 };
    let mut bucket = Bucket { host, quota, level: host.burst, filled: Duration::ZERO };
    let mut under_way = BinaryHeap::new();
    let mut sent: Vec<(Pass, Observed)> = Vec::new();
    let mut time = Duration::ZERO;
    while time < Duration::from_secs(seconds as u64) {
        let mut next = under_way.peek().map(|Reverse((answered, _))| *answered);
        let mut gone = false;
        for class in classes {
            match limiter.admit(start + time, *class) {
                Admission::Go(pass) => {
                    let observed = bucket.ask(time);
                    let counts =
                        if observed == Observed::Served { &mut course.served } else { &mut course.refused };
                    counts[time.as_secs() as usize] += 1;
                    under_way.push(Reverse((time + host.round_trip, sent.len())));
                    sent.push((pass, observed));
                    gone = true;
                }
                Admission::Wait(at) => next = next.into_iter().chain(at.map(|at| at - start)).min(),
                Admission::Closed(outage) => panic!("given up: {outage}"),
            }
        }
        course.at_once = course.at_once.max(under_way.len());
        if gone {
            continue;
        }
        time = next.expect("something to wait for").max(time);
        while let Some(Reverse((answered, number))) = under_way.peek().copied()
            && answered <= time
        {
            under_way.pop();
            let (pass, observed) = sent[number];
            limiter.observe(start + time, pass, observed);
            limiter.leave(pass);
        }
    }
    course
}

fn run(host: Host, seconds: usize) -> Course {
    run_changing(host, &HostSettings::default(), &[Class::Read], seconds, |_| host.per_second)
}

/// A quota that nobody has told is found in the first seconds, at the price of a handful of refusals.
#[test]
fn an_unknown_quota_is_found_and_kept_to() {
    let course = run(KUBERNETES, 60);
    assert!(course.refused(0..15) <= 6, "{course:?}");
    assert!(course.rate(5..60) >= 0.98 * KUBERNETES.per_second, "{course:?}");
    assert!(course.share_refused() < 0.005, "{course:?}");
}

/// What is spared at the beginning of a run is spared 22 times: the burst is used, and the quota reached, within the first
/// quarter of a minute.
#[test]
fn the_burst_of_a_quota_is_used() {
    let course = run(KUBERNETES, 15);
    let most = KUBERNETES.burst + 15.0 * KUBERNETES.per_second;
    assert!(course.rate(0..15) * 15.0 >= 0.98 * most, "{course:?}");
}

#[test]
fn a_host_without_a_quota_soon_gets_all_that_its_window_bears() {
    let unlimited = Host { per_second: 1e9, burst: 1e9, ..KUBERNETES };
    let course = run(unlimited, 20);
    let settings = HostSettings::default();
    assert_eq!(course.at_once, settings.concurrency);
    let most = settings.concurrency as f64 / unlimited.round_trip.as_secs_f64();
    assert!(course.rate(10..20) >= 0.95 * most, "{course:?}");
}

/// The first of any number of requests need not wait for a rate to grow: small jobs are done at once.
#[test]
fn small_jobs_on_near_hosts_do_not_wait() {
    let near =
        Host { per_second: 1e9, burst: 1e9, round_trip: Duration::from_micros(500), retry_after: None };
    let course = run(near, 1);
    assert!(course.served[0] > 5_000, "{course:?}");
}

#[test]
fn what_the_host_asks_for_costs_no_more_than_it_must() {
    let host = Host { retry_after: Some(Duration::from_secs(1)), ..KUBERNETES };
    let course = run(host, 60);
    assert!(course.rate(10..60) >= 0.95 * host.per_second, "{course:?}");
    assert!(course.share_refused() < 0.01, "{course:?}");
}

#[test]
fn a_quota_that_is_cut_or_restored_is_kept_to_within_ten_seconds() {
    for burst in [10.0, 100.0] {
        for changed in [30, 33, 36] {
            let full = KUBERNETES.per_second;
            let cut = |t: f64| (changed as f64..60.0).contains(&t);
            let quota = |t| if cut(t) { full / 4.0 } else { full };
            let host = Host { burst, ..KUBERNETES };
            let course = run_changing(host, &HostSettings::default(), &[Class::Read], 90, quota);
            let low = course.rate(changed + 10..60) / (full / 4.0);
            assert!((0.9..1.1).contains(&low), "burst {burst}, cut: {low} {course:?}");
            let high = course.rate(70..90) / full;
            assert!((0.9..1.1).contains(&high), "burst {burst}, restored: {high} {course:?}");
            assert!(course.share_refused() < 0.01, "{course:?}");
        }
    }
}

/// A host that is asked little and refuses now and then for reasons of its own is not thought to bear little.
#[test]
fn what_was_not_asked_for_is_not_thought_to_be_refused() {
    let start = Instant::now();
    let mut limiter = Limiter::new(&HostSettings::default(), start);
    let mut ask = |now: Instant, observed: Observed| {
        let Admission::Go(pass) = limiter.admit(now, Class::Read) else { return false };
        limiter.observe(now, pass, observed);
        limiter.leave(pass);
        true
    };
    for second in 0..60 {
        let now = start + Duration::from_secs(second);
        ask(now, if second % 20 == 10 { Observed::Unavailable(None) } else { Observed::Served });
    }
    let busy = start + Duration::from_secs(60);
    let milliseconds = (0..2_000).map(|millisecond| busy + Duration::from_millis(millisecond));
    let served = milliseconds.filter(|now| ask(*now, Observed::Served)).count();
    assert!(served > 100, "{served} in two seconds");
}

/// Reads and writes find their shares of a quota that they have in common.
#[test]
fn two_lanes_share_one_quota() {
    let settings = HostSettings::default();
    let both = [Class::Read, Class::Write];
    let course = run_changing(KUBERNETES, &settings, &both, 60, |_| KUBERNETES.per_second);
    assert!(course.rate(10..60) >= 0.95 * KUBERNETES.per_second, "{course:?}");
    assert!(course.share_refused() < 0.015, "{course:?}");
}

/// A quota by the minute: all of it may go at once, and then nothing for the rest of the minute.
#[test]
fn a_quota_by_the_minute_costs_few_refusals() {
    let start = Instant::now();
    let mut limiter = Limiter::new(&HostSettings::default(), start);
    let (mut served, mut refused) = ([0_u32; 10], 0);
    let mut time = Duration::ZERO;
    while time < Duration::from_secs(600) {
        match limiter.admit(start + time, Class::Read) {
            Admission::Go(pass) => {
                let minute = &mut served[time.as_secs() as usize / 60];
                let observed = if *minute < 5_000 { Observed::Served } else { Observed::Refused(None) };
                if observed == Observed::Served {
                    *minute += 1;
                } else {
                    refused += 1;
                }
                time += Duration::from_millis(2);
                limiter.observe(start + time, pass, observed);
                limiter.leave(pass);
            }
            Admission::Wait(at) => time = at.expect("a time") - start,
            Admission::Closed(outage) => panic!("given up: {outage}"),
        }
    }
    assert!(served[3..].iter().all(|minute| *minute >= 4_500), "{served:?}");
    assert!(refused < 150, "{refused}");
}

/// A host that saves up hardly anything refuses whatever is under way when the rate is a little too high. A part of such a quota
/// stays unused, and little is refused all the same.
#[test]
fn a_quota_without_bursts_far_away_is_used_in_part() {
    let host =
        Host { per_second: 46.9, burst: 2.0, round_trip: Duration::from_millis(101), retry_after: None };
    let course = run(host, 90);
    assert!(course.rate(30..90) >= 0.5 * host.per_second, "{course:?}");
    assert!(course.share_refused() < 0.01, "{course:?}");
}

#[test]
fn hard_caps_hold_whatever_the_host_bears() {
    let unlimited = Host { per_second: 1e9, burst: 1e9, ..KUBERNETES };
    let settings = HostSettings {
        concurrency: 3,
        requests_per_second: Some(50.0),
        writes_per_second: Some(20.0),
        ..HostSettings::default()
    };
    let course = run_changing(unlimited, &settings, &[Class::Read], 20, |_| 1e9);
    assert!((48.0..=51.0).contains(&course.rate(0..20)), "{course:?}");
    assert!(course.at_once <= 3);
    let course = run_changing(unlimited, &settings, &[Class::Write], 20, |_| 1e9);
    assert!((19.0..=22.0).contains(&course.rate(0..20)), "{course:?}");
    let course = run_changing(unlimited, &settings, &[Class::Read, Class::Write], 20, |_| 1e9);
    assert!((48.0..=51.0).contains(&course.rate(0..20)), "together: {course:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the quota, it is used, and few requests are refused. What a host saves up is taken to be at least what comes in
    /// during a round trip: with less, most of what is under way at a refusal is lost with it, and no search is cheap.
    #[test]
    fn every_quota_is_used_and_kept_to(
        per_second in 20.0..800.0_f64,
        burst_seconds in 0.01..3.0_f64,
        round_trip in 1..150_u64,
    ) {
        let host = Host {
            per_second,
            burst: (per_second * burst_seconds.max(round_trip as f64 / 1e3)).max(2.0),
            round_trip: Duration::from_millis(round_trip),
            retry_after: None,
        };
        // A window that does not bound what the quota allows.
        let settings = HostSettings { concurrency: 256, ..HostSettings::default() };
        let course = run_changing(host, &settings, &[Class::Read], 90, |_| per_second);
        // What is saved up for bursts makes up for the dip after a trial.
        let least = if burst_seconds < 0.5 { 0.75 } else { 0.9 };
        prop_assert!(course.rate(30..90) >= least * per_second, "{} of {host:?}", course.rate(30..90));
        prop_assert!(course.share_refused() < 0.03, "{} of {host:?}", course.share_refused());
        prop_assert!(course.at_once <= 256);
    }

    /// No order of answers, late ones and lost ones included, lets more under way than the cap, or brings it all to a halt.
    #[test]
    fn nothing_brings_it_to_a_halt(answers in proptest::collection::vec((0..4_u8, 0..2_000_u64), 1..300)) {
        let start = Instant::now();
        let settings = HostSettings { concurrency: 4, start_concurrency: 2, ..HostSettings::default() };
        let mut limiter = Limiter::new(&settings, start);
        let mut now = start;
        let mut under_way = std::collections::VecDeque::new();
        for (kind, wait) in answers {
            let observed = match kind {
                0 => Observed::Served,
                1 => Observed::Refused(None),
                2 => Observed::Unavailable(Some(Duration::from_millis(wait))),
                _ => Observed::Lost,
            };
            now += Duration::from_millis(wait);
            if let Admission::Go(pass) = limiter.admit(now, Class::BulkWrite) {
                under_way.push_back(pass);
            }
            prop_assert!(limiter.under_way() <= 4);
            if let Some(pass) = under_way.pop_front() {
                limiter.observe(now, pass, observed);
                limiter.leave(pass);
            }
        }
        under_way.drain(..).for_each(|pass| limiter.leave(pass));
        // However long it rests, and even where it was given up, in the end a request may leave.
        let later = now + Duration::from_secs(700);
        limiter.admit(later, Class::Read);
        let later = later + Duration::from_secs(60);
        let admitted = [Class::Read, Class::BulkWrite].map(|class| limiter.admit(later, class));
        prop_assert!(admitted.iter().any(|admission| matches!(admission, Admission::Go(_))), "{admitted:?}");
    }
}
