//! The jobs of a run: entries that are checked completely before any request.

use std::collections::BTreeSet;
use std::path::Path;

use manifest::files::StoreUrl;
use manifest::releases::{ReleaseBucket, ReleaseDirectory, ReleaseEntry, load_releases};

use crate::args::{GhArgs, ReleaseSource};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::check_file;
use crate::store_outputs::{check_outside, resolved};

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
            let stores = || jobs.jobs.iter().flat_map(|job| &job.places).map(|place| &place.store);
            path.as_deref().map_or(Ok(()), |path| check_outside(stores(), flag, path)).map_err(invalid)?;
        }
        Ok(jobs)
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

/// Returns the URL of a local directory.
fn directory_url(directory: &Path) -> Result<StoreUrl, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("--output-dir {}: {error}", directory.display());
    let resolved = resolved(directory).map_err(|error| wrong(&error))?;
    let text = resolved.to_str().ok_or_else(|| wrong(&"the path is not text in UTF-8"))?;
    let url = format!("file://{text}").parse::<ReleaseBucket>().map_err(|error| wrong(&error))?;
    Ok(url.into_url())
}
