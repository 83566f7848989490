//! The end of a run: its output, its report and its exit code.

use std::collections::BTreeSet;

use files::{CarriedOut, Ending, GivenUp, ReportBuilder, Summary, Totals};
use jiff::Timestamp;
use transport::Door;

use crate::args::RunFilesArgs;
use crate::exit::Exit;
use crate::render::{bytes, count};
use crate::report::{Metrics, RunEnd, Traffic, files_page, write_metrics, write_reports};
use crate::terminal::{ErrorLine, Stopped, is_json, print, print_error, print_help, stopped};

/// The end of a run, from which the report and the exit code are derived.
pub(super) enum End {
    /// The run ended before anything was written.
    GivenUp(GivenUp),
    /// A dry run.
    DryRun,
    /// The plan was carried out.
    Finished(CarriedOut),
    /// The run was abandoned during any phase.
    CutShort(Stopped),
}

/// Prints the result of the run, writes the report and returns the exit code.
pub(super) fn finish(args: &RunFilesArgs, end: &End, report: &ReportBuilder, door: &Door) -> Exit {
    let totals = report.totals();
    let (word, mut exit) = outcome(end, report, &totals);
    print_end(args, end, &report.failures(), &totals);
    exit = exit.settled();
    if let Some(plan) = report.plan() {
        tell(plan, &totals, report.has_writing_begun());
    }
    let traffic = Traffic::of(door);
    // A run whose outputs cannot be written does not succeed.
    let or_failure = |exit: Exit| if exit == Exit::Success { Exit::Failure } else { exit };
    if !args.report.reports.is_empty() {
        let (exit_code, confirmed, error) = (exit.code(), args.confirm, stop_error(end, &totals));
        let ending = Ending { outcome: word, exit_code, confirmed, error, hosts: door.tally() };
        let report = report.report(ending);
        for problem in write_reports(&args.report.reports, &report, |report| files_page(report, &traffic)) {
            print_error(&problem);
            exit = or_failure(exit);
        }
    }
    if let Some(path) = &args.report.metrics
        && let Err(problem) = write_metrics(path, &metrics(args, word, exit, report, &traffic))
    {
        print_error(&problem);
        exit = or_failure(exit);
    }
    exit
}

/// Returns why the run stopped early, and advice about it. `None` if it did not.
fn stop_error(end: &End, totals: &Totals) -> Option<(String, Option<&'static str>)> {
    match end {
        End::GivenUp(GivenUp::Interrupted) => Some((stopped_text(), None)),
        End::GivenUp(given_up) => Some((given_up.to_string(), given_up.advice())),
        End::CutShort(stopped) => Some((stopped.to_string(), None)),
        End::Finished(_) if totals.not_completed > 0 => Some((stopped_text(), None)),
        End::DryRun | End::Finished(_) => None,
    }
}

/// Returns what stopped the run.
fn stopped_text() -> String {
    stopped().unwrap_or(Stopped::Interrupted).to_string()
}

/// Returns the metrics of the run.
fn metrics(
    args: &RunFilesArgs,
    outcome: &str,
    exit: Exit,
    report: &ReportBuilder,
    traffic: &Traffic,
) -> Metrics {
    let end = RunEnd {
        version: env!("CARGO_PKG_VERSION"),
        outcome,
        exit_code: exit.code(),
        confirmed: args.confirm,
        ended: Timestamp::now().as_millisecond() as f64 / 1000.0,
        seconds: report.elapsed().as_secs_f64(),
    };
    let totals = report.totals();
    let mut metrics = Metrics::new("run files", &end);
    metrics.single("files_copied", "Files that were written to a destination.", totals.copied as f64);
    metrics.single(
        "files_there",
        "Files that already existed when they were about to be written.",
        totals.there as f64,
    );
    metrics.single(
        "files_failed",
        "Files that could not be promoted to a destination.",
        totals.failed as f64,
    );
    metrics.single("files_sent_bytes", "Bytes of files that were written.", totals.bytes_sent as f64);
    metrics.phases(&report.phase_seconds());
    metrics.hosts(&traffic.registries);
    metrics
}

/// Prints the first and last lines that scripts read, and the errors.
fn print_end(args: &RunFilesArgs, end: &End, failures: &[(String, Option<&'static str>)], totals: &Totals) {
    let (frame, errors): (_, Vec<String>) = match end {
        End::GivenUp(given_up) => {
            ErrorLine { advice: given_up.advice(), ..ErrorLine::new(&given_up.to_string()) }.print();
            return;
        }
        End::CutShort(stopped) => {
            print_error(&stopped.to_string());
            return;
        }
        End::DryRun | End::Finished(_) if !failures.is_empty() => {
            ("FINISHED WITH ERRORS", failures.iter().map(|(error, _)| format!("{error}\n")).collect())
        }
        End::DryRun => ("FINISHED (DRY RUN)", Vec::new()),
        End::Finished(_) if totals.not_completed > 0 => {
            ("FINISHED WITH ERRORS", vec![format!("{}\n", stopped_text())])
        }
        End::Finished(_) => ("FINISHED", Vec::new()),
    };
    print(&format!("********** {frame} **********\n{}", errors.concat()));
    if !args.confirm {
        tracing::info!("this was a dry run: nothing was written");
    }
    if is_json() {
        // Each failure is logged with its advice.
        return;
    }
    // The same advice is printed once.
    let advice: BTreeSet<&str> = failures.iter().filter_map(|(_, advice)| *advice).collect();
    advice.into_iter().for_each(print_help);
}

/// Logs the totals of the run, or those of its plan if the copy phase has not started.
fn tell(summary: Summary, totals: &Totals, has_writing_begun: bool) {
    let number = |number: usize| count(number as u64);
    match has_writing_begun {
        true => tracing::info!(
            "copied {} ({}), already there {}, failed {}, lost {}, not completed {}",
            number(totals.copied),
            bytes(totals.bytes_sent),
            number(summary.done + totals.there),
            number(totals.failed),
            number(summary.lost),
            number(totals.not_completed)
        ),
        false => tracing::info!(
            "to copy {}, to replace {} ({}), already there {}, lost {}, conflicts {}, failed {}",
            number(summary.copy),
            number(summary.replace),
            bytes(summary.bytes),
            number(summary.done),
            number(summary.lost),
            number(summary.conflicts),
            number(summary.failed)
        ),
    }
}

/// Returns the outcome and the exit code.
fn outcome(end: &End, report: &ReportBuilder, totals: &Totals) -> (&'static str, Exit) {
    match end {
        End::GivenUp(GivenUp::Unavailable(_)) => ("unavailable", Exit::Unavailable),
        End::GivenUp(GivenUp::Conflicts(_)) => ("refused", Exit::Conflict),
        End::GivenUp(GivenUp::Interrupted) => ("interrupted", Exit::Interrupted),
        End::CutShort(_) if report.has_writing_begun() => ("interrupted", Exit::InterruptedWriting),
        End::CutShort(_) => ("interrupted", Exit::Interrupted),
        End::Finished(_) if totals.not_completed > 0 => ("interrupted", Exit::InterruptedWriting),
        End::DryRun | End::Finished(_) if totals.failed > 0 => ("failed", Exit::Partial),
        End::DryRun => ("dry-run", Exit::Success),
        End::Finished(done) if done.plan().is_empty() => ("nothing-to-do", Exit::Success),
        End::Finished(_) => ("done", Exit::Success),
    }
}
