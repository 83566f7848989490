//! The domain of image promotion: manifests, edges, inventories, the plan and its phases.
//!
//! This crate does not access the terminal or the environment. The registries are the only state: the next run finds what one run
//! has left undone.

mod cache;
mod decide;
mod error;
mod event;
mod inventory;
mod output;
pub mod phase;
mod pipeline;
mod report;
mod shard;
pub mod sigcheck;
pub mod snapshot;
mod subject;

pub use cache::{Cache, CacheError, Recheck};
pub use decide::{Verdict, decide};
pub use error::{Blocked, Conflict, Error};
pub use event::{Event, Examination, Phase, Promotion, Run, ScannedImage};
pub use inventory::{Inventory, ListingBuilder, Lookup};
pub use output::{PlanFile, write_plan};
pub use phase::{Completion, Confirmed, Copying, Job};
pub use pipeline::{Prepared, carry_out, prepare};
pub use report::{
    Ending, ExaminedAttestation, ExaminedImage, ExaminedTotals, FailedImage, HostTimeline, HostTraffic,
    InvalidReport, LastRuns, PlanCounts, PromotedImage, Report, ReportBuilder, ReportTimeline,
    ReportedFinding, ReportedPart, ReportedScan, ScanTotals, ShardRun, SkippedPhase, Totals, Unmergeable,
    UnsignedImage, merge,
};
pub use run::Observer;
pub use shard::{InvalidShard, Shard, ShardHosts};
