//! The runs of a merged report: whether they are runs of one promotion, which of them count, and whether they are all.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use thiserror::Error;

use super::{Report, ShardRun};
use crate::shard::Shard;

/// The maximum number of shards that are named.
const NAMED_MAX: usize = 100;

/// Why reports cannot be merged. The errors use the names that the caller gave to the reports.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unmergeable {
    /// No report was given.
    #[error("no report is named")]
    Nothing,
    /// Two reports are of the same run, whose counts would be added twice.
    #[error("{one} and {other} are of the same run{}, which started at {started}: name it once", of_shard(.shard.as_ref()))]
    SameRun {
        /// The first report.
        one: String,
        /// The second report.
        other: String,
        /// The shard of the run, if it was one.
        shard: Option<String>,
        /// When the run started.
        started: Timestamp,
    },
    /// Some reports are of confirmed runs, and some of dry runs.
    #[error(
        "{confirmed} is of a confirmed run, and {dry} of a run without --confirm, which promoted nothing"
    )]
    DryRun {
        /// The report of a confirmed run.
        confirmed: String,
        /// The report of a dry run.
        dry: String,
    },
    /// The reports are not of shards of one promotion.
    #[error("{one} is of {}, and {other} is of {}: they are not shards of one promotion", run_of(.shards.0.as_ref()), run_of(.shards.1.as_ref()))]
    OtherShards {
        /// The first report.
        one: String,
        /// The second report.
        other: String,
        /// The shards of the reports.
        shards: (Option<String>, Option<String>),
    },
    /// A shard was run again, and its first run is part of a merged report, from which the data of one run cannot be separated.
    #[error(
        "{merged} is a merged report with shard {shard}, and {other} is of another run of this shard: merge the reports of the single runs"
    )]
    MergedBefore {
        /// The merged report.
        merged: String,
        /// The other report.
        other: String,
        /// The shard.
        shard: String,
    },
}

fn of_shard(shard: Option<&String>) -> String {
    shard.map(|shard| format!(" of shard {shard}")).unwrap_or_default()
}

fn run_of(shard: Option<&String>) -> String {
    shard.map_or_else(|| "a run without shards".to_owned(), |shard| format!("shard {shard}"))
}

/// Returns the runs of a report: the report itself or, if it is merged, the runs that it consists of.
pub(super) fn runs(name: &str, report: &Report) -> Vec<ShardRun> {
    if !report.shards.is_empty() {
        return report.shards.clone();
    }
    vec![ShardRun {
        name: name.to_owned(),
        shard: report.shard.clone(),
        promotion: report.promotion.clone(),
        outcome: report.outcome.clone(),
        exit_code: report.exit_code,
        confirmed: report.confirmed,
        started: report.started,
        elapsed_seconds: report.elapsed_seconds,
    }]
}

impl ShardRun {
    /// Returns the shard, if the run was one.
    fn number(&self) -> Option<Shard> {
        self.shard.as_ref()?.parse().ok()
    }

    /// Returns the sort key of a run, which makes the result independent of the order of the input.
    pub(super) fn place(&self) -> (u32, Timestamp) {
        (self.number().map_or(u32::MAX, Shard::index), self.started)
    }
}

/// The last start of each shard.
#[derive(Debug)]
pub struct LastRuns(HashMap<(u32, u32), Timestamp>);

impl LastRuns {
    /// Returns the last starts among these runs.
    pub fn of(runs: &[ShardRun]) -> Self {
        let mut last = HashMap::new();
        for run in runs {
            if let Some(shard) = run.number() {
                let started = last.entry(key(shard)).or_insert(run.started);
                *started = run.started.max(*started);
            }
        }
        Self(last)
    }

    /// Returns whether the same shard was run again later. The state of images is then taken from the later run.
    pub fn have_replaced(&self, run: &ShardRun) -> bool {
        let last = run.number().and_then(|shard| self.0.get(&key(shard)));
        last.is_some_and(|started| *started > run.started)
    }
}

fn key(shard: Shard) -> (u32, u32) {
    (shard.index(), shard.count().get())
}

/// Checks that reports can be merged. Each report is given by its name and its runs.
///
/// # Errors
/// If the merged counts or outcome would not be those of one promotion.
pub(super) fn check(reports: &[(&str, Vec<ShardRun>)]) -> Result<(), Unmergeable> {
    let all = || reports.iter().flat_map(|(name, runs)| runs.iter().map(move |run| (*name, run)));
    let Some((first_name, first)) = all().next() else { return Err(Unmergeable::Nothing) };
    let count = |run: &ShardRun| run.number().map(Shard::count);
    let mut seen: HashMap<(Option<u32>, Timestamp), &str> = HashMap::new();
    let mut owners: HashMap<u32, (usize, &str)> = HashMap::new();
    for (name, run) in all() {
        if run.confirmed != first.confirmed {
            let (confirmed, dry) = if run.confirmed { (name, first_name) } else { (first_name, name) };
            return Err(Unmergeable::DryRun { confirmed: confirmed.to_owned(), dry: dry.to_owned() });
        }
        if count(run) != count(first) {
            return Err(Unmergeable::OtherShards {
                one: first_name.to_owned(),
                other: name.to_owned(),
                shards: (first.shard.clone(), run.shard.clone()),
            });
        }
        if let Some(one) = seen.insert((run.number().map(Shard::index), run.started), name) {
            return Err(Unmergeable::SameRun {
                one: one.to_owned(),
                other: name.to_owned(),
                shard: run.shard.clone(),
                started: run.started,
            });
        }
    }
    for (index, (name, runs)) in reports.iter().enumerate() {
        for shard in runs.iter().filter_map(ShardRun::number) {
            let (at, other) = *owners.entry(shard.index()).or_insert((index, *name));
            let of_several = |at: usize| reports.get(at).is_some_and(|(_, runs)| runs.len() > 1);
            if at != index && (of_several(at) || of_several(index)) {
                let (merged, other) = if of_several(at) { (other, *name) } else { (*name, other) };
                return Err(Unmergeable::MergedBefore {
                    merged: merged.to_owned(),
                    other: other.to_owned(),
                    shard: shard.to_string(),
                });
            }
        }
    }
    Ok(())
}

/// Returns why these runs are not known to be all of one promotion, as sentences: shards are missing, or had other manifests than
/// the others. Runs that are not shards have no gaps.
pub(super) fn gaps(runs: &[ShardRun]) -> Vec<String> {
    missing(runs).into_iter().chain(unknown_promotions(runs)).chain(other_promotions(runs)).collect()
}

fn missing(runs: &[ShardRun]) -> Option<String> {
    let count = runs.first()?.number()?.count().get();
    let there: BTreeSet<u32> = runs.iter().filter_map(ShardRun::number).map(Shard::index).collect();
    let number = (count as usize).saturating_sub(there.len());
    let missing = (0..count).filter(|index| !there.contains(index));
    let named = named(missing.map(|index| format!("{index}/{count}")), number, NAMED_MAX);
    Some(match number {
        0 => return None,
        1 => format!("the report of shard {named} is missing: what it promoted is not known"),
        _ => format!("the reports of shards {named} are missing: what they promoted is not known"),
    })
}

/// Returns the shards whose last run does not say what the shards were to promote together.
fn unknown_promotions(runs: &[ShardRun]) -> Option<String> {
    let count = runs.first()?.number()?.count().get();
    let last_runs = LastRuns::of(runs);
    let unknown = runs.iter().filter(|run| !last_runs.have_replaced(run) && run.promotion.is_none());
    let unknown: BTreeSet<u32> = unknown.filter_map(ShardRun::number).map(Shard::index).collect();
    let number = unknown.len();
    let (those, say) = match number {
        0 => return None,
        1 => ("report of shard", "does"),
        _ => ("reports of shards", "do"),
    };
    let named = named(unknown.into_iter().map(|index| format!("{index}/{count}")), number, NAMED_MAX);
    Some(format!(
        "the {those} {named} {say} not have `promotion`: whether all shards belong together is not known"
    ))
}

/// Compares what the shards were to promote together. Of a shard that was run again, the last run counts.
fn other_promotions(runs: &[ShardRun]) -> Option<String> {
    let count = runs.first()?.number()?.count().get();
    let last_runs = LastRuns::of(runs);
    let mut last = runs.iter().filter(|run| !last_runs.have_replaced(run) && run.promotion.is_some());
    let first = last.next()?;
    let others = last.filter(|run| run.promotion != first.promotion);
    let others: BTreeSet<u32> = others.filter_map(ShardRun::number).map(Shard::index).collect();
    let number = others.len();
    let those = match number {
        0 => return None,
        1 => "shard",
        _ => "shards",
    };
    let named = named(others.into_iter().map(|index| format!("{index}/{count}")), number, NAMED_MAX);
    let one = first.shard.as_deref().unwrap_or_default();
    Some(format!(
        "{those} {named} had other manifests or another canonical region than shard {one}: a registry may have had no shard"
    ))
}

/// Returns at most `max` of the names of `number` shards. It does not visit all: a report may say that there are four billions.
pub(super) fn named(names: impl Iterator<Item = String>, number: usize, max: usize) -> String {
    let named: Vec<String> = names.take(max).collect();
    let more = match number.saturating_sub(named.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_of(shard: String, second: i64) -> ShardRun {
        ShardRun {
            name: String::new(),
            shard: Some(shard),
            promotion: Some(format!("sha256:{}", "a".repeat(64))),
            outcome: "done".to_owned(),
            exit_code: 0,
            confirmed: true,
            started: Timestamp::from_second(second).unwrap(),
            elapsed_seconds: 1.0,
        }
    }

    #[test]
    fn the_last_run_of_a_shard_replaces_the_earlier_ones() {
        let runs = [(0, 5), (1, 7), (0, 9)].map(|(index, second)| run_of(format!("{index}/2"), second));
        let last = LastRuns::of(&runs);
        assert_eq!(runs.each_ref().map(|run| last.have_replaced(run)), [true, false, false]);
        let whole = ShardRun { shard: None, ..runs[0].clone() };
        assert!(
            !LastRuns::of(&[whole.clone(), whole.clone()]).have_replaced(&whole),
            "runs without shards are independent"
        );
    }

    /// A comparison of each run with all others would take longer than the limit of a test program.
    #[test]
    fn the_missing_shard_of_many_is_found() {
        let count = 200_000;
        let runs: Vec<ShardRun> = (0..count).map(|index| run_of(format!("{index}/{count}"), 1)).collect();
        assert_eq!(gaps(&runs), Vec::<String>::new());
        assert_eq!(gaps(&runs[1..]).len(), 1);
    }
}
