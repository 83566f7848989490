//! What quirks of writing remember: lost uploads, and how often manifests were put.

use std::collections::{HashMap, HashSet};

/// The uploads that were opened or lost, and the requests that put manifests.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    opened: u64,
    lost: HashSet<String>,
    puts: HashMap<String, u64>,
}

impl Uploads {
    /// Counts an upload that was opened. Gives its number, counted from 0.
    pub(super) fn open(&mut self) -> u64 {
        let number = self.opened;
        self.opened += 1;
        number
    }

    /// Marks an upload as lost.
    pub(super) fn lose(&mut self, id: String) {
        self.lost.insert(id);
    }

    /// Whether an upload is lost.
    pub(super) fn is_lost(&self, id: &str) -> bool {
        self.lost.contains(id)
    }

    /// Counts a request that puts a manifest. Gives the number of the request, counted from 1 for each target.
    pub(super) fn put(&mut self, target: &str) -> u64 {
        let puts = self.puts.entry(target.to_owned()).or_default();
        *puts += 1;
        *puts
    }
}
