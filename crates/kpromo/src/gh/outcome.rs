//! The results of a run so far. They can be read at any time, so that they are available if the run is interrupted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use manifest::files::Sha256;
use schemars::JsonSchema;
use serde::Serialize;

/// A copy of an asset.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Copy {
    /// The asset.
    pub(super) source: String,
    /// The URL of the object.
    pub(super) destination: String,
    /// The SHA-256 of the content, in hexadecimal.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub(super) sha256: String,
    /// The size in bytes.
    pub(super) bytes: u64,
}

/// A copy that was not made.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct NotCopied {
    /// The asset.
    pub(super) source: String,
    /// The URL of the object. Absent if the entry is about all destinations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination: Option<String>,
    /// The reason.
    pub(super) error: String,
    /// How to resolve the error. Absent if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<&'static str>,
}

/// The results of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Done {
    /// Objects that this run has written.
    pub(super) copied: Vec<Copy>,
    /// The number of objects that already existed.
    pub(super) there: usize,
    pub(super) conflicts: Vec<NotCopied>,
    pub(super) failed: Vec<NotCopied>,
    /// The number of objects that were not started or were aborted because the run was stopped.
    pub(super) not_begun: usize,
    /// The files at the first destination of each asset, for a manifest.
    pub(super) files: BTreeMap<String, Sha256>,
    /// Whether a write to a store was started.
    pub(super) is_writing: bool,
    /// Whether GitHub's rate limit was used up for longer than the run waits.
    pub(super) is_used_up: bool,
}

/// Collects the results of a run.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) started: Timestamp,
    done: Mutex<Done>,
}

impl Default for Outcome {
    fn default() -> Self {
        Self { started: Timestamp::now(), done: Mutex::default() }
    }
}

impl Outcome {
    /// Returns the results, to read or change them.
    pub(super) fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
