//! `kpromo cip`: promotes the images in manifests.

mod end;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use end::{End, finish, outcome, print_problem};
use indicatif::MultiProgress;
use manifest::{Base, Diagnostics, Manifests, limit_to_added, load_plain, load_thin, prow_base};
use oci::Client;
use promote::phase::Plan;
use promote::{
    Cache, CacheError, Completion, Confirmed, Copying, Error, Job, Observer, ReportBuilder, Run, carry_out,
    prepare, write_plan,
};
use tokio_util::sync::CancellationToken;
use trust::TrustConfig;

use crate::args::{CacheArgs, CipArgs, Limit, ManifestSource};
use crate::config::{Config, InvalidConfig};
use crate::connect::{Connection, connect};
use crate::environment::Environment;
use crate::exit::Exit;
use crate::identities::trust_config;
use crate::output::{check_file, check_folder, write_file};
use crate::render::{Bars, Lines, count, plan_edges, plan_missing, plan_table};
use crate::terminal::{Interrupts, print, print_error};
use crate::watchdog;

/// The time that running operations may take after a first interrupt.
const GRACE: Duration = Duration::from_secs(30);

/// Runs a promotion.
pub(crate) async fn run(args: &CipArgs, environment: &Environment, screen: &MultiProgress) -> Exit {
    let color = !environment.no_color && std::io::stderr().is_terminal();
    let (manifests, completion) = match load(args, environment, color) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let rejected = manifests.rejected.clone();
    if rejected.count() > 0 {
        print_error(&rejected.render(color));
    }
    // An invalid configuration is also an error with `--parse-only`, which does not need it.
    let (trust_config, connection) = match configure(args, &manifests, &completion, environment) {
        Ok(configured) => configured,
        Err(problem) => {
            print_error(&problem.to_string());
            return Exit::Invalid;
        }
    };
    if args.parse_only {
        return parse_only(args, manifests).await;
    }
    if args.strict && rejected.count() > 0 {
        print_error(&format!("{} of the manifests are invalid; nothing was promoted", entries(&rejected)));
        return Exit::Invalid;
    }
    let cache = match check_outputs(args).and_then(|()| open_cache(args.cache.as_ref())) {
        Ok(cache) => cache,
        Err(problem) => {
            print_error(&problem);
            return Exit::Invalid;
        }
    };
    let Connection { client, door, .. } = connection;
    let report = Arc::new(ReportBuilder::default());
    report.reject(rejected.iter().map(ToString::to_string));
    let stop = CancellationToken::new();
    let run = Run::new(observers(&report, screen), stop.clone());
    // A run waits for late hosts if a failure must be found before anything is written.
    let late_after = (args.confirm && args.keep_going && !args.strict).then_some(args.late_after);
    let (strict, keep_going, writes) = (args.strict, args.keep_going, args.confirm);
    let checks_attached = args.check_signatures;
    let job = Job { manifests, strict, keep_going, late_after, writes, checks_attached, cache, completion };
    // Installed before the first request. Until then, a signal ends the process by its default action, without a kpromo exit
    // code.
    let interrupts = Interrupts::new();
    let end = tokio::select! {
        end = promote(args, &run, &client, job, &trust_config) => end,
        () = until_abandoned(interrupts, args.timeout, &stop, &report) => End::CutShort,
        never = watchdog::watch(&door) => match never {},
    };
    finish(args, &end, &report, &door, rejected.count())
}

/// Returns the number of rejected entries, as a text for a person.
fn entries(rejected: &Diagnostics) -> String {
    match rejected.count() {
        1 => "1 entry or project".to_owned(),
        number => format!("{} entries or projects", count(number as u64)),
    }
}

/// Reads the configuration, and determines who signs and whose signatures count.
fn configure(
    args: &CipArgs,
    manifests: &Manifests,
    completion: &Completion,
    environment: &Environment,
) -> Result<(TrustConfig, Connection), InvalidConfig> {
    // Images that are only repaired are signed too, so they also decide whether there is a default signer.
    let signed = match completion {
        Completion::Also(all) => Cow::Owned(Manifests { manifests: all.clone(), ..Manifests::default() }),
        _ => Cow::Borrowed(manifests),
    };
    let config = Config::of(args.config.as_deref(), environment)?;
    let connection = connect(&config, environment)?;
    Ok((trust_config(args, &config, &signed, environment, &connection)?, connection))
}

/// Runs the phases. The plan is printed and written between them.
async fn promote(args: &CipArgs, run: &Run, client: &Client, job: Job, trust_config: &TrustConfig) -> End {
    let prepared = prepare(run, client, job, trust_config).await;
    let plan = prepared.as_ref().map_or_else(Error::plan, |prepared| Some(prepared.plan()));
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
    if is_cleared {
        plan_edges(plan, args.verbose).for_each(|line| print(&line));
        plan_missing(plan, args.verbose).for_each(|line| print(&line));
    }
    if !plan.edges().all().is_empty() {
        print(&plan_table(&plan.summary()));
    }
    let Some(path) = &args.output_plan else { return true };
    let written = write_file(path, "plan", |to| write_plan(plan, to));
    written.map_err(|problem| print_error(&problem)).is_ok()
}

/// Reads the manifests and limits them to the requested change. Also returns which promoted images the run completes.
fn load(args: &CipArgs, environment: &Environment, color: bool) -> Result<(Manifests, Completion), Exit> {
    let (path, loaded) = match &args.manifests {
        ManifestSource::Plain(file) => (file, load_plain(file)),
        ManifestSource::Thin(folder) => (folder, load_thin(folder)),
    };
    let manifests = loaded.map_err(|diagnostics| {
        print_error(&diagnostics.render(color));
        Exit::Invalid
    })?;
    let base = match &args.limit {
        Limit::None => {
            let completion =
                if args.repair == Some(false) { Completion::Promoted } else { Completion::Named };
            return Ok((manifests, completion));
        }
        Limit::Since(when) => Ok(Base::Since(when.clone())),
        Limit::ProwChange => prow_base(environment.job.kind.as_deref(), environment.pull_base_sha.as_deref()),
    };
    let completion = match args.repair {
        Some(true) => Completion::Also(manifests.manifests.clone()),
        Some(false) | None => Completion::Named,
    };
    let limited = base.and_then(|base| limit_to_added(manifests, path, &base)).map_err(|error| {
        print_error(&error.to_string());
        Exit::Invalid
    })?;
    Ok((limited, completion))
}

/// Performs the checks that need no network.
async fn parse_only(args: &CipArgs, manifests: Manifests) -> Exit {
    let run = Run::new(vec![Arc::new(Lines::default())], CancellationToken::new());
    // A project whose destinations had different additions consists of several manifests.
    let projects: BTreeSet<Arc<str>> =
        manifests.manifests.iter().map(|manifest| Arc::clone(&manifest.name)).collect();
    let (number, rejected) = (projects.len(), manifests.rejected.clone());
    let job = Job {
        manifests,
        strict: args.strict,
        keep_going: args.keep_going,
        late_after: None,
        writes: false,
        checks_attached: false,
        cache: None,
        completion: Completion::Named,
    };
    match promote::phase::setup(&run, job).await {
        Ok(_) if rejected.count() > 0 => {
            print_error(&format!("{} of the manifests are invalid", entries(&rejected)));
            Exit::Invalid
        }
        Ok(ready) => {
            let edges = ready.edges().all().len();
            print(&format!("{} manifests, {} edges: valid\n", count(number as u64), count(edges as u64)));
            Exit::Success
        }
        Err(error) => {
            print_problem(&error.problem());
            outcome(&End::GivenUp(error), &ReportBuilder::default(), 0).1
        }
    }
}

/// Checks that all output files can be written, before any registry is asked.
fn check_outputs(args: &CipArgs) -> Result<(), String> {
    let files = [("plan", &args.output_plan), ("report", &args.report)];
    for (what, path) in files {
        path.as_deref().map_or(Ok(()), |path| check_file(path, what))?;
    }
    let spool = args.spool.directory.as_deref().filter(|_| args.spool.limit > 0);
    spool.map_or(Ok(()), |folder| check_folder(folder, "blobs that wait for registries"))
}

/// Opens the inventory cache. Returns `None` if another process has it open: the run is then slower, but still correct.
fn open_cache(args: Option<&CacheArgs>) -> Result<Option<Cache>, String> {
    let Some(args) = args else { return Ok(None) };
    match Cache::open(&args.path, args.recheck) {
        Ok((cache, refused)) => {
            refused.iter().for_each(|why| tracing::warn!("{why}"));
            Ok(Some(cache))
        }
        Err(error @ CacheError::InUse(_)) => {
            tracing::warn!("{error}: everything is asked");
            Ok(None)
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Returns the observers of a run: the log, the report, and progress bars if there is a terminal.
pub(crate) fn observers(report: &Arc<ReportBuilder>, screen: &MultiProgress) -> Vec<Arc<dyn Observer>> {
    let mut observers: Vec<Arc<dyn Observer>> =
        vec![Arc::new(Lines::default()), Arc::<ReportBuilder>::clone(report)];
    if !screen.is_hidden() {
        observers.push(Arc::new(Bars::new(screen.clone())));
    }
    observers
}

/// Waits for an interrupt or the run's timeout, and completes when running operations must be abandoned: at once if writing has
/// not begun, otherwise when the grace time is over or at a second interrupt.
pub(crate) async fn until_abandoned(
    mut interrupts: Interrupts,
    timeout: Option<Duration>,
    stop: &CancellationToken,
    report: &ReportBuilder,
) {
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
    if !report.has_writing_begun() {
        return;
    }
    let grace = GRACE.as_secs();
    tracing::warn!("finishing what is under way, for {grace} s at the most; an interrupt ends this at once");
    // After the grace time and after a second interrupt alike, the run is abandoned.
    let _ = tokio::time::timeout(GRACE, interrupts.next()).await;
}
