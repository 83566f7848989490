//! Inserts lines between the entries of a list or mapping in block notation.

use std::ops::Range;

use crate::lint::flaw::{Change, Reason};
use crate::lint::layout::Node;
use crate::lint::text::Text;

const NOT_ON_LINES: Reason = "its entries are not on lines of their own";
/// The reason for refusing a file with multi-line scalars.
pub(super) const LONG_SCALARS: Reason = "it has texts of several lines";

/// The entries of a list or mapping, each with its byte range.
pub(super) struct Entries<'a, 't> {
    pub(super) text: &'a Text<'t>,
    pub(super) ranges: Vec<Range<usize>>,
    /// The text before an entry on its line, apart from spaces: `-` or nothing.
    pub(super) opener: &'static str,
}

impl<'a, 't> Entries<'a, 't> {
    pub(super) fn of_list(text: &'a Text<'t>, items: &[Node<'_>]) -> Self {
        Self { text, ranges: items.iter().map(|item| item.range.clone()).collect(), opener: "-" }
    }

    pub(super) fn of_map(text: &'a Text<'t>, pairs: &[(Node<'_>, Node<'_>)]) -> Self {
        let range = |(key, value): &(Node<'_>, Node<'_>)| {
            let end = if value.range.is_empty() { key.range.end } else { value.range.end };
            key.range.start..end.max(key.range.end)
        };
        Self { text, ranges: pairs.iter().map(range).collect(), opener: "" }
    }

    /// Returns the text before an entry: spaces and the dash, which may be on a separate line.
    pub(super) fn prefix(&self, at: usize) -> Result<String, Reason> {
        let start = self.ranges[at].start;
        let before = self.text.before(start);
        match before.trim_matches(' ') {
            found if found == self.opener => Ok(before.to_owned()),
            "" => {
                let dash = lone_dash(self.text, start).ok_or(NOT_ON_LINES)?;
                Ok(format!("{}-{}{before}", self.text.before(dash), self.text.line_break()))
            }
            _ => Err(NOT_ON_LINES),
        }
    }

    /// Returns the first line of an entry, which is the line of its dash.
    fn first_line(&self, at: usize) -> usize {
        let start = self.ranges[at].start;
        let dash = if self.opener.is_empty() { None } else { lone_dash(self.text, start) };
        self.text.line_of(dash.unwrap_or(start))
    }

    fn last_line(&self, at: usize) -> usize {
        self.text.line_of(self.ranges[at].end.max(self.ranges[at].start))
    }

    /// Returns the change that inserts lines before the entry with the index `at`, or at the end. `lines` has no trailing line
    /// break. Comments stay with the entry that they are above, or indented below.
    pub(super) fn insert(&self, at: usize, lines: &str) -> Result<Change, Reason> {
        let text = self.text;
        let line_break = text.line_break();
        let gap = line_break.repeat(self.empty_lines(at));
        let Some(before) = at.checked_sub(1) else {
            let place = text.bytes(self.above_first()?..usize::MAX).start;
            return Ok(insertion(place, format!("{lines}{line_break}{gap}")));
        };
        let indentation = self.prefix(before)?.chars().take_while(|c| *c == ' ').count();
        let next = if at < self.ranges.len() { self.first_line(at) } else { usize::MAX };
        if self.last_line(before) >= next {
            return Err(NOT_ON_LINES);
        }
        let mut end = self.last_line(before) + 1;
        // A comment below an entry belongs to it if it is indented more.
        while end < next
            && text.line(end).trim_start().starts_with('#')
            && text.line(end).len() - text.line(end).trim_start().len() > indentation
        {
            end += 1;
        }
        let place = text.bytes(0..end).end;
        if text.text[..place].ends_with(['\n', '\r']) {
            return Ok(insertion(place, format!("{gap}{lines}{line_break}")));
        }
        // If the last line of the file has no line break, the new last line has none either.
        Ok(insertion(place, format!("{line_break}{gap}{lines}")))
    }

    /// Returns the first line of the first entry, or of the comments above it. A comment at the start of the file belongs to the
    /// file.
    fn above_first(&self) -> Result<usize, Reason> {
        self.prefix(0)?;
        let first = self.first_line(0);
        let mut top = first;
        while top > 0 && self.text.line(top - 1).trim_start().starts_with('#') {
            top -= 1;
        }
        Ok(if top == 0 { first } else { top })
    }

    /// Returns the number of empty lines that separate entries around the index `at`.
    fn empty_lines(&self, at: usize) -> usize {
        let last = self.ranges.len().saturating_sub(1);
        let after = at.clamp(1, last.max(1));
        if after > last {
            return 0;
        }
        let between = self.last_line(after - 1) + 1..self.first_line(after);
        between.take_while(|line| self.text.line(*line).trim().is_empty()).count()
    }
}

/// Returns the byte offset of the dash of the list entry that starts at `start`, if the dash is alone on an earlier line, with
/// only empty lines and comments in between.
pub(super) fn lone_dash(text: &Text<'_>, start: usize) -> Option<usize> {
    let line = text.line_of(start);
    if !text.before(start).trim_matches(' ').is_empty() {
        return None;
    }
    let is_skipped = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let line = (0..line).rev().find(|line| !is_skipped(text.line(*line)))?;
    let found = text.line(line);
    let rest = found.trim_start_matches(' ').strip_prefix('-')?;
    let is_alone = rest.trim().is_empty() || (rest.starts_with(' ') && rest.trim_start().starts_with('#'));
    is_alone.then(|| text.bytes(line..line + 1).start + found.len() - found.trim_start_matches(' ').len())
}

/// Returns the byte offset of the dash of the entry that starts at `start` in a list in block notation.
pub(super) fn dash(text: &Text<'_>, start: usize) -> Option<usize> {
    let before = text.before(start);
    let on_line = before.rfind('-').map(|at| start - before.len() + at);
    on_line.or_else(|| lone_dash(text, start))
}

pub(super) fn insertion(at: usize, text: String) -> Change {
    Change { range: at..at, text }
}
