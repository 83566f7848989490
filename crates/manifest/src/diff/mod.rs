//! Limits a run to what changed: the edges that manifests have now and did not have at an earlier commit.
//!
//! Both states are parsed and compared. A comparison of lines would miss a new tag on an old digest, and would mistake a
//! removed line for an added one.

mod added;
mod base;
mod checkout;
mod earlier;
mod error;
mod git;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

pub use base::{Base, prow_base};
pub use checkout::{Checkout, checkout};
pub use error::DiffError;
pub use git::GIT_REDIRECTIONS;

use self::added::Earlier;
use self::git::Git;
use super::assembly::Assembled;
use super::diagnostic::Diagnostic;
use super::model::{Manifest, Manifests};

/// Keeps only the edges of `manifests` that were added since `base` (specification 01, *Limiting a run to what changed*).
/// `path` is where the manifests were loaded from: the directory of thin manifests, or the plain manifest.
///
/// - A fault that the base also has, in the same entry of the same project, becomes a warning.
/// - An invalid entry of the base is not an edge there. If a whole project is invalid in the base, it is unknown which edges
///   it had. These edges are not promoted, and [`Manifests::rejected`] reports how many they are.
/// - A project that the base does not have is new as a whole.
///
/// Runs `git` and blocks until it exits. `git` reads only the local repository.
///
/// # Errors
/// If git cannot determine the state of the manifests at `base`.
pub fn limit_to_added(manifests: Manifests, path: &Path, base: &Base) -> Result<Manifests, DiffError> {
    let Some((commit, before)) = state_at(path, base)? else {
        tracing::info!("no commit has changed anything in this time");
        return Ok(unchanged(manifests));
    };
    tracing::info!("promoting only what was added since commit {commit}");
    Ok(limit(manifests, &before, &commit))
}

/// Reads the manifests at `path` as they are at `base`. Returns the commit with them, or `None` if there are no commits since
/// the given time.
pub(crate) fn state_at(path: &Path, base: &Base) -> Result<Option<(String, Assembled)>, DiffError> {
    let is_thin = path.is_dir();
    // Commits list a file by its own name, not by the name of a link to it.
    let path =
        if is_thin { path.to_owned() } else { path.canonicalize().unwrap_or_else(|_| path.to_owned()) };
    let git = Git::open(if is_thin { &path } else { directory_of(&path) })?;
    let Some(commit) = git.resolve(base)? else { return Ok(None) };
    let before = if is_thin { earlier::thin(&git, &commit)? } else { earlier::plain(&git, &commit, &path)? };
    Ok(Some((commit, before)))
}

fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Keeps only the edges of `now` that `before` does not have. `before` has an edge if it promotes the same digest to the same
/// repository and tag, or to the same repository if the edge has no tag. The staging registry and the project do not matter.
/// A manifest is split if different images were added to its destinations. Empty manifests are removed.
pub fn keep_added(now: Manifests, before: &[Manifest]) -> Manifests {
    let mut earlier = Earlier::default();
    before.iter().for_each(|manifest| earlier.know(&manifest.destinations, &manifest.images));
    let limited = now.manifests.into_iter().flat_map(|manifest| earlier.limit(manifest, false).0);
    Manifests { manifests: limited.collect(), ..now }
}

/// Keeps no edge and turns every fault into a warning, because nothing has changed.
fn unchanged(mut manifests: Manifests) -> Manifests {
    let rejected = std::mem::take(&mut manifests.rejected);
    manifests.warnings.extend(rejected.iter().cloned().map(Diagnostic::known));
    manifests.manifests.clear();
    manifests
}

/// Keeps the added edges and the added faults.
fn limit(now: Manifests, before: &Assembled, commit: &str) -> Manifests {
    let Manifests { manifests, mut warnings, policies, mut rejected } = now;
    let identities: HashSet<u64> = before.rejected.iter().filter_map(Diagnostic::identity).collect();
    warnings.extend(rejected.take(&identities).into_iter().map(Diagnostic::known));

    let mut earlier = Earlier::default();
    before.manifests.iter().for_each(|manifest| earlier.know(&manifest.destinations, &manifest.images));
    before.left_out.iter().for_each(|(destinations, images)| earlier.doubt(destinations, images));
    let mut limited = Vec::new();
    for manifest in manifests {
        let (name, file) = (Arc::clone(&manifest.name), Arc::clone(&manifest.images_file));
        let (added, unknown) = earlier.limit(manifest, before.illegible.contains(&name));
        limited.extend(added);
        if unknown > 0 {
            let (edges, were) = if unknown == 1 { ("edge", "it was") } else { ("edges", "they were") };
            let message = format!(
                "{unknown} {edges} of this project cannot be promoted: it is not known whether {were} added since commit \
                 {commit:.12}, where {}",
                before.faults.get(&name).map_or("another project is invalid", String::as_str)
            );
            let help = "run over all manifests, not limited to what changed";
            rejected.push(Diagnostic::of_file(&file, message).help(help));
        }
    }
    rejected.sort();
    Manifests { manifests: limited, warnings, policies, rejected }
}
