//! The findings of lint, and the edits that fix them.

use std::ops::Range;
use std::sync::Arc;

use super::rule::Rule;
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::Position;

/// A violation of a rule.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The violated rule.
    pub rule: Rule,
    /// The message, its severity and its position.
    pub diagnostic: Diagnostic,
    /// Other positions that the message refers to.
    pub related: Vec<Related>,
    /// The edits of the file that remove the finding without a change of meaning. Empty if there is no such fix.
    pub fix: Vec<Edit>,
}

/// Another position that a finding refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// The name of the file in messages.
    pub file: Arc<str>,
    /// The position in the file.
    pub position: Position,
    /// A description of the position.
    pub message: String,
}

/// A replacement of a part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The replaced bytes of the file.
    pub range: Range<usize>,
    /// The position of the first replaced character.
    pub start: Position,
    /// The position after the last replaced character.
    pub end: Position,
    /// The new text.
    pub text: String,
}

impl Finding {
    pub(super) fn new(rule: Rule, diagnostic: Diagnostic) -> Self {
        let diagnostic = match rule.severity() {
            Severity::Error => diagnostic,
            Severity::Warning => diagnostic.warning(),
        };
        Self { rule, diagnostic, related: Vec::new(), fix: Vec::new() }
    }

    /// Returns whether the finding is an error.
    pub fn is_error(&self) -> bool {
        self.diagnostic.severity() == Severity::Error
    }

    /// Formats the finding with its line, which is cut to `width` columns around the position, in colour if `color` is set. The
    /// text has several lines, without a trailing line feed.
    pub fn render(&self, width: usize, color: bool) -> String {
        self.diagnostic.render_as(Some(self.rule.name()), width, color)
    }
}
