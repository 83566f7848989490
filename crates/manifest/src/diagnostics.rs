//! All diagnostics of a run, or of one file.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;

use super::diagnostic::{Diagnostic, fingerprint};

/// The most diagnostics that are shown; the rest is counted.
const SHOWN: usize = 100;
/// The most diagnostics of one file that are kept; the rest is counted.
const KEPT: usize = 1_000;

/// All faults of the manifests of a run, ordered by file and place.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
    /// The number of those that were found and not kept.
    more: usize,
}

impl Diagnostics {
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Adds a fault of a file. Of a file with very many the first are kept and the others counted.
    pub(super) fn push_with(&mut self, diagnostic: impl FnOnce() -> Diagnostic) {
        if self.found.len() < KEPT { self.found.push(diagnostic()) } else { self.more += 1 }
    }

    /// Adds all of another collection.
    pub(super) fn append(&mut self, mut other: Self) {
        self.found.append(&mut other.found);
        self.more += other.more;
    }

    /// The number of those that were kept.
    pub(super) fn kept(&self) -> usize {
        self.found.len()
    }

    /// Sets for those that were kept after the first `start` which entry has the fault, unless that is set already.
    pub(super) fn identify(&mut self, start: usize, entry: impl Hash) {
        let found = self.found.get_mut(start..).unwrap_or_default();
        if !found.is_empty() {
            let entry = fingerprint(entry);
            found.iter_mut().for_each(|diagnostic| diagnostic.identify(entry));
        }
    }

    /// Limits the identities of all to a project: see [`Diagnostic::belongs_to`].
    pub(super) fn belongs_to(&mut self, project: &str, content: u64) {
        self.found.iter_mut().for_each(|diagnostic| diagnostic.belongs_to(project, content));
    }

    /// Takes out the faults with one of these identities.
    pub(super) fn take(&mut self, identities: &HashSet<u64>) -> Vec<Diagnostic> {
        let is_one = |diagnostic: &mut Diagnostic| {
            diagnostic.identity().is_some_and(|identity| identities.contains(&identity))
        };
        self.found.extract_if(.., is_one).collect()
    }

    /// Orders the diagnostics by file and place.
    pub(super) fn sort(&mut self) {
        self.found.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    }

    /// `value` where there is no fault.
    ///
    /// # Errors
    /// All faults, by file and place.
    pub(super) fn or<T>(mut self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            return Ok(value);
        }
        self.sort();
        Err(self)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The diagnostics, one by one. Of a file with very many the first are kept.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.found.iter()
    }

    /// How many there are, with those that were not kept.
    pub fn count(&self) -> usize {
        self.found.len() + self.more
    }

    /// The diagnostics with their lines, in colour where `color` says so. The first hundred are shown, the rest is counted.
    pub fn render(&self, color: bool) -> String {
        let mut parts: Vec<String> =
            self.found.iter().take(SHOWN).map(|diagnostic| diagnostic.render(color)).collect();
        let hidden = self.count() - parts.len();
        if hidden > 0 {
            parts.push(format!("and {hidden} more"));
        }
        parts.join("\n\n")
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { found: vec![diagnostic], more: 0 }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}
