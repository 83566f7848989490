//! The report of a run. It is built from events, so that it is also correct if the run is interrupted.

mod examined;
mod images;
mod merge;
mod of_plan;
mod outcome;
mod parts;
mod read;
mod runs;
mod scanned;
mod unfinished;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use examined::{ExaminedAttestation, ExaminedImage, ExaminedTotals};
pub use images::{FailedImage, PromotedImage, SkippedPhase, UnsignedImage};
use jiff::Timestamp;
pub use merge::merge;
use oci::{Copied, Digest};
use of_plan::{failures_of_plan, projects};
use outcome::OUTCOMES;
pub use parts::{HostTimeline, HostTraffic, PlanCounts, ReportTimeline, ShardRun};
pub use read::InvalidReport;
use run::{Observer, PhaseTimes};
pub use runs::{LastRuns, Unmergeable};
pub use scanned::{ReportedFinding, ReportedPart, ReportedScan, ScanTotals};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trust::Problem;
use unfinished::{Course, Left};

use crate::event::{Event, Phase, Promotion, ScannedImage};
use crate::phase::Plan;
use crate::shard::{Shard, ShardHosts};

/// The version of the schema, which `docs/reference/report.md` explains.
const SCHEMA: u32 = 1;

/// Returns whether a number may be absent, because reports of earlier versions do not have it.
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Collects the events of a run. It can be read at any time.
#[derive(Debug)]
pub struct ReportBuilder {
    started: Timestamp,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    shard: Option<(Shard, Digest)>,
    promoted: Vec<(Promotion, Copied)>,
    failed: Vec<(Promotion, Problem)>,
    examined: Vec<ExaminedImage>,
    examined_totals: ExaminedTotals,
    scanned: Vec<Arc<ScannedImage>>,
    scan_totals: ScanTotals,
    signed: usize,
    unsigned: Vec<UnsignedImage>,
    recorded: usize,
    unrecorded: Vec<UnsignedImage>,
    rejected: Vec<String>,
    warnings: Vec<String>,
    skipped: Vec<SkippedPhase>,
    phases: PhaseTimes,
    plan: Option<PlanCounts>,
    course: Course,
    tagged: usize,
    bytes_sent: u64,
    blobs_sent: u64,
    blobs_there: u64,
    writing: bool,
}

/// The counts of what the run has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Totals {
    /// Images that were copied to a repository or tagged there.
    pub promoted: usize,
    /// Tags that were written.
    pub tagged: usize,
    /// Images that could not be promoted to a repository: the number of entries in `failed`. An image counts once for each
    /// repository, regardless of the number of tags.
    pub failed: usize,
    /// Images whose promotion to a repository began and did not end before the run stopped.
    #[serde(default)]
    #[schemars(skip_serializing_if = "is_zero")]
    pub unfinished: usize,
    /// Images whose promotion to a repository did not begin before the run stopped.
    #[serde(default)]
    #[schemars(skip_serializing_if = "is_zero")]
    pub not_begun: usize,
    /// Images and parts of images that received missing signatures.
    pub signed: usize,
    /// Images and parts of images that could not be signed.
    pub unsigned: usize,
    /// Images that received a missing promotion record.
    pub recorded: usize,
    /// Images that could not be recorded.
    pub unrecorded: usize,
    /// Blobs that were uploaded.
    pub blobs_sent: u64,
    /// Blobs that were already there or were mounted.
    pub blobs_there: u64,
    /// Bytes of uploaded blobs.
    pub bytes_sent: u64,
}

/// What a run of `kpromo cip` has done (`--report FILE.json`), or several runs (`kpromo report merge`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Report {
    /// The version of this schema.
    #[schemars(extend("const" = SCHEMA))]
    schema: u32,
    /// The version of kpromo. A merged report has all versions of its runs.
    pub version: String,
    /// The outcome as one word. `unsigned`: all images are promoted, but not all of them are signed and recorded. `scanned`: the
    /// run only scans, and all images pass. `incomplete`: a merged report in which shards are missing, or
    /// had different manifests.
    #[schemars(extend("enum" = OUTCOMES))]
    pub outcome: String,
    /// The exit code of the process (`docs/reference/exit-codes.md`).
    pub exit_code: u8,
    /// Whether `--confirm` was given.
    pub confirmed: bool,
    /// The shard that the run was, such as `0/4`. Absent in a run without shards and in a merged report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]+/[1-9][0-9]*$"))]
    pub shard: Option<String>,
    /// The digest of what all shards of the promotion promote together, and of what decides their division. Shards with different
    /// digests had different manifests. Absent in a run without shards, in a merged report and in reports of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub promotion: Option<String>,
    /// When the run started.
    pub started: Timestamp,
    /// The duration of the run, in seconds.
    #[schemars(range(min = 0))]
    pub elapsed_seconds: f64,
    /// The duration of each phase that started, in seconds.
    #[schemars(extend("additionalProperties" = { "type": "number", "minimum": 0 }))]
    pub phase_seconds: BTreeMap<String, f64>,
    /// Phases that did nothing, with the reason.
    pub skipped_phases: Vec<SkippedPhase>,
    /// The counts of the plan. Null if the run ended before its plan was complete.
    pub plan: Option<PlanCounts>,
    /// The counts of what the run has done.
    pub totals: Totals,
    /// The counts of staging images that were examined.
    pub examined_totals: ExaminedTotals,
    /// Staging images that have a policy, or to which something is attached.
    pub examined: Vec<ExaminedImage>,
    /// The counts of scanned images and of their findings.
    pub scan_totals: ScanTotals,
    /// Staging images that were scanned.
    pub scanned: Vec<ReportedScan>,
    /// Images that were copied or tagged, once for each destination repository.
    pub promoted: Vec<PromotedImage>,
    /// Images that could not be promoted, during planning or later, once for each destination repository.
    pub failed: Vec<FailedImage>,
    /// Images that lack their signature.
    pub unsigned: Vec<UnsignedImage>,
    /// Images that lack their promotion record.
    pub unrecorded: Vec<UnsignedImage>,
    /// Destinations of images that are in neither staging nor production.
    pub lost: Vec<String>,
    /// Entries and projects of the manifests that are invalid and were left out, as `file:line:column: message`.
    pub rejected: Vec<String>,
    /// The warnings of the run, including those about lost images.
    pub warnings: Vec<String>,
    /// Why the run stopped early. Null if it did not.
    pub error: Option<String>,
    /// How to resolve the error. Absent if there is none, or if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The requests and bytes of each host.
    pub registries: BTreeMap<String, HostTraffic>,
    /// The requests of each host over time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<ReportTimeline>,
    /// The runs that a merged report consists of. Absent in the report of one run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardRun>,
}

/// The properties of the end of a run that [`ReportBuilder`] cannot derive from events.
#[derive(Debug)]
pub struct Ending<'a> {
    /// The outcome as one word: `done`, `dry-run`, `interrupted`…
    pub outcome: &'a str,
    /// The exit code of the process.
    pub exit_code: u8,
    /// Whether `--confirm` was given.
    pub confirmed: bool,
    /// The plan, if the run got that far.
    pub plan: Option<&'a Plan>,
    /// The error that ended the run, if there is one.
    pub error: Option<Problem>,
    /// The requests and bytes of each registry.
    pub registries: BTreeMap<String, HostTraffic>,
    /// The requests of each registry over time.
    pub timeline: Option<ReportTimeline>,
}

impl Default for ReportBuilder {
    fn default() -> Self {
        Self { started: Timestamp::now(), entries: Mutex::default() }
    }
}

impl ReportBuilder {
    /// Returns the current totals.
    pub fn totals(&self) -> Totals {
        let entries = self.entries();
        let Left { unfinished, not_begun } = entries.course.left();
        Totals {
            promoted: entries.promoted.len(),
            tagged: entries.tagged,
            failed: entries.failed.len(),
            unfinished,
            not_begun,
            signed: entries.signed,
            unsigned: entries.unsigned.len(),
            recorded: entries.recorded,
            unrecorded: entries.unrecorded.len(),
            blobs_sent: entries.blobs_sent,
            blobs_there: entries.blobs_there,
            bytes_sent: entries.bytes_sent,
        }
    }

    /// Returns whether nothing has been written so far and no write has failed.
    pub fn has_written_nothing(&self) -> bool {
        let Totals { promoted, tagged, failed, signed, unsigned, recorded, unrecorded, .. } = self.totals();
        promoted + tagged + failed + signed + unsigned + recorded + unrecorded == 0
    }

    /// Returns the counts of examined images in staging.
    pub fn examined(&self) -> ExaminedTotals {
        self.entries().examined_totals
    }

    /// Returns the counts of scanned images.
    pub fn scan_totals(&self) -> ScanTotals {
        self.entries().scan_totals
    }

    /// Returns the scanned images, in order.
    pub fn scanned(&self) -> Vec<Arc<ScannedImage>> {
        let mut scanned = self.entries().scanned.clone();
        scanned.sort_by_cached_key(|scanned| scanned.image.to_string());
        scanned
    }

    /// Returns whether Promote has started. If it has, production may have been written to.
    pub fn has_writing_begun(&self) -> bool {
        self.entries().writing
    }

    /// Records that the run is one shard of a promotion.
    pub fn set_shard(&self, shard: &ShardHosts) {
        self.entries().shard = Some((shard.shard(), *shard.promotion()));
    }

    /// Records the counts of the plan, in case the run is abandoned later.
    pub fn set_plan(&self, plan: &Plan) {
        self.entries().plan = Some(plan.into());
    }

    /// Returns the number of edges whose registry has not answered yet.
    pub fn late(&self, plan: Option<&Plan>) -> usize {
        let entries = self.entries();
        match plan {
            Some(plan) => plan.summary().total.late,
            None if entries.course.is_second_round() => 0,
            None => entries.plan.as_ref().map_or(0, |plan| plan.total.late),
        }
    }

    /// Returns the numbers of written and of all signatures or records, with their name, while the run writes them.
    pub fn attaching(&self) -> Option<(usize, usize, &'static str)> {
        self.entries().course.attaching()
    }

    /// Adds the entries and projects of the manifests that are left out, as `file:line:column: message`.
    pub fn reject(&self, rejected: impl IntoIterator<Item = String>) {
        self.entries().rejected.extend(rejected);
    }

    /// Returns the promotions that failed, with the reasons.
    pub fn failures(&self) -> Vec<(Promotion, Problem)> {
        self.entries().failed.clone()
    }

    /// Returns what failed in the plan or during promotion, with the reasons. An image counts once per repository.
    pub fn all_failures(&self, plan: Option<&Plan>) -> Vec<(Promotion, Problem)> {
        let mut failures = self.failures();
        failures.extend(plan.map(failures_of_plan).unwrap_or_default());
        failures
    }

    /// Returns the manifests that could not be signed, with the reasons.
    pub fn unsigned(&self) -> Vec<UnsignedImage> {
        self.entries().unsigned.clone()
    }

    /// Returns the images that could not be recorded, with the reasons.
    pub fn unrecorded(&self) -> Vec<UnsignedImage> {
        self.entries().unrecorded.clone()
    }

    /// Returns the skipped phases, with the reasons.
    pub fn skipped(&self) -> Vec<(String, String)> {
        self.entries().skipped.iter().map(|skipped| (skipped.phase.clone(), skipped.why.clone())).collect()
    }

    /// Returns the time since the start of the run.
    pub fn elapsed(&self) -> Duration {
        Timestamp::now().duration_since(self.started).try_into().unwrap_or_default()
    }

    /// Creates the report of the run.
    pub fn report(&self, ending: Ending<'_>) -> Report {
        let failures = self.all_failures(ending.plan);
        let totals = Totals { failed: failures.len(), ..self.totals() };
        let scanned = self.scanned();
        let entries = self.entries();
        let promotions = entries.promoted.iter().map(|(promotion, _)| promotion);
        let projects = ending
            .plan
            .map(|plan| projects(plan, promotions.chain(failures.iter().map(|(promotion, _)| promotion))));
        let project = |promotion: &Promotion| {
            let projects = projects.as_ref()?;
            projects.get(&(&promotion.destination, &promotion.source.digest)).map(|name| (*name).to_owned())
        };
        let texts =
            |promotion: &Promotion| promotion.tags.iter().map(ToString::to_string).collect::<Vec<_>>();
        let failed = failures.iter().map(|(promotion, problem)| FailedImage {
            project: project(promotion),
            source: promotion.source.to_string(),
            destination: promotion.destination.to_string(),
            tags: texts(promotion),
            error: problem.error.clone(),
            advice: problem.advice.clone(),
            cause: problem.cause.clone(),
        });
        Report {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            outcome: ending.outcome.to_owned(),
            exit_code: ending.exit_code,
            confirmed: ending.confirmed,
            shard: entries.shard.map(|(shard, _)| shard.to_string()),
            promotion: entries.shard.map(|(_, promotion)| promotion.to_string()),
            started: self.started,
            elapsed_seconds: self.elapsed().as_secs_f64(),
            phase_seconds: entries.phases.seconds(),
            skipped_phases: entries.skipped.clone(),
            plan: ending.plan.map(PlanCounts::from).or_else(|| entries.plan.clone()),
            totals,
            examined_totals: entries.examined_totals,
            examined: entries.examined.clone(),
            scan_totals: entries.scan_totals,
            scanned: scanned.iter().map(|scanned| ReportedScan::from(&**scanned)).collect(),
            promoted: entries
                .promoted
                .iter()
                .map(|(promotion, copied)| PromotedImage {
                    project: project(promotion),
                    source: promotion.source.to_string(),
                    destination: promotion.destination.to_string(),
                    tags: texts(promotion),
                    blobs_sent: copied.blobs_sent,
                    blobs_there: copied.blobs_there,
                    bytes_sent: copied.bytes_sent,
                })
                .collect(),
            failed: failed.collect(),
            unsigned: entries.unsigned.clone(),
            unrecorded: entries.unrecorded.clone(),
            lost: ending
                .plan
                .map(|plan| plan.lost().map(|edge| plan.edges().reference(edge)).collect())
                .unwrap_or_default(),
            rejected: entries.rejected.clone(),
            warnings: entries.warnings.clone(),
            error: ending.error.as_ref().map(|problem| problem.error.clone()),
            advice: ending.error.and_then(|problem| problem.advice),
            registries: ending.registries,
            timeline: ending.timeline,
            shards: Vec::new(),
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer<Event> for ReportBuilder {
    fn observe(&self, event: &Event) {
        let mut entries = self.entries();
        entries.course.observe(event);
        match event {
            Event::Started(phase) => {
                entries.writing |= *phase == Phase::Promote;
                entries.phases.start(phase);
            }
            Event::Ended { phase, elapsed } => entries.phases.end(phase, *elapsed),
            Event::Skipped { phase, why } => {
                entries.skipped.push(SkippedPhase { phase: phase.to_string(), why: (*why).to_owned() });
            }
            Event::Warned(text) | Event::Lost(text) => entries.warnings.push(text.clone()),
            Event::Blob { size, sent: true, .. } => {
                entries.blobs_sent += 1;
                entries.bytes_sent += size;
            }
            Event::Blob { sent: false, .. } => entries.blobs_there += 1,
            Event::Tagged(_) => entries.tagged += 1,
            Event::Promoted(promotion, copied) => entries.promoted.push((promotion.clone(), *copied)),
            Event::Failed(promotion, error) => {
                entries.failed.push((promotion.clone(), Problem::from(&**error)));
            }
            Event::Withheld(promotion, why) => {
                entries.failed.push((promotion.clone(), Problem::without_advice(why.as_str())));
            }
            Event::Examined(examination) => {
                entries.examined_totals.add(examination);
                if examination.is_worth_telling() {
                    entries.examined.push(ExaminedImage::from(&**examination));
                }
            }
            Event::Scanned(scanned) => {
                entries.scan_totals.add(scanned);
                entries.scanned.push(Arc::clone(scanned));
            }
            Event::Signed(_) => entries.signed += 1,
            Event::Unsigned(image, problem) => {
                entries.unsigned.push(UnsignedImage::new(image, problem));
            }
            Event::Recorded(_) => entries.recorded += 1,
            Event::Unrecorded(image, problem) => {
                entries.unrecorded.push(UnsignedImage::new(image, problem));
            }
            Event::Work { .. } | Event::Worked | Event::Begun(_) | Event::ToPromote { .. } => {}
        }
    }
}
