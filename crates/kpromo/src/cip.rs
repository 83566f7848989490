//! `kpromo cip`: manifests in, promoted images out.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indicatif::MultiProgress;
use oci::Client;
use promote::manifest::{Base, Manifests, limit_to_added, load_plain, load_thin, prow_base};
use promote::phase::{Attested, Plan};
use promote::{
    Cache, CacheError, Confirmed, Copying, Ending, Error, Job, Ledger, Notary, Observer, Prepared, Problem,
    Run, carry_out, prepare, write_plan,
};
use tokio_util::sync::CancellationToken;
use transport::Door;

use crate::args::{CacheArgs, CipArgs, Limit, ManifestSource};
use crate::connect::{Connection, connect};
use crate::environment::Environment;
use crate::exit::Exit;
use crate::render::{Bars, Lines, count, failures, plan_table, summary};
use crate::terminal::{Interrupts, print, print_error, print_help};
use crate::trust::notary;
use crate::watchdog;

/// The time that what is under way has to end after a first interrupt.
const GRACE: Duration = Duration::from_secs(30);

/// How a run went: what the report and the exit code are made of.
enum End {
    /// Given up before anything was written.
    GivenUp(Error),
    /// A dry run.
    DryRun(Prepared),
    /// There was nothing to write.
    NothingToDo(Prepared),
    /// The plan that was asked for cannot be written, so nothing was begun.
    Unwritten(Prepared),
    /// Carried out.
    Finished(Attested),
    /// Cut short, whatever was under way.
    CutShort,
}

/// Runs a promotion.
pub(crate) async fn run(args: &CipArgs, environment: &Environment, screen: &MultiProgress) -> Exit {
    let color = !environment.no_color && std::io::stderr().is_terminal();
    let manifests = match load(args, environment, color) {
        Ok(manifests) => manifests,
        Err(exit) => return exit,
    };
    // A wrong configuration is an error also with --parse-only, which does not need it.
    let connected = connect(args.registry_config.as_deref(), environment);
    let connected =
        connected.and_then(|connection| Ok((notary(args, environment, &connection)?, connection)));
    let (notary, connection) = match connected {
        Ok(connected) => connected,
        Err(problem) => {
            print_error(&problem.to_string());
            return Exit::Invalid;
        }
    };
    let Connection { client, door, .. } = connection;
    if args.parse_only {
        return parse_only(args, manifests).await;
    }
    let cache = match args.cache.as_ref().map(open_cache).transpose() {
        Ok(cache) => cache.flatten(),
        Err(error) => {
            print_error(&error.to_string());
            return Exit::Failure;
        }
    };
    let ledger = Arc::new(Ledger::default());
    let stop = CancellationToken::new();
    let run = Run::new(observers(&ledger, screen), stop.clone());
    // What must fail before anything is written is waited for.
    let late_after = (args.confirm && args.keep_going && !args.strict).then_some(args.late_after);
    let (strict, keep_going, writes) = (args.strict, args.keep_going, args.confirm);
    let looks = args.check_signatures;
    let job = Job { manifests, strict, keep_going, late_after, writes, looks, cache };
    let end = tokio::select! {
        end = promote(args, &run, &client, job, &notary) => end,
        () = until_abandoned(args.timeout, &stop, &ledger) => End::CutShort,
        never = watchdog::watch(&door) => match never {},
    };
    finish(args, &end, &ledger, &door)
}

/// The phases, with the plan shown and written between them.
async fn promote(args: &CipArgs, run: &Run, client: &Client, job: Job, notary: &Notary) -> End {
    let prepared = prepare(run, client, job, notary).await;
    let plan = prepared.as_ref().map_or_else(Error::plan, |cleared| Some(cleared.plan()));
    let written = plan.is_none_or(|plan| show(args, plan));
    let cleared = match prepared {
        Ok(cleared) => cleared,
        Err(error) => return End::GivenUp(error),
    };
    match Confirmed::when(args.confirm, client) {
        _ if !written => End::Unwritten(cleared),
        None => End::DryRun(cleared),
        Some(_) if notary.signing.is_none() && cleared.plan().is_empty() => End::NothingToDo(cleared),
        Some(confirmed) => {
            let copying = Copying { spool: args.spool.clone() };
            let done = carry_out(run, &confirmed, cleared, &copying, notary).await;
            done.map_or_else(End::GivenUp, End::Finished)
        }
    }
}

/// Shows the plan, and writes it where that is asked for; `false` where it cannot be written.
fn show(args: &CipArgs, plan: &Plan) -> bool {
    print(&plan_table(&plan.summary()));
    args.output_plan.as_ref().is_none_or(|path| write_file(path, "plan", |to| write_plan(plan, to)))
}

/// Reads the manifests and limits them to what is asked for.
fn load(args: &CipArgs, environment: &Environment, color: bool) -> Result<Manifests, Exit> {
    let (path, loaded) = match &args.manifests {
        ManifestSource::Plain(file) => (file, load_plain(file)),
        ManifestSource::Thin(folder) => (folder, load_thin(folder)),
    };
    let manifests = loaded.map_err(|diagnostics| {
        print_error(&diagnostics.render(color));
        Exit::Invalid
    })?;
    let base = match &args.limit {
        Limit::None => return Ok(manifests),
        Limit::Since(when) => Ok(Base::Since(when.clone())),
        Limit::ProwChange => prow_base(environment.job.kind.as_deref(), environment.pull_base_sha.as_deref()),
    };
    base.and_then(|base| limit_to_added(manifests, path, &base)).map_err(|error| {
        print_error(&error.to_string());
        Exit::Invalid
    })
}

/// Checks what can be checked without a network.
async fn parse_only(args: &CipArgs, manifests: Manifests) -> Exit {
    let run = Run::new(vec![Arc::new(Lines)], CancellationToken::new());
    let number = manifests.manifests.len();
    let job = Job {
        manifests,
        strict: args.strict,
        keep_going: args.keep_going,
        late_after: None,
        writes: false,
        looks: false,
        cache: None,
    };
    match promote::phase::setup(&run, job).await {
        Ok(ready) => {
            let edges = ready.edges().all().len();
            print(&format!("{} manifests, {} edges: valid\n", count(number as u64), count(edges as u64)));
            Exit::Success
        }
        Err(error) => {
            print_problem(&error.problem());
            exit_of(&error)
        }
    }
}

/// Opens the inventory cache. `None` where another process has it open: the run is slower without it, and as correct.
fn open_cache(args: &CacheArgs) -> Result<Option<Cache>, CacheError> {
    match Cache::open(&args.path, args.recheck) {
        Ok((cache, refused)) => {
            refused.iter().for_each(|why| tracing::warn!("{why}"));
            Ok(Some(cache))
        }
        Err(error @ CacheError::InUse(_)) => {
            tracing::warn!("{error}: everything is asked");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The observers of a run: the log, the ledger, and bars where there is a screen for them.
fn observers(ledger: &Arc<Ledger>, screen: &MultiProgress) -> Vec<Arc<dyn Observer>> {
    let mut observers: Vec<Arc<dyn Observer>> = vec![Arc::new(Lines), Arc::<Ledger>::clone(ledger)];
    if !screen.is_hidden() {
        observers.push(Arc::new(Bars::new(screen.clone())));
    }
    observers
}

/// Waits for an interrupt, or until the run's time is over; ends when what is under way is to be abandoned. That is at once
/// as long as nothing is written; later it is when the grace time is over, or at a second interrupt.
async fn until_abandoned(timeout: Option<Duration>, stop: &CancellationToken, ledger: &Ledger) {
    let mut interrupts = Interrupts::new();
    let time_is_over = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let why = tokio::select! {
        () = interrupts.next() => "interrupted",
        () = time_is_over => "the time of --timeout is over",
    };
    stop.cancel();
    tracing::warn!("{why}");
    if !ledger.has_writing_begun() {
        return;
    }
    let grace = GRACE.as_secs();
    tracing::warn!("finishing what is under way, for {grace} s at the most; an interrupt ends this at once");
    // Either way it is over then.
    let _ = tokio::time::timeout(GRACE, interrupts.next()).await;
}

/// Prints how the run ended, writes the report, and gives the exit code.
fn finish(args: &CipArgs, end: &End, ledger: &Ledger, door: &Door) -> Exit {
    let (outcome, mut exit) = judge(end, ledger);
    let tally = door.tally();
    let plan = plan_of(end);
    match end {
        End::GivenUp(error) => print_problem(&error.problem()),
        End::Unwritten(_) => print_error("nothing was promoted"),
        End::DryRun(cleared) | End::NothingToDo(cleared) => {
            print(&failures(ledger, Some(cleared.plan())));
            let not_looked_at = cleared.plan().summary().not_looked_at;
            if not_looked_at > 0 {
                let images = count(not_looked_at as u64);
                print(&format!(
                    "not looked at: signatures and records of {images} promoted images (--check-signatures looks)\n"
                ));
            }
            let nothing = cleared.plan().is_empty() && not_looked_at == 0;
            print(if nothing { "Nothing to do.\n" } else { "This was a dry run: nothing was written.\n" });
            print_skipped(ledger);
        }
        End::CutShort if !ledger.has_writing_begun() => print_error("interrupted; nothing was promoted"),
        End::Finished(_) | End::CutShort => {
            print(&match outcome {
                "nothing-to-do" => "Nothing to do.\n".to_owned(),
                _ => summary(ledger, plan, &tally),
            });
            if let End::Finished(attested) = end {
                let not_begun = [
                    (attested.promoted().not_begun(), "images"),
                    (attested.not_begun(), "signatures and records"),
                ];
                for (number, what) in not_begun.into_iter().filter(|(number, _)| *number > 0) {
                    print(&format!("not begun: {} {what}\n", count(number as u64)));
                }
            }
            print_skipped(ledger);
        }
    }
    if let Some(path) = &args.report {
        let error = if let End::GivenUp(error) = end { Some(error.problem()) } else { None };
        let registries = serde_json::to_value(&tally).unwrap_or_default();
        let exit_code = exit.code();
        let report =
            ledger.report(Ending { outcome, exit_code, confirmed: args.confirm, plan, error, registries });
        let written =
            write_file(path, "report", |to| serde_json::to_writer_pretty(to, &report).map_err(Into::into));
        // Production stays as it is, but a run whose report is missing is no success.
        if !written && exit == Exit::Success {
            exit = Exit::Failure;
        }
    }
    exit
}

/// Prints what went wrong, and below it what can be done.
fn print_problem(problem: &Problem) {
    print_error(&problem.error);
    if let Some(advice) = &problem.advice {
        print_help(advice);
    }
}

/// Prints which phases have done nothing.
fn print_skipped(ledger: &Ledger) {
    for (phase, why) in ledger.skipped() {
        print(&format!("{phase}: {why}\n"));
    }
}

/// The outcome in a word, and the exit code.
fn judge(end: &End, ledger: &Ledger) -> (&'static str, Exit) {
    let unreadable = plan_of(end).is_some_and(|plan| plan.failures().next().is_some());
    match end {
        End::GivenUp(error) => match error {
            Error::Overlaps(_) | Error::Conflicts(..) | Error::Blocked(..) => ("refused", exit_of(error)),
            Error::Unavailable(..) | Error::NoTrust(..) | Error::NobodySigns(..) => {
                ("unavailable", exit_of(error))
            }
            Error::Interrupted => ("interrupted", exit_of(error)),
        },
        End::DryRun(_) | End::NothingToDo(_) if unreadable => ("failed", Exit::Partial),
        End::Unwritten(_) => ("failed", Exit::Failure),
        End::DryRun(_) => ("dry-run", Exit::Success),
        End::NothingToDo(_) => ("nothing-to-do", Exit::Success),
        // A failure may have ended the run too (`--keep-going=false`), so it is looked at first.
        End::Finished(attested) if attested.promoted().failed() > 0 => ("failed", Exit::Partial),
        End::Finished(attested) if attested.promoted().not_begun() + attested.not_begun() > 0 => {
            ("interrupted", Exit::InterruptedWriting)
        }
        End::Finished(attested) if attested.unsigned() + attested.unrecorded() > 0 => {
            ("unsigned", Exit::Unsigned)
        }
        End::Finished(_) if ledger.has_written_nothing() => ("nothing-to-do", Exit::Success),
        End::Finished(_) => ("done", Exit::Success),
        End::CutShort if ledger.has_writing_begun() => ("interrupted", Exit::InterruptedWriting),
        End::CutShort => ("interrupted", Exit::Interrupted),
    }
}

fn exit_of(error: &Error) -> Exit {
    match error {
        Error::Overlaps(_) | Error::Conflicts(..) => Exit::Conflict,
        Error::Blocked(..) => Exit::Policy,
        Error::Unavailable(..) | Error::NoTrust(..) | Error::NobodySigns(..) => Exit::Unavailable,
        Error::Interrupted => Exit::Interrupted,
    }
}

fn plan_of(end: &End) -> Option<&Plan> {
    match end {
        End::GivenUp(error) => error.plan(),
        End::DryRun(cleared) | End::NothingToDo(cleared) | End::Unwritten(cleared) => Some(cleared.plan()),
        End::Finished(attested) => Some(attested.promoted().plan()),
        End::CutShort => None,
    }
}

/// Writes a whole file; prints an error where that fails.
fn write_file(
    path: &Path,
    what: &str,
    write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> bool {
    let written = File::create(path).and_then(|file| {
        let mut to = BufWriter::new(file);
        write(&mut to)?;
        to.flush()
    });
    if let Err(error) = &written {
        print_error(&format!("the {what} cannot be written to {}: {error}", path.display()));
    }
    written.is_ok()
}
