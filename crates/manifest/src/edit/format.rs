//! Reformats a list of images in the style of the Go tool: `- name`, `dmap`, `"digest": ["tag","tag"]`.

use std::ops::Range;

use super::addition::FileKind;
use super::lines::{Entries, LONG_SCALARS, dash};
use super::style::quoted;
use crate::lint::flaw::Reason;
use crate::lint::layout::{Layout, Node, Value, layout};
use crate::lint::text::Text;

const COMMENT: Reason = "the place of a comment in it cannot be kept; move the comment above an entry";
/// The index of the first digest among the lines of an image.
const FIRST_ROW: usize = 2;
/// The indentation of a digest.
const ROW: usize = 4;
const NOT_A_LIST: Reason = "its images are not a list in block notation";

/// The comments of an entry, by the image and the part of it: a digest, or one of the two fields.
type Owned = (String, String, Vec<String>);

/// Returns a file with its list of images in one style. Everything outside of the list is unchanged.
pub(super) fn formatted(text: &str, kind: FileKind) -> Result<String, Reason> {
    let (new, before) = written(text, kind)?;
    // Checks that each comment is still with its entry.
    let (again, after) = written(&new, kind)?;
    if before == after && again == new { Ok(new) } else { Err(COMMENT) }
}

/// Returns a file in one style, and the comments of the entries before the change.
fn written(text: &str, kind: FileKind) -> Result<(String, Vec<Owned>), Reason> {
    let Some(layout) = layout(text) else { return Err("it cannot be read") };
    if layout.has_long_scalars {
        return Err(LONG_SCALARS);
    }
    if layout.has_anchors {
        return Err("it has anchors, aliases or YAML tags");
    }
    let list = match (kind, &layout.root) {
        (FileKind::Images, Some(root)) => Some(root),
        (FileKind::Plain, Some(root)) => root.field("images"),
        (_, None) => None,
    };
    let Some(items) = list.map(Node::items).filter(|items| !items.is_empty()) else {
        return Ok((text.to_owned(), Vec::new()));
    };
    let text = Text::new(text);
    let is_flow = matches!(list.map(|list| &list.value), Some(Value::List { is_flow: true, .. }));
    let prefix;
    let (range, indentation) = match (is_flow, kind) {
        (true, FileKind::Images) => (list.map(|list| list.range.clone()).unwrap_or_default(), ""),
        (true, FileKind::Plain) => return Err(NOT_A_LIST),
        (false, _) => {
            prefix = Entries::of_list(&text, items).prefix(0)?;
            let kept = prefix.len() - prefix.trim_start().len();
            let bytes = text.bytes(lines_of(&text, items, kept));
            (bytes, if kind == FileKind::Images { "" } else { &prefix[..kept] })
        }
    };
    let (written, owned) =
        Region { text: &text, range: range.clone(), indentation }.written(&layout, items)?;
    // If a comment about the file is directly above, a comment of the first image would become part of it.
    let is_below_comment = range.start > 0 && {
        let line = text.line_of(range.start);
        line > 0 && text.line(line - 1).trim_start().starts_with('#')
    };
    let gap = if is_below_comment && written.starts_with('#') { text.line_break() } else { "" };
    let has_break = text.text[range.clone()].ends_with(['\n', '\r']);
    let written = if has_break { written } else { written.trim_end_matches(['\n', '\r']).to_owned() };
    Ok((format!("{}{gap}{written}{}", &text.text[..range.start], &text.text[range.end..]), owned))
}

/// Returns the lines of a list with the comments that belong to its first and its last image. `column` is the column of the
/// dashes.
fn lines_of(text: &Text<'_>, items: &[Node<'_>], column: usize) -> Range<usize> {
    let is_comment = |line: usize| text.line(line).trim_start().starts_with('#');
    let opened = dash(text, items[0].range.start).unwrap_or(items[0].range.start);
    let (mut first, mut end) = (text.line_of(opened), text.line_of(items[items.len() - 1].range.end) + 1);
    let mut top = first;
    while top > 0 && is_comment(top - 1) {
        top -= 1;
    }
    // A comment at the start of the file belongs to the file.
    if top > 0 {
        first = top;
    }
    while is_comment(end) && text.line(end).find('#') > Some(column) {
        end += 1;
    }
    first..end
}

/// A list of images in the text.
struct Region<'a, 't> {
    text: &'a Text<'t>,
    range: Range<usize>,
    indentation: &'a str,
}

/// A line of the new text, with its comments.
struct Line<'n> {
    /// The byte range of the entry in the old text, which determines its comments.
    range: Range<usize>,
    content: String,
    above: Vec<&'n str>,
    beside: Option<&'n str>,
    below: Vec<&'n str>,
}

impl Line<'_> {
    fn comments(&self) -> Vec<String> {
        let comments = self.above.iter().chain(&self.beside).chain(&self.below);
        comments.map(|comment| (*comment).to_owned()).collect()
    }
}

impl Block<'_> {
    fn owned(&self) -> Vec<Owned> {
        let own = |part: &str, line: &Line<'_>| (self.name.clone(), part.to_owned(), line.comments());
        let rows = self.rows.iter().map(|((_, digest), row)| own(digest, row));
        [own("name", &self.head), own("dmap", &self.dmap)].into_iter().chain(rows).collect()
    }
}

/// The lines of an image.
struct Block<'n> {
    name: String,
    head: Line<'n>,
    dmap: Line<'n>,
    /// Each row with its sort key: its smallest tag and its digest.
    rows: Vec<((String, String), Line<'n>)>,
}

impl<'t> Region<'_, 't> {
    fn written(&self, layout: &Layout<'_>, items: &[Node<'_>]) -> Result<(String, Vec<Owned>), Reason> {
        let mut blocks = items.iter().map(block).collect::<Result<Vec<Block<'t>>, Reason>>()?;
        for comment in self.comments(layout) {
            self.assign(&mut blocks, comment)?;
        }
        let mut owned: Vec<Owned> = blocks.iter().flat_map(Block::owned).collect();
        owned.sort();
        blocks.sort_by(|a, b| a.name.cmp(&b.name));
        let mut out = String::new();
        for mut block in blocks {
            block.rows.sort_by(|a, b| a.0.cmp(&b.0));
            self.write(&mut out, 0, &block.head);
            self.write(&mut out, 2, &block.dmap);
            block.rows.iter().for_each(|(_, row)| self.write(&mut out, ROW, row));
        }
        Ok((out, owned))
    }

    fn write(&self, out: &mut String, columns: usize, line: &Line<'_>) {
        let (indentation, end) =
            (format!("{}{}", self.indentation, " ".repeat(columns)), self.text.line_break());
        for comment in &line.above {
            out.extend([&indentation, *comment, end]);
        }
        out.extend([&indentation, line.content.as_str()]);
        if let Some(comment) = line.beside {
            out.extend([" ", comment]);
        }
        out.push_str(end);
        // Indent a comment below a digest more than the next digest. Otherwise it would belong to the next digest.
        let more = if columns == ROW { "  " } else { "" };
        for comment in &line.below {
            out.extend([&indentation, more, *comment, end]);
        }
    }

    /// Returns the byte ranges of the comments in the region.
    fn comments(&self, layout: &Layout<'_>) -> Vec<Range<usize>> {
        let mut scalars = Vec::new();
        if let Some(root) = &layout.root {
            collect_scalars(root, &mut scalars);
        }
        let mut comments = Vec::new();
        let mut at = self.range.start;
        while let Some(found) = self.text.text[at..self.range.end].find('#') {
            let start = at + found;
            // The last scalar that starts before the character.
            let before = scalars.partition_point(|scalar| scalar.start <= start);
            if let Some(scalar) = before.checked_sub(1).map(|index| &scalars[index]).filter(|s| s.end > start)
            {
                at = scalar.end;
                continue;
            }
            let line = self.text.line_of(start);
            let end = self.text.bytes(line..line + 1).start + self.text.line(line).len();
            comments.push(start..end);
            at = end;
        }
        comments
    }

    /// Assigns a comment to the line that it is beside, above or below.
    fn assign(&self, blocks: &mut [Block<'t>], comment: Range<usize>) -> Result<(), Reason> {
        let words = &self.text.text[comment.clone()];
        let line = self.text.line_of(comment.start);
        let before = self.text.before(comment.start);
        let is_alone = before.trim().is_empty();
        let dash = |block: &Block<'_>| dash(self.text, block.head.range.start);
        let mut previous: Option<&mut Line<'t>> = None;
        let mut dashes = 0;
        for block in blocks {
            let dash = dash(block);
            let column = dash.map_or(0, |dash| self.text.before(dash).len());
            dashes = column;
            let is_inside = dash.is_some_and(|dash| dash < comment.start);
            let rows = block.rows.iter_mut().map(|(_, row)| row);
            for (index, entry) in [&mut block.head, &mut block.dmap].into_iter().chain(rows).enumerate() {
                let (first, last) =
                    (self.text.line_of(entry.range.start), self.text.line_of(entry.range.end));
                if entry.range.start < comment.start && comment.start < entry.range.end {
                    // The comment is between the tags of a digest. They are written on one line, which has no place for it.
                    return Err(COMMENT);
                }
                if is_alone && line < first {
                    // A comment that is indented more than the next image or digest belongs to the previous one.
                    let column = match index {
                        // The comment is between a dash that is alone on its line and the image.
                        0 if is_inside => None,
                        0 => Some(column),
                        // No digest precedes the first one.
                        1..=FIRST_ROW => None,
                        _ => Some(self.text.before(entry.range.start).len()),
                    };
                    return match previous {
                        Some(previous) if column.is_some_and(|column| before.len() > column) => {
                            previous.below.push(words);
                            Ok(())
                        }
                        _ => {
                            entry.above.push(words);
                            Ok(())
                        }
                    };
                }
                if !is_alone && line == last && comment.start >= entry.range.end {
                    return match entry.beside.replace(words) {
                        None => Ok(()),
                        Some(_) => Err(COMMENT),
                    };
                }
                previous = Some(entry);
            }
        }
        match previous {
            // The comment is below the last image.
            Some(previous) if is_alone && before.len() > dashes => {
                previous.below.push(words);
                Ok(())
            }
            _ => Err(COMMENT),
        }
    }
}

fn line<'n>(range: Range<usize>, content: String) -> Line<'n> {
    Line { range, content, above: Vec::new(), beside: None, below: Vec::new() }
}

fn block<'n>(item: &Node<'_>) -> Result<Block<'n>, Reason> {
    const INCOMPLETE: Reason = "an image has not both a `name` and a `dmap`, in this order";
    let [(name_key, name), (dmap_key, dmap)] = item.pairs() else { return Err(INCOMPLETE) };
    if (name_key.text(), dmap_key.text()) != (Some("name"), Some("dmap")) {
        return Err(INCOMPLETE);
    }
    let path = name.text().and_then(|name| name.parse().ok()).ok_or(INCOMPLETE)?;
    let rows = dmap.pairs().iter().map(|(key, tags)| {
        let digest = key.text().unwrap_or_default().to_owned();
        let mut words: Vec<&str> = tags.items().iter().filter_map(Node::text).collect();
        words.sort_unstable();
        words.dedup();
        let list: Vec<String> = words.iter().map(|word| quoted(word, '"')).collect();
        let content = format!("{}: [{}]", quoted(&digest, '"'), list.join(","));
        let end = if tags.range.is_empty() { key.range.end } else { tags.range.end };
        let smallest = words.first().copied().unwrap_or_default().to_owned();
        ((smallest, digest), line(key.range.start..end, content))
    });
    let rows: Vec<_> = rows.collect();
    let dmap_line = if rows.is_empty() { "dmap: {}" } else { "dmap:" };
    let end = if rows.is_empty() && !dmap.range.is_empty() { dmap.range.end } else { dmap_key.range.end };
    Ok(Block {
        name: name.text().unwrap_or_default().to_owned(),
        head: line(name_key.range.start..name.range.end, format!("- name: {}", super::style::name(&path))),
        dmap: line(dmap_key.range.start..end, dmap_line.to_owned()),
        rows,
    })
}

/// Collects the byte ranges of all scalars, in the order of the text.
fn collect_scalars(node: &Node<'_>, into: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Scalar { .. } => into.push(node.range.clone()),
        Value::List { items, .. } => items.iter().for_each(|item| collect_scalars(item, into)),
        Value::Map { pairs, .. } => pairs.iter().for_each(|(key, value)| {
            collect_scalars(key, into);
            collect_scalars(value, into);
        }),
        Value::Alias => {}
    }
}
