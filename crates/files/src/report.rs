//! The report of a run. It is built from events, so that it is also correct if the run is interrupted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use run::{Observer, PhaseTimes};
use schemars::JsonSchema;
use serde::Serialize;
use transport::Tally;

use crate::error::Error;
use crate::event::{Event, Operation, Phase};
use crate::summary::Summary;

/// The version of the schema, which is documented in `docs/reference/files.md`.
const SCHEMA: u32 = 1;

/// The outcomes of a run, each as one word.
const OUTCOMES: [&str; 7] =
    ["done", "nothing-to-do", "dry-run", "failed", "refused", "unavailable", "interrupted"];

/// Collects the events of a run. It can be read at any time.
#[derive(Debug)]
pub struct ReportBuilder {
    started: Timestamp,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    copied: Vec<(Operation, u64, bool)>,
    plan: Option<Summary>,
    /// The files that cannot be promoted, according to the plan.
    plan_failed: Vec<FailedFile>,
    /// The files whose copies have failed.
    failed: Vec<FailedFile>,
    lost: Vec<String>,
    warnings: Vec<String>,
    phases: PhaseTimes,
    bytes_sent: u64,
    is_writing: bool,
}

/// The counts of what the run has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Files that were written to a destination.
    pub copied: usize,
    /// Files that were at a destination when they were about to be written.
    pub there: usize,
    /// Files that could not be promoted to a destination.
    pub failed: usize,
    /// Planned copies that have neither succeeded nor failed, because the run was stopped. If the run ended at once, some of the
    /// destinations may have their file.
    pub not_completed: usize,
    /// Bytes of files that were written.
    pub bytes_sent: u64,
}

/// A file that could not be promoted to a destination.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FailedFile {
    /// The URL of the file in the source.
    pub source: String,
    /// The URL of the file at the destination.
    pub destination: String,
    /// The reason.
    pub error: String,
    /// How to resolve the error. Absent if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<&'static str>,
    /// What went wrong, without the file: equal for all that failed for the same reason. JSON does not have it.
    #[serde(skip)]
    pub cause: String,
}

/// A file that a destination has received, or had when it was about to be written.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CopiedFile {
    /// The URL of the file in the source.
    pub source: String,
    /// The URL of the file at the destination.
    pub destination: String,
    /// Whether it has replaced other content.
    pub replaced: bool,
    /// Whether this run has written it.
    pub sent: bool,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What a run of `kpromo run files` has done (`--report FILE`).
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The version of this schema.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: u32,
    /// The version of kpromo.
    pub version: &'static str,
    /// The outcome as one word.
    #[schemars(extend("enum" = OUTCOMES))]
    pub outcome: String,
    /// The exit code of the process (`docs/reference/exit-codes.md`).
    pub exit_code: u8,
    /// Whether `--confirm` was given.
    pub confirmed: bool,
    /// When the run started.
    pub started: Timestamp,
    /// The duration of the run, in seconds.
    #[schemars(range(min = 0))]
    pub elapsed_seconds: f64,
    /// The duration of each phase that started, in seconds.
    #[schemars(extend("additionalProperties" = { "type": "number", "minimum": 0 }))]
    pub phase_seconds: BTreeMap<String, f64>,
    /// The counts of the plan. Null if the run ended before its plan was complete.
    pub plan: Option<Summary>,
    /// The counts of what the run has done.
    pub totals: Totals,
    /// The files that destinations have received, or had when they were about to be written.
    pub copied: Vec<CopiedFile>,
    /// The files that could not be promoted to a destination.
    pub failed: Vec<FailedFile>,
    /// The files that are in neither the source nor the destination.
    pub lost: Vec<String>,
    /// The warnings of the run.
    pub warnings: Vec<String>,
    /// Why the run stopped early. Null if it did not.
    pub error: Option<String>,
    /// How to resolve the error. Absent if there is none, or if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<&'static str>,
    /// The requests and bytes of each host.
    pub hosts: Tally,
}

/// The properties of the end of a run that [`ReportBuilder`] cannot derive from events.
#[derive(Debug)]
pub struct Ending<'a> {
    /// The outcome as one word: `done`, `dry-run`, `interrupted`…
    pub outcome: &'a str,
    /// The exit code of the process.
    pub exit_code: u8,
    /// Whether `--confirm` was given.
    pub confirmed: bool,
    /// The error that ended the run, and advice about it.
    pub error: Option<(String, Option<&'static str>)>,
    /// The requests and bytes of each host.
    pub hosts: Tally,
}

impl Default for ReportBuilder {
    fn default() -> Self {
        Self { started: Timestamp::now(), entries: Mutex::default() }
    }
}

impl ReportBuilder {
    /// Returns the current totals.
    pub fn totals(&self) -> Totals {
        let entries = self.entries();
        let copied = entries.copied.iter().filter(|(_, _, sent)| *sent).count();
        let begun = entries.plan.filter(|_| entries.is_writing);
        let planned = begun.map_or(0, |plan| plan.copy + plan.replace);
        Totals {
            copied,
            there: entries.copied.len() - copied,
            failed: entries.plan_failed.len() + entries.failed.len(),
            not_completed: planned.saturating_sub(entries.copied.len() + entries.failed.len()),
            bytes_sent: entries.bytes_sent,
        }
    }

    /// Returns the counts of the plan. `None` before the plan is complete.
    pub fn plan(&self) -> Option<Summary> {
        self.entries().plan
    }

    /// Returns whether the copy phase has started. If it has, destinations may have been written to.
    pub fn has_writing_begun(&self) -> bool {
        self.entries().is_writing
    }

    /// Returns the time since the start of the run.
    pub fn elapsed(&self) -> Duration {
        Timestamp::now().duration_since(self.started).try_into().unwrap_or_default()
    }

    /// Returns the duration of each phase that has started, in seconds.
    pub fn phase_seconds(&self) -> BTreeMap<String, f64> {
        self.entries().phases.seconds()
    }

    /// Returns the errors of the plan and then those of the copies, each with its advice.
    pub fn failures(&self) -> Vec<(String, Option<&'static str>)> {
        self.entries().all_failed().map(|failure| (failure.error.clone(), failure.advice)).collect()
    }

    /// Creates the report of the run.
    pub fn report(&self, ending: Ending<'_>) -> Report {
        let totals = self.totals();
        let entries = self.entries();
        let copied = entries.copied.iter().map(|(operation, bytes, sent)| CopiedFile {
            source: operation.source.clone(),
            destination: operation.destination.clone(),
            replaced: operation.replaces,
            sent: *sent,
            bytes: *bytes,
        });
        Report {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            outcome: ending.outcome.to_owned(),
            exit_code: ending.exit_code,
            confirmed: ending.confirmed,
            started: self.started,
            elapsed_seconds: self.elapsed().as_secs_f64(),
            phase_seconds: entries.phases.seconds(),
            plan: entries.plan,
            totals,
            copied: copied.collect(),
            failed: entries.all_failed().cloned().collect(),
            lost: entries.lost.clone(),
            warnings: entries.warnings.clone(),
            error: ending.error.as_ref().map(|(error, _)| error.clone()),
            advice: ending.error.and_then(|(_, advice)| advice),
            hosts: ending.hosts,
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Returns the failures of the plan and then those of the copies.
    fn all_failed(&self) -> impl Iterator<Item = &FailedFile> {
        self.plan_failed.iter().chain(&self.failed)
    }
}

fn failure(operation: &Operation, error: &Error) -> FailedFile {
    let Operation { source, destination, .. } = operation.clone();
    FailedFile { source, destination, error: error.to_string(), advice: error.advice(), cause: error.cause() }
}

impl Observer<Event> for ReportBuilder {
    fn observe(&self, event: &Event) {
        let mut entries = self.entries();
        match event {
            Event::Started(phase) => {
                entries.is_writing |= *phase == Phase::Copy;
                entries.phases.start(phase);
            }
            Event::Ended { phase, elapsed } => entries.phases.end(phase, *elapsed),
            Event::Warned(text) => entries.warnings.push(text.clone()),
            Event::Planned { summary, failures, lost } => {
                entries.plan = Some(*summary);
                entries
                    .plan_failed
                    .extend(failures.iter().map(|(operation, error)| failure(operation, error)));
                entries.lost.extend(lost.iter().cloned());
            }
            Event::Copied { operation, size, sent } => {
                entries.bytes_sent += if *sent { *size } else { 0 };
                entries.copied.push((operation.clone(), *size, *sent));
            }
            Event::Failed(operation, error) => entries.failed.push(failure(operation, error)),
            Event::Lost(_) | Event::Work { .. } | Event::Worked | Event::Read(_) | Event::Begun(_) => {}
        }
    }
}
