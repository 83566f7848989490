//! The report files of a run: JSON, an HTML page, and metrics.

mod files;
mod merge;
mod metrics;
mod page;
mod traffic;

pub(crate) use files::{check, write};
pub(crate) use merge::merge_files;
pub(crate) use metrics::{Metrics, RunEnd, write_metrics};
pub(crate) use traffic::Traffic;
