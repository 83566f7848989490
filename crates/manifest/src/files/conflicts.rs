//! Finds files that are named more than once, in several manifests of a project or by several projects that share a destination,
//! and objects that are both copied and written.

use std::collections::HashMap;
use std::sync::Arc;

use super::model::{FileEntry, FileProject};
use super::store_url::StoreUrl;
use crate::contents::Contents;
use crate::diagnostic::Diagnostic;
use crate::diagnostics::Diagnostics;

/// Finds names that several manifests of a project list. Repetitions within one manifest are found when it is read.
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
/// Two entries with the same content are not a fault.
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
    // Only objects of overlapping destinations are compared, because a run may have millions of objects.
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

/// Finds objects that one entry copies and another one overwrites with other content: a destination may be below a source, in the
/// same project or in another one. The content that the copy reads would then depend on the order.
///
/// Equal content is not a fault: one project may promote the objects of another project further.
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
    // If two projects have a common source, entries of both may be affected.
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
