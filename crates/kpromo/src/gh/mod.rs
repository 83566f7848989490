//! `kpromo gh`: copies GitHub releases to object stores (specification 04, `docs/design/github-releases.md`).
//!
//! Everything is checked, listed and planned before the first write. Each asset is streamed to all its destinations, and appears
//! there atomically. Each write is safe to repeat, because it is conditional on the absence of the object.

mod asset;
mod carry_out;
mod end;
mod jobs;
mod list;
mod outcome;
mod plan;
mod progress;

use std::fs;
use std::path::Path;
use std::time::Duration;

use asset::Assets;
use carry_out::{Copying, record_plan};
#[cfg(debug_assertions)]
pub(crate) use end::Report;
use end::{End, finish};
use indicatif::MultiProgress;
use jobs::Jobs;
use list::list;
use manifest::files::StoreUrl;
use outcome::Outcome;
use plan::{Plan, StoreMap, Wanted, plan};
use progress::Progress;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use transport::Settings;

use crate::args::GhArgs;
use crate::config::Config;
use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::file_promotion::Connected;
use crate::github::{GitHub, authority};
use crate::terminal::{Interrupts, print};
use crate::watchdog;

/// What a run still does after the first interrupt, for a message.
const FINISHING: &str = "small files are completed, and uploads in parts are aborted";

/// How long a run without `--timeout` waits for a rate limit of GitHub. GitHub's longest limit lasts for an hour.
const QUOTA_WAIT: Duration = Duration::from_secs(24 * 3_600);

/// Copies releases.
pub(crate) async fn run(args: &GhArgs, environment: &Environment, screen: &MultiProgress) -> Exit {
    let prepared = Jobs::checked(args).and_then(|jobs| {
        let invalid = |text: String| Failure::new(Exit::Invalid, text);
        let config = Config::of(args.config.as_deref(), environment)?;
        let connected = Connected::with(&config, environment, |settings| wait_for_quota(settings, args));
        Ok((jobs, connected.map_err(invalid)?))
    });
    let (jobs, connected) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => return failure.print(),
    };
    let github = GitHub::new(connected.door().clone(), args.api_url.clone(), environment.forge_token.clone());
    let (outcome, progress, stop) = (Outcome::default(), Progress::new(screen), CancellationToken::new());
    let interrupts = Interrupts::new();
    let why = interrupts.why();
    let copying = copy(args, &github, &connected, &jobs, &outcome, &progress, &stop);
    let end = tokio::select! {
        ended = copying => ended.map_or_else(End::GivenUp, |()| End::Finished),
        () = interrupts.until_abandoned(args.timeout, &stop, || outcome.done().is_writing, FINISHING) => End::CutShort(why.get()),
        never = watchdog::watch(connected.door()) => match never {},
    };
    finish(args, &end, &outcome, connected.door())
}

/// Lets requests to the API wait for its rate limit until the run must end.
fn wait_for_quota(settings: &mut Settings, args: &GhArgs) {
    let others = &settings.other_hosts;
    let host = settings.hosts.entry(authority(&args.api_url)).or_insert_with(|| others.clone());
    host.quota_deadline = Some(Instant::now() + args.timeout.unwrap_or(QUOTA_WAIT).min(QUOTA_WAIT));
}

/// Lists, plans and copies.
///
/// # Errors
/// If the run is given up before anything is written.
async fn copy(
    args: &GhArgs,
    github: &GitHub,
    connected: &Connected,
    jobs: &Jobs,
    outcome: &Outcome,
    progress: &Progress,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let is_missing =
        |url: &StoreUrl| jobs.output.as_ref() == Some(url) && args.dry_run && !Path::new(url.path()).exists();
    let stores = open(connected, jobs).await?;
    let listed = list(github, &jobs.jobs).await?;
    if let Some(output) = jobs.output.as_ref().filter(|_| !args.dry_run) {
        let made = fs::create_dir_all(output.path());
        made.map_err(|error| Failure::new(Exit::Invalid, format!("{output} cannot be made: {error}")))?;
    }
    let assets = Assets::new(github.clone());
    let wanted = Wanted::new(&jobs.jobs, listed);
    let planned = plan(&stores, &assets, wanted, is_missing).await.map_err(|errors| unavailable(&errors))?;
    if stop.is_cancelled() {
        return Err(Failure::new(Exit::Interrupted, "interrupted; nothing was written"));
    }
    print_plan(&planned);
    record_plan(outcome, &planned);
    if args.dry_run {
        outcome.done().is_used_up = assets.is_used_up();
        return Ok(());
    }
    Copying { stores: &stores, assets: &assets, outcome, progress, stop }.carry_out(&planned).await;
    outcome.done().is_used_up = assets.is_used_up();
    Ok(())
}

/// Opens all stores.
async fn open(connected: &Connected, jobs: &Jobs) -> Result<StoreMap, Failure> {
    let (mut stores, mut errors) = (StoreMap::new(), Vec::new());
    for place in jobs.jobs.iter().flat_map(|job| &job.places) {
        if stores.contains_key(&place.store) {
            continue;
        }
        match connected.stores().open(&place.store, connected.own_tokens(&place.store)).await {
            Ok(store) => drop(stores.insert(place.store.clone(), store)),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(stores) } else { Err(unavailable(&errors)) }
}

fn unavailable(errors: &[files::Error]) -> Failure {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let text = format!("buckets cannot be used; nothing was written\n  {}", lines.join("\n  "));
    let advice = errors.iter().find_map(files::Error::advice);
    Failure::new(Exit::Unavailable, text).with_help(advice.map(str::to_owned))
}

/// Prints a line for each copy.
fn print_plan(plan: &Plan) {
    let mut text = String::new();
    for planned in &plan.assets {
        for place in planned.writes() {
            text.push_str(&format!("COPY \"{}\" to \"{}\"\n", planned.asset, place.url()));
        }
    }
    print(&text);
}
