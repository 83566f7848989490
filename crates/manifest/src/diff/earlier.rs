//! Reads the manifests of an earlier commit, as far as possible.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use oci_types::text::visible;

use super::error::DiffError;
use super::git::{Blobs, Entry, Git, Kind};
use crate::assembly::{Assembled, Assembly, ImagesFile};
use crate::contents::{Contents, FILE_MAX};
use crate::diagnostic::Diagnostic;
use crate::thin::{self, IMAGES, IMAGES_FILE, LEADS_OUT, MANIFESTS, REGISTRIES_FILE};

/// The maximum number of links to follow for one file.
const LINKS_MAX: usize = 40;
/// The maximum length of a link's target, in bytes.
const TARGET_MAX: u64 = 4_096;

/// Reads a plain manifest. If the commit does not have the file, it promotes nothing.
pub(super) fn plain(git: &Git<'_>, commit: &str, path: &Path) -> Result<Assembled, DiffError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let entries = files(git, commit, &[&name])?;
    let mut assembly = Assembly::default();
    if !entries.is_empty() {
        let mut tree = Tree::new(git, commit, &entries)?;
        let project = thin::plain_name(path);
        match tree.file(&name)? {
            None => {}
            Some(Ok(contents)) => assembly.plain(&project, contents),
            Some(Err(error)) => assembly.unreadable(&project, error),
        }
    }
    Ok(assembly.finish())
}

/// Reads thin manifests. A project without one of its files promotes nothing.
pub(super) fn thin(git: &Git<'_>, commit: &str) -> Result<Assembled, DiffError> {
    let entries = files(git, commit, &[MANIFESTS, IMAGES])?;
    let mut tree = Tree::new(git, commit, &entries)?;
    let mut assembly = Assembly::default();
    let directory = match tree.find(MANIFESTS)? {
        Found::Directory(directory) => format!("{directory}/"),
        Found::Nothing => return Ok(assembly.finish()),
        Found::File(_) => return Err(unreadable(commit, "not a directory")),
        Found::Unreadable(problem) => return Err(unreadable(commit, problem)),
    };
    let below: Vec<&str> = entries.iter().filter_map(|entry| entry.path.strip_prefix(&directory)).collect();
    let projects: BTreeSet<&str> = below.iter().filter_map(|path| path.split('/').next()).collect();
    for project in projects {
        let registries = tree.file(&format!("{MANIFESTS}/{project}/{REGISTRIES_FILE}"))?;
        let Some(registries) = registries else { continue };
        let images = format!("{IMAGES}/{project}/{IMAGES_FILE}");
        let images = match tree.file(&images)? {
            Some(file) => ImagesFile::There(file),
            None => ImagesFile::Missing(thin::no_images(&tree.shown(&images), project)),
        };
        assembly.thin(project, registries, images);
    }
    for path in below {
        let (parent, file) = path.rsplit_once('/').unwrap_or(("", path));
        let is_project = !parent.is_empty() && !parent.contains('/');
        if file == REGISTRIES_FILE && !is_project {
            let path = format!("{MANIFESTS}/{path}");
            if let Some(contents) = tree.file(&path)? {
                assembly.misplaced(parent, thin::misplaced(&tree.shown(&path)), contents);
            }
        }
    }
    Ok(assembly.finish())
}

/// Returns the files at or below some paths. If one of them is a link, returns all files of the directory, because the link may
/// lead to any of them.
fn files(git: &Git<'_>, commit: &str, paths: &[&str]) -> Result<Vec<Entry>, DiffError> {
    let entries = git.files(commit, paths)?;
    if entries.iter().any(|entry| entry.kind == Kind::Link) { git.files(commit, &[]) } else { Ok(entries) }
}

fn unreadable(commit: &str, problem: &'static str) -> DiffError {
    DiffError::Unreadable { commit: commit.to_owned(), directory: MANIFESTS, problem }
}

/// The object at a path of a commit.
enum Found<'e> {
    File(&'e Entry),
    /// A directory, by its path without links.
    Directory(String),
    Nothing,
    Unreadable(&'static str),
}

/// The files of a commit.
struct Tree<'e> {
    commit: &'e str,
    entries: BTreeMap<&'e str, &'e Entry>,
    blobs: Blobs,
}

impl<'e> Tree<'e> {
    fn new(git: &Git<'_>, commit: &'e str, entries: &'e [Entry]) -> Result<Self, DiffError> {
        let entries = entries.iter().map(|entry| (entry.path.as_str(), entry)).collect();
        Ok(Self { commit, entries, blobs: git.blobs()? })
    }

    /// Returns the content of a file, or why it cannot be read. Returns `None` if the file does not exist.
    fn file(&mut self, path: &str) -> Result<Option<Result<Contents, Diagnostic>>, DiffError> {
        let file = self.shown(path);
        let problem = match self.find(path)? {
            Found::Nothing => return Ok(None),
            Found::File(entry) if entry.size <= FILE_MAX => {
                let bytes = self.blobs.read(entry)?;
                return Ok(Some(Ok(Contents { file, bytes })));
            }
            Found::File(_) => "larger than a manifest may be",
            Found::Directory(_) => "not a regular file",
            Found::Unreadable(problem) => problem,
        };
        Ok(Some(Err(Diagnostic::of_file(&file, problem))))
    }

    /// The name of a file in messages.
    fn shown(&self, path: &str) -> Arc<str> {
        visible(&format!("{:.12}:{path}", self.commit)).into()
    }

    /// Finds the object at a path, following links.
    fn find(&mut self, path: &str) -> Result<Found<'e>, DiffError> {
        let mut links = 0;
        let mut at = String::new();
        // The remaining components in reverse order.
        let mut rest: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
        while let Some(component) = rest.pop() {
            match component.as_str() {
                "" | "." => continue,
                ".." if at.is_empty() => return Ok(Found::Unreadable(LEADS_OUT)),
                ".." => at.truncate(at.rfind('/').unwrap_or_default()),
                name if at.is_empty() => at.push_str(name),
                name => {
                    at.push('/');
                    at.push_str(name);
                }
            }
            let Some(entry) = self.entries.get(at.as_str()).copied() else { continue };
            match entry.kind {
                Kind::File if rest.iter().all(String::is_empty) => {
                    return Ok(Found::File(entry));
                }
                Kind::File => return Ok(Found::Nothing),
                Kind::Submodule => return Ok(Found::Unreadable("in a submodule, which is not compared")),
                Kind::Link => {
                    links += 1;
                    let target = self.target(entry)?;
                    let target = match target {
                        Some(target) if links <= LINKS_MAX => target,
                        _ => return Ok(Found::Unreadable("a link that cannot be followed")),
                    };
                    if target.starts_with('/') {
                        return Ok(Found::Unreadable(LEADS_OUT));
                    }
                    rest.extend(target.rsplit('/').map(str::to_owned));
                    at.truncate(at.rfind('/').unwrap_or_default());
                }
            }
        }
        let directory = format!("{at}/");
        let is_directory = self
            .entries
            .range(directory.as_str()..)
            .next()
            .is_some_and(|(path, _)| path.starts_with(&directory));
        Ok(if is_directory { Found::Directory(at) } else { Found::Nothing })
    }

    /// Returns the target of a link, or `None` if it is too long or not UTF-8.
    fn target(&mut self, link: &Entry) -> Result<Option<String>, DiffError> {
        if link.size > TARGET_MAX {
            return Ok(None);
        }
        Ok(String::from_utf8(self.blobs.read(link)?).ok())
    }
}
