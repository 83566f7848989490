//! The counts of a plan.

use schemars::JsonSchema;
use serde::Serialize;

/// The counts of a plan: files, each counted once for each destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Files that destinations have.
    pub done: usize,
    /// Files to copy.
    pub copy: usize,
    /// Files that replace other content.
    pub replace: usize,
    /// Files that are in neither the source nor the destination.
    pub lost: usize,
    /// Files whose destination has other content that must not be replaced.
    pub conflicts: usize,
    /// Files that cannot be promoted: the source has other content, or a store could not be asked.
    pub failed: usize,
    /// The bytes to write.
    pub bytes: u64,
}
