//! The state of quirks that depend on earlier requests.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fresh::Fresh;
use super::uploads::Uploads;

/// The state of the quirks of one server.
#[derive(Debug, Default)]
pub(super) struct Memory {
    fresh: Mutex<Fresh>,
    uploads: Mutex<Uploads>,
}

impl Memory {
    /// Locks the latest writes.
    pub(super) fn fresh(&self) -> MutexGuard<'_, Fresh> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the uploads and the counts of manifest pushes.
    pub(super) fn uploads(&self) -> MutexGuard<'_, Uploads> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
