//! The jobs of a run: entries that are checked completely before any request.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use manifest::files::{Scheme, StoreUrl};
use manifest::releases::{ReleaseBucket, ReleaseDirectory, ReleaseEntry, load_releases};

use crate::args::{GhArgs, ReleaseSource};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::check_file;

/// Releases of a repository, and their destinations.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) entry: ReleaseEntry,
    pub(super) places: Vec<Place>,
}

/// A directory of a store.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) store: StoreUrl,
    pub(super) directory: ReleaseDirectory,
}

/// All jobs of a run.
#[derive(Debug)]
pub(super) struct Jobs {
    pub(super) jobs: Vec<Job>,
    /// The store of `--output-dir`, which the run creates.
    pub(super) output: Option<StoreUrl>,
}

impl Jobs {
    /// Reads and checks all entries, and the paths of output files.
    ///
    /// # Errors
    /// If an entry or a path cannot be used.
    pub(super) fn checked(args: &GhArgs) -> Result<Self, Failure> {
        let invalid = |text: String| Failure::new(Exit::Invalid, text);
        let entries = match &args.source {
            ReleaseSource::Flags(entry) => vec![ReleaseEntry::clone(entry)],
            ReleaseSource::File(file, ignored) => {
                if !ignored.is_empty() {
                    tracing::warn!("--config is given, so these flags are ignored: {}", ignored.join(", "));
                }
                load_releases(file, !args.download_only).map_err(Failure::invalid)?
            }
        };
        let output = args.output_dir.as_deref().map(directory_url).transpose().map_err(invalid)?;
        let mut jobs = Vec::new();
        for entry in entries {
            let bucket = entry.bucket.clone().filter(|_| !args.download_only);
            let bucket = bucket.map(|store| Place { store, directory: entry.directory.clone() });
            let local = output.clone().map(|store| {
                let directory = format!("{}/{}", entry.owner, entry.repository).parse();
                // Names of owners and repositories are valid directory names.
                Place { store, directory: directory.unwrap_or_default() }
            });
            jobs.push(Job { entry, places: bucket.into_iter().chain(local).collect() });
        }
        let jobs = Self { jobs, output };
        if let Some(manifest) = &args.files_manifest {
            jobs.one_base().map_err(invalid)?;
            check_file(manifest, "manifest of files").map_err(invalid)?;
        }
        args.report.as_deref().map_or(Ok(()), |path| check_file(path, "report")).map_err(invalid)?;
        for (flag, path) in [("--files-manifest", &args.files_manifest), ("--report", &args.report)] {
            path.as_deref().map_or(Ok(()), |path| jobs.check_outside(flag, path)).map_err(invalid)?;
        }
        Ok(jobs)
    }

    /// Checks that an output file is not in a directory that assets are written to. It would be published with them, or replace
    /// one.
    fn check_outside(&self, flag: &str, path: &Path) -> Result<(), String> {
        // Standard output.
        if path == Path::new("-") {
            return Ok(());
        }
        let file = resolved(path).map_err(|error| format!("{flag} {}: {error}", path.display()))?;
        let stores = self.jobs.iter().flat_map(|job| &job.places).map(|place| &place.store);
        let mut directories = stores.filter(|store| store.scheme() == Scheme::File);
        let inside = directories.find(|store| {
            resolved(Path::new(store.path())).is_ok_and(|directory| file.starts_with(directory))
        });
        match inside {
            Some(store) => Err(format!(
                "{flag} {}: the file is inside of {store}, which gets the assets",
                path.display()
            )),
            None => Ok(()),
        }
    }

    /// Checks that all files are in one store, because the names in a manifest are relative to one store.
    fn one_base(&self) -> Result<(), String> {
        let bases: BTreeSet<&StoreUrl> =
            self.jobs.iter().filter_map(|job| Some(&job.places.first()?.store)).collect();
        if bases.len() <= 1 {
            return Ok(());
        }
        let bases: Vec<String> = bases.iter().map(ToString::to_string).collect();
        Err(format!(
            "--files-manifest: a manifest is about one bucket, and the entries name several: {}",
            bases.join(", ")
        ))
    }
}

/// Returns an absolute path without links and `..`, like in the URL of a store. The path need not exist yet.
fn resolved(path: &Path) -> std::io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let resolved = absolute.ancestors().find_map(|above| {
        let below = absolute.strip_prefix(above).ok()?;
        Some(above.canonicalize().ok()?.join(below))
    });
    Ok(resolved.unwrap_or(absolute))
}

/// Returns the URL of a local directory.
fn directory_url(directory: &Path) -> Result<StoreUrl, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("--output-dir {}: {error}", directory.display());
    let resolved = resolved(directory).map_err(|error| wrong(&error))?;
    let text = resolved.to_str().ok_or_else(|| wrong(&"the path is not text in UTF-8"))?;
    let url = format!("file://{text}").parse::<ReleaseBucket>().map_err(|error| wrong(&error))?;
    Ok(url.into_url())
}
