//! Failures: at random, of all requests at once, and by an overloaded host (spec 03.9).

use super::*;

fn job(host: Host, requests: usize, fails: &dyn Fn(Duration, usize) -> bool) -> Timeline {
    let settings = HostSettings::default();
    let timeline = Simulation { host, settings, load: Load::Job(requests), fails }.run();
    assert_eq!(timeline.outage, None, "given up");
    assert_eq!(timeline.served.iter().sum::<u32>() as usize, requests);
    timeline
}

/// Sends reads for a number of seconds.
fn run_failing(host: Host, seconds: usize, fails: &dyn Fn(Duration, usize) -> bool) -> Timeline {
    let load = Load::Endless { classes: &[Class::Read], seconds };
    Simulation { host, settings: HostSettings::default(), load, fails }.run()
}

#[test]
fn random_failures_cost_at_most_twice_the_time() {
    let near = Host { round_trip: Duration::from_millis(5), ..UNLIMITED };
    for host in [KUBERNETES, UNLIMITED, near] {
        for probability in [0.03, 0.05, 0.08] {
            for requests in [1_500, 30_000] {
                let without = job(host, requests, &never).ended;
                let with = job(host, requests, &|_, number| fails_at_random(probability, number)).ended;
                let allowed = without.mul_f64(2.0).max(without + 4 * PAUSE);
                assert!(with <= allowed, "{probability} of {host:?}: {with:?} instead of {without:?}");
            }
        }
    }
}

#[test]
fn random_failures_change_neither_rate_nor_refusals() {
    let timeline = run_failing(KUBERNETES, 60, &|_, number| fails_at_random(0.05, number));
    assert!(timeline.rate(5..60) >= 0.93 * KUBERNETES.per_second, "{timeline:?}");
    assert!(timeline.share_refused() < 0.01, "{timeline:?}");
    assert!(timeline.refused(0..15) <= 13, "{timeline:?}");
}

/// A host that fails completely for a while receives few requests in that time. Three seconds after the end of the outage it
/// is used as before.
#[test]
fn the_rate_recovers_soon_after_an_outage() {
    for (host, most) in
        [(KUBERNETES, KUBERNETES.per_second), (UNLIMITED, 32.0 / UNLIMITED.round_trip.as_secs_f64())]
    {
        for lasts in [1, 5, 20] {
            let (begins, ends) = (Duration::from_secs(30), Duration::from_secs(30 + lasts));
            let timeline = run_failing(host, 70, &|time, _| (begins..ends).contains(&time));
            let back = 30 + lasts as usize + 3;
            assert!(timeline.rate(back..back + 15) >= 0.9 * most, "{lasts} s: {timeline:?}");
            let failed: u32 = timeline.failed.iter().sum();
            assert!(failed <= 26 + 32 + 20, "{lasts} s: {failed} failed");
            assert!(timeline.share_refused() < 0.01, "{lasts} s: {timeline:?}");
        }
    }
}

/// A host that fails when too many requests are in progress receives fewer, until few requests fail.
#[test]
fn the_window_of_an_overloaded_host_shrinks() {
    let start = Instant::now();
    let mut limiter = Limiter::new(&HostSettings::default(), start);
    let mut under_way = std::collections::VecDeque::new();
    let (mut served, mut failed) = (0, 0);
    for millisecond in 0..60_000_u64 {
        let now = start + Duration::from_millis(millisecond);
        while let Admission::Go(pass) = limiter.admit(now, Class::Read) {
            let observed = if under_way.len() < 6 { Observed::Served } else { Observed::Failed };
            under_way.push_back((now + Duration::from_millis(20), pass, observed));
        }
        while under_way.front().is_some_and(|(answered, ..)| *answered <= now) {
            let (_, pass, observed) = under_way.pop_front().unwrap();
            *(if observed == Observed::Served { &mut served } else { &mut failed }) += 1;
            limiter.observe(now, pass, observed);
            limiter.leave(pass);
        }
    }
    assert!(failed * 5 < served, "{failed} failed, {served} served");
    assert!(served > 60 * 150, "{served} of 18,000 served");
}

#[test]
fn a_host_that_is_down_is_given_up_promptly() {
    let timeline = run_failing(UNLIMITED, 60, &|_, _| true);
    assert!(timeline.outage.is_some() && timeline.ended <= Duration::from_secs(9), "{timeline:?}");
    assert!(timeline.sent() < 60, "{timeline:?}");
    let dies = Duration::from_secs(10);
    let timeline = run_failing(UNLIMITED, 300, &|time, _| time >= dies);
    let patience = HostSettings::default().patience;
    let waited = timeline.ended - dies;
    assert!(timeline.outage.is_some() && waited <= patience + Duration::from_secs(1), "{waited:?}");
}
