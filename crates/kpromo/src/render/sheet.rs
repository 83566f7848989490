//! A sheet of labelled values, such as `kubectl describe` prints, for the width of a terminal.

use std::fmt::Write as _;

use console::measure_text_width;

/// The column of values, behind their labels.
const VALUES: usize = 15;
/// The additional indentation of a value that is below its label.
const BELOW: usize = 2;

/// A text of titles, with labelled values below each.
#[derive(Debug)]
pub(super) struct Sheet {
    text: String,
    /// The width in columns. `None`: each value has one line.
    width: Option<usize>,
}

impl Sheet {
    pub(super) fn new(width: Option<usize>) -> Self {
        Self { text: String::new(), width }
    }

    /// Adds a line without a label. It is not wrapped.
    pub(super) fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// Adds a value behind its label. A long value continues on the lines below. A value with a word that is too long for the
    /// rest of the line begins below the label: digests and addresses are not broken, so that they can be copied.
    pub(super) fn value(&mut self, indent: usize, label: &str, value: &str) {
        let end = indent + measure_text_width(label);
        let column = VALUES.max(end + 1);
        let beside = match self.width {
            None => Some(vec![value.to_owned()]),
            Some(width) => wrapped(value, width.saturating_sub(column)),
        };
        // Writing to a string does not fail.
        let _ = write!(self.text, "{:indent$}{label}", "");
        if let Some(lines) = beside {
            let gap = column - end;
            let _ = writeln!(self.text, "{:gap$}{}", "", lines.join(&format!("\n{:column$}", "")));
            return;
        }
        let column = indent + BELOW;
        let room = self.width.unwrap_or(usize::MAX).saturating_sub(column);
        // The terminal breaks a word that is longer than its lines.
        let lines = wrapped(value, room).unwrap_or_else(|| vec![value.to_owned()]);
        lines.iter().for_each(|line| {
            let _ = write!(self.text, "\n{:column$}{line}", "");
        });
        self.text.push('\n');
    }

    /// Returns the text.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// Breaks a text at spaces into lines of at most `width` columns. `None` if a word is longer.
fn wrapped(text: &str, width: usize) -> Option<Vec<String>> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let length = measure_text_width(word);
        if length > width {
            return None;
        }
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + 1 + length <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(width: Option<usize>, label: &str, value: &str) -> String {
        let mut sheet = Sheet::new(width);
        sheet.value(2, label, value);
        sheet.finish()
    }

    #[test]
    fn a_value_stands_beside_its_label_and_continues_below_itself() {
        assert_eq!(sheet(None, "digest", "a b"), "  digest       a b\n");
        assert_eq!(sheet(Some(20), "digest", "aa bb cc dd"), "  digest       aa bb\n               cc dd\n");
        assert_eq!(sheet(None, "a long label for", "x"), "  a long label for x\n");
    }

    #[test]
    fn a_long_word_stands_below_the_label_and_remains_whole() {
        assert_eq!(sheet(Some(20), "digest", "0123456789 a b"), "  digest\n    0123456789 a b\n");
        let long = "x".repeat(40);
        assert_eq!(sheet(Some(20), "digest", &long), format!("  digest\n    {long}\n"));
    }

    #[test]
    fn colors_take_no_column() {
        let painted = "\u{1b}[32maa\u{1b}[0m bb";
        assert_eq!(sheet(Some(20), "digest", painted), format!("  digest       {painted}\n"));
    }
}
