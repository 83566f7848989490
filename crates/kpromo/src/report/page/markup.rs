//! Builds HTML. Markup is constant, and all other text is escaped.

use oci_types::text::shown;

use crate::render::count;

/// The maximum number of rows of one table. A browser remains fast with these, and the JSON report has all.
const ROWS_MAX: usize = 2_000;
/// The maximum length of one text, in characters.
const TEXT_MAX: usize = 10_000;

/// A page, or a part of one.
#[derive(Clone, Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Adds markup. Only constants are accepted, so that external text cannot be markup.
    pub(super) fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds a text. It may have several lines.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for (index, line) in text.split('\n').enumerate() {
            if index > 0 {
                self.0.push('\n');
            }
            for c in shown(line, TEXT_MAX).chars() {
                match c {
                    '&' => self.0.push_str("&amp;"),
                    '<' => self.0.push_str("&lt;"),
                    '>' => self.0.push_str("&gt;"),
                    '"' => self.0.push_str("&quot;"),
                    '\'' => self.0.push_str("&#39;"),
                    c => self.0.push(c),
                }
            }
        }
        self
    }

    /// Adds an element with a text.
    pub(super) fn element(&mut self, begin: &'static str, text: &str, end: &'static str) -> &mut Self {
        self.markup(begin).text(text).markup(end)
    }

    /// Adds an attribute to the element that was just opened.
    pub(super) fn attribute(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.markup(" ").markup(name).markup("=\"").text(value).markup("\"")
    }

    /// Adds another part.
    pub(super) fn append(&mut self, part: &Self) -> &mut Self {
        self.0.push_str(&part.0);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// A cell of a table.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    /// Words.
    Text(String),
    /// A name, such as that of a host.
    Name(String),
    /// An image: a name, and a digest behind an `@` if there is one.
    Image(String),
    /// A neutral number.
    Number(u64),
    /// A number of problems, highlighted if it is not 0.
    Bad(u64),
    /// A number that may need attention, highlighted if it is not 0.
    Warning(u64),
    /// A number with a unit.
    Amount(String),
    /// A state: the class of its style, and its words.
    State(&'static str, String),
    /// A part of the page.
    Part(Html),
}

impl Cell {
    /// Returns whether the column is aligned as numbers are.
    const fn is_number(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Bad(_) | Self::Warning(_) | Self::Amount(_))
    }

    fn write(&self, html: &mut Html) {
        let number = |html: &mut Html, number: u64, class: &'static str| {
            let begin = if number == 0 { "<span class=\"zero\">" } else { class };
            html.element(begin, &count(number), "</span>");
        };
        match self {
            Self::Text(text) => html.element("<span class=\"words\">", text, "</span>"),
            Self::Name(text) => html.element("<code>", text, "</code>"),
            Self::Image(text) => {
                image(html, text);
                html
            }
            Self::Number(value) => {
                number(html, *value, "<span>");
                html
            }
            Self::Bad(value) => {
                number(html, *value, "<span class=\"bad\">");
                html
            }
            Self::Warning(value) => {
                number(html, *value, "<span class=\"warning\">");
                html
            }
            Self::Amount(text) => html.text(text),
            Self::State(class, text) => {
                html.markup("<span class=\"").markup(class).element("\">", text, "</span>")
            }
            Self::Part(part) => html.append(part),
        };
    }
}

/// Adds the name of an image, with its digest on a line of its own.
pub(super) fn image(html: &mut Html, name: &str) {
    match name.split_once('@') {
        Some((name, digest)) => {
            html.element("<code>", name, "</code>").element("<span class=\"digest\">@", digest, "</span>")
        }
        None => html.element("<code>", name, "</code>"),
    };
}

/// A table: its caption, its columns and its rows.
pub(super) struct Table<'a> {
    /// The name of the table.
    pub(super) caption: &'static str,
    /// The titles of the columns.
    pub(super) columns: &'a [&'static str],
}

impl Table<'_> {
    /// Adds the table. If there are too many rows, it shows the first ones with a note.
    pub(super) fn write(&self, html: &mut Html, rows: impl ExactSizeIterator<Item = Vec<Cell>>) {
        let total = rows.len();
        html.markup("<div class=\"scroll\" role=\"region\" tabindex=\"0\"")
            .attribute("aria-label", self.caption);
        html.element("><table><caption>", self.caption, "</caption><thead><tr>");
        let mut rows = rows.take(ROWS_MAX).peekable();
        let first = rows.peek().cloned().unwrap_or_default();
        for (index, column) in self.columns.iter().enumerate() {
            let is_number = first.get(index).is_some_and(Cell::is_number);
            let begin = if is_number { "<th scope=\"col\" class=\"number\">" } else { "<th scope=\"col\">" };
            html.element(begin, column, "</th>");
        }
        html.markup("</tr></thead><tbody>");
        for row in rows {
            html.markup("<tr data-row>");
            for (index, cell) in row.iter().enumerate() {
                let (begin, end) = match (index, cell.is_number()) {
                    (0, _) => ("<th scope=\"row\">", "</th>"),
                    _ if matches!(cell, Cell::Image(_)) => ("<td class=\"image\">", "</td>"),
                    (_, true) => ("<td class=\"number\">", "</td>"),
                    (_, false) => ("<td>", "</td>"),
                };
                html.markup(begin);
                cell.write(html);
                html.markup(end);
            }
            html.markup("</tr>");
        }
        html.markup("</tbody></table></div>\n");
        note(html, total, ROWS_MAX, "rows");
    }
}

/// Adds a note that only the first rows are shown.
pub(super) fn note(html: &mut Html, total: usize, limit: usize, what: &str) {
    if total > limit {
        let text = format!(
            "The first {} of {} {what}. The report as JSON has all.",
            count(limit as u64),
            count(total as u64)
        );
        html.element("<p class=\"note\">", &text, "</p>\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Html)) -> String {
        let mut html = Html::default();
        write(&mut html);
        html.into_text()
    }

    #[test]
    fn no_text_is_markup() {
        let text = "</script><script>alert('1')</script>\u{202e}\u{7}&<!-- \"";
        let shown = written(|html| {
            html.text(text);
        });
        let expected = "&lt;/script&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;\\u{202e}\\u{7}&amp;&lt;!-- &quot;";
        assert_eq!(shown, expected);
        let attribute = written(|html| {
            html.attribute("aria-label", "\" onload=\"x");
        });
        assert_eq!(attribute, " aria-label=\"&quot; onload=&quot;x\"");
        for cell in [Cell::Text, Cell::Name, Cell::Image, Cell::Amount] {
            let cell = cell("<b>@<i>".to_owned());
            let shown = written(|html| cell.write(html));
            assert!(!shown.contains("<b>") && !shown.contains("<i>"), "{shown}");
        }
    }

    #[test]
    fn a_text_keeps_its_lines() {
        let text = written(|html| {
            html.text("a\n b\r");
        });
        assert_eq!(text, "a\n b\\r");
    }

    #[test]
    fn a_long_table_is_cut_and_says_so() {
        let table = Table { caption: "Images", columns: &["image", "bytes"] };
        let rows =
            |number: u64| (0..number).map(|row| vec![Cell::Text(format!("r{row}.")), Cell::Number(row)]);
        let rows: Vec<Vec<Cell>> = rows(ROWS_MAX as u64 + 1).collect();
        let all = written(|html| table.write(html, rows.clone().into_iter()));
        assert_eq!(all.matches("<tr data-row>").count(), ROWS_MAX);
        assert!(all.contains("The first 2,000 of 2,001 rows") && !all.contains("r2000."), "cut");
        let few = written(|html| table.write(html, rows.into_iter().take(1)));
        assert!(!few.contains("first"), "{few}");
        assert!(few.contains("<th scope=\"col\" class=\"number\">bytes</th>"), "{few}");
    }
}
