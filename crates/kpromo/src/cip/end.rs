//! The end of a run: its output, its report and its exit code.

use promote::phase::{Attested, Plan, Survey};
use promote::{Ending, Error, Prepared, ReportBuilder};
use transport::Door;
use trust::Problem;

use crate::args::{CipArgs, Limit, ReportArgs};
use crate::exit::Exit;
use crate::render::{count, counted, failures, plan_table, scan_summary, scan_table, summary};
use crate::report::{Metrics, Traffic, images_page, write_metrics, write_reports};
use crate::terminal::{ErrorLine, Stopped, is_json, print, print_error, print_help};

/// The end of a run, from which the report and the exit code are derived.
pub(super) enum End {
    /// The run failed before anything was written.
    GivenUp(Error),
    /// A dry run.
    DryRun(Prepared),
    /// There is nothing to write.
    NothingToDo(Prepared),
    /// The plan file cannot be written, so nothing was started.
    Unwritten(Prepared),
    /// The run only scanned images.
    Surveyed(Survey),
    /// The plan was carried out.
    Finished(Attested),
    /// The run was abandoned during any phase.
    CutShort,
}

/// The outcome of a run that was stopped.
const INTERRUPTED: &str = "interrupted";
/// The outcome of a run that has nothing to do.
const NOTHING_TO_DO: &str = "nothing-to-do";

/// The remaining work of a plan, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    /// Images, tags, signatures or records are missing, or something cannot be done.
    Something,
    /// No images or tags are missing. Not all signatures and records have been checked.
    Unknown,
    /// Nothing is missing: a confirmed run would not write.
    Nothing,
}

fn owed(plan: &Plan) -> Owed {
    let summary = plan.summary();
    let total = summary.total;
    // Lost and unreadable images still have to be promoted.
    if !plan.is_empty() || total.lost + total.failed + total.conflicts > 0 {
        Owed::Something
    } else if summary.not_looked_at > 0 {
        Owed::Unknown
    } else {
        Owed::Nothing
    }
}

/// Further results of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    /// The number of invalid entries that were left out of the manifests.
    pub(super) rejected: usize,
    /// What stopped the run, if anything has.
    pub(super) stopped: Option<Stopped>,
}

/// Returns why a run stopped before it had done everything. `None` if it did not stop early.
fn stop_error(end: &End, report: &ReportBuilder, stopped: Option<Stopped>) -> Option<Problem> {
    let is_cut = match end {
        End::GivenUp(Error::Interrupted) | End::CutShort => true,
        End::Finished(attested) => attested.promoted().not_begun() + attested.not_begun() > 0,
        _ => false,
    };
    // A run also stops by itself after a failure, if it is told to (`--keep-going=false`).
    let why = stopped.or_else(|| matches!(end, End::CutShort).then_some(Stopped::Interrupted))?;
    is_cut.then(|| match report.has_writing_begun() {
        true => Problem::without_advice(format!("{why}; run the same command again to finish")),
        false => Problem::without_advice(format!("{why}; nothing was promoted")),
    })
}

/// Prints the result of the run, writes the report and returns the exit code.
pub(super) fn finish(
    args: &CipArgs,
    end: &End,
    report: &ReportBuilder,
    door: &Door,
    Circumstances { rejected, stopped }: Circumstances,
) -> Exit {
    let (outcome_word, mut exit) = outcome(end, report, rejected);
    let tally = door.tally();
    let plan = plan_of(end);
    let stop_error = stop_error(end, report, stopped);
    print_scans(args, end, report);
    match end {
        End::Surveyed(_) => print("Nothing was promoted: this run only scans.\n"),
        End::GivenUp(Error::Interrupted) => stop_error.iter().for_each(|problem| print_error(&problem.error)),
        End::GivenUp(error) => {
            print_given_up(error);
            let plan = plan.filter(|plan| !plan.edges().all().is_empty());
            plan.iter().for_each(|plan| print(&plan_table(&plan.summary())));
        }
        End::Unwritten(_) => print_error("nothing was promoted"),
        End::DryRun(prepared) | End::NothingToDo(prepared) => {
            print_dry_run(args, prepared.plan(), report, rejected);
        }
        End::CutShort if !report.has_writing_begun() => {
            stop_error.iter().for_each(|problem| print_error(&problem.error));
        }
        End::Finished(_) | End::CutShort => {
            print(&match outcome(end, report, 0) {
                (NOTHING_TO_DO, _) => nothing_to_do(rejected).to_owned(),
                _ => summary(report, plan, &tally, stopped.is_some()),
            });
            print_not_begun(end);
            print_skipped(report);
            match exit {
                _ if stop_error.is_some() => {
                    stop_error.iter().for_each(|problem| print_error(&problem.error));
                }
                Exit::Partial if !report.all_failures(plan).is_empty() => {
                    print_help("run the same command again: it promotes only what is missing");
                }
                Exit::Unsigned => {
                    print_help("run the same command again: it signs and records only what is missing");
                }
                _ => {}
            }
        }
    }
    if rejected > 0 {
        print(&format!("left out of the manifests as invalid: {}\n", count(rejected as u64)));
    }
    if is_json() {
        log_failures_of_plan(plan, report);
    }
    if args.report != ReportArgs::default() {
        let error = match end {
            End::GivenUp(Error::Interrupted) => stop_error,
            End::GivenUp(error) => Some(error.problem()),
            _ => stop_error,
        };
        let Traffic { registries, timeline } = Traffic::of(door);
        let exit_code = exit.code();
        let (outcome, confirmed) = (outcome_word, args.confirm);
        let ending = Ending { outcome, exit_code, confirmed, plan, error, registries, timeline };
        let report = report.report(ending);
        let mut problems = write_reports(&args.report.reports, &report, images_page);
        let metrics =
            args.report.metrics.iter().map(|path| write_metrics(path, &Metrics::of_report(&report)));
        problems.extend(metrics.filter_map(Result::err));
        for problem in problems {
            print_error(&problem);
            // A run whose report cannot be written does not succeed.
            exit = if exit == Exit::Success { Exit::Failure } else { exit };
        }
    }
    exit
}

/// Prints the vulnerabilities: all of them if the run only scans, otherwise a summary.
fn print_scans(args: &CipArgs, end: &End, report: &ReportBuilder) {
    if let End::Surveyed(Survey { images, failed }) = end {
        print(&scan_table(images, args.verbose));
        for (image, why) in failed {
            let (error, name) =
                (format!("cannot determine whether it has vulnerabilities: {why}"), image.to_string());
            let registry = Some(image.repository.host.as_str());
            ErrorLine { image: Some(&name), registry, ..ErrorLine::new(&error) }.print();
        }
    }
    print(&scan_summary(report, args.verbose));
}

/// Prints the findings of a run that does not write.
fn print_dry_run(args: &CipArgs, plan: &Plan, report: &ReportBuilder, rejected: usize) {
    if plan.edges().all().is_empty() {
        let entry = if rejected > 0 { "no valid entry in the manifests" } else { "no manifest" };
        let there = args.shard.map_or_else(String::new, |shard| format!(" at a host of shard {shard}"));
        let why = match &args.limit {
            Limit::None => format!("{entry} lists an image{there}"),
            Limit::ProwChange | Limit::Since(_) | Limit::Revision(_) => {
                format!("{entry} adds an image{there} since the base commit")
            }
        };
        print(&format!("Nothing to promote: {why}.\n"));
        return;
    }
    if args.confirm {
        // A dry run has listed them with the plan.
        print(&failures(report, Some(plan)));
    }
    let not_looked_at = plan.summary().not_looked_at;
    if not_looked_at > 0 {
        let images = counted(not_looked_at, "promoted image");
        print(&format!(
            "not checked: signatures and records of {images}; use --check-signatures to check them\n"
        ));
    }
    print(match owed(plan) {
        Owed::Nothing => nothing_to_do(rejected),
        Owed::Unknown => "Nothing to copy or tag. This was a dry run: nothing was written.\n",
        Owed::Something if args.confirm => "Nothing was written.\n",
        Owed::Something if plan.is_empty() => "This was a dry run: nothing was written.\n",
        Owed::Something => {
            "This was a dry run: nothing was written. Run again with --confirm to apply \
         the plan.\n"
        }
    });
    print_skipped(report);
}

fn nothing_to_do(rejected: usize) -> &'static str {
    if rejected > 0 { "Nothing else to do.\n" } else { "Nothing to do.\n" }
}

fn print_not_begun(end: &End) {
    let End::Finished(attested) = end else { return };
    // The summary says first which images were not begun.
    let images = attested.not_begun();
    if images > 0 {
        print(&format!("not begun: signatures and records of {}\n", counted(images, "image")));
    }
}

/// Prints why a run is given up, and what to do. Programs get a line for each image.
pub(super) fn print_given_up(error: &Error) {
    let Problem { error: text, advice, .. } = error.problem();
    let advice = advice.as_deref();
    if !is_json() {
        ErrorLine { advice, ..ErrorLine::new(&text) }.print();
        return;
    }
    let images = error.images();
    for (image, Problem { error, advice, .. }) in &images {
        let advice = advice.as_deref();
        ErrorLine { image: Some(image), advice, ..ErrorLine::new(&one_line(error)) }.print();
    }
    let text = if images.is_empty() { one_line(&text) } else { error.head() };
    ErrorLine { advice, ..ErrorLine::new(&text) }.print();
}

/// Returns a text of several lines on one.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// Logs what failed in the plan, for programs: the events of a run do not include it.
fn log_failures_of_plan(plan: Option<&Plan>, report: &ReportBuilder) {
    let later = report.failures().len();
    for (promotion, Problem { error, advice, .. }) in report.all_failures(plan).into_iter().skip(later) {
        let (image, host) = (promotion.source.to_string(), promotion.destination.host.as_str());
        let advice = advice.as_deref();
        ErrorLine { image: Some(&image), registry: Some(host), advice, ..ErrorLine::new(&error) }.print();
    }
}

/// Prints the skipped phases.
fn print_skipped(report: &ReportBuilder) {
    for (phase, why) in report.skipped() {
        print(&format!("{phase}: {why}\n"));
    }
}

/// Returns whether everything was done before the run.
fn is_complete(end: &End, report: &ReportBuilder) -> bool {
    let total = plan_of(end).map(|plan| plan.summary().total).unwrap_or_default();
    report.has_written_nothing() && total.lost + total.failed + total.conflicts + total.late == 0
}

/// Returns the outcome and the exit code. `rejected` is the number of invalid entries that were left out of the manifests.
pub(super) fn outcome(end: &End, report: &ReportBuilder, rejected: usize) -> (&'static str, Exit) {
    let unreadable = plan_of(end).is_some_and(|plan| plan.failures().next().is_some());
    match end {
        End::GivenUp(Error::Overlaps(_) | Error::Conflicts(..)) => ("refused", Exit::Conflict),
        End::GivenUp(Error::Blocked(..)) => ("refused", Exit::Policy),
        End::GivenUp(
            Error::Unavailable(..)
            | Error::ScansUnavailable(..)
            | Error::NoTrust(..)
            | Error::TrustUnavailable(..)
            | Error::CannotSign(..),
        ) => ("unavailable", Exit::Unavailable),
        End::Surveyed(survey) if survey.refused() > 0 => ("refused", Exit::Policy),
        End::Surveyed(survey) if !survey.failed.is_empty() => ("unavailable", Exit::Unavailable),
        End::GivenUp(Error::Interrupted) => (INTERRUPTED, Exit::Interrupted),
        End::CutShort if report.has_writing_begun() => (INTERRUPTED, Exit::InterruptedWriting),
        End::CutShort => (INTERRUPTED, Exit::Interrupted),
        End::DryRun(_) | End::NothingToDo(_) if unreadable => ("failed", Exit::Partial),
        End::Unwritten(_) => ("failed", Exit::Failure),
        // A failure may also have ended the run (`--keep-going=false`), so it is checked first.
        End::Finished(attested) if attested.promoted().failed() > 0 => ("failed", Exit::Partial),
        End::Finished(attested) if attested.promoted().not_begun() + attested.not_begun() > 0 => {
            (INTERRUPTED, Exit::InterruptedWriting)
        }
        // The manifests ask for entries that are invalid, so the run has failed in part.
        _ if rejected > 0 => ("failed", Exit::Partial),
        End::Surveyed(_) => ("scanned", Exit::Success),
        End::DryRun(prepared) if prepared.refused() > 0 => ("unsigned", Exit::Unsigned),
        End::DryRun(_) => ("dry-run", Exit::Success),
        End::Finished(attested) if attested.unsigned() + attested.unrecorded() > 0 => {
            ("unsigned", Exit::Unsigned)
        }
        End::NothingToDo(_) | End::Finished(_) if is_complete(end, report) => (NOTHING_TO_DO, Exit::Success),
        End::NothingToDo(_) | End::Finished(_) => ("done", Exit::Success),
    }
}

fn plan_of(end: &End) -> Option<&Plan> {
    match end {
        End::GivenUp(error) => error.plan(),
        End::DryRun(prepared) | End::NothingToDo(prepared) | End::Unwritten(prepared) => {
            Some(prepared.plan())
        }
        End::Finished(attested) => Some(attested.promoted().plan()),
        End::CutShort | End::Surveyed(_) => None,
    }
}
