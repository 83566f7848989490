//! `kpromo cip`: promotes the images in manifests.

mod end;
mod files;
mod load;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use end::{Circumstances, End, finish};
use files::{check_config, check_inputs, check_outputs, open_cache};
use indicatif::MultiProgress;
use load::{Loaded, load_to_complete, parse_only};
pub(crate) use load::{invalid_entries, load};
use manifest::Manifests;
use oci::Client;
use promote::phase::{Plan, survey};
use promote::{
    Completion, Confirmed, Copying, Error, Event, Job, Observer, ReportBuilder, Run, carry_out, prepare,
    write_plan,
};
use tokio_util::sync::CancellationToken;
use trust::TrustConfig;

use crate::args::CipArgs;
use crate::config::{Config, InvalidConfig};
use crate::connect::{Connection, connect, connect_sharing};
use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::faults::print_faults;
use crate::identities::trust_config;
use crate::output::write_file;
use crate::render::{
    Lines, PlanShape, Progress, failures, plan_edges, plan_missing, plan_open, plan_table, shard_line,
};
use crate::scans::{Scans, scans};
use crate::telemetry::Trace;
use crate::terminal::{
    GRACE, Interrupts, has_result_color, is_result_on_terminal, print, print_error, result_width, stopped,
};
use crate::watchdog;

/// Runs a promotion.
pub(crate) async fn run(args: &CipArgs, environment: &Environment, screen: &MultiProgress) -> Exit {
    attempt(args, environment, screen).await.unwrap_or_else(|exit| exit)
}

/// Reads the manifests and the configuration, checks what can be checked offline, runs the phases and prints the summary. An
/// error is the exit code of a run that ends before its first request.
async fn attempt(args: &CipArgs, environment: &Environment, screen: &MultiProgress) -> Result<Exit, Exit> {
    let loaded = load_to_complete(args, environment)?;
    let rejected = loaded.manifests.rejected.clone();
    if rejected.count() > 0 {
        print_faults(&rejected);
    }
    // An invalid configuration is also an error with `--parse-only`, which does not need it.
    let configured = configure(args, &loaded, environment);
    let (trust_config, connection, scans) = configured.map_err(|problem| Failure::from(problem).print())?;
    let shard = loaded.shard(args, &trust_config.production);
    let tell_shard = || shard.iter().for_each(|shard| print(&shard_line(shard)));
    let Loaded { manifests, completion, .. } = loaded;
    if args.parse_only {
        tell_shard();
        return Ok(parse_only(args, manifests, shard).await);
    }
    if args.strict && rejected.count() > 0 {
        return Err(invalid(&format!("{}; nothing was promoted", invalid_entries(&rejected))));
    }
    let cache = check_outputs(args).and_then(|()| open_cache(args.cache.as_ref()));
    let cache = cache.map_err(|problem| invalid(&problem))?;
    // At this point it is known whether a document goes to standard output, which then contains nothing else.
    tell_shard();
    let Connection { client, door, settings, .. } = connection;
    let report = Arc::new(ReportBuilder::default());
    report.reject(rejected.iter().map(ToString::to_string));
    shard.iter().for_each(|shard| report.set_shard(shard));
    let stop = CancellationToken::new();
    let progress = Progress::new(screen);
    let trace = Trace::begin(&environment.collector, &settings, "kpromo cip");
    let mut observers = observers(&report, &progress);
    observers.extend(trace.as_ref().map(Trace::observer));
    let run = Run::new(observers, stop.clone());
    // A run waits for late hosts if a failure must be found before anything is written.
    let late_after = (args.confirm && args.keep_going && !args.strict).then_some(args.late_after);
    let (strict, keep_going, writes) = (args.strict, args.keep_going, args.confirm);
    let checks_attached = args.check_signatures;
    let job =
        Job { manifests, strict, keep_going, late_after, writes, checks_attached, cache, completion, shard };
    // Installed before the first request. Until then, a signal ends the process by its default action, without a kpromo exit
    // code.
    let interrupts = Interrupts::new();
    let end = tokio::select! {
        end = work(args, (&run, &report), &client, job, &trust_config, scans.as_ref()) => end,
        () = until_abandoned(interrupts, args.timeout, &stop, &report) => End::CutShort,
        never = watchdog::watch(&door) => match never {},
        never = progress.show(&door) => match never {},
    };
    progress.clear();
    scans.iter().for_each(Scans::tell_unused);
    let circumstances = Circumstances { rejected: rejected.count(), stopped: stopped() };
    let exit = finish(args, &end, &report, &door, circumstances);
    if let Some(trace) = trace {
        trace.end(exit).await;
    }
    Ok(exit)
}

/// Prints why the run cannot begin.
fn invalid(problem: &str) -> Exit {
    print_error(problem);
    Exit::Invalid
}

/// Reads the configuration, and determines who signs, whose signatures count, and which vulnerabilities images may have.
fn configure(
    args: &CipArgs,
    loaded: &Loaded,
    environment: &Environment,
) -> Result<(TrustConfig, Connection, Option<Scans>), InvalidConfig> {
    // Images that are only repaired are signed too, so they also decide whether there is a default signer.
    let signed = match &loaded.completion {
        Completion::Also(all) => Cow::Owned(Manifests { manifests: all.clone(), ..Manifests::default() }),
        _ => Cow::Borrowed(&loaded.manifests),
    };
    let config = Config::of(args.config.as_deref(), environment)?;
    check_config(args, &config)?;
    let connection = match args.shard {
        Some(shard) => connect_sharing(&config, environment, &loaded.staging(), shard.count())?,
        None => connect(&config, environment)?,
    };
    let mut trust_config = trust_config(args, &config, &signed, environment, &connection)?;
    let scans = scans(&args.vulnerabilities, &trust_config.verification, &connection)?;
    check_inputs(args, scans.iter().flat_map(Scans::inputs))?;
    // A run that only scans has no gate.
    if args.vulnerabilities.only_scan.is_none() {
        trust_config.verification.scans = scans.as_ref().map(|scans| scans.gate.clone());
    }
    Ok((trust_config, connection, scans))
}

/// Scans or promotes.
async fn work(
    args: &CipArgs,
    (run, report): (&Run, &ReportBuilder),
    client: &Client,
    job: Job,
    trust_config: &TrustConfig,
    scans: Option<&Scans>,
) -> End {
    let Some(scans) = scans.filter(|_| args.vulnerabilities.only_scan.is_some()) else {
        return promote(args, (run, report), client, job, trust_config).await;
    };
    if args.confirm {
        tracing::warn!(
            "--vuln-severity-threshold only scans: nothing is promoted, and --confirm has no effect"
        );
    }
    let done = survey(run, &client.reader(), job, &scans.gate, trust_config).await;
    done.map_or_else(End::GivenUp, End::Surveyed)
}

/// Runs the phases. The plan is printed and written between them.
async fn promote(
    args: &CipArgs,
    (run, report): (&Run, &ReportBuilder),
    client: &Client,
    job: Job,
    trust_config: &TrustConfig,
) -> End {
    let prepared = prepare(run, client, job, trust_config).await;
    let plan = prepared.as_ref().map_or_else(Error::plan, |prepared| Some(prepared.plan()));
    plan.iter().for_each(|plan| report.set_plan(plan));
    let written = plan.is_none_or(|plan| show(args, plan, prepared.is_ok()));
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return End::GivenUp(error),
    };
    let plan = prepared.plan();
    let signs = trust_config.signing.is_some() && !plan.edges().all().is_empty();
    let summary = plan.summary();
    let may_sign = summary.total.sign + summary.total.record + summary.not_looked_at > 0;
    if let Some(signing) = trust_config.signing.as_ref().filter(|_| may_sign)
        && let Ok(owner) = signing.signer.owner().await
    {
        print(&format!("signing as {owner}\n"));
    }
    match Confirmed::when(args.confirm, client) {
        _ if !written => End::Unwritten(prepared),
        None => End::DryRun(prepared),
        Some(_) if plan.is_empty() && !signs => End::NothingToDo(prepared),
        Some(confirmed) => {
            let copying = Copying { spool: args.spool.clone() };
            let done = carry_out(run, &confirmed, prepared, &copying, trust_config).await;
            done.map_or_else(End::GivenUp, End::Finished)
        }
    }
}

/// Prints the plan, with its edges if it can be carried out, and writes the plan file if requested. Returns `false` if the file
/// cannot be written.
fn show(args: &CipArgs, plan: &Plan, is_cleared: bool) -> bool {
    // A failed run prints its error first, and then the table. A quiet run that writes prints only its summary.
    if is_cleared && !(args.quiet && args.confirm) {
        let (is_terminal, color) = (is_result_on_terminal(), has_result_color());
        let width = result_width();
        let shape =
            PlanShape { verbose: args.verbose, is_capped: is_terminal && !args.verbose, width, color };
        plan_open(plan, shape).for_each(|line| print(&line));
        if !args.confirm {
            // The summary of a run that writes lists them.
            print(&failures(&ReportBuilder::default(), Some(plan)));
        }
        plan_edges(plan, shape).for_each(|line| print(&line));
        plan_missing(plan, shape).for_each(|line| print(&line));
        if !plan.edges().all().is_empty() {
            print(&plan_table(&plan.summary()));
        }
    }
    let Some(path) = &args.output_plan else { return true };
    let written = write_file(path, "plan", |to| write_plan(plan, to));
    written.map_err(|problem| print_error(&problem)).is_ok()
}

/// Returns the observers of a run: the log, the report and the progress.
pub(crate) fn observers(
    report: &Arc<ReportBuilder>,
    progress: &Arc<Progress>,
) -> Vec<Arc<dyn Observer<Event>>> {
    vec![Arc::new(Lines::default()), Arc::<ReportBuilder>::clone(report), Arc::<Progress>::clone(progress)]
}

/// Waits until an interrupt or the timeout abandons a run over images.
pub(crate) async fn until_abandoned(
    interrupts: Interrupts,
    timeout: Option<Duration>,
    stop: &CancellationToken,
    report: &ReportBuilder,
) {
    let finishing = format!("finishing work in progress, for up to {} s", GRACE.as_secs());
    interrupts.until_abandoned(timeout, stop, || report.has_writing_begun(), &finishing).await;
}
