//! The first second of a run (spec 03.11).

use std::collections::VecDeque;

use super::*;

/// A host in the same data centre, without a quota.
const NEAR: Host = Host { round_trip: Duration::from_millis(5), ..UNLIMITED };

fn job(host: Host, settings: HostSettings, requests: usize) -> Duration {
    let timeline = Simulation { host, settings, load: Load::Job(requests), fails: &never }.run();
    assert_eq!(timeline.sent() as usize, requests);
    timeline.ended
}

/// The settings of a user who knows that the host has no quota.
fn known() -> HostSettings {
    let limits = HostSettings::default();
    let start_concurrency = limits.concurrency;
    HostSettings { start_concurrency, start_requests_per_second: 1e5, start_burst: 1e5, ..limits }
}

#[test]
fn a_small_job_on_a_near_host_takes_little_longer_than_with_known_limits() {
    for requests in [100, 350, 1_000] {
        let unknown = job(NEAR, HostSettings::default(), requests);
        let known = job(NEAR, known(), requests);
        assert!(unknown <= known.mul_f64(1.3), "{requests} requests: {unknown:?} instead of {known:?}");
    }
}

/// A quota that ends the fast search refuses the requests in flight, once: at most as many as fit into the window.
#[test]
fn the_fast_search_costs_less_than_a_window_of_refusals() {
    for (burst, most) in [(100.0, 10), (120.0, 12), (200.0, 20), (1_000.0, 36)] {
        let timeline = run(Host { burst, ..KUBERNETES }, 60);
        assert!(timeline.refused(0..15) <= most, "burst {burst}: {timeline:?}");
        assert!(timeline.share_refused() < 0.01, "burst {burst}: {timeline:?}");
        assert!(timeline.rate(5..60) >= 0.95 * KUBERNETES.per_second, "burst {burst}: {timeline:?}");
    }
}

/// If the machine or the host is too busy to answer within a round trip, requests must not pile up until all are refused.
#[test]
fn the_fast_search_costs_little_more_if_answers_are_late() {
    for milliseconds in [2, 4, 8] {
        let host = Host { between_answers: Duration::from_millis(milliseconds), ..KUBERNETES };
        let timeline = run(host, 60);
        assert!(timeline.refused(0..15) <= 12, "{milliseconds} ms: {timeline:?}");
        assert!(timeline.rate(5..60) >= 0.95 * KUBERNETES.per_second, "{milliseconds} ms: {timeline:?}");
    }
}

/// A run may read for a while before it writes. By then the host has regained the start burst that all lanes have used, so the
/// fast search of the writes takes longer until the quota ends it.
#[test]
fn the_fast_search_of_a_second_lane_costs_no_more() {
    let start = Instant::now();
    let quota = |_| KUBERNETES.per_second;
    let mut bucket = Bucket { host: KUBERNETES, quota, level: KUBERNETES.burst, filled: Duration::ZERO };
    let mut limiter = Limiter::new(&HostSettings::default(), start);
    let mut under_way = VecDeque::<(Duration, Pass, Observed)>::new();
    let mut refused = 0;
    for time in (0..6_000).map(Duration::from_millis) {
        while under_way.front().is_some_and(|(left, ..)| time >= *left + KUBERNETES.round_trip) {
            let Some((_, pass, observed)) = under_way.pop_front() else { break };
            limiter.observe(start + time, pass, observed);
            limiter.leave(pass);
        }
        // 20 reads a second, and after two seconds as many writes as are admitted.
        let (class, most) = match time.as_millis() {
            millisecond @ 0..2_000 => (Class::Read, usize::from(millisecond.is_multiple_of(50))),
            _ => (Class::Write, usize::MAX),
        };
        for _ in 0..most {
            let Admission::Go(pass) = limiter.admit(start + time, class) else { break };
            let observed = bucket.ask(time);
            refused += u32::from(observed != Observed::Served);
            under_way.push_back((time, pass, observed));
        }
    }
    assert!(refused <= 4, "{refused}");
}

/// If a cap is set, the quota is known, and the search does not exceed it.
#[test]
fn the_fast_search_does_not_exceed_a_cap() {
    let settings = HostSettings { requests_per_second: Some(50.0), ..HostSettings::default() };
    let timeline = run_changing(NEAR, &settings, &[Class::Read], 5, |_| 1e9);
    assert!(timeline.served.iter().all(|second| *second <= 52), "{timeline:?}");
}
