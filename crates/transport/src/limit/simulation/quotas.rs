//! Quotas that are unknown, change, are shared, or are counted by the minute.

use super::*;

/// An unknown quota is determined in the first seconds, at the cost of a few refusals.
#[test]
fn an_unknown_quota_is_found_and_rarely_exceeded() {
    let timeline = run(KUBERNETES, 60);
    assert!(timeline.refused(0..15) <= 6, "{timeline:?}");
    assert!(timeline.rate(5..60) >= 0.98 * KUBERNETES.per_second, "{timeline:?}");
    assert!(timeline.share_refused() < 0.005, "{timeline:?}");
}

/// The Kubernetes project promotes to 22 regions, each a host with its own quota, so a slow start would cost time at each of
/// them. The burst is used, and the quota reached, within the first quarter of a minute.
#[test]
fn the_burst_of_a_quota_is_used() {
    let timeline = run(KUBERNETES, 15);
    let most = KUBERNETES.burst + 15.0 * KUBERNETES.per_second;
    assert!(timeline.rate(0..15) * 15.0 >= 0.98 * most, "{timeline:?}");
}

#[test]
fn only_the_window_limits_a_host_without_a_quota() {
    let timeline = run(UNLIMITED, 20);
    let settings = HostSettings::default();
    assert_eq!(timeline.at_once, settings.concurrency);
    let most = settings.concurrency as f64 / UNLIMITED.round_trip.as_secs_f64();
    assert!(timeline.rate(10..20) >= 0.95 * most, "{timeline:?}");
}

/// The first requests do not wait for the rate to grow: small jobs complete at once.
#[test]
fn small_jobs_on_near_hosts_do_not_wait() {
    let near = Host { round_trip: Duration::from_micros(500), ..UNLIMITED };
    let timeline = run(near, 1);
    assert!(timeline.served[0] > 5_000, "{timeline:?}");
}

#[test]
fn a_short_retry_after_costs_little_throughput() {
    let host = Host { retry_after: Some(Duration::from_secs(1)), ..KUBERNETES };
    let timeline = run(host, 60);
    assert!(timeline.rate(10..60) >= 0.95 * host.per_second, "{timeline:?}");
    assert!(timeline.share_refused() < 0.01, "{timeline:?}");
}

#[test]
fn the_rate_follows_a_cut_or_restored_quota_within_ten_seconds() {
    for burst in [10.0, 100.0] {
        for changed in [30, 33, 36] {
            let full = KUBERNETES.per_second;
            let cut = |t: f64| (changed as f64..60.0).contains(&t);
            let quota = |t| if cut(t) { full / 4.0 } else { full };
            let host = Host { burst, ..KUBERNETES };
            let timeline = run_changing(host, &HostSettings::default(), &[Class::Read], 90, quota);
            let low = timeline.rate(changed + 10..60) / (full / 4.0);
            assert!((0.9..1.1).contains(&low), "burst {burst}, cut: {low} {timeline:?}");
            let high = timeline.rate(70..90) / full;
            assert!((0.9..1.1).contains(&high), "burst {burst}, restored: {high} {timeline:?}");
            assert!(timeline.share_refused() < 0.01, "{timeline:?}");
        }
    }
}

/// If a host receives few requests and sometimes refuses one for other reasons, its quota is not assumed to be low.
#[test]
fn unused_capacity_is_not_mistaken_for_a_low_quota() {
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
        ask(now, if second % 20 == 10 { Observed::Refused(None) } else { Observed::Served });
    }
    let busy = start + Duration::from_secs(60);
    let milliseconds = (0..2_000).map(|millisecond| busy + Duration::from_millis(millisecond));
    let served = milliseconds.filter(|now| ask(*now, Observed::Served)).count();
    assert!(served > 100, "{served} in two seconds");
}

/// Reads and writes share a common quota.
#[test]
fn two_lanes_share_one_quota() {
    let settings = HostSettings::default();
    let both = [Class::Read, Class::Write];
    let timeline = run_changing(KUBERNETES, &settings, &both, 60, |_| KUBERNETES.per_second);
    assert!(timeline.rate(10..60) >= 0.95 * KUBERNETES.per_second, "{timeline:?}");
    assert!(timeline.share_refused() < 0.015, "{timeline:?}");
}

/// A quota by the minute: all of it may be used at once, and none for the rest of the minute.
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
            other => panic!("given up: {other:?}"),
        }
    }
    assert!(served[3..].iter().all(|minute| *minute >= 4_500), "{served:?}");
    assert!(refused < 150, "{refused}");
}

/// A host that accumulates almost no credit refuses all requests in progress when the rate is a little too high. A part of such a
/// quota stays unused, but few requests are refused.
#[test]
fn a_quota_without_bursts_far_away_is_used_in_part() {
    let host = Host { per_second: 46.9, burst: 2.0, round_trip: Duration::from_millis(101), ..KUBERNETES };
    let timeline = run(host, 90);
    assert!(timeline.rate(30..90) >= 0.5 * host.per_second, "{timeline:?}");
    assert!(timeline.share_refused() < 0.01, "{timeline:?}");
}

#[test]
fn configured_caps_hold_even_if_the_host_permits_more() {
    let settings = HostSettings {
        concurrency: 3,
        requests_per_second: Some(50.0),
        writes_per_second: Some(20.0),
        ..HostSettings::default()
    };
    let timeline = run_changing(UNLIMITED, &settings, &[Class::Read], 20, |_| 1e9);
    assert!((48.0..=51.0).contains(&timeline.rate(0..20)), "{timeline:?}");
    assert!(timeline.at_once <= 3);
    let timeline = run_changing(UNLIMITED, &settings, &[Class::Write], 20, |_| 1e9);
    assert!((19.0..=22.0).contains(&timeline.rate(0..20)), "{timeline:?}");
    let timeline = run_changing(UNLIMITED, &settings, &[Class::Read, Class::Write], 20, |_| 1e9);
    assert!((48.0..=51.0).contains(&timeline.rate(0..20)), "together: {timeline:?}");
}

/// The requests in progress at a refusal are lost, and nothing compensates for the dip after a trial; but few are refused.
#[test]
fn a_quota_without_bursts_is_used_and_little_is_refused() {
    for (per_second, round_trip, least) in
        [(83.0, 5, 0.85), (83.0, 22, 0.75), (300.0, 22, 0.75), (1_000.0, 5, 0.75)]
    {
        let host =
            Host { per_second, burst: 2.0, round_trip: Duration::from_millis(round_trip), ..KUBERNETES };
        let timeline = run(host, 90);
        assert!(timeline.rate(10..90) >= least * per_second, "{timeline:?}");
        assert!(timeline.share_refused() < 0.01, "{timeline:?}");
    }
}

/// Reads and writes together have one burst: all requests to a host share its quota.
#[test]
fn two_lanes_share_one_start_burst() {
    let both = [Class::Read, Class::Write];
    let timeline = run_changing(KUBERNETES, &HostSettings::default(), &both, 15, |_| KUBERNETES.per_second);
    assert!(timeline.refused(0..15) <= 30, "{timeline:?}");
}
