//! What a run of `kpromo cip` reads before the first request: manifests and the change that limits them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use manifest::{
    Base, Diagnostics, Manifests, PLAIN_MAX, limit_to_added, load_plain, load_thin, prow_base, read_plain,
};
use promote::{Completion, Job, ReportBuilder, Run};
use tokio_util::sync::CancellationToken;

use super::end::{End, outcome, print_problem};
use crate::args::{CipArgs, Limit, ManifestSource};
use crate::environment::Environment;
use crate::exit::Exit;
use crate::input::standard_input;
use crate::render::{Lines, count, counted};
use crate::terminal::{print, print_error};

/// Reads the manifests and limits them to the requested change.
pub(crate) fn load(
    source: &ManifestSource,
    limit: &Limit,
    environment: &Environment,
    color: bool,
) -> Result<Manifests, Exit> {
    let (path, manifests) = read(source, color)?;
    limited(path, manifests, limit, environment)
}

/// Reads the manifests and limits them to the requested change. Also returns which promoted images the run completes.
pub(super) fn load_to_complete(
    args: &CipArgs,
    environment: &Environment,
    color: bool,
) -> Result<(Manifests, Completion), Exit> {
    let (path, manifests) = read(&args.manifests, color)?;
    let completion = match (&args.limit, args.repair) {
        (Limit::None, Some(false)) => Completion::Promoted,
        (Limit::None, Some(true) | None) | (_, Some(false) | None) => Completion::Named,
        (_, Some(true)) => Completion::Also(manifests.manifests.clone()),
    };
    Ok((limited(path, manifests, &args.limit, environment)?, completion))
}

fn read(source: &ManifestSource, color: bool) -> Result<(&Path, Manifests), Exit> {
    let (path, loaded) = match source {
        ManifestSource::Plain(file) if file.as_os_str() == "-" => {
            let bytes = standard_input(PLAIN_MAX).map_err(|problem| {
                print_error(&format!("standard input: {problem}"));
                Exit::Invalid
            })?;
            (file, read_plain("standard input", bytes))
        }
        ManifestSource::Plain(file) => (file, load_plain(file)),
        ManifestSource::Thin(folder) => (folder, load_thin(folder)),
    };
    let manifests = loaded.map_err(|diagnostics| {
        print_error(&diagnostics.render(color));
        Exit::Invalid
    })?;
    Ok((path, manifests))
}

fn limited(
    path: &Path,
    manifests: Manifests,
    limit: &Limit,
    environment: &Environment,
) -> Result<Manifests, Exit> {
    let base = match limit {
        Limit::None => return Ok(manifests),
        Limit::Since(when) => Ok(Base::Since(when.clone())),
        Limit::Revision(revision) => Ok(Base::Revision(revision.clone())),
        Limit::ProwChange => prow_base(environment.job.kind.as_deref(), environment.pull_base_sha.as_deref()),
    };
    base.and_then(|base| limit_to_added(manifests, path, &base)).map_err(|error| {
        print_error(&error.to_string());
        Exit::Invalid
    })
}

/// Returns the number of rejected entries, as a text for a person.
fn entries(rejected: &Diagnostics) -> String {
    match rejected.count() {
        1 => "1 entry or project".to_owned(),
        number => format!("{} entries or projects", count(number as u64)),
    }
}

/// Says how many entries are invalid, as the beginning of a sentence.
pub(crate) fn invalid_entries(rejected: &Diagnostics) -> String {
    let verb = if rejected.count() == 1 { "is" } else { "are" };
    format!("{} of the manifests {verb} invalid", entries(rejected))
}

/// Performs the checks that need no network.
pub(super) async fn parse_only(args: &CipArgs, manifests: Manifests) -> Exit {
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
            print_error(&invalid_entries(&rejected));
            Exit::Invalid
        }
        Ok(ready) => {
            let edges = ready.edges().all().len();
            print(&format!("{}, {}: valid\n", counted(number, "manifest"), counted(edges, "edge")));
            Exit::Success
        }
        Err(error) => {
            print_problem(&error.problem());
            outcome(&End::GivenUp(error), &ReportBuilder::default(), 0).1
        }
    }
}
