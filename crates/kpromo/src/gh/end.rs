//! The end of a run: its files, its report and its exit code.

use std::collections::{BTreeMap, BTreeSet};

use files::{Entry, merge, write_files};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use transport::{Door, HostTally};

use super::outcome::{Copy, Done, NotCopied, Outcome};
use crate::args::GhArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::write_file;
use crate::render::{bytes, count, counted};
use crate::terminal::{Stopped, print_error, print_help, stopped};

/// The version of the schema, which is documented in `docs/reference/github-releases.md`.
const SCHEMA: u32 = 1;

/// The outcomes of a run, each as one word.
const OUTCOMES: [&str; 8] =
    ["done", "nothing-to-do", "dry-run", "conflict", "failed", "unavailable", "refused", "interrupted"];

/// The end of a run.
pub(super) enum End {
    /// The run ended before it wrote anything.
    GivenUp(Failure),
    /// The plan was carried out, or shown in a dry run.
    Finished,
    /// The run was interrupted.
    CutShort(Stopped),
}

/// What a run of `kpromo gh` has done (`--report FILE`).
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// The version of this schema.
    #[schemars(extend("const" = SCHEMA))]
    schema: u32,
    /// The version of kpromo.
    version: &'static str,
    /// The outcome as one word.
    #[schemars(extend("enum" = OUTCOMES))]
    outcome: &'static str,
    /// The exit code of the process (`docs/reference/exit-codes.md`).
    exit_code: u8,
    /// Whether `--dry-run` was given.
    dry_run: bool,
    /// When the run started.
    started: Timestamp,
    /// The duration of the run, in seconds.
    #[schemars(range(min = 0))]
    elapsed_seconds: f64,
    /// The counts of what the run has done.
    totals: Totals,
    /// The objects that this run has written.
    copied: Vec<Copy>,
    /// The assets whose destination has other content.
    conflicts: Vec<NotCopied>,
    /// The assets that could not be copied.
    failed: Vec<NotCopied>,
    /// Why the run stopped early. Null if it did not.
    error: Option<String>,
    /// How to resolve the error. Absent if there is none, or if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    /// The requests and bytes of each host.
    #[schemars(with = "BTreeMap<String, HostTally>")]
    hosts: serde_json::Value,
}

/// The counts of what the run has done: objects, each counted once for each destination.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Totals {
    /// Objects that this run has written.
    copied: usize,
    /// Objects that were already there.
    there: usize,
    /// Objects that are there with other content.
    conflicts: usize,
    /// Objects that could not be copied.
    failed: usize,
    /// Objects that were not started or not completed because the run was stopped.
    not_begun: usize,
    /// Bytes of objects that this run has written.
    bytes_sent: u64,
}

impl Totals {
    fn of(done: &Done) -> Self {
        Self {
            copied: done.copied.len(),
            there: done.there,
            conflicts: done.conflicts.len(),
            failed: done.failed.len(),
            not_begun: done.not_begun,
            bytes_sent: done.copied.iter().map(|copy| copy.bytes).sum(),
        }
    }
}

/// Prints the result of the run, writes the manifest of files and the report, and returns the exit code.
pub(super) fn finish(args: &GhArgs, end: &End, outcome: &Outcome, door: &Door) -> Exit {
    let done = outcome.done().clone();
    let (word, mut exit) = judge(args, end, &done);
    match end {
        End::GivenUp(failure) => {
            failure.print();
        }
        End::CutShort(stopped) => print_error(&stopped.to_string()),
        End::Finished => tell(args, &done),
    }
    if let Some(path) = &args.files_manifest
        && matches!(end, End::Finished)
        && !args.dry_run
    {
        if is_complete(&done) {
            let entries =
                done.files.iter().map(|(name, sha256)| Entry { name: name.clone(), sha256: *sha256 });
            // Merging with an empty list only sorts, in the order of a manifest of a directory.
            let entries = merge(Vec::new(), entries.collect()).unwrap_or_default();
            let written = write_file(path, "manifest of files", |to| write_files(&entries, to));
            exit = settled(exit, written);
        } else {
            print_error(&format!("{} is not written, because files are missing", path.display()));
        }
    }
    if let Some(path) = &args.report {
        let report = report(args, end, word, exit, outcome, door);
        let written =
            write_file(path, "report", |to| serde_json::to_writer_pretty(to, &report).map_err(Into::into));
        exit = settled(exit, written);
    }
    exit
}

/// Returns the exit code after an output file was written. A run whose output cannot be written does not succeed.
fn settled(exit: Exit, written: Result<(), String>) -> Exit {
    match written {
        Ok(()) => exit,
        Err(problem) => {
            print_error(&problem);
            if exit == Exit::Success { Exit::Failure } else { exit }
        }
    }
}

/// Returns whether all objects have the wanted content.
fn is_complete(done: &Done) -> bool {
    done.failed.is_empty() && done.conflicts.is_empty() && done.not_begun == 0
}

/// Logs the counts of the run.
fn tell(args: &GhArgs, done: &Done) {
    let Totals { copied, there, conflicts, failed, not_begun, bytes_sent } = Totals::of(done);
    if args.dry_run {
        tracing::info!(
            "already there {}, conflicts {}, failed {}; this was a dry run: nothing was written",
            count(there as u64),
            count(conflicts as u64),
            count(failed as u64)
        );
    } else {
        tracing::info!(
            "copied {} ({}), already there {}, conflicts {}, failed {}, not begun {}",
            count(copied as u64),
            bytes(bytes_sent),
            count(there as u64),
            count(conflicts as u64),
            count(failed as u64),
            count(not_begun as u64)
        );
    }
    if not_begun > 0 {
        let why = stopped().unwrap_or(Stopped::Interrupted);
        print_error(&format!("{why}; files are missing, and the same command completes them"));
    } else if failed > 0 {
        print_error(&format!("failed: {}; the others are complete", counted(failed, "file")));
    } else if conflicts > 0 {
        let files = counted(conflicts, "file");
        print_error(&format!("there with other content: {files}; the others are complete"));
    }
    // Advice that applies to several failures is given once.
    let advice: BTreeSet<&str> = done.failed.iter().filter_map(|failure| failure.advice).collect();
    advice.into_iter().for_each(print_help);
    if conflicts > 0 {
        print_help("files that were published do not change: give the new content a new tag or a new name");
    }
}

/// Returns the outcome as a word, and the exit code.
fn judge(args: &GhArgs, end: &End, done: &Done) -> (&'static str, Exit) {
    match end {
        End::GivenUp(failure) => match failure.exit() {
            Exit::Unavailable => ("unavailable", Exit::Unavailable),
            Exit::Interrupted => ("interrupted", Exit::Interrupted),
            exit => ("refused", exit),
        },
        End::CutShort(_) if done.is_writing => ("interrupted", Exit::InterruptedWriting),
        End::CutShort(_) => ("interrupted", Exit::Interrupted),
        End::Finished if done.not_begun > 0 && !done.is_writing => ("interrupted", Exit::Interrupted),
        End::Finished if done.not_begun > 0 => ("interrupted", Exit::InterruptedWriting),
        // GitHub's rate limit was used up before anything was written.
        End::Finished if done.is_used_up && !done.is_writing => ("unavailable", Exit::Unavailable),
        End::Finished if !done.failed.is_empty() => ("failed", Exit::Partial),
        End::Finished if !done.conflicts.is_empty() => ("conflict", Exit::Conflict),
        End::Finished if args.dry_run => ("dry-run", Exit::Success),
        End::Finished if done.copied.is_empty() => ("nothing-to-do", Exit::Success),
        End::Finished => ("done", Exit::Success),
    }
}

fn report(
    args: &GhArgs,
    end: &End,
    word: &'static str,
    exit: Exit,
    outcome: &Outcome,
    door: &Door,
) -> Report {
    let done = outcome.done().clone();
    let is_whole = done.not_begun == 0;
    let failure = match end {
        End::GivenUp(failure) => Some(failure),
        End::Finished | End::CutShort(_) => None,
    };
    Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        outcome: word,
        exit_code: exit.code(),
        dry_run: args.dry_run,
        started: outcome.started,
        elapsed_seconds: Timestamp::now().duration_since(outcome.started).as_secs_f64(),
        totals: Totals::of(&done),
        copied: done.copied,
        conflicts: done.conflicts,
        failed: done.failed,
        error: match end {
            End::GivenUp(failure) => Some(failure.to_string()),
            End::CutShort(stopped) => Some(stopped.to_string()),
            End::Finished => stopped().filter(|_| !is_whole).map(|stopped| stopped.to_string()),
        },
        advice: failure.and_then(Failure::advice).map(str::to_owned),
        hosts: serde_json::to_value(door.tally()).unwrap_or_default(),
    }
}
