//! Inserts items into a list or mapping in flow notation: `[a, b]`, `{a: b}`.

use std::ops::Range;

use super::lines::insertion;
use crate::lint::flaw::{Change, Reason};
use crate::lint::text::Text;

/// Returns the change that adds an item at an index. `items` are the byte ranges of the items in the collection at `range`.
pub(super) fn insert(
    text: &Text<'_>,
    range: &Range<usize>,
    items: &[Range<usize>],
    at: usize,
    item: &str,
    separator: &str,
) -> Result<Change, Reason> {
    if items.is_empty() {
        let inside = range.start + 1..range.end.saturating_sub(1);
        return match text.text.get(inside.clone()) {
            Some(blank) if blank.trim_matches(' ').is_empty() => {
                Ok(Change { range: inside, text: item.to_owned() })
            }
            // A comment or a line break within the brackets is kept.
            Some(_) => Ok(insertion(inside.start, item.to_owned())),
            None => Err("a list has no end"),
        };
    }
    match at.checked_sub(1) {
        Some(before) => Ok(insertion(items[before].end, format!("{separator}{item}"))),
        None => Ok(insertion(items[0].start, format!("{item}{separator}"))),
    }
}
