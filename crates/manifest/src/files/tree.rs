//! A tree of projects: `filestores/<project>/filepromoter-manifest.yaml` and the directories `manifests/<project>`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::load::Loader;
use super::model::FileManifests;
use crate::contents::{Contents, cannot_read, shown};
use crate::diagnostic::Diagnostic;
use crate::diagnostics::Diagnostics;

/// The directory with a subdirectory for each project, which has the project's file of stores.
const FILESTORES: &str = "filestores";
/// The directory with a subdirectory for each project, which has the project's manifests.
const MANIFESTS: &str = "manifests";
/// The name of the file of stores.
const STORES_FILE: &str = "filepromoter-manifest.yaml";
/// The maximum depth of the search for misplaced files, in directories.
const DEPTH_MAX: usize = 16;

/// Reads all projects below a directory, ordered by name. Each subdirectory of `filestores` is a project. A project that only has
/// a subdirectory of `manifests` is a warning, and so is a tree without projects.
///
/// # Errors
/// If the manifests have any fault: returns all faults of all files.
pub fn load_file_tree(directory: &Path) -> Result<FileManifests, Diagnostics> {
    let root = directory.canonicalize();
    let root = root.map_err(|error| cannot_read(&shown(directory), &error))?;
    let mut tree = Tree { root, manifests: directory.join(MANIFESTS), loader: Loader::default() };
    tree.read(&directory.join(FILESTORES));
    tree.loader.finish()
}

struct Tree {
    /// The canonical path of the directory. Nothing outside of it is read.
    root: PathBuf,
    manifests: PathBuf,
    loader: Loader,
}

impl Tree {
    fn read(&mut self, filestores: &Path) {
        // Both directories are checked first, so that the faults of both are reported.
        let problems = [filestores, &self.manifests.clone()].map(|directory| self.directory(directory).err());
        if problems.iter().any(Option::is_some) {
            problems.into_iter().flatten().for_each(|problem| self.loader.reject(problem));
            return;
        }
        let mut number = 0;
        for entry in self.loader.entries_of(filestores) {
            if entry.is_dir() {
                number += 1;
                self.project(&entry);
            } else if is_stores_file(&entry) {
                self.misplaced(&entry);
            }
        }
        self.find_unused(filestores);
        if number == 0 {
            self.loader.warn(Diagnostic::of_file(&shown(filestores), "there are no projects here"));
        }
    }

    fn project(&mut self, directory: &Path) {
        if let Err(error) = self.directory(directory) {
            return self.loader.reject(error);
        }
        self.find_misplaced(directory, 1);
        let name = directory.file_name().unwrap_or_default();
        if name.to_str().is_none() {
            return self
                .loader
                .reject(Diagnostic::of_file(&shown(directory), "the project's name is not UTF-8 text"));
        }
        let stores = directory.join(STORES_FILE);
        let contents = match self.inside(&stores) {
            Ok(()) => Contents::read(&stores),
            Err(error) => Err(error),
        };
        let files = self.manifests.join(name);
        let files_directory = self.directory(&files);
        let help = format!("a project has the same name in `{FILESTORES}` and in `{MANIFESTS}`");
        match files_directory {
            Ok(()) => self.loader.project(shown(Path::new(name)), contents, &[files]),
            Err(error) => {
                if let Err(error) = contents {
                    self.loader.reject(error);
                }
                self.loader.reject(error.help(help));
            }
        }
    }

    /// Warns about directories of manifests that belong to no project.
    fn find_unused(&mut self, filestores: &Path) {
        for directory in self.loader.entries_of(&self.manifests.clone()) {
            let is_known = directory.file_name().is_some_and(|name| filestores.join(name).is_dir());
            if directory.is_dir() && !is_known {
                let message =
                    format!("no directory in {FILESTORES} has this name, and the files are left out");
                self.loader.warn(Diagnostic::of_file(&shown(&directory), message));
            }
        }
    }

    /// Finds files of stores in directories below a project's directory. They belong to no project.
    fn find_misplaced(&mut self, directory: &Path, depth: usize) {
        for entry in self.loader.entries_of(directory) {
            if fs::symlink_metadata(&entry).is_ok_and(|metadata| metadata.is_dir()) {
                if depth < DEPTH_MAX {
                    self.find_misplaced(&entry, depth + 1);
                } else {
                    self.loader
                        .reject(Diagnostic::of_file(&shown(&entry), "directories are nested too deep"));
                }
            } else if depth > 1 && is_stores_file(&entry) {
                self.misplaced(&entry);
            }
        }
    }

    fn misplaced(&mut self, path: &Path) {
        let message =
            format!("a manifest at the wrong depth: it belongs at {FILESTORES}/<project>/{STORES_FILE}");
        self.loader.reject(Diagnostic::of_file(&shown(path), message));
    }

    /// Checks that a path is a directory below the root.
    fn directory(&self, path: &Path) -> Result<(), Diagnostic> {
        self.inside(path)?;
        if path.is_dir() { Ok(()) } else { Err(Diagnostic::of_file(&shown(path), "not a directory")) }
    }

    /// Checks that a path, with its links resolved, is below the root.
    fn inside(&self, path: &Path) -> Result<(), Diagnostic> {
        let problem = match path.canonicalize() {
            Ok(real) if real.starts_with(&self.root) => return Ok(()),
            Ok(_) => "a link that leads out of the directory of manifests",
            Err(error) if error.kind() == io::ErrorKind::NotFound => "there is no such file or directory",
            Err(error) => return Err(cannot_read(&shown(path), &error)),
        };
        Err(Diagnostic::of_file(&shown(path), problem))
    }
}

fn is_stores_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == STORES_FILE)
}
