//! Parts of the report: the numbers of the plan, the traffic of registries, and the runs of a merged report.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::outcome::OUTCOMES;
use crate::phase::{Count, Plan, Summary};

/// The counts of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanCounts {
    /// The counts by project. Projects without edges are left out.
    pub projects: BTreeMap<String, Count>,
    /// The counts by the host of the destination. Absent in reports of earlier versions.
    #[serde(default)]
    #[schemars(skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, Count>,
    /// The counts of all projects.
    pub total: Count,
    /// Promoted images that may lack a signature or a record, and were not examined.
    pub not_looked_at: usize,
}

impl From<&Plan> for PlanCounts {
    fn from(plan: &Plan) -> Self {
        let Summary { projects, total, not_looked_at } = plan.summary();
        Self { projects, hosts: plan.counts_by_host(), total, not_looked_at }
    }
}

/// The requests to one host and their answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostTraffic {
    /// Requests sent, by kind, including retries and redirects.
    pub requests: BTreeMap<String, u64>,
    /// Requests that the host refused because of their rate: answers with 429, or with 503 and `Retry-After`.
    pub refused: u64,
    /// Requests that failed at the host: answers with another temporary 5xx.
    pub faults: u64,
    /// Requests that repeated a failed one.
    pub retried: u64,
    /// Requests without an answer, or with one that broke off.
    pub unanswered: u64,
    /// Bytes of received bodies.
    pub received: u64,
    /// Bytes of sent bodies.
    pub sent: u64,
    /// The time from the first request to the last answer, in milliseconds.
    pub milliseconds: u64,
}

impl HostTraffic {
    /// Returns the number of requests of all kinds.
    pub fn total(&self) -> u64 {
        self.requests.values().fold(0, |sum, number| sum.saturating_add(*number))
    }

    /// Adds the traffic of another run. Their times are not added, because shards run at the same time.
    pub(super) fn add(&mut self, other: &Self) {
        for (kind, number) in &other.requests {
            let sum = self.requests.entry(kind.clone()).or_default();
            *sum = sum.saturating_add(*number);
        }
        for (sum, number) in [
            (&mut self.refused, other.refused),
            (&mut self.faults, other.faults),
            (&mut self.retried, other.retried),
            (&mut self.unanswered, other.unanswered),
            (&mut self.received, other.received),
            (&mut self.sent, other.sent),
        ] {
            *sum = sum.saturating_add(number);
        }
        self.milliseconds = self.milliseconds.max(other.milliseconds);
    }
}

/// The requests of all hosts over time, in buckets of one width.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReportTimeline {
    /// When the first bucket begins.
    pub started: Timestamp,
    /// The width of a bucket, in milliseconds. It grows with the duration of the run, so that there are at most 120 buckets.
    #[schemars(range(min = 1))]
    pub bucket_milliseconds: u64,
    /// The buckets by host.
    pub hosts: BTreeMap<String, HostTimeline>,
}

/// The numbers of one host, by bucket. Zeros at the end of a list are left out, as are lists without other numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostTimeline {
    /// The number of requests sent in each bucket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<u64>,
    /// The number of refused requests in each bucket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<u64>,
    /// The number of failed requests in each bucket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<u64>,
    /// The number of requests without an answer in each bucket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<u64>,
}

impl HostTimeline {
    /// Creates a timeline from the counts of each bucket: requests, refused, faults, unanswered.
    pub fn of(buckets: impl IntoIterator<Item = [u64; 4]>) -> Self {
        let mut timeline = Self::default();
        for (index, numbers) in buckets.into_iter().enumerate() {
            for (list, number) in timeline.lists().into_iter().zip(numbers) {
                add_at(list, index, number);
            }
        }
        timeline
    }

    /// Returns the lists, in the order of the fields.
    fn lists(&mut self) -> [&mut Vec<u64>; 4] {
        [&mut self.requests, &mut self.refused, &mut self.faults, &mut self.unanswered]
    }

    /// Adds the buckets of another timeline. `place` maps an index of the other timeline to an index of this one.
    pub(super) fn add(&mut self, other: &Self, place: impl Fn(usize) -> usize) {
        let others = [&other.requests, &other.refused, &other.faults, &other.unanswered];
        for (list, other) in self.lists().into_iter().zip(others) {
            for (index, number) in other.iter().enumerate() {
                add_at(list, place(index), *number);
            }
        }
    }

    /// Returns the number of buckets.
    pub fn buckets(&self) -> usize {
        [&self.requests, &self.refused, &self.faults, &self.unanswered]
            .map(Vec::len)
            .into_iter()
            .max()
            .unwrap_or(0)
    }
}

/// Adds a number to a bucket. Lists have no trailing zeros.
fn add_at(list: &mut Vec<u64>, index: usize, number: u64) {
    if number == 0 {
        return;
    }
    if list.len() <= index {
        list.resize(index + 1, 0);
    }
    list[index] = list[index].saturating_add(number);
}

/// One run of a merged report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShardRun {
    /// The file of its report.
    pub name: String,
    /// The shard that it was, such as `0/4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]+/[1-9][0-9]*$"))]
    pub shard: Option<String>,
    /// The digest of what all shards of its promotion promote together, as in the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub promotion: Option<String>,
    /// Its outcome as one word, as in the report.
    #[schemars(extend("enum" = OUTCOMES))]
    pub outcome: String,
    /// The exit code of its process.
    pub exit_code: u8,
    /// Whether `--confirm` was given.
    pub confirmed: bool,
    /// When it started.
    pub started: Timestamp,
    /// Its duration, in seconds.
    #[schemars(range(min = 0))]
    pub elapsed_seconds: f64,
}
