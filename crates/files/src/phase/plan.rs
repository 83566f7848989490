//! The plan: what to do with each file at each destination.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use manifest::files::{FileEntry, FileManifests};

use super::readers::Readers;
use crate::decide::Verdict;
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Operation, Run};
use crate::object::Object;
use crate::summary::Summary;

/// A file and a destination of a project, as indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Edge {
    /// The project.
    pub project: usize,
    /// The file of the project.
    pub file: usize,
    /// The destination of the project.
    pub destination: usize,
}

/// The decision for a file at a destination.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The file and the destination.
    pub edge: Edge,
    /// What to do.
    pub verdict: Verdict,
    /// The version of the object that is replaced.
    pub(super) replaced: Option<Box<str>>,
    /// Why a store could not be queried.
    pub error: Option<Arc<Error>>,
}

/// A plan: a decision for each file and destination, in the order of the manifests.
#[derive(Debug)]
pub struct Plan {
    pub(super) manifests: FileManifests,
    pub(super) readers: Readers,
    pub(super) decisions: Vec<Decision>,
    /// The objects in the source, for each project and file. Only objects that will be copied are kept.
    pub(super) sources: Vec<Vec<Option<Box<Object>>>>,
    pub(super) strict: bool,
}

/// A file that must not be promoted to a destination, described for users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The object at the destination.
    pub destination: String,
    /// What is wrong.
    pub reason: String,
    /// The position of the entry in the manifest, as `file:line:column`.
    pub origin: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.destination, self.reason, self.origin)
    }
}

impl Plan {
    /// Returns all decisions: by project, then by destination, then by file, each in the order of the manifests.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// Returns the entry of an edge.
    pub fn entry(&self, edge: Edge) -> &FileEntry {
        &self.manifests.projects[edge.project].files[edge.file]
    }

    /// Returns the copy operation of a decision.
    pub fn operation(&self, decision: &Decision) -> Operation {
        let edge = decision.edge;
        let project = &self.manifests.projects[edge.project];
        let name = &project.files[edge.file].name;
        Operation {
            source: project.source.url.file(name),
            destination: project.destinations[edge.destination].url.file(name),
            replaces: matches!(decision.verdict, Verdict::Replace(_)),
        }
    }

    /// Returns the object in the source that an edge copies.
    pub(super) fn source(&self, edge: Edge) -> Option<&Object> {
        self.sources[edge.project][edge.file].as_deref()
    }

    /// Returns the decisions that copy a file.
    pub fn copies(&self) -> impl Iterator<Item = &Decision> {
        self.decisions
            .iter()
            .filter(|decision| matches!(decision.verdict, Verdict::Copy | Verdict::Replace(_)))
    }

    /// Returns whether there is nothing to copy.
    pub fn is_empty(&self) -> bool {
        self.copies().next().is_none()
    }

    /// Returns the conflicts. A plan with conflicts is not carried out.
    pub fn conflicts(&self) -> impl Iterator<Item = Conflict> {
        self.decisions.iter().filter_map(|decision| {
            let wanted = self.entry(decision.edge).sha256;
            let reason = match decision.verdict {
                Verdict::Conflict(found) => {
                    format!("it has the SHA-256 {found}, and the manifest wants {wanted}; it is not replaced")
                }
                Verdict::Lost if self.strict => "neither the source nor the destination has it".to_owned(),
                _ => return None,
            };
            let Operation { destination, .. } = self.operation(decision);
            Some(Conflict { destination, reason, origin: self.entry(decision.edge).origin() })
        })
    }

    /// Returns the files that cannot be promoted, with the reasons.
    pub fn failures(&self) -> impl Iterator<Item = (Operation, Arc<Error>)> {
        self.decisions.iter().filter_map(|decision| {
            let operation = self.operation(decision);
            let error = match decision.verdict {
                Verdict::WrongSource(found) => {
                    let wanted = self.entry(decision.edge).sha256;
                    Arc::new(Error::new(
                        format!("reading {}", operation.source),
                        ErrorKind::Mismatch { found, wanted },
                    ))
                }
                Verdict::Unreadable => decision.error.clone()?,
                _ => return None,
            };
            Some((operation, error))
        })
    }

    /// Returns the lost files, described for users.
    fn lost(&self) -> impl Iterator<Item = String> {
        let lost = self.decisions.iter().filter(|decision| decision.verdict == Verdict::Lost);
        lost.map(|decision| {
            let Operation { source, destination, .. } = self.operation(decision);
            let origin = self.entry(decision.edge).origin();
            format!("not found in the source: {source}, for {destination}, {origin}; check the name and the source")
        })
    }

    /// Returns the counts of the plan.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for decision in &self.decisions {
            let count = match decision.verdict {
                Verdict::Done | Verdict::DoneDespiteSource => &mut summary.done,
                Verdict::Copy => &mut summary.copy,
                Verdict::Replace(_) => &mut summary.replace,
                Verdict::Lost => &mut summary.lost,
                Verdict::Conflict(_) => &mut summary.conflicts,
                Verdict::WrongSource(_) | Verdict::Unreadable => &mut summary.failed,
            };
            *count += 1;
        }
        summary.bytes =
            self.copies().filter_map(|decision| self.source(decision.edge)).map(|object| object.size).sum();
        summary
    }

    /// Removes duplicate copies of the same content to the same object: projects may share a destination.
    pub(super) fn leave_out_repeated(&mut self) {
        let projects = &self.manifests.projects;
        let urls: Vec<_> = projects
            .iter()
            .flat_map(|project| &project.destinations)
            .map(|destination| &destination.url)
            .collect();
        let overlap =
            urls.iter().enumerate().any(|(index, url)| urls[..index].iter().any(|other| other.overlaps(url)));
        if !overlap {
            return;
        }
        let mut seen = HashSet::new();
        self.decisions.retain(|decision| {
            let Edge { project, file, destination } = decision.edge;
            let project = &projects[project];
            seen.insert(project.destinations[destination].url.file(&project.files[file].name))
        });
    }

    /// Emits the plan, and the warnings about it.
    pub(super) fn tell(&self, run: &Run) {
        let (failures, lost): (_, Vec<String>) = (self.failures().collect(), self.lost().collect());
        if !self.strict {
            lost.iter().for_each(|text| run.emit(&Event::Lost(text.clone())));
        }
        run.emit(&Event::Planned { summary: self.summary(), failures, lost });
        for decision in &self.decisions {
            let origin = || self.entry(decision.edge).origin();
            match decision.verdict {
                Verdict::DoneDespiteSource => {
                    let Operation { source, destination, .. } = self.operation(decision);
                    run.emit(&Event::Warned(format!(
                        "{destination} is what the manifest wants, and {source} is not ({})",
                        origin()
                    )));
                }
                Verdict::Replace(found) => {
                    let Operation { destination, .. } = self.operation(decision);
                    let wanted = self.entry(decision.edge).sha256;
                    run.emit(&Event::Warned(format!(
                        "{destination} has the SHA-256 {found}, and is to be replaced by {wanted} ({})",
                        origin()
                    )));
                }
                _ => {}
            }
        }
    }
}
