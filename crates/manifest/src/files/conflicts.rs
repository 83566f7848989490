//! Files that are named more than once: in several manifests of a project, or by several projects that share a destination; and
//! objects that are both copied and written.

use std::collections::HashMap;
use std::sync::Arc;

use super::model::{FileEntry, FileProject};
use super::store_url::StoreUrl;
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
                format!("the file `{}` is listed twice{what}, first in {}", entry.name, earlier.origin());
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

/// Finds objects that one entry copies and another one writes with other content: a destination may be below a source, in the same
/// project or in another one. What the copy would read then depends on the order.
///
/// The same content is no fault: one project may promote further what another one has promoted.
pub(super) fn of_sources(
    projects: &[FileProject],
    contents: &HashMap<Arc<str>, Contents>,
    rejected: &mut Diagnostics,
) {
    let is_written = |source: &StoreUrl| {
        let mut destinations = projects.iter().flat_map(|project| &project.destinations);
        destinations.any(|destination| destination.url.overlaps(source))
    };
    let read: Vec<&FileProject> = projects.iter().filter(|project| is_written(&project.source.url)).collect();
    // Of two projects with a common source both entries may be harmed.
    let mut copied: HashMap<String, Vec<&FileEntry>> = HashMap::new();
    for project in &read {
        for entry in &project.files {
            copied.entry(project.source.url.file(&entry.name)).or_default().push(entry);
        }
    }
    for project in projects {
        let is_read = |url: &StoreUrl| read.iter().any(|project| project.source.url.overlaps(url));
        for destination in project.destinations.iter().filter(|destination| is_read(&destination.url)) {
            for entry in &project.files {
                let object = destination.url.file(&entry.name);
                let others = copied.get(&object).into_iter().flatten();
                for other in others.filter(|other| other.sha256 != entry.sha256) {
                    let message = format!(
                        "{object} would be written with another hash than {} says, which copies it",
                        other.origin()
                    );
                    rejected.push_with(|| at(entry, contents, &message));
                }
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
