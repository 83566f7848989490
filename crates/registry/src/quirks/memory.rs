//! What quirks that depend on earlier requests remember.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fresh::Fresh;
use super::uploads::Uploads;

/// What the quirks of one server remember.
#[derive(Debug, Default)]
pub(super) struct Memory {
    fresh: Mutex<Fresh>,
    uploads: Mutex<Uploads>,
}

impl Memory {
    /// The latest writes.
    pub(super) fn fresh(&self) -> MutexGuard<'_, Fresh> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The uploads, and the requests that put manifests.
    pub(super) fn uploads(&self) -> MutexGuard<'_, Uploads> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
