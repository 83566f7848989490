//! A few small images with requests that fail at random: a single fault must not slow down a host (spec 03.9).

use super::conditions::{FREE, LATENCY_MILLISECONDS};
use super::promotion::promoted;
use super::rounds::Rounds;
use super::verdict::failure_notes;
use super::worlds::{alike, small_images};
use crate::error::Error;
use crate::lab::Lab;
use crate::machine::Setting;
use crate::protocol::{ConditionsSpec, FaultsSpec, Spec, Storage};
use crate::record::{Run, Section, Table, Target};
use crate::show::{NONE, count, ratio, seconds};

const IMAGES: usize = 10;
const REGIONS: usize = 5;
/// The latencies of a distant host and a nearby one.
const LATENCIES_MILLISECONDS: [u64; 2] = [LATENCY_MILLISECONDS, 5];
/// The maximum duration, relative to that without faults.
const LONGER_MAX: f64 = 2.0;
/// The rows, each with the fractions of requests that are answered with 503 and that are reset.
const ROWS: [(&str, f64, f64); 4] = [
    ("no faults", 0.0, 0.0),
    ("5 % answered 503", 0.05, 0.0),
    ("3 % reset", 0.0, 0.03),
    ("5 % answered 503, 3 % reset", 0.05, 0.03),
];

pub(super) async fn measure(lab: &Lab) -> Result<Section, Error> {
    let runs = lab.runs(5);
    let (mut tables, mut targets, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    for latency in LATENCIES_MILLISECONDS {
        let rounds = rounds(lab, latency, runs).await?;
        targets.extend(ROWS.iter().enumerate().skip(1).map(|(row, (label, ..))| {
            let what = format!("{latency} ms, {label}: wall ÷ without faults");
            Target::within(&what, rounds.ratio(row, 0), LONGER_MAX, ratio)
        }));
        let medians = rounds.medians();
        tables.push(table(&medians));
        shown.extend(medians);
    }
    let sum = |field: fn(&Run) -> usize| shown.iter().map(field).sum::<usize>() as u64;
    targets.extend([
        Target::exactly("runs that failed", sum(|run| run.failures), 0, count),
        Target::exactly("images missing", sum(|run| run.missing), 0, count),
        Target::exactly("faults that count as refusals", sum(counted_as_refused), 0, count),
    ]);
    let [far, near] = LATENCIES_MILLISECONDS;
    Ok(Section {
        title: "Requests that fail at random".to_owned(),
        about: format!(
            "{IMAGES} new images of 4 platforms with 2 layers each, to {REGIONS} regions; no quota, {far} ms latency and then \
             {near} ms. Of all requests to all hosts, a share selected at random is answered with 503 without `Retry-After`, or \
             their connections are reset. The registries count the 503 responses and the resets; refusals, faults, unanswered \
             requests and retries are kpromo's own counts. The pauses before retries do not depend on the latency, so they \
             matter most in the shortest job. Rows are measured in turn; each target is the median of the ratios within a \
             round."
        ),
        setting: Setting::now(&lab.tools),
        runs,
        tables,
        targets,
        notes: failure_notes(&shown),
        raw: shown,
    })
}

/// Measures all rows with one latency, in turn.
async fn rounds(lab: &Lab, latency: u64, runs: usize) -> Result<Rounds, Error> {
    let mut rounds = Rounds::new(ROWS.len());
    for round in 0..runs {
        for (row, (label, unavailable, reset)) in ROWS.into_iter().enumerate() {
            let spec = spec(latency, unavailable, reset, round as u64);
            rounds.add(row, promoted(lab, &format!("{latency} ms, {label}"), &spec, &[]).await?);
        }
    }
    Ok(rounds)
}

/// Returns a world in which different requests fail in each round and at each host.
fn spec(latency_milliseconds: u64, unavailable: f64, reset: f64, round: u64) -> Spec {
    let conditions = ConditionsSpec { latency_milliseconds, ..FREE };
    let mut spec = alike(REGIONS, &Storage::Memory, conditions, small_images(IMAGES));
    for (number, host) in (0..).zip(&mut spec.hosts) {
        let seed = 1_000 * round + 10 * number;
        host.conditions.faults =
            (unavailable + reset > 0.0).then_some(FaultsSpec { unavailable, reset, seed });
    }
    spec
}

/// Returns how many responses kpromo counted as rate limits, although no host has a quota.
fn counted_as_refused(run: &Run) -> usize {
    run.account.map_or(0, |account| usize::try_from(account.refused).unwrap_or(usize::MAX))
}

fn table(shown: &[Run]) -> Table {
    let head = [
        "",
        "wall",
        "× first row",
        "requests",
        "answered 503",
        "reset",
        "refused",
        "faults",
        "unanswered",
        "retried",
        "CPU",
    ];
    let first = shown.first().map_or(f64::NAN, |run| run.wall_seconds);
    let row = |run: &Run| {
        let shown = |number: Option<u64>| number.map_or(NONE.to_owned(), count);
        let account = run.account;
        vec![
            run.label.clone(),
            seconds(run.wall_seconds),
            ratio(run.wall_seconds / first),
            count(run.requests),
            count(run.hosts.iter().map(|host| host.unavailable).sum()),
            count(run.hosts.iter().map(|host| host.reset).sum()),
            shown(account.map(|account| account.refused)),
            shown(account.map(|account| account.faults)),
            shown(account.map(|account| account.unanswered)),
            shown(account.map(|account| account.retried)),
            seconds(run.cpu_seconds),
        ]
    };
    Table::new(&head, shown.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_requests_fail_at_each_host_and_in_each_round() {
        let seeds = |round| {
            let hosts = spec(20, 0.05, 0.03, round).hosts.into_iter();
            hosts.filter_map(|host| host.conditions.faults).map(|faults| faults.seed).collect::<Vec<_>>()
        };
        let mut all = [seeds(0), seeds(1)].concat();
        all.dedup();
        assert_eq!(all.len(), 2 * (REGIONS + 1));
        assert!(spec(20, 0.0, 0.0, 0).hosts.iter().all(|host| host.conditions.faults.is_none()));
    }
}
