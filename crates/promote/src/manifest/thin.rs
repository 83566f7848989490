//! Manifests as files: one plain file, or a folder of thin pairs
//! `manifests/<project>/promoter-manifest.yaml` and `images/<project>/images.yaml`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::schema::{self, Registries};
use super::{Image, Manifest, Manifests};

/// The largest manifest, in bytes. Kubernetes' largest has some 200 KB.
pub(super) const FILE_MAX: u64 = 16 * 1024 * 1024;
/// The name of the file with a project's registries.
pub(super) const REGISTRIES_FILE: &str = "promoter-manifest.yaml";
/// The name of the file with a project's images.
pub(super) const IMAGES_FILE: &str = "images.yaml";
/// The deepest folder that is looked into for misplaced files.
const DEPTH_MAX: usize = 16;

/// Reads one plain manifest.
///
/// # Errors
/// All that is wrong with it.
pub fn load_plain(path: &Path) -> Result<Manifests, Diagnostics> {
    let name = shown(path);
    let mut wrong = Diagnostics::default();
    let manifest = match read(path) {
        Ok(bytes) => plain(&name, &bytes).map_err(|found| wrong.extend(found)).ok(),
        Err(message) => {
            wrong.push(Diagnostic::of_file(&name, message));
            None
        }
    };
    wrong.or(Manifests { manifests: manifest.into_iter().collect(), warnings: Vec::new() })
}

/// Reads all thin manifests below a folder.
///
/// # Errors
/// All that is wrong with all of them.
pub fn load_thin(directory: &Path) -> Result<Manifests, Diagnostics> {
    let mut loader =
        Loader { wrong: Diagnostics::default(), warnings: Diagnostics::default(), root: PathBuf::new() };
    let mut files = BTreeMap::new();
    match directory.canonicalize() {
        Ok(root) => {
            loader.root = root;
            loader.gather(directory, &mut files);
        }
        Err(error) => loader.wrong.push(Diagnostic::of_file(&shown(directory), cannot_read(&error))),
    }
    let manifests = Project::parse_all(files, &mut loader.wrong);
    loader.wrong.or(Manifests { manifests, warnings: loader.warnings.into_inner() })
}

/// A file: how it is shown, and what is in it.
pub(super) type Named = (Arc<str>, Vec<u8>);

/// The two files of a project.
pub(super) struct Project {
    pub(super) registries: Named,
    pub(super) images: Named,
}

impl Project {
    /// Reads the manifests of projects, all errors of all of them.
    pub(super) fn parse_all(projects: BTreeMap<String, Self>, wrong: &mut Diagnostics) -> Vec<Manifest> {
        let mut manifests = Vec::with_capacity(projects.len());
        for (name, project) in projects {
            match project.parse(&name) {
                Ok(manifest) => manifests.push(manifest),
                Err(found) => wrong.extend(found),
            }
        }
        manifests
    }

    pub(super) fn parse(&self, name: &str) -> Result<Manifest, Diagnostics> {
        let (file, bytes) = &self.registries;
        let registries = utf8(file, bytes).and_then(|text| schema::thin_registries(file, text));
        let (file, bytes) = &self.images;
        let images =
            utf8(file, bytes).and_then(|text| schema::thin_images(file, text, registries.as_ref().ok()));
        match (registries, images) {
            (Ok(registries), Ok(images)) => Ok(manifest(name, file, registries, images)),
            (registries, images) => {
                let mut wrong = registries.err().unwrap_or_default();
                wrong.extend(images.err().unwrap_or_default());
                Err(wrong)
            }
        }
    }
}

/// Reads the text of a plain manifest.
pub(super) fn plain(file: &Arc<str>, bytes: &[u8]) -> Result<Manifest, Diagnostics> {
    let (registries, images) = schema::plain(file, utf8(file, bytes)?)?;
    let name = Path::new(&**file)
        .file_stem()
        .map_or_else(|| file.to_string(), |stem| stem.to_string_lossy().into_owned());
    Ok(manifest(&name, file, registries, images))
}

fn manifest(name: &str, file: &Arc<str>, registries: Registries, images: Vec<Image>) -> Manifest {
    let Registries { source, destinations } = registries;
    Manifest { name: name.into(), images_file: Arc::clone(file), source, destinations, images }
}

fn utf8<'b>(file: &Arc<str>, bytes: &'b [u8]) -> Result<&'b str, Diagnostics> {
    let problem = match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => return Ok(text),
        Ok(_) => "a binary file: it has zero bytes".to_owned(),
        Err(error) => format!("not text in UTF-8: byte {} is not", error.valid_up_to() + 1),
    };
    let mut wrong = Diagnostics::default();
    wrong.push(Diagnostic::of_file(file, problem));
    Err(wrong)
}

/// Walks a folder of thin manifests.
struct Loader {
    wrong: Diagnostics,
    warnings: Diagnostics,
    /// The folder, without links, that nothing may lead out of.
    root: PathBuf,
}

impl Loader {
    fn gather(&mut self, directory: &Path, projects: &mut BTreeMap<String, Project>) {
        let (manifests, images) = (directory.join("manifests"), directory.join("images"));
        let both = [&manifests, &images].map(|folder| self.is_folder(folder));
        if both != [true, true] {
            return;
        }
        for folder in self.entries(&manifests) {
            let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if !folder.is_dir() {
                if name == REGISTRIES_FILE {
                    self.misplaced(&folder);
                }
                continue;
            }
            self.find_misplaced(&folder, 1);
            let registries = folder.join(REGISTRIES_FILE);
            if fs::symlink_metadata(&registries).is_err() {
                let message = format!("the project folder has no {REGISTRIES_FILE}, and is left out");
                self.warnings.push(Diagnostic::of_file(&shown(&folder), message));
                continue;
            }
            let images = images.join(&name).join(IMAGES_FILE);
            if fs::symlink_metadata(&images).is_err() {
                let missing = Diagnostic::of_file(&shown(&images), "the file is missing");
                self.wrong.push(
                    missing.help(format!("a project with a {REGISTRIES_FILE} needs one; it may be empty")),
                );
                continue;
            }
            // Both are read, so that what is wrong with either is told.
            if let (Some(registries), Some(images)) = (self.file(&registries), self.file(&images)) {
                projects.insert(name, Project { registries, images });
            }
        }
    }

    fn is_folder(&mut self, path: &Path) -> bool {
        let problem = match self.inside(path) {
            Ok(()) if path.is_dir() => return true,
            Ok(()) => "not a folder".to_owned(),
            Err(message) => message,
        };
        self.wrong.push(Diagnostic::of_file(&shown(path), problem));
        false
    }

    /// The entries of a folder, by name.
    fn entries(&mut self, folder: &Path) -> Vec<PathBuf> {
        let listed = fs::read_dir(folder)
            .and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect::<io::Result<Vec<_>>>());
        match listed {
            Ok(mut paths) => {
                paths.sort();
                paths
            }
            Err(error) => {
                self.wrong.push(Diagnostic::of_file(&shown(folder), cannot_read(&error)));
                Vec::new()
            }
        }
    }

    /// Finds manifests below a project's folder, where nobody would read them.
    fn find_misplaced(&mut self, folder: &Path, depth: usize) {
        for entry in self.entries(folder) {
            let is_folder = fs::symlink_metadata(&entry).is_ok_and(|metadata| metadata.is_dir());
            if is_folder && depth < DEPTH_MAX {
                self.find_misplaced(&entry, depth + 1);
            } else if depth > 1 && entry.file_name().is_some_and(|name| name == REGISTRIES_FILE) {
                self.misplaced(&entry);
            }
        }
    }

    fn misplaced(&mut self, path: &Path) {
        let message =
            format!("a manifest at the wrong depth: it belongs at manifests/<project>/{REGISTRIES_FILE}");
        self.wrong.push(Diagnostic::of_file(&shown(path), message));
    }

    /// A file of a project, if it is a regular one that lies below the root.
    fn file(&mut self, path: &Path) -> Option<Named> {
        match self.inside(path).and_then(|()| read(path)) {
            Ok(bytes) => Some((shown(path), bytes)),
            Err(message) => {
                self.wrong.push(Diagnostic::of_file(&shown(path), message));
                None
            }
        }
    }

    /// Whether a path, its links followed, stays below the root.
    fn inside(&self, path: &Path) -> Result<(), String> {
        let real = path.canonicalize().map_err(|error| cannot_read(&error))?;
        if real.starts_with(&self.root) {
            Ok(())
        } else {
            Err("a link that leads out of the folder".to_owned())
        }
    }
}

/// The bytes of a regular file of a reasonable size.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = fs::metadata(path).map_err(|error| cannot_read(&error))?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| cannot_read(&error))?;
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(|error| cannot_read(&error))?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(format!("larger than {} MiB", FILE_MAX >> 20));
    }
    Ok(bytes)
}

fn cannot_read(error: &io::Error) -> String {
    format!("cannot be read: {error}")
}

fn shown(path: &Path) -> Arc<str> {
    path.to_string_lossy().into()
}
