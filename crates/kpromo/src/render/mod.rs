//! The output of a run for a person: progress, the plan and the summary.

mod audit;
mod human;
mod plan;
mod progress;
mod summary;

pub(crate) use audit::{audit_json, audit_text};
pub(crate) use human::{bytes, count, duration};
pub(crate) use plan::{plan_edges, plan_missing, plan_table};
pub(crate) use progress::{Bars, Lines};
pub(crate) use summary::{failures, summary};
