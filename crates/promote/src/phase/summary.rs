//! What a plan comes to, in numbers.

use std::collections::{BTreeMap, HashSet};

use manifest::Edge;
use oci::{Digest, Host};
use serde::Serialize;

use crate::decide::Verdict;
use crate::phase::plan::Plan;
use crate::subject::edges_of;

/// Counts of edges, and what moving them would cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// Edges in all.
    pub edges: usize,
    /// Edges whose image is to be copied.
    pub copy: usize,
    /// Edges whose image is there and lacks the tag.
    pub tag: usize,
    /// Images that lack a signature at their homes, with their parts one.
    pub sign: usize,
    /// Images that lack a promotion record at their homes, a verification summary where there are to be any, or an attestation
    /// that their policy accepts.
    pub record: usize,
    /// Promoted images that stay without a signature or a record that they lack, because they have not passed.
    pub refused: usize,
    /// Edges of which nothing is left to do.
    pub done: usize,
    /// Edges whose image neither staging nor production has.
    pub lost: usize,
    /// Edges that contradict production.
    pub conflicts: usize,
    /// Edges whose registries or images cannot be read.
    pub failed: usize,
    /// Edges whose registries have not answered yet, and are asked again when the others are done.
    pub late: usize,
    /// Bytes to move at the most: what production has somewhere is mounted instead.
    pub bytes: u64,
}

/// Counts by project and in all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// By project, those with edges alone.
    pub projects: BTreeMap<String, Count>,
    /// All together.
    pub total: Count,
    /// Promoted images of which it is not known whether they lack a signature or a record: a dry run looks at these only if it
    /// is asked to.
    pub not_looked_at: usize,
}

impl Plan {
    /// Counts by project and in all.
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
            let (sign, record) = (
                usize::from(image.signature),
                usize::from(image.record || image.summary || !image.lacks_own()),
            );
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

    /// The bytes of an edge's image that no edge before it has brought to its host.
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
