//! The text of a file, its lines, and positions in it.

use std::cell::OnceCell;
use std::sync::Arc;

/// A position in a file. Lines and columns start at 1, and columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Position {
    pub(super) fn new(line: usize, column: usize) -> Self {
        let number = |number: usize| u32::try_from(number.max(1)).unwrap_or(u32::MAX);
        Self { line: number(line), column: number(column) }
    }
}

/// The text of a file, with access to single lines.
pub(super) struct Source<'a> {
    file: &'a Arc<str>,
    text: &'a str,
    /// The byte offset of each line. Computed on first use.
    lines: OnceCell<Vec<usize>>,
}

impl<'a> Source<'a> {
    pub(super) fn new(file: &'a Arc<str>, text: &'a str) -> Self {
        Self { file, text, lines: OnceCell::new() }
    }

    /// The name of the file in messages.
    pub(super) fn file(&self) -> &'a Arc<str> {
        self.file
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// Returns a line by its number, which starts at 1. The line break is not included. Returns an empty text if there is no
    /// such line.
    pub(super) fn line(&self, number: u32) -> &'a str {
        let lines = self.lines();
        let index = (number as usize).saturating_sub(1);
        let Some(start) = lines.get(index) else { return "" };
        let end = lines.get(index + 1).copied().unwrap_or(self.text.len());
        self.text[*start..end].trim_end_matches(['\n', '\r'])
    }

    /// The position after the last character.
    pub(super) fn end(&self) -> Position {
        let lines = self.lines();
        let last = lines.last().copied().unwrap_or_default();
        Position::new(lines.len(), self.text[last..].chars().count() + 1)
    }

    fn lines(&self) -> &[usize] {
        self.lines.get_or_init(|| {
            let bytes = self.text.as_bytes();
            // YAML breaks lines at `\n`, `\r\n` and a lone `\r`.
            let is_break = |at: &usize| match bytes[*at] {
                b'\n' => true,
                b'\r' => bytes.get(at + 1) != Some(&b'\n'),
                _ => false,
            };
            std::iter::once(0).chain((0..bytes.len()).filter(is_break).map(|at| at + 1)).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_break_of_yaml_ends_a_line() {
        let file = Arc::from("f.yaml");
        let source = Source::new(&file, "a\nb\r\nc\rd\n");
        let lines: Vec<&str> = (1..7).map(|number| source.line(number)).collect();
        assert_eq!(lines, ["a", "b", "c", "d", "", ""]);
        assert_eq!(source.end(), Position { line: 5, column: 1 });
    }
}
