//! State of the quirks of writes: lost uploads, and how often each manifest was pushed.

use std::collections::{HashMap, HashSet};

/// The opened and the lost uploads, and the requests that put manifests.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    opened: u64,
    lost: HashSet<String>,
    puts: HashMap<String, u64>,
}

impl Uploads {
    /// Counts an opened upload. Returns its number, starting at 0.
    pub(super) fn open(&mut self) -> u64 {
        let number = self.opened;
        self.opened += 1;
        number
    }

    /// Marks an upload as lost.
    pub(super) fn lose(&mut self, id: String) {
        self.lost.insert(id);
    }

    /// Returns whether an upload is lost.
    pub(super) fn is_lost(&self, id: &str) -> bool {
        self.lost.contains(id)
    }

    /// Counts a request that puts a manifest. Returns the number of the request for its target, starting at 1.
    pub(super) fn put(&mut self, target: &str) -> u64 {
        let puts = self.puts.entry(target.to_owned()).or_default();
        *puts += 1;
        *puts
    }
}
