//! Files that are named more than once: in several manifests of a project, or by several projects that share a destination.

use std::collections::HashMap;
use std::sync::Arc;

use super::model::{FileEntry, FileProject};
use crate::contents::Contents;
use crate::diagnostic::Diagnostic;
use crate::diagnostics::Diagnostics;

/// Finds names that stand in several manifests of a project. Repetitions within one manifest are found when it is read.
pub(super) fn within_project(
    entries: &[FileEntry],
    contents: &HashMap<Arc<str>, Contents>,
    rejected: &mut Diagnostics,
) {
    let mut first: HashMap<&str, &FileEntry> = HashMap::with_capacity(entries.len());
    for entry in entries {
        if let Some(earlier) = first.get(entry.name.as_str()) {
            let what = if earlier.sha256 == entry.sha256 { "" } else { " with another hash" };
            let message =
                format!("the file `{}` stands twice{what}, first in {}", entry.name, earlier.origin());
            rejected.push_with(|| at(entry, contents, &message));
        } else {
            first.insert(entry.name.as_str(), entry);
        }
    }
}

/// Finds objects at a destination for which several entries want different content: entries of projects with a common
/// destination, and entries of a project with two destinations, one below the other.
///
/// The same content twice is no fault.
pub(super) fn across_projects(
    projects: &[FileProject],
    contents: &HashMap<Arc<str>, Contents>,
    rejected: &mut Diagnostics,
) {
    let stores: Vec<_> = projects
        .iter()
        .flat_map(|project| project.destinations.iter().map(move |store| (project, &store.url)))
        .collect();
    let shares = |index: usize| {
        let others = stores.iter().enumerate().filter(|(other, _)| *other != index);
        others.into_iter().any(|(_, (_, url))| url.overlaps(stores[index].1))
    };
    // Only destinations that overlap are compared by their objects: a run may have millions.
    let mut first: HashMap<String, &FileEntry> = HashMap::new();
    for (_, (project, url)) in stores.iter().enumerate().filter(|(index, _)| shares(*index)) {
        for entry in &project.files {
            let object = url.file(&entry.name);
            match first.get(&object) {
                Some(earlier) if earlier.sha256 != entry.sha256 => {
                    let message = format!("{object} is to have another hash than {} says", earlier.origin());
                    rejected.push_with(|| at(entry, contents, &message));
                }
                Some(_) => {}
                None => drop(first.insert(object, entry)),
            }
        }
    }
}

/// Returns a fault at the position of an entry.
fn at(entry: &FileEntry, contents: &HashMap<Arc<str>, Contents>, message: &str) -> Diagnostic {
    match contents.get(&entry.manifest).map(Contents::text) {
        Some(Ok(source)) => Diagnostic::at(&source, entry.position, message),
        _ => Diagnostic::of_file(&entry.manifest, message),
    }
}
