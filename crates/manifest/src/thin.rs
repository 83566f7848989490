//! Manifests as files: one plain file, or a directory of thin pairs `manifests/<project>/promoter-manifest.yaml` and
//! `images/<project>/images.yaml`.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_types::text::visible;

use super::assembly::{Assembled, Assembly, ImagesFile};
use super::contents::{Contents, FILE_MAX, cannot_read, shown};
use super::diagnostic::Diagnostic;
use super::diagnostics::Diagnostics;
use super::model::Manifests;

/// The maximum size of a plain manifest, in bytes.
pub const PLAIN_MAX: u64 = FILE_MAX;
/// The directory of all registries files.
pub(super) const MANIFESTS: &str = "manifests";
/// The directory of all images files.
pub(super) const IMAGES: &str = "images";
/// The name of a project's registries file.
pub(super) const REGISTRIES_FILE: &str = "promoter-manifest.yaml";
/// The name of a project's images file.
pub(super) const IMAGES_FILE: &str = "images.yaml";
/// The maximum depth of the search for misplaced files, in directories.
const DEPTH_MAX: usize = 16;
/// The maximum number of files and directories in a tree.
const ENTRIES_MAX: usize = 100_000;

/// Reads one plain manifest of at most 16 MiB.
///
/// # Errors
/// If the manifest has any fault: returns all faults.
pub fn load_plain(path: &Path) -> Result<Manifests, Diagnostics> {
    let mut assembly = Assembly::default();
    assembly.plain(&plain_name(path), Contents::read(path)?);
    strict(assembly.finish())
}

/// Reads one plain manifest from its bytes, at most [`PLAIN_MAX`]. `file` is its name in messages.
///
/// # Errors
/// If the manifest has any fault: returns all faults.
pub fn read_plain(file: &str, bytes: Vec<u8>) -> Result<Manifests, Diagnostics> {
    let contents = Contents::of(file, bytes)?;
    let mut assembly = Assembly::default();
    assembly.plain(file, contents);
    strict(assembly.finish())
}

/// Returns the manifests, which must have no fault.
///
/// # Errors
/// If there is any fault: returns all faults.
pub(super) fn strict(assembled: Assembled) -> Result<Manifests, Diagnostics> {
    let Assembled { manifests, policies, warnings, rejected, .. } = assembled;
    rejected.or(Manifests { manifests, warnings, policies, rejected: Diagnostics::default() })
}

/// The name of a plain manifest: the stem of its file name.
pub(super) fn plain_name(path: &Path) -> String {
    shown(Path::new(path.file_stem().unwrap_or(path.as_os_str()))).as_ref().to_owned()
}

/// Reads all thin manifests below a directory, ordered by project name. Each file may have at most 16 MiB.
///
/// An invalid entry is left out. A project is left out if one of its files is invalid as a whole. [`Manifests::rejected`]
/// holds the faults (specification 01, *One bad line does not stop the world*).
///
/// # Errors
/// If the tree as a whole cannot be read: one of its two directories is missing, or it has too many files. The error then holds
/// all faults found.
pub fn load_thin(directory: &Path) -> Result<Manifests, Diagnostics> {
    let Tree { mut fatal, assembled, .. } = read_tree(directory, false);
    let Assembled { manifests, policies, warnings, rejected, .. } = assembled;
    if fatal.is_empty() {
        return Ok(Manifests { manifests, warnings, policies, rejected });
    }
    fatal.append(rejected);
    fatal.or(Manifests::default())
}

/// A tree of thin manifests, as far as it can be read.
pub(super) struct Tree {
    /// Faults of the tree as a whole.
    pub(super) fatal: Diagnostics,
    pub(super) assembled: Assembled,
    /// The files of the projects, if they are kept.
    pub(super) files: Vec<ProjectFile>,
}

/// A file of a project, as it was read.
pub(super) struct ProjectFile {
    pub(super) project: Arc<str>,
    pub(super) path: PathBuf,
    pub(super) contents: Contents,
}

/// Reads the thin manifests below a directory. If `keeps_files` is set, the contents of their files are kept.
pub(super) fn read_tree(directory: &Path, keeps_files: bool) -> Tree {
    let root = match directory.canonicalize() {
        Ok(root) => root,
        Err(error) => {
            let fatal = cannot_read(&shown(directory), &error).into();
            return Tree { fatal, assembled: Assembled::default(), files: Vec::new() };
        }
    };
    let mut loader = Loader {
        root,
        manifests: directory.join(MANIFESTS),
        entries: 0,
        fatal: Diagnostics::default(),
        assembly: Assembly::default(),
        files: keeps_files.then(Vec::new),
    };
    loader.load(&directory.join(IMAGES));
    let Loader { fatal, assembly, files, .. } = loader;
    Tree { fatal, assembled: assembly.finish(), files: files.unwrap_or_default() }
}

/// Reads a directory of thin manifests.
struct Loader {
    /// The canonical path of the directory. Nothing outside of it is read.
    root: PathBuf,
    /// The directory of the registries files.
    manifests: PathBuf,
    /// The number of files and directories found so far.
    entries: usize,
    /// Faults of the tree as a whole.
    fatal: Diagnostics,
    assembly: Assembly,
    /// The files of the projects. `None` if they are not kept.
    files: Option<Vec<ProjectFile>>,
}

impl Loader {
    fn load(&mut self, images: &Path) {
        let manifests = self.manifests.clone();
        if is_missing(&manifests) && is_missing(images) {
            self.fatal.push(no_tree(manifests.parent().unwrap_or(&manifests)));
            return;
        }
        // Both directories are checked first, so that the faults of both are reported.
        let problems = [&manifests, images].map(|directory| self.directory(directory).err());
        if problems.iter().any(Option::is_some) {
            problems.into_iter().flatten().for_each(|problem| self.fatal.push(problem));
            return;
        }
        for entry in self.entries_of_tree(&manifests) {
            if entry.is_dir() {
                self.project(&entry, images);
            } else if is_registries_file(&entry) {
                self.misplaced(&entry);
            }
        }
        self.find_unused(images);
    }

    /// Reads a project by its directory in `manifests`.
    fn project(&mut self, directory: &Path, images: &Path) {
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        let display_name = visible(&name);
        if let Err(error) = self.directory(directory).and_then(|()| self.find_misplaced(directory, 1)) {
            self.assembly.unreadable(&display_name, error);
            return;
        }
        let registries = directory.join(REGISTRIES_FILE);
        if is_missing(&registries) {
            let message = format!("the project has no {REGISTRIES_FILE}, and is left out");
            self.assembly.warnings.push(Diagnostic::of_file(&shown(directory), message).warning());
            return;
        }
        let problem = match &name {
            Cow::Owned(_) => Some("the project's name is not UTF-8 text"),
            // The name is printed in tables and by other programs.
            Cow::Borrowed(name) if *name != display_name => Some("the project's name has control characters"),
            Cow::Borrowed(_) => None,
        };
        if let Some(problem) = problem {
            let error = Diagnostic::of_file(&shown(directory), problem);
            self.assembly.misplaced(&display_name, error, self.read(&registries));
            return;
        }
        let images = images.join(&*name).join(IMAGES_FILE);
        let images_file = if is_missing(&images) {
            ImagesFile::Missing(no_images(&shown(&images), &name))
        } else {
            ImagesFile::There(self.read_for(&name, &images))
        };
        let registries = self.read_for(&name, &registries);
        self.assembly.thin(&name, registries, images_file);
    }

    /// Reads a file of a project, and keeps it if files are kept.
    fn read_for(&mut self, project: &str, path: &Path) -> Result<Contents, Diagnostic> {
        let contents = self.read(path)?;
        if let Some(files) = &mut self.files {
            let (project, path) = (project.into(), path.to_owned());
            files.push(ProjectFile { project, path, contents: contents.clone() });
        }
        Ok(contents)
    }

    /// Reads a project's file, which must be a regular file below the root.
    fn read(&self, path: &Path) -> Result<Contents, Diagnostic> {
        self.inside(path)?;
        Contents::read(path)
    }

    /// Warns about images files that have no registries file. Their images are not promoted.
    fn find_unused(&mut self, images: &Path) {
        for directory in self.entries_of_tree(images) {
            let is_known = directory.file_name().is_some_and(|name| self.manifests.join(name).is_dir());
            if !is_known && directory.join(IMAGES_FILE).is_file() {
                let message =
                    format!("no directory in {MANIFESTS} has this name, and the images are left out");
                self.assembly.warnings.push(Diagnostic::of_file(&shown(&directory), message).warning());
            }
        }
    }

    /// Finds manifests in directories below a project's directory. They are not promoted from there.
    ///
    /// # Errors
    /// If the directory cannot be listed.
    fn find_misplaced(&mut self, directory: &Path, depth: usize) -> Result<(), Diagnostic> {
        for entry in self.entries(directory)? {
            // Links to directories are not followed, because they could form a cycle.
            if fs::symlink_metadata(&entry).is_ok_and(|metadata| metadata.is_dir()) {
                if depth == DEPTH_MAX {
                    self.fatal.push(Diagnostic::of_file(&shown(&entry), "directories are nested too deep"));
                } else {
                    self.find_misplaced(&entry, depth + 1)?;
                }
            } else if depth > 1 && is_registries_file(&entry) {
                self.misplaced(&entry);
            }
        }
        Ok(())
    }

    fn misplaced(&mut self, path: &Path) {
        let directory = path.parent().and_then(|directory| directory.strip_prefix(&self.manifests).ok());
        let directory = shown(directory.unwrap_or(Path::new("")));
        self.assembly.misplaced(&directory, misplaced(&shown(path)), self.read(path));
    }

    /// Checks that a path is a directory below the root.
    fn directory(&self, path: &Path) -> Result<(), Diagnostic> {
        self.inside(path)?;
        if path.is_dir() { Ok(()) } else { Err(Diagnostic::of_file(&shown(path), "not a directory")) }
    }

    /// Checks that a path, with its links resolved, is below the root.
    fn inside(&self, path: &Path) -> Result<(), Diagnostic> {
        match path.canonicalize() {
            Ok(real) if real.starts_with(&self.root) => Ok(()),
            Ok(_) => Err(Diagnostic::of_file(&shown(path), LEADS_OUT)),
            Err(error) => Err(cannot_read(&shown(path), &error)),
        }
    }

    /// Returns the entries of a directory of the tree. If it cannot be listed, the whole tree fails.
    fn entries_of_tree(&mut self, directory: &Path) -> Vec<PathBuf> {
        self.entries(directory).unwrap_or_else(|error| {
            self.fatal.push(error);
            Vec::new()
        })
    }

    /// Returns the entries of a directory, ordered by name. Returns none if the tree has too many entries, and reports that.
    fn entries(&mut self, directory: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
        let left = ENTRIES_MAX - self.entries;
        let listed = fs::read_dir(directory).and_then(|entries| {
            entries.take(left + 1).map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()
        });
        let mut paths = listed.map_err(|error| cannot_read(&shown(directory), &error))?;
        if paths.len() > left {
            let problem = format!("there are more than {ENTRIES_MAX} files and directories up to here");
            self.fatal.push(Diagnostic::of_file(&shown(directory), problem));
            return Ok(Vec::new());
        }
        self.entries += paths.len();
        paths.sort();
        Ok(paths)
    }
}

/// The fault of a link that leads out of the tree.
pub(super) const LEADS_OUT: &str = "a link that leads out of the directory of manifests";

fn is_registries_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == REGISTRIES_FILE)
}

/// Returns whether a path is known not to exist, not even as a link.
fn is_missing(path: &Path) -> bool {
    fs::symlink_metadata(path)
        .is_err_and(|error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
}

/// Returns the fault of a directory that has neither of the two directories of thin manifests.
fn no_tree(directory: &Path) -> Diagnostic {
    let directory = shown(directory);
    let message = format!(
        "{directory} is not a directory of thin manifests: it has neither `{MANIFESTS}/` nor `{IMAGES}/`"
    );
    Diagnostic::about(&directory, message).help("if a plain manifest is meant, name its file")
}

/// Returns the fault of a project without an images file.
pub(super) fn no_images(file: &Arc<str>, project: &str) -> Diagnostic {
    let message = format!("there is no such file, and {MANIFESTS}/{project}/{REGISTRIES_FILE} needs it");
    let help = "a project has the same name in both directories; one without images has `[]` in this file";
    Diagnostic::of_file(file, message).help(help)
}

/// Returns the fault of a registries file that belongs to no project.
pub(super) fn misplaced(file: &Arc<str>) -> Diagnostic {
    let message =
        format!("a manifest at the wrong depth: it belongs at {MANIFESTS}/<project>/{REGISTRIES_FILE}");
    Diagnostic::of_file(file, message)
}
