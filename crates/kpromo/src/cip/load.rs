//! Reads the manifests of a run, and the change that limits them, before the first request.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use manifest::{
    Base, Diagnostics, Manifest, Manifests, PLAIN_MAX, limit_to_added, load_plain, load_thin, prow_base,
    read_plain,
};
use oci::Host;
use promote::{Completion, Job, ReportBuilder, Run, ShardHosts};
use tokio_util::sync::CancellationToken;
use trust::Production;

use super::end::{End, outcome, print_given_up};
use crate::args::{CipArgs, Limit, ManifestSource};
use crate::environment::Environment;
use crate::exit::Exit;
use crate::faults::{print_faults, total};
use crate::input::standard_input;
use crate::render::{Lines, count, counted};
use crate::terminal::{print, print_error};

/// Reads the manifests and limits them to the requested change. `undone` says what is not done if they are invalid.
pub(crate) fn load(
    source: &ManifestSource,
    limit: &Limit,
    environment: &Environment,
    undone: &str,
) -> Result<Manifests, Exit> {
    let (path, manifests) = read(source, undone)?;
    limited(path, manifests, limit, environment)
}

/// The manifests of a run.
pub(super) struct Loaded {
    /// The manifests, limited to the requested change.
    pub(super) manifests: Manifests,
    /// The promoted images that the run completes.
    pub(super) completion: Completion,
    /// All manifests, if they are needed and `manifests` is limited.
    whole: Option<Vec<Manifest>>,
}

impl Loaded {
    /// Returns the hosts of the shard, if the run is one. They depend on all manifests, so that shards that compare with
    /// different commits agree.
    pub(super) fn shard(&self, args: &CipArgs, production: &Production) -> Option<ShardHosts> {
        let whole = self.whole.as_ref().unwrap_or(&self.manifests.manifests);
        args.shard.map(|shard| ShardHosts::new(shard, whole, production))
    }

    /// Returns the staging hosts, which every shard reads and none writes.
    pub(super) fn staging(&self) -> BTreeSet<Host> {
        let manifests = &self.manifests.manifests;
        let destinations = manifests.iter().flat_map(|manifest| &manifest.destinations);
        let destinations: BTreeSet<&Host> = destinations.map(|destination| &destination.root.host).collect();
        let sources = manifests.iter().map(|manifest| &manifest.source.host);
        sources.filter(|host| !destinations.contains(host)).cloned().collect()
    }
}

/// Reads the manifests and limits them to the requested change.
pub(super) fn load_to_complete(args: &CipArgs, environment: &Environment) -> Result<Loaded, Exit> {
    let (path, manifests) = read(&args.manifests, "nothing was promoted")?;
    let is_limited = args.limit != Limit::None;
    let whole = (args.shard.is_some() && is_limited).then(|| manifests.manifests.clone());
    let completion = match (&args.limit, args.repair) {
        (Limit::None, Some(false)) => Completion::Promoted,
        (Limit::None, Some(true) | None) | (_, Some(false) | None) => Completion::Named,
        (_, Some(true)) => Completion::Also(manifests.manifests.clone()),
    };
    let manifests = limited(path, manifests, &args.limit, environment)?;
    Ok(Loaded { manifests, completion, whole })
}

fn read<'a>(source: &'a ManifestSource, undone: &str) -> Result<(&'a Path, Manifests), Exit> {
    let (path, loaded) = match source {
        ManifestSource::Plain(file) if file.as_os_str() == "-" => {
            let bytes = standard_input(PLAIN_MAX).map_err(|problem| {
                print_error(&format!("standard input: {problem}"));
                Exit::Invalid
            })?;
            (file, read_plain("standard input", bytes))
        }
        ManifestSource::Plain(file) => (file, load_plain(file)),
        ManifestSource::Thin(directory) => (directory, load_thin(directory)),
    };
    let manifests = loaded.map_err(|faults| {
        print_faults(&faults);
        print_error(&format!("{}; {undone}", total(&faults)));
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

/// Formats the number of rejected entries.
fn entries(rejected: &Diagnostics) -> String {
    match rejected.count() {
        1 => "1 entry or project".to_owned(),
        number => format!("{} entries or projects", count(number as u64)),
    }
}

/// Formats the number of invalid entries, as the beginning of a sentence.
pub(crate) fn invalid_entries(rejected: &Diagnostics) -> String {
    let verb = if rejected.count() == 1 { "is" } else { "are" };
    format!("{} of the manifests {verb} invalid", entries(rejected))
}

/// Performs the checks that need no network.
pub(super) async fn parse_only(args: &CipArgs, manifests: Manifests, shard: Option<ShardHosts>) -> Exit {
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
        shard,
    };
    match promote::phase::setup(&run, job).await {
        Ok(_) if rejected.count() > 0 => {
            print_error(&invalid_entries(&rejected));
            Exit::Invalid
        }
        Ok(ready) => {
            let edges = counted(ready.edges().all().len(), "edge");
            let of_shard = args.shard.map_or_else(String::new, |shard| format!(" in shard {shard}"));
            print(&format!("{}, {edges}{of_shard}: valid\n", counted(number, "manifest")));
            Exit::Success
        }
        Err(error) => {
            print_given_up(&error);
            outcome(&End::GivenUp(error), &ReportBuilder::default(), 0).1
        }
    }
}
