//! Tests of quotas whose end the host announces ([`HostSettings::quota_deadline`]).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::gate::Gate;
use super::{NotAdmitted, Observed};
use crate::class::Class;
use crate::settings::HostSettings;

const HOUR: Duration = Duration::from_secs(3_600);

fn with_quota(deadline: Duration) -> Arc<Gate> {
    let quota_deadline = Some(Instant::now() + deadline);
    Arc::new(Gate::new(&HostSettings { quota_deadline, ..HostSettings::default() }))
}

#[tokio::test(start_paused = true)]
async fn requests_wait_until_the_announced_end_of_a_quota() {
    for refused in [1, 8] {
        let (gate, minutes) = (with_quota(HOUR), Duration::from_secs(50 * 60));
        let permits = futures_util::future::join_all((0..refused).map(|_| gate.admit(Class::Read))).await;
        tokio::time::advance(Duration::from_millis(10)).await;
        let started = Instant::now();
        for permit in permits {
            permit.unwrap().observe(Observed::Refused(Some(minutes)));
        }
        assert!(gate.waits_for_quota());
        gate.admit(Class::Read).await.unwrap().observe(Observed::Served);
        assert_eq!(started.elapsed(), minutes);
        assert!(!gate.waits_for_quota());
    }
}

/// The answer to the last request that a quota permits says so.
#[tokio::test(start_paused = true)]
async fn no_request_is_sent_while_the_quota_is_used_up() {
    let (gate, minutes) = (with_quota(HOUR), Duration::from_secs(50 * 60));
    let started = Instant::now();
    gate.admit(Class::Read).await.unwrap().observe(Observed::UsedUp(minutes));
    gate.admit(Class::BulkRead).await.unwrap().observe(Observed::Served);
    assert_eq!(started.elapsed(), minutes);
}

#[tokio::test(start_paused = true)]
async fn requests_do_not_wait_for_a_quota_that_ends_after_the_deadline() {
    for observed in [Observed::Refused(Some(HOUR * 2)), Observed::UsedUp(HOUR * 2)] {
        let gate = with_quota(HOUR);
        let started = Instant::now();
        gate.admit(Class::Read).await.unwrap().observe(observed);
        assert_eq!(gate.admit(Class::Read).await.unwrap_err(), NotAdmitted::UsedUp(HOUR * 2));
        assert_eq!(started.elapsed(), Duration::ZERO);
        tokio::time::advance(HOUR * 2).await;
        gate.admit(Class::Read).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_still_refuses_after_announced_quota_ends_is_given_up() {
    let gate = with_quota(HOUR * 100);
    let started = Instant::now();
    let outage = loop {
        match gate.admit(Class::Read).await {
            Ok(permit) => permit.observe(Observed::Refused(Some(HOUR))),
            Err(NotAdmitted::Outage(outage)) => break outage,
            Err(why) => panic!("{why}"),
        }
    };
    let waited = started.elapsed();
    assert!((HOUR * 3..HOUR * 5).contains(&waited), "{waited:?}");
    assert!(outage.refused <= 8, "{outage}");
}
