//! Reads reports from files, which are untrusted input.

use oci::Digest;
use serde::Deserialize;
use thiserror::Error;

use super::merge::{EXIT_CODES, SUCCESSES};
use super::outcome::OUTCOMES;
use super::runs::gaps;
use super::{Report, SCHEMA};
use crate::shard::Shard;

/// A text that is not a report of this version of the schema.
#[derive(Debug, Error)]
pub enum InvalidReport {
    /// The text is not JSON, lacks a field, or has a field that this version of kpromo does not know.
    #[error("it is not a report of `kpromo cip`: {0}")]
    NoReport(#[source] serde_json::Error),
    /// The report has another version of the schema.
    #[error("its schema has version {0}, and this version of kpromo reads version {SCHEMA}")]
    OtherSchema(u64),
    /// A field has an impossible value.
    #[error("its field {0} is not valid")]
    NotPossible(&'static str),
    /// Two fields contradict each other.
    #[error("it contradicts itself: {0}")]
    Contradictory(String),
}

/// The field that every version of the schema has.
#[derive(Deserialize)]
struct Version {
    schema: u64,
}

/// Checks the texts and codes of a report and of its runs that have only certain values.
fn check_words(report: &Report) -> Result<(), InvalidReport> {
    let possible = |is: bool, field| if is { Ok(()) } else { Err(InvalidReport::NotPossible(field)) };
    let runs = report.shards.iter().map(|run| (&run.outcome, run.exit_code, &run.shard, &run.promotion));
    let whole = (&report.outcome, report.exit_code, &report.shard, &report.promotion);
    for (outcome, code, shard, promotion) in runs.chain([whole]) {
        possible(OUTCOMES.contains(&outcome.as_str()), "outcome")?;
        possible(EXIT_CODES.contains(&code), "exitCode")?;
        if (code == 0) != SUCCESSES.contains(&outcome.as_str()) {
            let what = format!("its outcome is `{outcome}`, and its exitCode is {code}");
            return Err(InvalidReport::Contradictory(what));
        }
        possible(shard.as_ref().is_none_or(|shard| shard.parse::<Shard>().is_ok()), "shard")?;
        possible(promotion.as_ref().is_none_or(|digest| digest.parse::<Digest>().is_ok()), "promotion")?;
    }
    Ok(())
}

impl Report {
    /// Reads a report. A field that is not in the schema is an error, because a merged report would lose it.
    ///
    /// # Errors
    /// If it is not a report, or a report with another version of the schema.
    pub fn read(json: &[u8]) -> Result<Self, InvalidReport> {
        // The version is read first, because other versions may have other fields.
        let Version { schema } = serde_json::from_slice(json).map_err(InvalidReport::NoReport)?;
        if schema != u64::from(SCHEMA) {
            return Err(InvalidReport::OtherSchema(schema));
        }
        let report: Self = serde_json::from_slice(json).map_err(InvalidReport::NoReport)?;
        // JSON has no infinite numbers, but a duration can be negative or longer than any run.
        let is_duration = |seconds: &f64| (0.0..=1e10).contains(seconds);
        let shards = report.shards.iter().map(|shard| &shard.elapsed_seconds);
        if ![&report.elapsed_seconds].into_iter().chain(shards).all(is_duration) {
            return Err(InvalidReport::NotPossible("elapsedSeconds"));
        }
        if !report.phase_seconds.values().all(is_duration) {
            return Err(InvalidReport::NotPossible("phaseSeconds"));
        }
        check_words(&report)?;
        if report.exit_code == 0 && !report.failed.is_empty() {
            let what = "its exitCode is 0, and `failed` has entries";
            return Err(InvalidReport::Contradictory(what.to_owned()));
        }
        if let Some(timeline) = &report.timeline {
            // A bucket of 35 years is longer than any run.
            const WIDTH_MAX: u64 = 1 << 40;
            const BUCKETS_MAX: usize = 1 << 16;
            let are_bounded = timeline.hosts.values().all(|host| host.buckets() <= BUCKETS_MAX);
            if !(1..=WIDTH_MAX).contains(&timeline.bucket_milliseconds) || !are_bounded {
                return Err(InvalidReport::NotPossible("timeline"));
            }
        }
        Ok(report)
    }

    /// Returns why a merged report is not known to be that of a whole promotion, as sentences. Empty if it has all shards, and if
    /// its runs are not shards.
    pub fn gaps(&self) -> Vec<String> {
        gaps(&self.shards)
    }
}
