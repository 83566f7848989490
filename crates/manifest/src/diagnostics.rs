//! All diagnostics of a run or of one file.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;

use super::diagnostic::{Diagnostic, fingerprint};

/// The maximum number of rendered diagnostics. The rest is counted.
const SHOWN: usize = 100;
/// The maximum number of diagnostics of one file that are kept. The rest is counted.
const KEPT: usize = 1_000;

/// All faults of the manifests of a run, ordered by file and position.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
    /// The number of diagnostics that were not kept.
    more: usize,
}

impl Diagnostics {
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Adds a fault of a file. Only the first [`KEPT`] faults of a file are kept, and the rest is counted.
    pub(super) fn push_with(&mut self, diagnostic: impl FnOnce() -> Diagnostic) {
        if self.found.len() < KEPT { self.found.push(diagnostic()) } else { self.more += 1 }
    }

    /// Adds all diagnostics of another collection.
    pub(super) fn append(&mut self, mut other: Self) {
        self.found.append(&mut other.found);
        self.more += other.more;
    }

    /// Returns the number of kept diagnostics.
    pub(super) fn kept(&self) -> usize {
        self.found.len()
    }

    /// Sets the entry of all kept diagnostics from index `start` on: see [`Diagnostic::identify`].
    pub(super) fn identify(&mut self, start: usize, entry: impl Hash) {
        let found = self.found.get_mut(start..).unwrap_or_default();
        if !found.is_empty() {
            let entry = fingerprint(entry);
            found.iter_mut().for_each(|diagnostic| diagnostic.identify(entry));
        }
    }

    /// Limits the identities of all diagnostics to a project: see [`Diagnostic::belongs_to`].
    pub(super) fn belongs_to(&mut self, project: &str, content: u64) {
        self.found.iter_mut().for_each(|diagnostic| diagnostic.belongs_to(project, content));
    }

    /// Removes and returns the faults with one of these identities.
    pub(super) fn take(&mut self, identities: &HashSet<u64>) -> Vec<Diagnostic> {
        let is_one = |diagnostic: &mut Diagnostic| {
            diagnostic.identity().is_some_and(|identity| identities.contains(&identity))
        };
        self.found.extract_if(.., is_one).collect()
    }

    /// Sorts the diagnostics by file and position.
    pub(super) fn sort(&mut self) {
        self.found.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    }

    /// Returns `value` if there is no fault.
    ///
    /// # Errors
    /// If there is any fault: returns all faults, ordered by file and position.
    pub(super) fn or<T>(mut self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            return Ok(value);
        }
        self.sort();
        Err(self)
    }

    /// Whether there are no diagnostics.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Returns the kept diagnostics. Only the first faults of each file are kept.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.found.iter()
    }

    /// Returns the number of diagnostics, including those that were not kept.
    pub fn count(&self) -> usize {
        self.found.len() + self.more
    }

    /// Formats the diagnostics with their lines, in colour if `color` is set. The first hundred are formatted, and the rest
    /// is counted.
    pub fn render(&self, color: bool) -> String {
        self.rendered(|diagnostic| diagnostic.render(color))
    }

    /// Formats the diagnostics like [`Self::render`], with lines of at most `width` columns.
    pub fn render_within(&self, width: usize, color: bool) -> String {
        self.rendered(|diagnostic| diagnostic.render_within(width, color))
    }

    fn rendered(&self, render: impl Fn(&Diagnostic) -> String) -> String {
        let mut parts: Vec<String> = self.found.iter().take(SHOWN).map(render).collect();
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
