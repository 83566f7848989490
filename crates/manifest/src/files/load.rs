//! Reads the manifests of files of one or more projects.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::conflicts::{across_projects, of_sources, within_project};
use super::model::{FileEntry, FileManifests, FileProject, Stores};
use crate::contents::{Contents, cannot_read, shown};
use crate::diagnostic::Diagnostic;
use crate::diagnostics::Diagnostics;
use crate::schema::{self, Reading};

/// The maximum depth of a directory of manifests.
const DEPTH_MAX: usize = 16;
/// The maximum number of files and directories that are visited.
const ENTRIES_MAX: usize = 100_000;

/// Reads one project: a file with `filestores`, and files with `files`. If one of `files` is a directory, all files `*.yaml` and
/// `*.yml` below it are read, in the byte order of their paths, without hidden files and directories. Each file may have at most
/// 16 MiB.
///
/// # Errors
/// If the manifests have any fault: returns all faults of all files.
pub fn load_file_manifests(filestores: &Path, files: &[PathBuf]) -> Result<FileManifests, Diagnostics> {
    let mut loader = Loader::default();
    let name = shown(Path::new(filestores.file_stem().unwrap_or(filestores.as_os_str())));
    loader.project(name, Contents::read(filestores), files);
    loader.finish()
}

/// Reads one file with `files`. The list may be empty.
///
/// # Errors
/// If the manifest has any fault: returns all faults.
pub fn load_file_entries(path: &Path) -> Result<Vec<FileEntry>, Diagnostics> {
    let contents = Contents::read(path)?;
    let Reading { value, wrong, .. } = schema::file_entries(&contents, &[]);
    wrong.or(value)
}

/// Reads projects, and collects their faults.
#[derive(Default)]
pub(super) struct Loader {
    projects: Vec<FileProject>,
    /// The contents of the files that were read, by name, for faults that are found later.
    contents: HashMap<Arc<str>, Contents>,
    rejected: Diagnostics,
    warnings: Vec<Diagnostic>,
    /// The number of files and directories found so far.
    entries: usize,
}

impl Loader {
    pub(super) fn reject(&mut self, fault: Diagnostic) {
        self.rejected.push(fault);
    }

    pub(super) fn warn(&mut self, diagnostic: Diagnostic) {
        self.warnings.push(diagnostic.warning());
    }

    /// Reads a project.
    pub(super) fn project(
        &mut self,
        name: Arc<str>,
        filestores: Result<Contents, Diagnostic>,
        files: &[PathBuf],
    ) {
        let Stores { source, destinations } = match filestores {
            Ok(contents) => {
                let Reading { value, wrong, warnings, .. } = schema::filestores(&contents);
                self.rejected.append(wrong);
                self.warnings.extend(warnings);
                value
            }
            Err(error) => {
                self.rejected.push(error);
                Stores::default()
            }
        };
        let faults = self.rejected.count();
        let urls: Vec<_> = source.iter().chain(&destinations).map(|store| &store.url).collect();
        let mut entries = Vec::new();
        for path in files {
            for file in self.files_of(path) {
                match Contents::read(&file) {
                    Ok(contents) => entries.extend(self.file(contents, &urls)),
                    Err(error) => self.rejected.push(error),
                }
            }
        }
        within_project(&entries, &self.contents, &mut self.rejected);
        if entries.is_empty() && self.rejected.count() == faults {
            let place = files.first().map_or_else(|| Arc::clone(&name), |path| shown(path));
            let help = "`files:` is a list of entries with `name` and `sha256`";
            self.rejected.push(Diagnostic::of_file(&place, "there are no files to promote here").help(help));
        }
        if let Some(source) = source
            && !destinations.is_empty()
        {
            self.projects.push(FileProject { name, source, destinations, files: entries });
        }
    }

    fn file(&mut self, contents: Contents, urls: &[&super::StoreUrl]) -> Vec<FileEntry> {
        let Reading { value, wrong, warnings, .. } = schema::file_entries(&contents, urls);
        self.rejected.append(wrong);
        self.warnings.extend(warnings);
        self.contents.insert(Arc::clone(&contents.file), contents);
        value
    }

    /// Returns the manifests at a path: the file itself, or those below the directory.
    fn files_of(&mut self, path: &Path) -> Vec<PathBuf> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                let mut found = Vec::new();
                self.collect(path, 1, &mut found);
                found.sort_unstable_by(|a, b| {
                    a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes())
                });
                found
            }
            Ok(_) => vec![path.to_owned()],
            Err(error) => {
                self.rejected.push(cannot_read(&shown(path), &error));
                Vec::new()
            }
        }
    }

    /// Collects the manifests below a directory. Links to directories are not followed, because they could form a cycle.
    fn collect(&mut self, directory: &Path, depth: usize, found: &mut Vec<PathBuf>) {
        for path in self.entries_of(directory) {
            let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            let is_directory = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
            let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
            match (is_hidden, is_directory) {
                (true, _) => {}
                (false, true) if depth == DEPTH_MAX => {
                    self.rejected.push(Diagnostic::of_file(&shown(&path), "directories are nested too deep"));
                }
                (false, true) => self.collect(&path, depth + 1, found),
                (false, false) if is_yaml => found.push(path),
                (false, false) => {}
            }
        }
    }

    /// Returns the entries of a directory, ordered by name. Reports a directory that cannot be listed, and too many entries.
    pub(super) fn entries_of(&mut self, directory: &Path) -> Vec<PathBuf> {
        let left = ENTRIES_MAX - self.entries;
        let listed = fs::read_dir(directory).and_then(|entries| {
            entries.take(left + 1).map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()
        });
        match listed {
            Ok(mut paths) if paths.len() <= left => {
                self.entries += paths.len();
                paths.sort();
                paths
            }
            Ok(_) => {
                let problem = format!("there are more than {ENTRIES_MAX} files and directories up to here");
                self.rejected.push(Diagnostic::of_file(&shown(directory), problem));
                Vec::new()
            }
            Err(error) => {
                self.rejected.push(cannot_read(&shown(directory), &error));
                Vec::new()
            }
        }
    }

    /// Checks the projects together.
    ///
    /// # Errors
    /// If there is any fault: returns all faults, ordered by file and position.
    pub(super) fn finish(self) -> Result<FileManifests, Diagnostics> {
        let Self { projects, contents, mut rejected, warnings, .. } = self;
        across_projects(&projects, &contents, &mut rejected);
        of_sources(&projects, &contents, &mut rejected);
        rejected.or(FileManifests { projects, warnings })
    }
}
