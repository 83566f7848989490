//! `kpromo run files`: promotes the files in manifests.

mod connect;
mod end;
mod progress;

use std::sync::Arc;

pub(crate) use connect::Connected;
use end::{End, finish};
use files::{
    Confirmed, Event, GivenUp, Mode, Observer, Opened, Options, Plan, ReportBuilder, Run, Warnings,
    carry_out, open_stores, plan, read,
};
use indicatif::MultiProgress;
use manifest::files::{FileManifests, Scheme};
use progress::{Bars, Lines};
use tokio_util::sync::CancellationToken;

use crate::args::RunFilesArgs;
use crate::config::Config;
use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::file_manifests::{load, warn};
use crate::report;
use crate::store_outputs::check_outside;
use crate::telemetry::Trace;
use crate::terminal::{Interrupts, print};
use crate::watchdog;

/// The work that a run finishes after a first interrupt.
const FINISHING: &str = "small files are completed, and uploads in parts are aborted";

/// Runs a promotion of files.
pub(crate) async fn run(args: &RunFilesArgs, environment: &Environment, screen: &MultiProgress) -> Exit {
    let manifests = match load(&args.manifests) {
        Ok(manifests) => manifests,
        Err(faults) => return Failure::invalid(faults).print(),
    };
    warn(&manifests);
    let checked = check_accounts(args, &manifests)
        .and_then(|()| check_outputs(args, &manifests))
        .and_then(|()| report::check(&args.report));
    let invalid = |problem: String| Failure::new(Exit::Invalid, problem);
    let connected = checked.map_err(invalid).and_then(|()| {
        let config = Config::of(args.config.as_deref(), environment)?;
        Connected::new(&config, environment).map_err(invalid)
    });
    let connected = match connected {
        Ok(connected) => connected,
        Err(failure) => return failure.print(),
    };
    let report = Arc::new(ReportBuilder::default());
    let stop = CancellationToken::new();
    let mut observers: Vec<Arc<dyn Observer<Event>>> =
        vec![Arc::new(Lines::default()), Arc::<ReportBuilder>::clone(&report)];
    if !screen.is_hidden() {
        observers.push(Arc::new(Bars::new(screen.clone())));
    }
    let trace = Trace::begin(&environment.collector, &connected.settings, "kpromo run files");
    observers.extend(trace.as_ref().map(Trace::observer));
    let run = Run::new(observers, stop.clone());
    let interrupts = Interrupts::new();
    let why = interrupts.why();
    print(if args.confirm {
        "********** START **********\n"
    } else {
        "********** START (DRY RUN) **********\n"
    });
    let end = tokio::select! {
        end = promote(args, &run, &connected, manifests) => end,
        () = interrupts.until_abandoned(args.timeout, &stop, || report.has_writing_begun(), FINISHING) => End::CutShort(why.get()),
        never = watchdog::watch(&connected.door) => match never {},
    };
    let exit = finish(args, &end, &report, &connected.door);
    if let Some(trace) = trace {
        trace.end(exit).await;
    }
    exit
}

/// Checks that destinations on Google Cloud Storage have a service account, if one is required.
fn check_accounts(args: &RunFilesArgs, manifests: &FileManifests) -> Result<(), String> {
    if !args.confirm && !args.use_service_account {
        return Ok(());
    }
    let destinations = manifests.projects.iter().flat_map(|project| &project.destinations);
    let without =
        destinations.filter(|store| store.url.scheme() == Scheme::Gcs && store.service_account.is_none());
    let lines: Vec<String> =
        without.map(|store| format!("{}: {} has no `service-account`", store.origin(), store.url)).collect();
    if lines.is_empty() {
        return Ok(());
    }
    Err(format!("these stores in production need a `service-account`\n  {}", lines.join("\n  ")))
}

/// Checks that no output is in a store, where it could replace a file that the run reads or has written.
fn check_outputs(args: &RunFilesArgs, manifests: &FileManifests) -> Result<(), String> {
    let reports = args.report.reports.iter().map(|path| ("--report", path));
    let metrics = args.report.metrics.iter().map(|path| ("--metrics", path));
    for (flag, path) in reports.chain(metrics) {
        let projects = manifests.projects.iter();
        let stores = projects.flat_map(|project| [&project.source].into_iter().chain(&project.destinations));
        check_outside(stores.map(|store| &store.url), flag, path)?;
    }
    Ok(())
}

/// Runs the phases. The plan is printed between them.
async fn promote(args: &RunFilesArgs, run: &Run, connected: &Connected, manifests: FileManifests) -> End {
    let acts = args.confirm || args.use_service_account;
    let observed = run.clone();
    let warnings = Warnings::to(move |warning| observed.emit(&Event::Warned(warning)));
    let stores = connected.stores.clone().with_warnings(warnings);
    let opened = open_stores(&stores, &manifests, |store, is_source| {
        let account = store.service_account.as_deref().filter(|_| acts && !is_source);
        connected.tokens(&store.url, account)
    });
    let Opened { readers, writers } = match opened.await {
        Ok(opened) => opened,
        Err(given_up) => return End::GivenUp(given_up),
    };
    let mode = if args.no_overwrite { Mode::NoOverwrite } else { Mode::Overwrite };
    let options = Options { mode, verify_source: args.verify_source, strict: args.strict };
    let planned = match read(run, readers, manifests).await {
        Ok(read) => plan(run, read, options).await,
        Err(given_up) => return End::GivenUp(given_up),
    };
    let plan = match planned {
        Ok(plan) => plan,
        Err(given_up) => {
            if let GivenUp::Conflicts(plan) = &given_up {
                print_plan(plan);
            }
            return End::GivenUp(given_up);
        }
    };
    print_plan(&plan);
    match Confirmed::when(args.confirm, writers) {
        None => End::DryRun,
        Some(confirmed) => End::Finished(carry_out(run, confirmed, plan).await),
    }
}

/// Prints a line for each copy, as scripts read it.
fn print_plan(plan: &Plan) {
    let mut text = String::new();
    for decision in plan.copies() {
        text.push_str(&format!("{}\n", plan.operation(decision)));
        if text.len() > 1 << 16 {
            print(&std::mem::take(&mut text));
        }
    }
    print(&text);
}
