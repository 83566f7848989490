//! The report files of a run: JSON, an HTML page, and metrics.

mod formats;
mod merge;
mod metrics;
mod page;
mod traffic;

pub(crate) use formats::{check, write_reports};
pub(crate) use merge::merge_files;
pub(crate) use metrics::{Metrics, RunEnd, write_metrics};
pub(crate) use page::{files_page, images_page};
pub(crate) use traffic::Traffic;

/// How to make a merged report complete.
const GAPS_ADVICE: &str = "merge the reports of all shards; run a shard again if it wrote none, or if its manifests or configuration differ from those of the others";
