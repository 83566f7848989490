//! Violations of rules in one file.

use std::ops::Range;

use super::rule::Rule;

/// A replacement of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) range: Range<usize>,
    pub(crate) text: String,
}

/// Why a finding cannot be fixed.
pub(crate) type Reason = &'static str;

/// A violation of a rule in one file.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) rule: Rule,
    /// The byte offset.
    pub(super) at: usize,
    pub(super) message: String,
    /// The changes that remove the flaw.
    pub(super) fix: Result<Vec<Change>, Reason>,
}
