//! How fast a run adapts to a changed quota.

use std::time::Duration;

use tokio::time::sleep;

use super::conditions::LATENCY_MILLISECONDS;
use super::verdict::failure_notes;
use crate::error::Error;
use crate::lab::{Lab, World};
use crate::machine::Setting;
use crate::manifests;
use crate::measure::Measured;
use crate::protocol::{ConditionsSpec, Content, HostSpec, Point, QuotaSpec, Spec, Storage};
use crate::record::{Run, Section, Table, Target, share};
use crate::show::{NONE, count, percent, seconds};
use crate::terminal::say;

const FULL: f64 = 200.0;
const CUT: f64 = FULL / 4.0;
/// Small, so that the initial burst of a new quota does not count as settled.
const BURST: u32 = 20;
/// The maximum time to settle, in seconds.
const SETTLED_WITHIN: f64 = 10.0;
/// How long the rate must hold to count as settled, in seconds.
const HELD: f64 = 2.0;
/// How much of the quota must be used in that time, and how much may be refused.
const USED: f64 = 0.9;
const REFUSED: f64 = 0.01;

/// A period with one quota, in seconds after the reset of the counts.
#[derive(Clone, Copy, Debug)]
struct Period {
    name: &'static str,
    per_second: f64,
    begin: f64,
    end: f64,
}

pub(super) async fn measure(lab: &Lab) -> Result<Section, Error> {
    let length = lab.size(20, 12);
    // Enough for two periods with the full quota and one with the reduced quota, each used completely.
    let repositories = length * 450;
    let conditions = |per_second| ConditionsSpec {
        latency_milliseconds: LATENCY_MILLISECONDS,
        quota: Some(QuotaSpec { per_second, burst: BURST }),
        ..ConditionsSpec::default()
    };
    let free = ConditionsSpec { quota: None, ..conditions(FULL) };
    let host = |conditions| HostSpec { storage: Storage::Memory, conditions };
    let content = Content::Promoted { projects: 1, images: repositories, digests: 1 };
    let spec = Spec { hosts: vec![host(free), host(conditions(FULL))], content };
    let mut world = lab.world(spec).await?;
    let directory = lab.directory()?;
    manifests::write(&directory.path().join("manifests"), &world.started)?;
    let job = lab.cip(directory.path(), &directory.path().join("manifests"), &[]);

    say("    kpromo");
    world.begin().await?;
    let pause = Duration::from_secs(length as u64);
    let changes = async |world: &mut World| -> Result<[f64; 2], Error> {
        sleep(pause).await;
        let cut = world.conditions(1, conditions(CUT)).await?;
        sleep(pause).await;
        Ok([cut, world.conditions(1, conditions(FULL)).await?])
    };
    let (measured, changed) = tokio::join!(lab.measure(&job), changes(&mut world));
    let (measured, [cut, restored]): (Measured, _) = (measured?, changed?);
    let reading = world.read().await?;
    // With the timeline, for readers who need more than the time to settle.
    let run = Run {
        hosts: reading.hosts.clone(),
        ..Run::of("kpromo", &measured, &reading, &world.started, &world.hosts)
    };
    say(&format!("        {}", run.line()));

    let timeline = reading.hosts.get(1).map(|host| host.timeline.as_slice()).unwrap_or_default();
    // The time after the last request does not count as underuse.
    let end = busy_until(timeline);
    let periods = [
        Period { name: "at first", per_second: FULL, begin: 0.0, end: cut },
        Period { name: "after the cut", per_second: CUT, begin: cut, end: restored },
        Period { name: "after the restoration", per_second: FULL, begin: restored, end },
    ];
    let mut targets: Vec<Target> = periods
        .iter()
        .map(|period| {
            let what = format!("settled {}", period.name);
            Target::within(&what, settled(timeline, *period), SETTLED_WITHIN, seconds)
        })
        .collect();
    let refused = reading.hosts.get(1).map_or(0.0, |host| share(host.refused, host.requests));
    targets.push(Target::at_most("refused", refused, REFUSED, percent));
    let rows = periods.iter().map(|period| row(timeline, *period)).collect();
    let head = [
        "quota",
        "requests/s allowed",
        "length",
        "settled after",
        "served",
        "of the quota",
        "refused",
        "of all",
    ];
    Ok(Section {
        title: "A quota that changes".to_owned(),
        about: format!(
            "The plan of {} repositories of one host that allows {FULL} requests/s with a burst of \
             {BURST}, then {CUT} after {length} s, and {FULL} again after another {length} s. A run has settled \
             when it uses 90 % of the quota for 2 s with at most 1 % of its requests refused. \
             `target/bench/quota-change.json` has the counts of every quarter of a second.",
            count(repositories as u64)
        ),
        setting: Setting::now(&lab.tools),
        runs: 1,
        tables: vec![Table::new(&head, rows)],
        targets,
        notes: failure_notes(std::slice::from_ref(&run)),
        raw: vec![run],
    })
}

/// Returns when the last request was served.
fn busy_until(timeline: &[Point]) -> f64 {
    let last = timeline.last().map_or(0, |point| point.served);
    timeline.iter().find(|point| point.served == last).map_or(0.0, |point| point.seconds)
}

/// Returns the time from the beginning of a period until its quota is used and obeyed, or `None` if that never happens.
fn settled(timeline: &[Point], period: Period) -> Option<f64> {
    let within = timeline.iter().filter(|point| point.seconds >= period.begin);
    within.clone().find_map(|start| {
        let stop = within.clone().find(|point| point.seconds >= start.seconds + HELD)?;
        let held = (stop.seconds <= period.end).then_some(stop.seconds - start.seconds)?;
        let served = count_of(stop.served - start.served);
        let refused = count_of(stop.refused - start.refused);
        let is_settled = served >= USED * period.per_second * held && refused <= REFUSED * (served + refused);
        is_settled.then_some(start.seconds - period.begin)
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
fn count_of(requests: u64) -> f64 {
    requests as f64
}

fn row(timeline: &[Point], period: Period) -> Vec<String> {
    let before = |time: f64| timeline.iter().rfind(|point| point.seconds <= time).copied();
    let nothing = Point { seconds: 0.0, served: 0, refused: 0 };
    let (start, stop) = (before(period.begin).unwrap_or(nothing), before(period.end).unwrap_or(nothing));
    let (served, refused) = (stop.served - start.served, stop.refused - start.refused);
    let length = (period.end - period.begin).max(f64::EPSILON);
    vec![
        period.name.to_owned(),
        format!("{}", period.per_second),
        seconds(length),
        settled(timeline, period).map_or(NONE.to_owned(), seconds),
        count(served),
        percent(count_of(served) / (period.per_second * length + f64::from(BURST))),
        count(refused),
        percent(share(refused, served + refused)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a timeline with a point every quarter of a second, from the served and refused requests in each quarter.
    fn timeline(quarters: &[(u64, u64)]) -> Vec<Point> {
        let mut last = Point { seconds: 0.0, served: 0, refused: 0 };
        let next = quarters.iter().map(|(served, refused)| {
            last = Point {
                seconds: last.seconds + 0.25,
                served: last.served + served,
                refused: last.refused + refused,
            };
            last
        });
        next.collect()
    }

    fn period(end: f64) -> Period {
        Period { name: "", per_second: 100.0, begin: 0.25, end }
    }

    #[test]
    fn a_run_has_settled_when_it_uses_and_obeys_the_quota() {
        // One second of refusals, one second of underuse, then the full rate.
        let quarters = [vec![(25, 25); 5], vec![(10, 0); 4], vec![(25, 0); 20]].concat();
        let after = settled(&timeline(&quarters), period(7.0)).unwrap();
        assert!((1.5..=2.0).contains(&after), "{after}");
    }

    #[test]
    fn refusals_and_underuse_do_not_count_as_settled() {
        assert_eq!(settled(&timeline(&[(25, 1); 40]), period(10.0)), None);
        assert_eq!(settled(&timeline(&[(22, 0); 40]), period(10.0)), None);
    }

    #[test]
    fn requests_after_the_period_do_not_count() {
        let quarters = [vec![(5, 0); 12], vec![(25, 0); 20]].concat();
        assert_eq!(settled(&timeline(&quarters), period(3.0)), None);
    }

    #[test]
    fn a_run_ends_with_its_last_request() {
        let quarters = [vec![(25, 0); 4], vec![(0, 0); 9]].concat();
        assert!((busy_until(&timeline(&quarters)) - 1.0).abs() < 1e-9);
    }
}
