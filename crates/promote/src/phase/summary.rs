//! The counts of a plan.

use std::collections::{BTreeMap, HashMap, HashSet};

use manifest::Edge;
use oci::{Digest, Host};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decide::Verdict;
use crate::phase::plan::Plan;
use crate::subject::edges_of;

/// Counts of edges and images by action, and the cost of copying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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
    /// Edges that are not decided because their registry has not answered. The run asks it again after the others.
    pub late: usize,
    /// The maximum number of bytes to transfer. Blobs that production already has elsewhere are mounted instead.
    pub bytes: u64,
}

/// The counts by project and in total.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The counts by project. Projects without edges are left out.
    pub projects: BTreeMap<String, Count>,
    /// The counts of all projects.
    pub total: Count,
    /// Promoted images that may lack a signature or a record, and were not examined. With
    /// `--check-signatures`, a dry run examines them.
    pub not_looked_at: usize,
}

impl Plan {
    /// Returns the counts by project and in total.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        let mut moved: HashSet<(&Host, Digest)> = HashSet::new();
        for (edge, verdict) in self.decisions() {
            let count = self.count(edge, verdict, &mut moved);
            summary.total.add(count);
            summary.projects.entry(self.edges.project(edge).to_owned()).or_default().add(count);
        }
        for (edge, count) in self.owed_counts() {
            summary.total.add(count);
            summary.projects.entry(self.edges.project(edge).to_owned()).or_default().add(count);
        }
        summary.not_looked_at = self.owed.not_looked_at;
        summary
    }

    /// Returns the counts by the host of the destination.
    pub fn counts_by_host(&self) -> BTreeMap<String, Count> {
        let mut hosts: HashMap<&Host, Count> = HashMap::new();
        let mut moved: HashSet<(&Host, Digest)> = HashSet::new();
        for (edge, verdict) in self.decisions() {
            let count = self.count(edge, verdict, &mut moved);
            hosts.entry(&self.edges.destination(edge).host).or_default().add(count);
        }
        for (edge, count) in self.owed_counts() {
            hosts.entry(&self.edges.destination(edge).host).or_default().add(count);
        }
        hosts.into_iter().map(|(host, count)| (host.to_string(), count)).collect()
    }

    /// Returns the count of one edge.
    fn count<'a>(&'a self, edge: &Edge, verdict: &Verdict, moved: &mut HashSet<(&'a Host, Digest)>) -> Count {
        let mut count = Count { edges: 1, ..Count::default() };
        match verdict {
            verdict if self.failure(edge, verdict).is_some() => count.failed = 1,
            Verdict::Done | Verdict::DoneWithoutSource => count.done = 1,
            Verdict::Copy => {
                count.copy = 1;
                count.bytes = self.bytes_to_move(edge, moved);
            }
            Verdict::Tag => count.tag = 1,
            Verdict::Lost => count.lost = 1,
            Verdict::Moved(_) | Verdict::Unsupported(_) => count.conflicts = 1,
            Verdict::Unreadable(_) => count.failed = 1,
            Verdict::Late => count.late = 1,
        }
        count
    }

    /// Returns what images lack, each with an edge of the image.
    fn owed_counts(&self) -> impl Iterator<Item = (&Edge, Count)> {
        self.owed.images.iter().filter_map(|image| {
            let edge = edges_of(&self.edges, &image.subject).next()?;
            let (sign, record) =
                (usize::from(image.signature), usize::from(image.record || image.summary || image.carried));
            let count = match image.refused {
                Some(_) => Count { refused: 1, ..Count::default() },
                None => Count { sign, record, ..Count::default() },
            };
            Some((edge, count))
        })
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
    /// Adds other counts.
    pub fn add(&mut self, other: Self) {
        self.edges = self.edges.saturating_add(other.edges);
        self.copy = self.copy.saturating_add(other.copy);
        self.tag = self.tag.saturating_add(other.tag);
        self.sign = self.sign.saturating_add(other.sign);
        self.record = self.record.saturating_add(other.record);
        self.refused = self.refused.saturating_add(other.refused);
        self.done = self.done.saturating_add(other.done);
        self.lost = self.lost.saturating_add(other.lost);
        self.conflicts = self.conflicts.saturating_add(other.conflicts);
        self.failed = self.failed.saturating_add(other.failed);
        self.late = self.late.saturating_add(other.late);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}
