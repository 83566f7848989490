//! The changes that add one tag to a file.

use oci_types::Digest;

use super::addition::{Addition, FileKind};
use super::flow;
use super::lines::{Entries, LONG_SCALARS, insertion};
use super::place::{place, place_of_digest, place_of_tag};
use super::style::{Style, TagsStyle, column, name, quote, separator};
use crate::lint::flaw::{Change, Reason};
use crate::lint::layout::{Layout, Node, Value, layout};
use crate::lint::text::Text;

const ALIAS: Reason = "the entry is an alias";

/// Returns the changes that add a tag.
pub(super) fn changes(text: &str, kind: FileKind, addition: &Addition) -> Result<Vec<Change>, Reason> {
    let Some(layout) = layout(text) else { return Err("it cannot be read") };
    if layout.has_long_scalars {
        return Err(LONG_SCALARS);
    }
    let text = Text::new(text);
    let editor = Editor { text: &text, addition };
    editor.file(&layout, kind)
}

/// Returns whether a file has anchors, aliases or YAML tags.
pub(super) fn has_anchors(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).ok().and_then(layout).is_some_and(|layout| layout.has_anchors)
}

/// Edits one file.
struct Editor<'a, 't> {
    text: &'a Text<'t>,
    addition: &'a Addition,
}

impl Editor<'_, '_> {
    fn file(&self, layout: &Layout<'_>, kind: FileKind) -> Result<Vec<Change>, Reason> {
        let Some(root) = &layout.root else { return self.first_image_at_end() };
        match kind {
            FileKind::Images if is_null(root) && root.range.is_empty() => self.first_image_at_end(),
            FileKind::Images if is_null(root) => self.in_place_of(root),
            FileKind::Images => self.images(None, root),
            FileKind::Plain => {
                let images = root.pairs().iter().find(|(key, _)| key.text() == Some("images"));
                match images {
                    Some((key, images)) => self.images(Some(key), images),
                    None => self.images_field(root),
                }
            }
        }
    }

    /// Adds the tag to a list of images, which is the value of the field `key` in a plain manifest.
    fn images(&self, key: Option<&Node<'_>>, list: &Node<'_>) -> Result<Vec<Change>, Reason> {
        let (items, is_flow) = match &list.value {
            Value::List { items, is_flow } => (items, *is_flow),
            Value::Alias => return Err(ALIAS),
            _ => match key {
                Some(key) if is_null(list) => return self.replace(key, list, &self.first_image(0)),
                _ => return Err("its images are not a list"),
            },
        };
        let is_ours =
            |item: &&Node<'_>| item.field("name").and_then(Node::text) == Some(self.addition.image.as_str());
        let ours: Vec<&Node<'_>> = items.iter().filter(is_ours).collect();
        if let Some(first) = ours.first() {
            // An image may be listed more than once.
            let has_digest =
                |image: &&&Node<'_>| image.field("dmap").and_then(|dmap| self.find(dmap)).is_some();
            return self.image(items, ours.iter().find(has_digest).unwrap_or(first));
        }
        if items.is_empty() {
            return match key {
                Some(key) => self.replace(key, list, &self.first_image(0)),
                None => self.in_place_of(list),
            };
        }
        let names: Vec<&str> =
            items.iter().map(|item| item.field("name").and_then(Node::text).unwrap_or_default()).collect();
        let at = place(&names, |name| (*name).cmp(self.addition.image.as_str()));
        if is_flow {
            let ranges: Vec<_> = items.iter().map(|item| item.range.clone()).collect();
            let style = Style::near(self.text, items, at);
            let (digest, tag) = (style.digest(&self.addition.digest), style.tag(&self.addition.tag));
            let item = format!("{{name: {}, dmap: {{{digest}: [{tag}]}}}}", name(&self.addition.image));
            return Ok(vec![flow::insert(self.text, &list.range, &ranges, at, &item, ", ")?]);
        }
        let entries = Entries::of_list(self.text, items);
        let near = at.min(items.len() - 1);
        let prefix = entries.prefix(near)?;
        let style = Style::near(self.text, items, at);
        Ok(vec![entries.insert(at, &self.new_image(&prefix, &style))?])
    }

    /// Returns the lines of a new image. `prefix` is the indentation with the dash, which may be on a separate line.
    fn new_image(&self, prefix: &str, style: &Style) -> String {
        let line_break = self.text.line_break();
        let last = prefix.rsplit(['\n', '\r']).next().unwrap_or_default();
        let fields = " ".repeat(last.chars().count());
        let rows = format!("{fields}{}", " ".repeat(style.dmap_indentation));
        let row = style.row(&self.addition.digest, &self.addition.tag, &rows, line_break);
        format!("{prefix}name: {}{line_break}{fields}dmap:{line_break}{row}", name(&self.addition.image))
    }

    /// Returns the lines of the first image of a file.
    fn first_image(&self, indentation: usize) -> String {
        let style = Style::near(self.text, &[], 0);
        self.new_image(&format!("{}- ", " ".repeat(indentation)), &style)
    }

    /// Replaces a file that is only an empty list or null with the first image.
    fn in_place_of(&self, empty: &Node<'_>) -> Result<Vec<Change>, Reason> {
        let range = empty.range.clone();
        if self.text.text[range.clone()].contains(['\n', '\r', '#']) {
            return Err("its empty list has several lines");
        }
        let before = self.text.before(range.start);
        let image = self.first_image(0);
        if before.trim_matches(' ').is_empty() {
            return Ok(vec![Change { range: range.start - before.len()..range.end, text: image }]);
        }
        // A list in block notation must not begin on the line of `---`.
        let start = range.start - (before.len() - before.trim_end_matches(' ').len());
        Ok(vec![Change { range: start..range.end, text: format!("{}{image}", self.text.line_break()) }])
    }

    fn first_image_at_end(&self) -> Result<Vec<Change>, Reason> {
        if self.text.text.lines().any(|line| line.trim_end() == "...") {
            return Err("it has an end of the document, `...`");
        }
        let (end, line_break) = (self.text.text.len(), self.text.line_break());
        let before =
            if self.text.text.is_empty() || self.text.text.ends_with(['\n', '\r']) { "" } else { line_break };
        Ok(vec![insertion(end, format!("{before}{}{line_break}", self.first_image(0)))])
    }

    /// Adds the field `images` to a plain manifest.
    fn images_field(&self, root: &Node<'_>) -> Result<Vec<Change>, Reason> {
        let Value::Map { pairs, is_flow: false } = &root.value else {
            return Err("it has no field `images`");
        };
        let lines = format!("images:{}{}", self.text.line_break(), self.first_image(0));
        Ok(vec![Entries::of_map(self.text, pairs).insert(pairs.len(), &lines)?])
    }

    /// Replaces the empty value of a key with lines below the key.
    fn replace(&self, key: &Node<'_>, value: &Node<'_>, lines: &str) -> Result<Vec<Change>, Reason> {
        let colon = self.colon(key)?;
        let text = format!("{}{lines}", self.text.line_break());
        if value.range.is_empty() {
            // Keep a comment on the line of the key.
            let line = self.text.line_of(colon);
            let end = self.text.bytes(line..line + 1).start + self.text.line(line).len();
            return Ok(vec![insertion(end, text)]);
        }
        if self.text.line_of(colon) != self.text.line_of(value.range.end.max(colon)) {
            return Err("an empty value is not on the line of its key");
        }
        Ok(vec![Change { range: colon..value.range.end, text }])
    }

    /// Returns the byte offset after the colon of a key.
    fn colon(&self, key: &Node<'_>) -> Result<usize, Reason> {
        let rest = &self.text.text[key.range.end..];
        let blanks = rest.len() - rest.trim_start_matches(' ').len();
        if rest[blanks..].starts_with(':') {
            Ok(key.range.end + blanks + 1)
        } else {
            Err("a key has no colon on its line")
        }
    }

    /// Adds the tag to an image of the file.
    fn image(&self, items: &[Node<'_>], image: &Node<'_>) -> Result<Vec<Change>, Reason> {
        let field = image.pairs().iter().find(|(key, _)| key.text() == Some("dmap"));
        let Some((key, dmap)) = field else { return self.dmap_field(image) };
        if let Some((digest, tags)) = self.find(dmap) {
            return self.tags(items, digest, tags);
        }
        let index = items.iter().position(|item| item.range == image.range).unwrap_or_default();
        let style = Style::near(self.text, items, index);
        let Addition { digest, tag, .. } = self.addition;
        let is_empty_flow = matches!(&dmap.value, Value::Map { pairs, is_flow: true } if pairs.is_empty());
        match &dmap.value {
            Value::Alias => Err(ALIAS),
            Value::Map { pairs, is_flow: true } if !pairs.is_empty() => {
                let at = self.digest_place(items, dmap);
                let ranges = Entries::of_map(self.text, pairs).ranges;
                let item = format!("{}: [{}]", style.digest(digest), style.tag(tag));
                Ok(vec![flow::insert(self.text, &dmap.range, &ranges, at, &item, ", ")?])
            }
            Value::Map { pairs, .. } if !pairs.is_empty() => {
                let at = self.digest_place(items, dmap);
                let entries = Entries::of_map(self.text, pairs);
                let indentation = entries.prefix(at.min(pairs.len() - 1))?;
                let row = style.row(digest, tag, &indentation, self.text.line_break());
                Ok(vec![entries.insert(at, &row)?])
            }
            _ if is_null(dmap) || is_empty_flow => {
                let is_in_flow = matches!(image.value, Value::Map { is_flow: true, .. });
                if is_in_flow {
                    return Err("an image in braces has no digests");
                }
                let indentation = " ".repeat(column(self.text, key) + style.dmap_indentation);
                self.replace(key, dmap, &style.row(digest, tag, &indentation, self.text.line_break()))
            }
            _ => Err("a `dmap` is not a mapping"),
        }
    }

    /// Adds the field `dmap` to an image without one.
    fn dmap_field(&self, image: &Node<'_>) -> Result<Vec<Change>, Reason> {
        let (Value::Map { pairs, is_flow: false }, Some((first, _))) = (&image.value, image.pairs().first())
        else {
            return Err("an image has no `dmap`");
        };
        let style = Style::near(self.text, &[], 0);
        let fields = " ".repeat(column(self.text, first));
        let rows = format!("{fields}{}", " ".repeat(style.dmap_indentation));
        let line_break = self.text.line_break();
        let row = style.row(&self.addition.digest, &self.addition.tag, &rows, line_break);
        let end = Entries::of_map(self.text, pairs).ranges.last().map_or(image.range.end, |range| range.end);
        let line = self.text.line_of(end);
        let end = self.text.bytes(line..line + 1).start + self.text.line(line).len();
        Ok(vec![insertion(end, format!("{line_break}{fields}dmap:{line_break}{row}"))])
    }

    fn find<'n, 'l>(&self, dmap: &'n Node<'l>) -> Option<&'n (Node<'l>, Node<'l>)> {
        let is_ours = |key: &Node<'_>| {
            key.text().and_then(|text| text.parse::<Digest>().ok()) == Some(self.addition.digest)
        };
        dmap.pairs().iter().find(|(key, _)| is_ours(key))
    }

    fn digest_place(&self, items: &[Node<'_>], dmap: &Node<'_>) -> usize {
        place_of_digest(items, dmap, &self.addition.digest.to_string(), self.addition.tag.as_str())
    }

    /// Adds the tag to a digest.
    fn tags(&self, items: &[Node<'_>], digest: &Node<'_>, list: &Node<'_>) -> Result<Vec<Change>, Reason> {
        let index =
            items.iter().position(|item| item.range.contains(&digest.range.start)).unwrap_or_default();
        let mut style = Style::near(self.text, items, index);
        let tag = &self.addition.tag;
        let (tags, is_flow) = match &list.value {
            Value::List { items, is_flow } => (items, *is_flow),
            Value::Alias => return Err(ALIAS),
            _ if is_null(list) && list.range.is_empty() => {
                return Ok(vec![insertion(self.colon(digest)?, format!(" [{}]", style.tag(tag)))]);
            }
            _ if is_null(list) => {
                return Ok(vec![Change { range: list.range.clone(), text: format!("[{}]", style.tag(tag)) }]);
            }
            _ => return Err("tags are not a list"),
        };
        if let Some(first) = tags.first() {
            style.tag_quote = quote(self.text, first);
        }
        let words: Vec<&str> = tags.iter().map(|tag| tag.text().unwrap_or_default()).collect();
        let at = place_of_tag(items, &words, tag.as_str());
        if is_flow {
            let ranges: Vec<_> = tags.iter().map(|tag| tag.range.clone()).collect();
            let separator = separator(self.text, tags).unwrap_or(style.separator);
            return Ok(vec![flow::insert(self.text, &list.range, &ranges, at, &style.tag(tag), separator)?]);
        }
        let entries = Entries::of_list(self.text, tags);
        let prefix = entries.prefix(at.min(tags.len().saturating_sub(1)))?;
        style.tags = TagsStyle::Flow;
        Ok(vec![entries.insert(at, &format!("{prefix}{}", style.tag(tag)))?])
    }
}

/// Returns whether a value is null: empty, or one of the words for null without quotes.
fn is_null(node: &Node<'_>) -> bool {
    match &node.value {
        Value::Scalar { text, is_plain } => {
            *is_plain && matches!(&**text, "" | "~" | "null" | "Null" | "NULL")
        }
        _ => false,
    }
}
