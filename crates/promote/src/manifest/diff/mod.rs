//! Limiting a run to what changed: the digests and tags that are wished now and were not at an earlier commit.
//!
//! Both states are parsed and compared. Changed lines would miss a new tag on an old digest, and take a removed line for a
//! wish.

mod base;
mod checkout;
mod error;
mod git;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use oci::{Digest, Repository, Tag};

use self::git::{Blobs, Entry, Git};
use super::contents::{Contents, FILE_MAX};
use super::diagnostic::{Diagnostic, Diagnostics};
use super::thin::{self, IMAGES, MANIFESTS, Part};
use super::{Manifest, Manifests, schema};
use crate::text::visible;

pub use base::{Base, prow_base};
pub use checkout::checkout;
pub use error::DiffError;

/// Leaves of `manifests` what was not wished at `base`. `path` is what they were loaded from: the folder of thin manifests,
/// or the plain one. A file that could not be read then counts as absent, with a warning.
///
/// Runs `git` and waits for it: it reads the local repository alone.
///
/// # Errors
/// When git cannot say what was wished then.
pub fn limit_to_added(manifests: Manifests, path: &Path, base: &Base) -> Result<Manifests, DiffError> {
    let is_thin = path.is_dir();
    // Commits know a file by its own name, not by that of a link to it.
    let path =
        if is_thin { path.to_owned() } else { path.canonicalize().unwrap_or_else(|_| path.to_owned()) };
    let git = Git::open(if is_thin { &path } else { folder_of(&path) })?;
    let Some(commit) = git.resolve(base)? else {
        return Ok(Manifests { manifests: Vec::new(), ..manifests });
    };
    let mut earlier = Earlier { blobs: git.blobs()?, commit, warnings: Vec::new() };
    let before = if is_thin {
        let entries = git.files(&earlier.commit, &[MANIFESTS, IMAGES])?;
        earlier.thin(&entries)?
    } else {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let entries = git.files(&earlier.commit, &[&name])?;
        earlier.plain(&path, &entries)?
    };
    let mut added = keep_added(manifests, &before);
    added.warnings.append(&mut earlier.warnings);
    Ok(added)
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Leaves of `now` the pairs of digest and tag that `before` does not wish for from the same repository; a digest without
/// tags is such a pair too. It does not matter in which file they stand. Manifests and images of which nothing is left are
/// taken out.
pub fn keep_added(mut now: Manifests, before: &[Manifest]) -> Manifests {
    let known: HashSet<Pair> = before.iter().flat_map(pairs).collect();
    for manifest in &mut now.manifests {
        keep_unknown(manifest, &known);
    }
    now.manifests.retain(|manifest| !manifest.images.is_empty());
    now
}

/// A wish, wherever it stands: what is promoted from where, and the tag it gets.
type Pair = (Repository, Digest, Option<Tag>);

fn pairs(manifest: &Manifest) -> impl Iterator<Item = Pair> {
    let images = manifest.images.iter();
    images.filter_map(|image| Some((manifest.source.repository(&image.name).ok()?, image))).flat_map(
        |(source, image)| {
            image.digests.iter().flat_map(move |wish| {
                let untagged = wish.tags.is_empty().then_some(None);
                let tags = wish.tags.iter().map(|(tag, _)| Some(tag.clone())).chain(untagged);
                let source = source.clone();
                tags.map(move |tag| (source.clone(), wish.digest, tag))
            })
        },
    )
}

/// Takes out of a manifest what is known.
fn keep_unknown(manifest: &mut Manifest, known: &HashSet<Pair>) {
    for image in &mut manifest.images {
        let Ok(source) = manifest.source.repository(&image.name) else { continue };
        let is_new = |digest, tag| !known.contains(&(source.clone(), digest, tag));
        image.digests.retain_mut(|wish| {
            if wish.tags.is_empty() {
                return is_new(wish.digest, None);
            }
            wish.tags.retain(|(tag, _)| is_new(wish.digest, Some(tag.clone())));
            !wish.tags.is_empty()
        });
    }
    manifest.images.retain(|image| !image.digests.is_empty());
}

/// Reads the manifests of an earlier commit. What is wrong with them stops nothing.
struct Earlier {
    blobs: Blobs,
    commit: String,
    warnings: Vec<Diagnostic>,
}

impl Earlier {
    fn plain(&mut self, path: &Path, entries: &[Entry]) -> Result<Vec<Manifest>, DiffError> {
        let Some(entry) = entries.first() else { return Ok(Vec::new()) };
        let contents = self.contents(entry)?;
        let loaded = contents.and_then(|contents| self.warn(thin::plain(path, &contents)));
        Ok(loaded.into_iter().map(|loaded| loaded.manifest).collect())
    }

    /// The thin manifests, without those that lack one of their files.
    fn thin(&mut self, entries: &[Entry]) -> Result<Vec<Manifest>, DiffError> {
        let mut projects: BTreeMap<&str, [Option<&Entry>; 2]> = BTreeMap::new();
        for entry in entries {
            match Part::of(&entry.path) {
                Some(Part::Registries(project)) => projects.entry(project).or_default()[0] = Some(entry),
                Some(Part::Images(project)) => projects.entry(project).or_default()[1] = Some(entry),
                None => {}
            }
        }
        let mut manifests = Vec::with_capacity(projects.len());
        for (project, files) in projects {
            if let [Some(registries), Some(images)] = files {
                manifests.extend(self.project(project, registries, images)?);
            }
        }
        Ok(manifests)
    }

    fn project(
        &mut self,
        name: &str,
        registries: &Entry,
        images: &Entry,
    ) -> Result<Option<Manifest>, DiffError> {
        let registries = self.contents(registries)?;
        let Some(registries) = registries.and_then(|contents| self.warn(schema::registries(&contents)))
        else {
            return Ok(None);
        };
        let Some(contents) = self.contents(images)? else { return Ok(None) };
        let images = self.warn(schema::images(&contents, Some(&registries)));
        Ok(images.map(|images| registries.with_images(name, contents.file, images).manifest))
    }

    fn contents(&mut self, entry: &Entry) -> Result<Option<Contents>, DiffError> {
        let file = visible(&format!("{:.12}:{}", self.commit, entry.path)).into();
        let problem = if !entry.is_regular {
            "not a regular file"
        } else if entry.size > FILE_MAX {
            "larger than a manifest may be"
        } else {
            return Ok(Some(Contents { file, bytes: self.blobs.read(entry)? }));
        };
        self.warn(Err::<(), _>(Diagnostic::of_file(&file, problem).into()));
        Ok(None)
    }

    /// What was read; or the first of what was wrong with it, because nobody can mend the past.
    fn warn<T>(&mut self, read: Result<T, Diagnostics>) -> Option<T> {
        read.map_err(|wrong| {
            let first = wrong.iter().next().cloned();
            let context = "the earlier state of this file cannot be read and all of it counts as new";
            self.warnings.extend(first.map(|first| first.warning().context(context)));
        })
        .ok()
    }
}
