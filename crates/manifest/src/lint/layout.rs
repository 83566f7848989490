//! The layout of a file: the nodes of its YAML with their byte ranges and their notation. Aliases are not followed.
//!
//! The tree from which manifests are read has neither byte ranges nor notation. Only lint and edits build a layout.

use std::borrow::Cow;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};

use crate::tree::DEPTH_MAX;

/// A value as it is written in the file.
pub(crate) struct Node<'a> {
    /// The byte range of the value. A collection in block notation ends with the last value in it.
    pub(crate) range: Range<usize>,
    pub(crate) value: Value<'a>,
}

/// The kind of a value.
pub(crate) enum Value<'a> {
    /// A scalar: its text, and whether it is written without quotes.
    Scalar {
        text: Cow<'a, str>,
        is_plain: bool,
    },
    List {
        items: Vec<Node<'a>>,
        is_flow: bool,
    },
    Map {
        pairs: Vec<(Node<'a>, Node<'a>)>,
        is_flow: bool,
    },
    Alias,
}

/// The layout of a file.
pub(crate) struct Layout<'a> {
    pub(crate) root: Option<Node<'a>>,
    /// Whether the file has anchors, aliases or YAML tags. Their meaning may depend on their position.
    pub(crate) has_anchors: bool,
    /// Whether the file has multi-line scalars. Lines in them may look like comments.
    pub(crate) has_long_scalars: bool,
}

impl<'a> Node<'a> {
    /// Returns the text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List { items, .. } => items,
            _ => &[],
        }
    }

    pub(crate) fn pairs(&self) -> &[(Self, Self)] {
        match &self.value {
            Value::Map { pairs, .. } => pairs,
            _ => &[],
        }
    }

    /// Returns the value of the first field with this name.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        self.pairs().iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value)
    }
}

/// A collection that is being read.
struct Frame<'a> {
    node: Node<'a>,
    key: Option<Node<'a>>,
}

/// Parses the layout of a text. Returns `None` if the text cannot be parsed.
pub(crate) fn layout(text: &str) -> Option<Layout<'_>> {
    let mut layout = Layout { root: None, has_anchors: false, has_long_scalars: false };
    let mut stack: Vec<Frame<'_>> = Vec::new();
    let options = granit_parser::options! { flow_nesting_limit: DEPTH_MAX, block_nesting_limit: DEPTH_MAX };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.ok()?;
        let range = span.byte_range()?;
        let node = match event {
            Event::Scalar(text, style, anchor, tag) => {
                layout.has_anchors |= anchor != 0 || tag.is_some();
                layout.has_long_scalars |= span.start.line() != span.end.line() || is_block(style);
                Node { range, value: Value::Scalar { text, is_plain: style == ScalarStyle::Plain } }
            }
            Event::Alias(_) => {
                layout.has_anchors = true;
                Node { range, value: Value::Alias }
            }
            Event::SequenceStart(style, anchor, tag) => {
                layout.has_anchors |= anchor != 0 || tag.is_some();
                let value = Value::List { items: Vec::new(), is_flow: style == StructureStyle::Flow };
                stack.push(Frame { node: Node { range, value }, key: None });
                continue;
            }
            Event::MappingStart(style, anchor, tag) => {
                layout.has_anchors |= anchor != 0 || tag.is_some();
                let value = Value::Map { pairs: Vec::new(), is_flow: style == StructureStyle::Flow };
                stack.push(Frame { node: Node { range, value }, key: None });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => closed(stack.pop()?, &span)?,
            _ => continue,
        };
        match stack.last_mut() {
            None => layout.root = Some(node),
            Some(frame) => frame.add(node),
        }
    }
    Some(layout)
}

fn is_block(style: ScalarStyle) -> bool {
    matches!(style, ScalarStyle::Literal | ScalarStyle::Folded)
}

/// Ends a collection. A collection in flow notation ends with its bracket. A collection in block notation ends with its last
/// value, because the parser reports the end at the start of the next node.
fn closed<'a>(frame: Frame<'a>, end: &Span) -> Option<Node<'a>> {
    let mut node = frame.node;
    let (is_flow, last) = match &node.value {
        Value::List { items, is_flow } => (*is_flow, items.iter().map(end_of).max()),
        Value::Map { pairs, is_flow } => {
            (*is_flow, pairs.iter().map(|(key, value)| end_of(key).max(end_of(value))).max())
        }
        _ => return None,
    };
    node.range.end = if is_flow { end.byte_range()?.end } else { last.unwrap_or(node.range.start) };
    Some(node)
}

/// Returns the end of a value, or 0 for an empty value.
fn end_of(node: &Node<'_>) -> usize {
    if node.range.is_empty() { 0 } else { node.range.end }
}

impl<'a> Frame<'a> {
    fn add(&mut self, node: Node<'a>) {
        match &mut self.node.value {
            Value::List { items, .. } => items.push(node),
            Value::Map { pairs, .. } => match self.key.take() {
                Some(key) => pairs.push((key, node)),
                None => self.key = Some(node),
            },
            // Frames exist only for collections.
            Value::Scalar { .. } | Value::Alias => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_its_byte_range() {
        for mark in ["", "\u{feff}"] {
            let text =
                format!("{mark}# é\r\n- name: 'a'\r\n  dmap:\r\n    x: [\"ü\", y]  # c\r\n- name:\r\n# end");
            let layout = layout(&text).unwrap();
            let root = layout.root.unwrap();
            let [first, second] = root.items() else { panic!("two items") };
            let tags = first.field("dmap").unwrap().field("x").unwrap();
            assert_eq!(&text[tags.range.clone()], "[\"ü\", y]");
            assert_eq!(&text[tags.items()[0].range.clone()], "\"ü\"");
            assert_eq!(&text[first.field("name").unwrap().range.clone()], "'a'");
            assert_eq!(&text[first.range.clone()], "name: 'a'\r\n  dmap:\r\n    x: [\"ü\", y]");
            assert_eq!(&text[second.range.clone()], "name");
        }
    }
}
