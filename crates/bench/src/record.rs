//! The results of measurements, as they are stored and shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::machine::Setting;
use crate::measure::Measured;
use crate::protocol::{HostReading, HostSpec, Reading, Started};
use crate::show::{NONE, count, megabytes, percent, ratio, seconds};

/// The result of one job against one world.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Run {
    pub(crate) label: String,
    pub(crate) wall_seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_memory_bytes: u64,
    /// Whether several processes shared the work.
    pub(crate) is_shared: bool,
    /// The number of commands in all runs that this one represents, and the number of those that failed.
    pub(crate) commands: usize,
    pub(crate) failures: usize,
    pub(crate) exits: BTreeMap<i32, usize>,
    pub(crate) errors: Vec<String>,
    pub(crate) requests: u64,
    /// Requests answered with 429.
    pub(crate) refused: u64,
    /// The blob bytes read from staging, and the total size of its blobs.
    pub(crate) staging_bytes: u64,
    pub(crate) unique_bytes: u64,
    /// Bytes of the request bodies sent to the other hosts.
    pub(crate) sent_bytes: u64,
    /// Images that are missing at their destinations.
    pub(crate) missing: usize,
    /// The minimum time that the quotas allow for the served requests.
    pub(crate) least_seconds: Option<f64>,
    /// The counts of each host, without timelines.
    pub(crate) hosts: Vec<HostReading>,
    /// kpromo's own counts, for scenarios that use them.
    pub(crate) account: Option<Account>,
}

impl Run {
    /// Returns the record of one job. `reading` has the counts of the registries during it, `started` has their content, and
    /// `hosts` has how they were started.
    pub(crate) fn of(
        label: &str,
        measured: &Measured,
        reading: &Reading,
        started: &Started,
        hosts: &[HostSpec],
    ) -> Self {
        let sum = |field: fn(&HostReading) -> u64| reading.hosts.iter().map(field).sum::<u64>();
        let destinations = reading.hosts.get(1..).unwrap_or_default();
        let lacking = |host: &HostReading| started.expected.saturating_sub(host.images);
        let quotas = hosts.iter().map(|host| host.conditions.quota);
        let least = reading.hosts.iter().zip(quotas).filter_map(|(host, quota)| {
            let quota = quota?;
            Some(least_seconds(host.served(), quota.per_second, quota.burst))
        });
        let without_timeline = |host: &HostReading| HostReading { timeline: Vec::new(), ..host.clone() };
        Self {
            label: label.to_owned(),
            wall_seconds: measured.wall_seconds,
            cpu_seconds: measured.cpu_seconds,
            peak_memory_bytes: measured.peak_memory_bytes,
            is_shared: measured.commands() > 1,
            commands: measured.commands(),
            failures: measured.failures(),
            exits: measured.exits.clone(),
            errors: measured.errors.clone(),
            requests: sum(|host| host.requests),
            refused: sum(|host| host.refused),
            staging_bytes: reading.hosts.first().map_or(0, |host| host.blob_bytes_out),
            unique_bytes: started.unique_bytes,
            sent_bytes: destinations.iter().map(|host| host.bytes_in).sum(),
            missing: destinations.iter().map(lacking).sum(),
            least_seconds: least.reduce(f64::max),
            hosts: reading.hosts.iter().map(without_timeline).collect(),
            account: None,
        }
    }

    pub(crate) fn refused_share(&self) -> f64 {
        share(self.refused, self.requests)
    }

    /// Returns a summary in one line, to show progress.
    pub(crate) fn line(&self) -> String {
        let mut line = format!(
            "{}, {} requests, {} refused, {} CPU, {} memory",
            seconds(self.wall_seconds),
            count(self.requests),
            count(self.refused),
            seconds(self.cpu_seconds),
            megabytes(self.peak_memory_bytes)
        );
        if self.failures > 0 {
            line.push_str(&format!("; exits {:?}: {}", self.exits, self.errors.join(" | ")));
        }
        line
    }
}

/// Returns the time that a token bucket needs to admit a number of requests.
fn least_seconds(served: u64, per_second: f64, burst: u32) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
    let beyond = served.saturating_sub(u64::from(burst)) as f64;
    beyond / per_second
}

/// Returns a part divided by a whole. Returns 0 if both are 0.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "shown with two decimal places")]
    let quotient = part as f64 / whole.max(1) as f64;
    quotient
}

/// Returns the run with the median time; with an even number of runs, the slower of the two in the middle. It includes the
/// failures of all runs, so that no failure is hidden.
pub(crate) fn median(mut runs: Vec<Run>) -> Option<Run> {
    runs.sort_by(|one, other| one.wall_seconds.total_cmp(&other.wall_seconds));
    let middle = runs.len() / 2;
    let mut shown = (middle < runs.len()).then(|| runs.swap_remove(middle))?;
    for other in runs {
        shown.commands += other.commands;
        shown.failures += other.failures;
        shown.missing += other.missing;
        shown.errors.extend(other.errors);
        for (code, times) in other.exits {
            *shown.exits.entry(code).or_default() += times;
        }
    }
    Some(shown)
}

/// A target and its measured value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) target: String,
    pub(crate) measured: String,
    pub(crate) reached: bool,
}

impl Target {
    /// Returns a target with a maximum. `show` formats the values.
    pub(crate) fn at_most(what: &str, value: f64, limit: f64, show: fn(f64) -> String) -> Self {
        Self {
            what: what.to_owned(),
            target: format!("≤ {}", show(limit)),
            measured: show(value),
            reached: value <= limit,
        }
    }

    /// Returns a target with a maximum for a value that may be missing. A missing value does not reach the target.
    pub(crate) fn within(what: &str, value: Option<f64>, limit: f64, show: fn(f64) -> String) -> Self {
        match value {
            Some(value) => Self::at_most(what, value, limit, show),
            None => Self { measured: "never".to_owned(), ..Self::at_most(what, f64::INFINITY, limit, show) },
        }
    }

    /// Returns a target that is reached only by one value.
    pub(crate) fn exactly(what: &str, value: u64, target: u64, show: fn(u64) -> String) -> Self {
        Self { what: what.to_owned(), target: show(target), measured: show(value), reached: value == target }
    }
}

/// Rows of text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str], rows: Vec<Vec<String>>) -> Self {
        Self { head: head.iter().map(|name| (*name).to_owned()).collect(), rows }.without_empty_columns()
    }

    /// Returns a table of runs. Times are also shown relative to the first run.
    pub(crate) fn of(runs: &[Run]) -> Self {
        let head = [
            "",
            "wall",
            "× first row",
            "minimum by quota",
            "wall ÷ minimum",
            "requests",
            "refused",
            "read from staging",
            "÷ unique",
            "CPU",
            "peak memory",
            "commands failed",
            "images missing",
        ];
        let first = runs.first().map_or(0.0, |run| run.wall_seconds);
        Self::new(&head, runs.iter().map(|run| row(run, first, runs.len())).collect())
    }

    /// Adds a row of known values. Each is in the column with its name.
    pub(crate) fn add_known(&mut self, label: &str, known: &[(&str, &str)]) {
        let cell = |name: &String| {
            let found = known.iter().find(|(column, _)| column == name);
            found.map_or(NONE, |(_, text)| text).to_owned()
        };
        let mut row: Vec<String> = self.head.iter().map(cell).collect();
        if let Some(first) = row.first_mut() {
            label.clone_into(first);
        }
        self.rows.push(row);
    }

    fn without_empty_columns(self) -> Self {
        let kept: Vec<bool> = (0..self.head.len())
            .map(|column| column == 0 || self.rows.iter().any(|row| row[column] != NONE))
            .collect();
        let keep = |cells: Vec<String>| {
            cells.into_iter().zip(&kept).filter_map(|(cell, kept)| kept.then_some(cell)).collect()
        };
        Self { head: keep(self.head), rows: self.rows.into_iter().map(keep).collect() }
    }
}

fn row(run: &Run, first: f64, rows: usize) -> Vec<String> {
    let only = |condition: bool, text: String| if condition { text } else { NONE.to_owned() };
    let least = run.least_seconds.filter(|least| *least > 0.0);
    #[expect(clippy::cast_precision_loss, reason = "shown with two decimal places")]
    let reread = run.staging_bytes as f64 / run.unique_bytes.max(1) as f64;
    let has_blobs = run.unique_bytes > 0;
    let each = if run.is_shared { " each" } else { "" };
    vec![
        run.label.clone(),
        seconds(run.wall_seconds),
        only(rows > 1 && first > 0.0, ratio(run.wall_seconds / first)),
        least.map_or(NONE.to_owned(), seconds),
        least.map_or(NONE.to_owned(), |least| ratio(run.wall_seconds / least)),
        count(run.requests),
        only(run.least_seconds.is_some(), percent(run.refused_share())),
        only(has_blobs, megabytes(run.staging_bytes)),
        only(has_blobs, ratio(reread)),
        seconds(run.cpu_seconds),
        format!("{}{each}", megabytes(run.peak_memory_bytes)),
        only(run.failures > 0, format!("{} of {}", run.failures, run.commands)),
        only(run.missing > 0, count(run.missing as u64)),
    ]
}

/// One scenario, as it is stored in a file and shown on the page.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) title: String,
    /// What is measured, and how.
    pub(crate) about: String,
    pub(crate) setting: Setting,
    /// How many runs each row is the median of.
    pub(crate) runs: usize,
    pub(crate) tables: Vec<Table>,
    pub(crate) targets: Vec<Target>,
    pub(crate) notes: Vec<String>,
    /// Everything that was counted, for readers of the file. The page does not depend on it, so its fields may change.
    #[serde(skip_deserializing)]
    pub(crate) raw: Vec<Run>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_admits_the_burst_at_once() {
        assert!((least_seconds(1000, 83.0, 100) - 900.0 / 83.0).abs() < 1e-9);
        assert_eq!(least_seconds(50, 83.0, 100), 0.0);
    }

    #[test]
    fn the_median_run_includes_the_failures_of_all_runs() {
        let run = |wall_seconds: f64, code: i32| Run {
            wall_seconds,
            commands: 1,
            failures: usize::from(code != 0),
            exits: BTreeMap::from([(code, 1)]),
            ..Run::default()
        };
        let shown = median(vec![run(3.0, 0), run(1.0, 30), run(2.0, 0)]).unwrap();
        assert_eq!((shown.wall_seconds, shown.commands, shown.failures), (2.0, 3, 1));
        assert_eq!(shown.exits, BTreeMap::from([(0, 2), (30, 1)]));
        assert!(median(Vec::new()).is_none());
    }

    #[test]
    fn empty_columns_are_omitted_and_known_rows_fit_the_remaining_ones() {
        let cells = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let mut table = Table::new(&["", "wall", "refused"], vec![cells(["kpromo", "1 s", NONE])]);
        table.add_known("before", &[("wall", "9 s"), ("refused", "1 %")]);
        assert_eq!(table.head, ["", "wall"]);
        assert_eq!(table.rows, [["kpromo", "1 s"], ["before", "9 s"]]);
    }

    #[test]
    fn a_missing_value_does_not_reach_its_target() {
        let target = Target::within("settled", None, 10.0, seconds);
        assert_eq!((target.measured.as_str(), target.reached), ("never", false));
        assert!(Target::within("settled", Some(10.0), 10.0, seconds).reached);
    }
}
