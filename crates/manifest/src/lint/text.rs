//! Lines and positions of a text, by byte offset.

use std::ops::Range;

use crate::source::Position;

/// The UTF-8 byte order mark.
const MARK: char = '\u{feff}';

/// The lines of a text.
pub(crate) struct Text<'a> {
    pub(crate) text: &'a str,
    /// The byte offset of each line.
    starts: Vec<usize>,
}

impl<'a> Text<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        // YAML breaks lines at `\n`, `\r\n` and a lone `\r`.
        let is_break = |at: &usize| match bytes[*at] {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        };
        let starts = std::iter::once(0).chain((0..bytes.len()).filter(is_break).map(|at| at + 1));
        Self { text, starts: starts.collect() }
    }

    /// Returns the number of the line with a byte offset. Line numbers start at 0 here.
    pub(crate) fn line_of(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at).saturating_sub(1)
    }

    /// Returns the bytes of some lines, with their line breaks. A byte order mark is not part of the first line.
    pub(crate) fn bytes(&self, lines: Range<usize>) -> Range<usize> {
        let start = self.starts.get(lines.start).copied().unwrap_or(self.text.len());
        let start = if start == 0 && self.text.starts_with(MARK) { MARK.len_utf8() } else { start };
        let end = self.starts.get(lines.end).copied().unwrap_or(self.text.len());
        start..end.max(start)
    }

    /// Returns a line without its line break.
    pub(crate) fn line(&self, number: usize) -> &'a str {
        self.text[self.bytes(number..number + 1)].trim_end_matches(['\n', '\r'])
    }

    /// Returns the text of a line before a byte offset in it.
    pub(crate) fn before(&self, at: usize) -> &'a str {
        let start = self.bytes(self.line_of(at)..0).start;
        &self.text[start.min(at)..at]
    }

    /// Returns the first line break of the text.
    pub(crate) fn line_break(&self) -> &'a str {
        let at = self.text.find(['\n', '\r']).unwrap_or(self.text.len());
        match &self.text[at..] {
            rest if rest.starts_with("\r\n") => "\r\n",
            rest if rest.starts_with('\r') => "\r",
            _ => "\n",
        }
    }

    /// Returns the position of a byte offset. Columns count characters, without a byte order mark.
    pub(crate) fn position(&self, at: usize) -> Position {
        Position::new(self.line_of(at) + 1, self.before(at).chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_with_every_kind_of_line_break() {
        for ends in ["\n", "\r\n", "\r"] {
            let text = format!("\u{feff}aé{ends}bü:{ends}{ends}c");
            let lines = Text::new(&text);
            let at = text.find(':').unwrap();
            assert_eq!(lines.position(at), Position { line: 2, column: 3 }, "{ends:?}");
            assert_eq!(lines.position(text.find('é').unwrap()), Position { line: 1, column: 2 }, "{ends:?}");
            assert_eq!((lines.line(0), lines.line(1), lines.line(2), lines.line(3)), ("aé", "bü:", "", "c"));
            assert_eq!((lines.before(at), lines.line_break()), ("bü", ends));
            assert_eq!(&text[lines.bytes(1..3)], format!("bü:{ends}{ends}"));
        }
    }
}
