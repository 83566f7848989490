//! The lines of an entry, and edits that sort entries without changing them.

use std::ops::Range;

use super::flaw::{Change, Reason};
use super::layout::{Layout, Node};
use super::text::Text;

const ANCHORS: Reason = "the file has anchors, aliases or YAML tags";
const LONG_SCALARS: Reason = "the file has texts of several lines";
const FLOW: Reason = "the entries are not on lines of their own";
const TABS: Reason = "there are tabs between the entries";
const LOOSE_COMMENT: Reason = "a comment between the entries belongs to none of them";
const UNCLEAR_COMMENT: Reason = "the indentation of a comment leaves open to which of two entries it belongs";
const HEADER: Reason = "the comment at the start of the file may belong to the file or to its first entry; an empty line after it decides this";
const COMMENT_IN_TAGS: Reason = "there is a comment among the tags";

/// The lines of an entry.
struct Block {
    /// The lines with the comments above the entry, and with those that are indented below it.
    lines: Range<usize>,
    /// The lines up to the next block, which do not move.
    gap: Range<usize>,
}

/// Returns the edit that reorders entries. `entries` has the byte range of each entry, `order` has their indices in the new
/// order. An entry must be alone on its lines, after `opener`. Comment lines directly above an entry move with it.
pub(super) fn reorder(
    text: &Text<'_>,
    layout: &Layout<'_>,
    entries: &[Range<usize>],
    order: &[usize],
    opener: &str,
) -> Result<Change, Reason> {
    if layout.has_anchors {
        return Err(ANCHORS);
    }
    if layout.has_long_scalars {
        return Err(LONG_SCALARS);
    }
    let is_moved = |at: &usize| order[*at] != *at;
    let (Some(first), Some(last)) = ((0..order.len()).find(is_moved), (0..order.len()).rfind(is_moved))
    else {
        return Ok(Change { range: 0..0, text: String::new() });
    };
    let blocks = blocks(text, entries, first..last + 1, opener)?;
    let bytes = |lines: &Range<usize>| text.bytes(lines.clone());
    let (Some(start), Some(end)) = (blocks.first(), blocks.last()) else { return Err(FLOW) };
    let range = bytes(&start.lines).start..bytes(&end.lines).end;
    if text.text[range.clone()].contains('\t') {
        return Err(TABS);
    }
    if start.lines.start == 0 && text.line(0).trim_start().starts_with('#') {
        return Err(HEADER);
    }
    // If the last line of the file has no line break, the last entry in the new order has none either.
    let has_break = text.text[range.clone()].ends_with(['\n', '\r']);
    let mut new = String::with_capacity(range.len() + 2);
    for (place, block) in blocks.iter().enumerate() {
        let moved = &blocks[order[first + place] - first];
        let lines = &text.text[bytes(&moved.lines)];
        new.push_str(lines);
        if !lines.ends_with(['\n', '\r']) {
            new.push_str(text.line_break());
        }
        if place + 1 < blocks.len() {
            new.push_str(&text.text[bytes(&block.gap)]);
        }
    }
    if !has_break {
        new.truncate(new.trim_end_matches(['\n', '\r']).len());
    }
    Ok(Change { range, text: new })
}

/// Returns the blocks of some of the entries.
fn blocks(
    text: &Text<'_>,
    entries: &[Range<usize>],
    moved: Range<usize>,
    opener: &str,
) -> Result<Vec<Block>, Reason> {
    let mut blocks: Vec<Block> = Vec::with_capacity(moved.len());
    let mut indentation = 0;
    for at in moved.clone() {
        let entry = &entries[at];
        let before = text.before(entry.start);
        if before.trim_matches(' ') != opener {
            return Err(FLOW);
        }
        indentation = indentation_of(before);
        let (start, end) = (text.line_of(entry.start), text.line_of(entry.end.max(entry.start)));
        let above = match at.checked_sub(1) {
            Some(other) => text.line_of(entries[other].end.max(entries[other].start)) + 1,
            None => 0,
        };
        if above > start {
            return Err(FLOW);
        }
        let below = if at > 0 { comments_below(text, above..start, indentation)? } else { above };
        let top = comments_above(text, below..start);
        let is_loose = (below..top).any(|line| !text.line(line).trim().is_empty());
        if is_loose && at > 0 {
            return Err(LOOSE_COMMENT);
        }
        if let Some(previous) = blocks.last_mut() {
            previous.lines.end = below;
            previous.gap = below..top;
        }
        blocks.push(Block { lines: top..end + 1, gap: 0..0 });
    }
    // Comments that are indented below the last entry move with it.
    if let Some(block) = blocks.last_mut() {
        let next = entries.get(moved.end).map_or(usize::MAX, |next| text.line_of(next.start));
        block.lines.end = comments_below(text, block.lines.end..next, indentation)?;
    }
    Ok(blocks)
}

/// Returns the end of the comment lines at the start of `lines` that belong to the entry before: they are indented deeper than
/// the entry, and so is its last line.
fn comments_below(text: &Text<'_>, lines: Range<usize>, indentation: usize) -> Result<usize, Reason> {
    let start = lines.start;
    let deep = lines
        .take_while(|line| is_comment(text.line(*line)) && indentation_of(text.line(*line)) > indentation)
        .count();
    let is_nested = start > 0 && indentation_of(text.line(start - 1)) > indentation;
    if deep > 0 && !is_nested { Err(UNCLEAR_COMMENT) } else { Ok(start + deep) }
}

/// Returns the start of the comment lines at the end of `lines`.
fn comments_above(text: &Text<'_>, lines: Range<usize>) -> usize {
    let end = lines.end;
    end - lines.rev().take_while(|line| is_comment(text.line(*line))).count()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

fn indentation_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Returns the edits that reorder the items of a list in flow notation. The text between the items does not change.
pub(super) fn reorder_flow(
    text: &Text<'_>,
    layout: &Layout<'_>,
    list: &Node<'_>,
    order: &[usize],
) -> Result<Vec<Change>, Reason> {
    if layout.has_anchors {
        return Err(ANCHORS);
    }
    let items: Vec<Range<usize>> = list.items().iter().map(|item| item.range.clone()).collect();
    let is_line = |range: &Range<usize>| !text.text[range.clone()].contains(['\n', '\r']);
    if !items.iter().all(is_line) {
        return Err(LONG_SCALARS);
    }
    let mut at = list.range.start;
    for item in &items {
        if text.text[at..item.start].contains('#') {
            return Err(COMMENT_IN_TAGS);
        }
        at = item.end;
    }
    if text.text[at..list.range.end].contains('#') {
        return Err(COMMENT_IN_TAGS);
    }
    let moved = items.iter().zip(order).enumerate().filter(|(place, (_, from))| place != *from);
    let change = |(_, (range, from)): (usize, (&Range<usize>, &usize))| Change {
        range: range.clone(),
        text: text.text[items[*from].clone()].to_owned(),
    };
    Ok(moved.map(change).collect())
}
