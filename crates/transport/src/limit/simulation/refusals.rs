//! `Retry-After` is honoured within bounds (spec 03.10).

use super::*;

#[test]
fn a_retry_after_of_zero_causes_no_more_requests_than_none() {
    let silent = run(KUBERNETES, 60);
    let zero = run(Host { retry_after: Some(Duration::ZERO), ..KUBERNETES }, 60);
    assert_eq!(zero.refused, silent.refused);
    assert_eq!(zero.served, silent.served);
}

#[test]
fn a_rest_is_no_longer_than_patience() {
    let patience = Duration::from_secs(5);
    let host = Host { retry_after: Some(Duration::from_secs(30)), ..KUBERNETES };
    let settings = HostSettings { patience, ..HostSettings::default() };
    let load = Load::Endless { classes: &[Class::Read], seconds: 120 };
    let timeline = Simulation { host, settings: settings.clone(), load, fails: &never }.run();
    assert_eq!(timeline.outage, None, "it serves requests after each rest");
    let longest = timeline.served.split(|served| *served > 0).map(<[u32]>::len).max();
    assert!(longest <= Some(5), "{timeline:?}");

    let refuses = Simulation { host, settings, load, fails: &never };
    let timeline = refuses.run_against(|time| match time.as_secs() {
        0 => Observed::Served,
        _ => Observed::Refused(host.retry_after),
    });
    assert!(timeline.outage.is_some_and(|outage| outage.refused >= 2), "{timeline:?}");
    assert!((6.0..7.0).contains(&timeline.ended.as_secs_f64()), "{timeline:?}");
}

/// A quota of 5,000 requests a minute. With a refusal, the host reports the time until the next minute.
#[test]
fn a_quota_by_the_minute_with_retry_after_costs_few_refusals() {
    let minute = |time: Duration| time.as_secs() / 60;
    let mut served = [0_u32; 10];
    let load = Load::Endless { classes: &[Class::Read], seconds: 600 };
    let settings = HostSettings::default();
    let timeline = Simulation { host: UNLIMITED, settings, load, fails: &never }.run_against(|time| {
        let served = &mut served[minute(time) as usize];
        if *served < 5_000 {
            *served += 1;
            return Observed::Served;
        }
        Observed::Refused(Some(Duration::from_secs(60 * (minute(time) + 1)) - time))
    });
    assert!(timeline.outage.is_none());
    assert!(served[1..].iter().all(|served| *served >= 4_500), "{served:?}");
    assert!(timeline.share_refused() < 0.01, "{}", timeline.share_refused());
}
