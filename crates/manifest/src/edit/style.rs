//! The style of a file: quotes, separators and indentation, as its entries have them.

use oci_types::{Digest, RepositoryPath, Tag};

use super::lines::dash;
use crate::lint::layout::{Node, Value};
use crate::lint::text::Text;

/// The notation of lists of tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagsStyle {
    /// `["a", "b"]`
    Flow,
    /// Each tag on its own line, indented by this many columns more than the digest.
    Block { indentation: usize },
}

/// The notation of new entries.
#[derive(Clone, Debug)]
pub(super) struct Style {
    pub(super) tag_quote: char,
    pub(super) digest_quote: char,
    /// The separator between two tags on a line.
    pub(super) separator: &'static str,
    pub(super) tags: TagsStyle,
    /// The columns by which `dmap` entries are indented more than the field `dmap`.
    pub(super) dmap_indentation: usize,
}

impl Style {
    /// Returns the style of the entry nearest to the index `at`. Properties that this entry does not show come from the next
    /// nearest entries.
    pub(super) fn near(text: &Text<'_>, images: &[Node<'_>], at: usize) -> Self {
        let mut style = Self {
            tag_quote: '"',
            digest_quote: '"',
            separator: ", ",
            tags: TagsStyle::Flow,
            dmap_indentation: 2,
        };
        // The nearest entry is applied last.
        let mut near: Vec<(usize, &Node<'_>)> = images.iter().enumerate().collect();
        near.sort_by_key(|(index, _)| std::cmp::Reverse(index.abs_diff(at)));
        for (_, image) in near {
            style.learn(text, image);
        }
        style
    }

    fn learn(&mut self, text: &Text<'_>, image: &Node<'_>) {
        for (key, dmap) in image.pairs().iter().filter(|(key, _)| key.text() == Some("dmap")) {
            let Value::Map { pairs, is_flow } = &dmap.value else { continue };
            if let (false, Some((first, _))) = (is_flow, pairs.first()) {
                let (outer, inner) = (column(text, key), column(text, first));
                self.dmap_indentation = inner.saturating_sub(outer).max(1);
            }
            for (digest, tags) in pairs {
                self.digest_quote = quote(text, digest);
                let Value::List { items, is_flow } = &tags.value else { continue };
                let Some(first) = items.first() else { continue };
                self.tag_quote = quote(text, first);
                if *is_flow {
                    self.tags = TagsStyle::Flow;
                    self.separator = separator(text, items).unwrap_or(self.separator);
                } else {
                    let indentation =
                        dash(text, first.range.start).map_or(0, |dash| text.before(dash).chars().count());
                    let indentation = indentation.saturating_sub(column(text, digest));
                    self.tags = TagsStyle::Block { indentation };
                }
            }
        }
    }

    pub(super) fn tag(&self, tag: &Tag) -> String {
        quoted(tag.as_str(), self.tag_quote)
    }

    pub(super) fn digest(&self, digest: &Digest) -> String {
        quoted(&digest.to_string(), self.digest_quote)
    }

    /// Returns a digest with one tag, for a line with this indentation.
    pub(super) fn row(&self, digest: &Digest, tag: &Tag, indentation: &str, line_break: &str) -> String {
        let (digest, tag) = (self.digest(digest), self.tag(tag));
        match self.tags {
            TagsStyle::Flow => format!("{indentation}{digest}: [{tag}]"),
            TagsStyle::Block { indentation: more } => {
                let more = " ".repeat(more);
                format!("{indentation}{digest}:{line_break}{indentation}{more}- {tag}")
            }
        }
    }
}

/// Returns the column of a value, counted from 0.
pub(super) fn column(text: &Text<'_>, node: &Node<'_>) -> usize {
    text.before(node.range.start).chars().count()
}

/// Returns the quotation mark of a scalar, or `"` if it has none: new scalars are always quoted, because other parsers read an
/// unquoted `1.10` as the number 1.1.
pub(super) fn quote(text: &Text<'_>, node: &Node<'_>) -> char {
    if text.text[node.range.clone()].starts_with('\'') { '\'' } else { '"' }
}

pub(super) fn quoted(word: &str, quote: char) -> String {
    format!("{quote}{word}{quote}")
}

/// Returns the separator between the first two items of a list, if it is a usual one.
pub(super) fn separator(text: &Text<'_>, items: &[Node<'_>]) -> Option<&'static str> {
    let [first, second, ..] = items else { return None };
    match &text.text[first.range.end..second.range.start] {
        "," => Some(","),
        ", " => Some(", "),
        _ => None,
    }
}

/// Returns an image's name as a scalar. It is quoted if YAML could parse it as another type than a string.
pub(super) fn name(name: &RepositoryPath) -> String {
    const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let name = name.as_str();
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic()) && !WORDS.contains(&name);
    if is_plain { name.to_owned() } else { quoted(name, '"') }
}
