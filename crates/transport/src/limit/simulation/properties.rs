//! Properties that hold for any host.

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any quota is used, and few requests are refused, even if some fail at random. The host is assumed to accumulate at least
    /// the credit that its quota gains in a round trip: with less, most of the requests in progress at a refusal are lost with it,
    /// and no search is cheap.
    #[test]
    fn every_quota_is_used_and_rarely_exceeded(
        per_second in 20.0..800.0_f64,
        burst_seconds in 0.01..3.0_f64,
        round_trip in 1..150_u64,
        faults in prop_oneof![Just(0.0), 0.0..0.06_f64],
    ) {
        let host = Host {
            per_second,
            burst: (per_second * burst_seconds.max(round_trip as f64 / 1e3)).max(2.0),
            round_trip: Duration::from_millis(round_trip),
            ..KUBERNETES
        };
        // The window is large enough not to limit the quota.
        let settings = HostSettings { concurrency: 256, ..HostSettings::default() };
        let load = Load::Endless { classes: &[Class::Read], seconds: 90 };
        let fails = |_, number| fails_at_random(faults, number);
        let timeline = Simulation { host, settings, load, fails: &fails }.run();
        prop_assert_eq!(timeline.outage, None);
        // The credit for bursts compensates for the dip after a trial.
        let least = (1.0 - faults) * if burst_seconds < 0.5 { 0.75 } else { 0.9 };
        prop_assert!(timeline.rate(30..90) >= least * per_second, "{} of {host:?}", timeline.rate(30..90));
        let most = if faults == 0.0 { 0.03 } else { 0.04 };
        prop_assert!(timeline.share_refused() < most, "{} of {host:?}", timeline.share_refused());
        prop_assert!(timeline.at_once <= 256);
    }

    /// No order of answers, including late ones and failures, admits more requests than the cap, or stops all requests.
    #[test]
    fn no_order_of_answers_stops_all_requests(
        answers in proptest::collection::vec((0..4_u8, 0..2_000_u64), 1..300),
    ) {
        let start = Instant::now();
        let settings = HostSettings { concurrency: 4, start_concurrency: 2, ..HostSettings::default() };
        let mut limiter = Limiter::new(&settings, start);
        let mut now = start;
        let mut under_way = std::collections::VecDeque::new();
        for (kind, wait) in answers {
            let observed = match kind {
                0 => Observed::Served,
                1 => Observed::Refused(None),
                2 => Observed::Refused(Some(Duration::from_millis(wait))),
                _ => Observed::Failed,
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
        // A request is admitted eventually, however long the host rests and even if it was given up.
        let later = now + Duration::from_secs(700);
        limiter.admit(later, Class::Read);
        let later = later + Duration::from_secs(60);
        let admitted = [Class::Read, Class::BulkWrite].map(|class| limiter.admit(later, class));
        prop_assert!(admitted.iter().any(|admission| matches!(admission, Admission::Go(_))), "{admitted:?}");
    }
}
