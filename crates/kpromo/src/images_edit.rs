//! Edits lists of images for `kpromo pr` and `kpromo manifest add`: finds the file, edits it, and plans the result offline.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use manifest::edit::{Addition, EditError, Edited, FileKind, ImagesFile, new_overlaps};
use manifest::{Manifest, Manifests, Severity, load_thin};
use similar::TextDiff;

use crate::exit::Exit;
use crate::failure::Failure;

/// The number of unchanged lines around a change in a diff.
const CONTEXT: usize = 3;

/// A project in a directory of thin manifests, with its list of images.
pub(crate) struct Project {
    /// All manifests in the directory.
    pub(crate) manifests: Manifests,
    /// The name of the project.
    pub(crate) name: String,
    /// The path of the list of images.
    pub(crate) path: PathBuf,
    /// The list of images.
    pub(crate) file: ImagesFile,
}

/// Reads a directory of thin manifests. Errors in single entries are warnings here.
pub(crate) fn read_directory(directory: &Path) -> Result<Manifests, Failure> {
    let manifests = load_thin(directory).map_err(Failure::invalid)?;
    for fault in manifests.rejected.iter().filter(|fault| fault.severity() == Severity::Error) {
        tracing::warn!("{}: {}", place(fault), fault.message());
    }
    Ok(manifests)
}

fn place(fault: &manifest::Diagnostic) -> String {
    match fault.position() {
        Some(position) => format!("{}:{}:{}", fault.file(), position.line, position.column),
        None => fault.file().to_owned(),
    }
}

impl Project {
    /// Selects the only project that `is_meant` matches. `sought` describes it for errors.
    pub(crate) fn find(
        directory: &Path,
        manifests: Manifests,
        sought: &str,
        is_meant: impl Fn(&Manifest) -> bool,
    ) -> Result<Self, Failure> {
        let names: BTreeSet<&str> = manifests
            .manifests
            .iter()
            .filter(|manifest| is_meant(manifest))
            .map(|manifest| &*manifest.name)
            .collect();
        let mut found = names.iter();
        let name = match (found.next(), found.next()) {
            (Some(name), None) => (*name).to_owned(),
            (None, _) => {
                let text = format!("no manifest below {} matches {sought}", directory.display());
                let failure = Failure::new(Exit::Invalid, text);
                let has_faults = !manifests.rejected.is_empty();
                let help = if has_faults {
                    "projects with invalid manifests were left out; see the warnings above"
                } else {
                    "check the name, or add the project's manifest first"
                };
                return Err(failure.help(help));
            }
            (Some(_), Some(_)) => {
                let names: Vec<&str> = names.into_iter().collect();
                let text = format!("several projects match {sought}: {}", names.join(", "));
                return Err(Failure::new(Exit::Invalid, text));
            }
        };
        let path = directory.join("images").join(&name).join("images.yaml");
        let file = ImagesFile::read(&path, Some(FileKind::Images)).map_err(|error| failure(&error))?;
        Ok(Self { manifests, name, path, file })
    }

    /// Adds tags, and plans the result offline. Rejects tags that would move, and overlaps between projects.
    pub(crate) fn edit(&self, additions: &[Addition], format: bool) -> Result<Edited, Failure> {
        let edited = edit(&self.file, additions, format)?;
        plan(&self.manifests, &self.name, edited)
    }

    /// Reads the list of images again.
    pub(crate) fn reread(self) -> Result<Self, Failure> {
        let file = ImagesFile::read(&self.path, Some(FileKind::Images)).map_err(|error| failure(&error))?;
        Ok(Self { file, ..self })
    }
}

/// Plans an edited file offline with all manifests. Rejects new overlaps.
pub(crate) fn plan(manifests: &Manifests, project: &str, edited: Edited) -> Result<Edited, Failure> {
    let overlaps = new_overlaps(manifests, project, &edited.file);
    if overlaps.is_empty() {
        return Ok(edited);
    }
    let lines: Vec<String> = overlaps.iter().map(ToString::to_string).collect();
    let help = "production tags never move, and a reference has one digest: use another tag";
    Err(Failure::new(Exit::Conflict, lines.join("\n")).help(help))
}

/// Adds tags to a file.
pub(crate) fn edit(file: &ImagesFile, additions: &[Addition], format: bool) -> Result<Edited, Failure> {
    let mut edited = file.add(additions).map_err(|error| failure(&error))?;
    if format {
        edited.file = edited.file.format().map_err(|error| failure(&error))?;
    }
    Ok(edited)
}

/// Converts an edit error to a failure.
pub(crate) fn failure(error: &EditError) -> Failure {
    match error {
        EditError::Invalid(faults) => {
            Failure::invalid(faults.clone()).help("correct the file first: what it promotes is ambiguous")
        }
        EditError::Moves(_) => Failure::new(Exit::Conflict, error.to_string())
            .help("production tags never move: use another tag"),
        EditError::Unsupported { .. } => {
            Failure::new(Exit::Invalid, error.to_string()).help("edit the file by hand")
        }
        EditError::Refused { .. } => Failure::new(Exit::Failure, error.to_string()),
    }
}

/// Returns the change of a file as a unified diff, or an empty text.
pub(crate) fn diff(name: &str, before: &[u8], after: &[u8]) -> String {
    let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    if before == after {
        return String::new();
    }
    let diff = TextDiff::from_lines(&*before, &*after);
    let (old, new) = (format!("a/{name}"), format!("b/{name}"));
    diff.unified_diff().context_radius(CONTEXT).header(&old, &new).to_string()
}
