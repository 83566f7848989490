//! A tree of projects: `filestores/<project>/filepromoter-manifest.yaml` and the folders `manifests/<project>`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::load::Loader;
use super::model::FileManifests;
use crate::contents::{Contents, cannot_read, shown};
use crate::diagnostic::Diagnostic;
use crate::diagnostics::Diagnostics;

/// The folder with a folder for each project, which has its file of stores.
const FILESTORES: &str = "filestores";
/// The folder with a folder for each project, which has its files.
const MANIFESTS: &str = "manifests";
/// The name of the file of stores.
const STORES_FILE: &str = "filepromoter-manifest.yaml";
/// The maximum depth of the search for misplaced files, in folders.
const DEPTH_MAX: usize = 16;

/// Reads all projects below a folder, ordered by name: those that have a folder in `filestores`. A project that has a folder in
/// `manifests` alone is a warning, and so is a tree without projects.
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
    /// The canonical path of the folder. Nothing outside of it is read.
    root: PathBuf,
    manifests: PathBuf,
    loader: Loader,
}

impl Tree {
    fn read(&mut self, filestores: &Path) {
        // Both folders are checked first, so that the faults of both are reported.
        let problems = [filestores, &self.manifests.clone()].map(|folder| self.folder(folder).err());
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

    fn project(&mut self, folder: &Path) {
        if let Err(error) = self.folder(folder) {
            return self.loader.reject(error);
        }
        self.find_misplaced(folder, 1);
        let name = folder.file_name().unwrap_or_default();
        if name.to_str().is_none() {
            return self
                .loader
                .reject(Diagnostic::of_file(&shown(folder), "the project's name is not UTF-8 text"));
        }
        let stores = folder.join(STORES_FILE);
        let contents = match self.inside(&stores) {
            Ok(()) => Contents::read(&stores),
            Err(error) => Err(error),
        };
        let files = self.manifests.join(name);
        let files_folder = self.folder(&files);
        let help = format!("a project has the same name in `{FILESTORES}` and in `{MANIFESTS}`");
        match files_folder {
            Ok(()) => self.loader.project(shown(Path::new(name)), contents, &[files]),
            Err(error) => {
                if let Err(error) = contents {
                    self.loader.reject(error);
                }
                self.loader.reject(error.help(help));
            }
        }
    }

    /// Warns about folders of files that no project reads.
    fn find_unused(&mut self, filestores: &Path) {
        for folder in self.loader.entries_of(&self.manifests.clone()) {
            let is_known = folder.file_name().is_some_and(|name| filestores.join(name).is_dir());
            if folder.is_dir() && !is_known {
                let message =
                    format!("no directory in {FILESTORES} has this name, and the files are left out");
                self.loader.warn(Diagnostic::of_file(&shown(&folder), message));
            }
        }
    }

    /// Finds files of stores in folders below a project's folder. They belong to no project.
    fn find_misplaced(&mut self, folder: &Path, depth: usize) {
        for entry in self.loader.entries_of(folder) {
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

    /// Checks that a path is a folder below the root.
    fn folder(&self, path: &Path) -> Result<(), Diagnostic> {
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
