//! A quota for each minute. All of it may be used at once, and then no request is served for the rest of the minute.

use super::conditions::{FREE, LATENCY_MILLISECONDS};
use super::verdict::failure_notes;
use crate::error::Error;
use crate::lab::Lab;
use crate::machine::Setting;
use crate::manifests;
use crate::protocol::{ConditionsSpec, Content, HostSpec, Point, Spec, Storage};
use crate::record::{Run, Section, Table, Target, share};
use crate::show::{count, percent, seconds, whole};
use crate::terminal::say;

/// The quota of Kubernetes, as Artifact Registry counts it.
const PER_MINUTE: usize = 5_000;
/// The fraction of each minute's quota that must be used.
const USED: f64 = 0.9;
const REFUSED: f64 = 0.01;
const MINUTE: f64 = 60.0;

pub(super) async fn measure(lab: &Lab) -> Result<Section, Error> {
    // Two whole minutes and a part of a third.
    let (per_minute, repositories) = (lab.size(PER_MINUTE, 500), lab.size(11_000, 600));
    let quota = per_minute as u64;
    let free = ConditionsSpec { latency_milliseconds: LATENCY_MILLISECONDS, ..FREE };
    let host = |conditions| HostSpec { storage: Storage::Memory, conditions };
    let content = Content::Promoted { projects: 1, images: repositories, digests: 1 };
    let limited = ConditionsSpec { per_minute: Some(quota), ..free };
    let mut world = lab.world(Spec { hosts: vec![host(free), host(limited)], content }).await?;
    let directory = lab.directory()?;
    manifests::write(&directory.path().join("manifests"), &world.started)?;
    let job = lab.cip(directory.path(), &directory.path().join("manifests"), &[]);
    say("    kpromo");
    world.begin().await?;
    let measured = lab.measure(&job).await?;
    let reading = world.read().await?;
    let run = Run {
        hosts: reading.hosts.clone(),
        ..Run::of("kpromo", &measured, &reading, &world.started, &world.hosts)
    };
    say(&format!("        {}", run.line()));
    Ok(Section {
        title: "A quota by the minute".to_owned(),
        about: format!(
            "The plan of {} repositories of one host that serves {} requests in each minute of its clock, at any time \
             within it, and answers all others with 429 without `Retry-After`; {LATENCY_MILLISECONDS} ms latency. The first \
             minute begins with the run.",
            count(repositories as u64),
            count(quota)
        ),
        setting: Setting::now(&lab.tools),
        runs: 1,
        tables: vec![table(&run, quota)],
        targets: targets(&run, quota),
        notes: failure_notes(std::slice::from_ref(&run)),
        raw: vec![run],
    })
}

/// The counts of one minute.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Minute {
    served: u64,
    refused: u64,
    /// When the last request of the minute was served, in seconds after the minute's beginning.
    last: f64,
}

/// Returns the minutes of a timeline. The run may have ended before the end of the last one.
fn minutes(timeline: &[Point]) -> Vec<Minute> {
    let mut minutes = Vec::new();
    let mut before = Point { seconds: 0.0, served: 0, refused: 0 };
    let end = timeline.last().map_or(0.0, |point| point.seconds);
    for number in 0..100 {
        let begin = f64::from(number) * MINUTE;
        if begin >= end {
            break;
        }
        let within = timeline.iter().filter(|point| point.seconds > begin && point.seconds <= begin + MINUTE);
        let stop = within.clone().next_back().copied().unwrap_or(before);
        let last =
            within.clone().find(|point| point.served == stop.served).map_or(begin, |point| point.seconds);
        minutes.push(Minute {
            served: stop.served - before.served,
            refused: stop.refused - before.refused,
            last: last - begin,
        });
        before = stop;
    }
    minutes
}

/// Returns the minutes that ended before the run did.
fn whole_minutes(run: &Run) -> Vec<Minute> {
    let mut minutes = run.hosts.get(1).map(|host| minutes(&host.timeline)).unwrap_or_default();
    minutes.pop();
    minutes
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
fn targets(run: &Run, quota: u64) -> Vec<Target> {
    let least = whole_minutes(run).into_iter().map(|minute| minute.served).min().unwrap_or_default();
    let aimed = USED * quota as f64;
    let refused = run.hosts.get(1).map_or(0.0, |host| share(host.refused, host.requests));
    vec![
        Target {
            what: "minimum of a whole minute".to_owned(),
            target: format!("≥ {}", whole(aimed)),
            measured: count(least),
            reached: least as f64 >= aimed,
        },
        Target::at_most("refused", refused, REFUSED, percent),
        Target::exactly("runs that failed", run.failures as u64, 0, count),
    ]
}

fn table(run: &Run, quota: u64) -> Table {
    let timeline = run.hosts.get(1).map(|host| host.timeline.as_slice()).unwrap_or_default();
    let row = |(number, minute): (usize, Minute)| {
        let Minute { served, refused, last } = minute;
        vec![
            format!("{}", number + 1),
            count(served),
            percent(share(served, quota)),
            seconds(last),
            count(refused),
            percent(share(refused, served + refused)),
        ]
    };
    let head = ["minute", "served", "of the quota", "last one served after", "refused", "of all"];
    Table::new(&head, minutes(timeline).into_iter().enumerate().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_is_counted_by_the_minute() {
        // The full quota in the first half of each of two minutes, and a little of the third minute's quota.
        let point = |quarter: u32| {
            let seconds = f64::from(quarter) * 0.25;
            let spent = |begin: u32| u64::from(quarter.saturating_sub(begin).min(120)) * 10;
            let served = spent(0) + spent(240) + spent(480).min(100);
            Point { seconds, served, refused: u64::from(quarter / 240) }
        };
        let timeline: Vec<Point> = (0..=490).map(point).collect();
        let expected = [(1_200, 1, 30.0), (1_200, 1, 30.0), (100, 0, 2.5)];
        let expected = expected.map(|(served, refused, last)| Minute { served, refused, last });
        assert_eq!(minutes(&timeline), expected);
        assert!(minutes(&[]).is_empty());
    }
}
