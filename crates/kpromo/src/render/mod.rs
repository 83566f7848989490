//! The output of a run for a person: progress, the plan and the summary.

mod audit;
mod document;
mod human;
mod lint;
mod plan;
mod progress;
mod scans;
mod screen;
mod shard;
mod sheet;
mod sigcheck;
mod summary;

#[cfg(debug_assertions)]
pub(crate) use audit::Document as AuditDocument;
pub(crate) use audit::{AuditShape, audit_json, audit_text};
pub(crate) use human::{bytes, count, counted, duration};
#[cfg(debug_assertions)]
pub(crate) use lint::LintDocument;
pub(crate) use lint::{LintResult, lint_github, lint_json, lint_sarif, lint_text};
pub(crate) use plan::{PlanShape, plan_edges, plan_missing, plan_open, plan_table};
pub(crate) use progress::{Lines, Progress};
pub(crate) use scans::{scan_summary, scan_table};
pub(crate) use screen::screen;
pub(crate) use shard::shard_line;
#[cfg(debug_assertions)]
pub(crate) use sigcheck::Document as SigcheckDocument;
pub(crate) use sigcheck::{Results, sigcheck_json, sigcheck_text};
pub(crate) use summary::{failures, not_done, summary};
