//! Manifests as files: one plain file, or a folder of thin pairs
//! `manifests/<project>/promoter-manifest.yaml` and `images/<project>/images.yaml`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::contents::{Contents, cannot_read, shown};
use super::declared::Loaded;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::{Manifests, schema};

/// The folder with the registries of all projects.
pub(super) const MANIFESTS: &str = "manifests";
/// The folder with the images of all projects.
pub(super) const IMAGES: &str = "images";
/// The name of the file with a project's registries.
pub(super) const REGISTRIES_FILE: &str = "promoter-manifest.yaml";
/// The name of the file with a project's images.
pub(super) const IMAGES_FILE: &str = "images.yaml";
/// The deepest folder that is looked into for misplaced files.
const DEPTH_MAX: usize = 16;
/// The most files and folders that are looked at.
const ENTRIES_MAX: usize = 100_000;

/// Reads one plain manifest of at most 16 MiB.
///
/// # Errors
/// All that is wrong with it.
pub fn load_plain(path: &Path) -> Result<Manifests, Diagnostics> {
    let loaded = plain(path, &Contents::read(path)?)?;
    let mut wrong = Diagnostics::default();
    let manifests = Loaded::join(vec![loaded], Vec::new(), &mut wrong);
    wrong.or(manifests)
}

/// A plain manifest, named after its file.
pub(super) fn plain(path: &Path, contents: &Contents) -> Result<Loaded, Diagnostics> {
    let name = path.file_stem().unwrap_or(path.as_os_str());
    schema::plain(&shown(Path::new(name)), contents)
}

/// Reads all thin manifests below a folder, in the order of their projects' names. No file may have more than 16 MiB.
///
/// # Errors
/// All that is wrong with all of them.
pub fn load_thin(directory: &Path) -> Result<Manifests, Diagnostics> {
    let root = directory.canonicalize();
    let root = root.map_err(|error| Diagnostic::of_file(&shown(directory), cannot_read(&error)))?;
    let mut loader = Loader { root, entries: 0, wrong: Diagnostics::default(), warnings: Vec::new() };
    let loaded = loader.load(&directory.join(MANIFESTS), &directory.join(IMAGES));
    let Loader { mut wrong, warnings, .. } = loader;
    let manifests = Loaded::join(loaded, warnings, &mut wrong);
    wrong.or(manifests)
}

/// Walks a folder of thin manifests.
struct Loader {
    /// The folder, without links, that nothing may lead out of.
    root: PathBuf,
    /// How many files and folders were looked at.
    entries: usize,
    wrong: Diagnostics,
    warnings: Vec<Diagnostic>,
}

impl Loader {
    fn load(&mut self, manifests: &Path, images: &Path) -> Vec<Loaded> {
        // Both are looked at, so that what is wrong with either is told.
        if [manifests, images].map(|folder| self.is_folder(folder)).contains(&false) {
            return Vec::new();
        }
        let mut loaded = Vec::new();
        for entry in self.entries(manifests) {
            if entry.is_dir() {
                loaded.extend(self.project(&entry, images));
            } else if entry.file_name().is_some_and(|name| name == REGISTRIES_FILE) {
                self.misplaced(&entry);
            }
        }
        self.find_unused(manifests, images);
        loaded
    }

    /// The manifest of a project, by its folder in `manifests`.
    fn project(&mut self, folder: &Path, images: &Path) -> Option<Loaded> {
        if !self.is_folder(folder) {
            return None;
        }
        self.find_misplaced(folder, 1);
        let Some(name) = folder.file_name().and_then(|name| name.to_str()) else {
            self.wrong.push(Diagnostic::of_file(&shown(folder), "the project's name is not text in UTF-8"));
            return None;
        };
        let registries = folder.join(REGISTRIES_FILE);
        if fs::symlink_metadata(&registries).is_err() {
            let message = format!("the project has no {REGISTRIES_FILE}, and is left out");
            self.warnings.push(Diagnostic::of_file(&shown(folder), message).warning());
            return None;
        }
        let registries =
            self.read(&registries).and_then(|contents| self.wrong.keep(schema::registries(&contents)));
        let contents = self.images_of(name, images);
        let images = contents.and_then(|contents| {
            let images = self.wrong.keep(schema::images(&contents, registries.as_ref()))?;
            Some((contents.file, images))
        });
        let (images_file, images) = images?;
        Some(registries?.with_images(name, images_file, images))
    }

    fn images_of(&mut self, project: &str, images: &Path) -> Option<Contents> {
        let path = images.join(project).join(IMAGES_FILE);
        if fs::symlink_metadata(&path).is_ok() {
            return self.read(&path);
        }
        let message = format!("there is no such file, and {MANIFESTS}/{project}/{REGISTRIES_FILE} needs it");
        let help = "a project has the same name in both folders; one without images has `[]` in this file";
        self.wrong.push(Diagnostic::of_file(&shown(&path), message).help(help));
        None
    }

    /// A file of a project, if it is a regular one that lies below the root.
    fn read(&mut self, path: &Path) -> Option<Contents> {
        if self.is_inside(path) { self.wrong.keep(Contents::read(path)) } else { None }
    }

    /// Finds images that no registries belong to: nobody would promote them.
    fn find_unused(&mut self, manifests: &Path, images: &Path) {
        for folder in self.entries(images) {
            let is_known = folder.file_name().is_some_and(|name| manifests.join(name).is_dir());
            if !is_known && folder.join(IMAGES_FILE).is_file() {
                let message = format!("no folder in {MANIFESTS} has this name, and the images are left out");
                self.warnings.push(Diagnostic::of_file(&shown(&folder), message).warning());
            }
        }
    }

    /// Finds manifests below a project's folder, where nobody would read them.
    fn find_misplaced(&mut self, folder: &Path, depth: usize) {
        for entry in self.entries(folder) {
            // Links to folders are not followed: they could lead in circles.
            if fs::symlink_metadata(&entry).is_ok_and(|metadata| metadata.is_dir()) {
                if depth == DEPTH_MAX {
                    self.wrong.push(Diagnostic::of_file(&shown(&entry), "folders are nested too deep"));
                } else {
                    self.find_misplaced(&entry, depth + 1);
                }
            } else if depth > 1 && entry.file_name().is_some_and(|name| name == REGISTRIES_FILE) {
                self.misplaced(&entry);
            }
        }
    }

    fn misplaced(&mut self, path: &Path) {
        let message =
            format!("a manifest at the wrong depth: it belongs at {MANIFESTS}/<project>/{REGISTRIES_FILE}");
        self.wrong.push(Diagnostic::of_file(&shown(path), message));
    }

    fn is_folder(&mut self, path: &Path) -> bool {
        if !self.is_inside(path) {
            return false;
        }
        if !path.is_dir() {
            self.wrong.push(Diagnostic::of_file(&shown(path), "not a folder"));
            return false;
        }
        true
    }

    /// Whether a path, its links followed, stays below the root.
    fn is_inside(&mut self, path: &Path) -> bool {
        let problem = match path.canonicalize() {
            Ok(real) if real.starts_with(&self.root) => return true,
            Ok(_) => "a link that leads out of the folder of manifests".to_owned(),
            Err(error) => cannot_read(&error),
        };
        self.wrong.push(Diagnostic::of_file(&shown(path), problem));
        false
    }

    /// The entries of a folder, by name.
    fn entries(&mut self, folder: &Path) -> Vec<PathBuf> {
        let left = ENTRIES_MAX - self.entries;
        let listed = fs::read_dir(folder).and_then(|entries| {
            entries.take(left + 1).map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()
        });
        let problem = match listed {
            Ok(mut paths) if paths.len() <= left => {
                self.entries += paths.len();
                paths.sort();
                return paths;
            }
            Ok(_) => format!("there are more than {ENTRIES_MAX} files and folders up to here"),
            Err(error) => cannot_read(&error),
        };
        self.wrong.push(Diagnostic::of_file(&shown(folder), problem));
        Vec::new()
    }
}

/// The place of a file in a folder of thin manifests, by its path from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'p> {
    /// The registries of this project.
    Registries(&'p str),
    /// The images of this project.
    Images(&'p str),
}

impl<'p> Part<'p> {
    pub(super) fn of(path: &'p str) -> Option<Self> {
        let mut components = path.split('/');
        let (folder, project, file) = (components.next()?, components.next()?, components.next()?);
        match (folder, file, components.next()) {
            (MANIFESTS, REGISTRIES_FILE, None) => Some(Self::Registries(project)),
            (IMAGES, IMAGES_FILE, None) => Some(Self::Images(project)),
            _ => None,
        }
    }
}
