//! The numbers of a plan.

use std::collections::{BTreeMap, HashSet};

use manifest::Edge;
use oci::{Digest, Host};
use serde::Serialize;

use crate::decide::Verdict;
use crate::phase::plan::Plan;
use crate::subject::edges_of;

/// The numbers of edges and images by action, and the cost of copying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// All edges.
    pub edges: usize,
    /// Edges whose image has to be copied.
    pub copy: usize,
    /// Edges whose image is there and only lacks the tag.
    pub tag: usize,
    /// Images that lack a signature in their canonical repository. An image and its parts count as one.
    pub sign: usize,
    /// Images that lack one of these in their canonical repository: a promotion record, a verification summary (if the run
    /// writes any), an attestation that their policy accepts.
    pub record: usize,
    /// Promoted images that do not get their missing signature or record because they have not passed.
    pub refused: usize,
    /// Edges that need no action.
    pub done: usize,
    /// Edges whose image is in neither staging nor production.
    pub lost: usize,
    /// Edges that contradict production.
    pub conflicts: usize,
    /// Edges whose registry or image cannot be read.
    pub failed: usize,
    /// Edges whose registry has not answered yet. It is asked again after the others.
    pub late: usize,
    /// The maximum number of bytes to transfer. Blobs that production already has elsewhere are mounted instead.
    pub bytes: u64,
}

/// The counts by project and in total.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The counts by project. Projects without edges are left out.
    pub projects: BTreeMap<String, Count>,
    /// The counts of all projects.
    pub total: Count,
    /// The number of promoted images that may lack a signature or a record. A dry run looks at these only on request.
    pub not_looked_at: usize,
}

impl Plan {
    /// Returns the counts by project and in total.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        let mut moved: HashSet<(&Host, Digest)> = HashSet::new();
        for (edge, verdict) in self.decisions() {
            let mut count = Count { edges: 1, ..Count::default() };
            match verdict {
                verdict if self.failure(edge, verdict).is_some() => count.failed = 1,
                Verdict::Done | Verdict::DoneWithoutSource => count.done = 1,
                Verdict::Copy => {
                    count.copy = 1;
                    count.bytes = self.bytes_to_move(edge, &mut moved);
                }
                Verdict::Tag => count.tag = 1,
                Verdict::Lost => count.lost = 1,
                Verdict::Moved(_) | Verdict::Unsupported(_) => count.conflicts = 1,
                Verdict::Unreadable(_) => count.failed = 1,
                Verdict::Late => count.late = 1,
            }
            summary.total.add(count);
            summary.projects.entry(self.edges.project(edge).to_owned()).or_default().add(count);
        }
        for image in &self.owed.images {
            let Some(edge) = edges_of(&self.edges, &image.subject).next() else { continue };
            let (sign, record) =
                (usize::from(image.signature), usize::from(image.record || image.summary || image.carried));
            let count = match image.refused {
                Some(_) => Count { refused: 1, ..Count::default() },
                None => Count { sign, record, ..Count::default() },
            };
            summary.total.add(count);
            summary.projects.entry(self.edges.project(edge).to_owned()).or_default().add(count);
        }
        summary.not_looked_at = self.owed.not_looked_at;
        summary
    }

    /// Returns the size of those blobs of an edge's image that no earlier edge brings to the same host, in bytes.
    fn bytes_to_move<'a>(&'a self, edge: &Edge, moved: &mut HashSet<(&'a Host, Digest)>) -> u64 {
        let Some(Ok(graph)) = self.images.get(&(edge.source, edge.digest)) else { return 0 };
        let host = &self.edges.destination(edge).host;
        let new = graph.blobs(|_| true).into_iter().filter(|blob| moved.insert((host, blob.digest)));
        new.fold(0, |sum, blob| sum.saturating_add(blob.size))
    }
}

impl Count {
    fn add(&mut self, other: Self) {
        self.edges += other.edges;
        self.copy += other.copy;
        self.tag += other.tag;
        self.sign += other.sign;
        self.record += other.record;
        self.refused += other.refused;
        self.done += other.done;
        self.lost += other.lost;
        self.conflicts += other.conflicts;
        self.failed += other.failed;
        self.late += other.late;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}
