//! YAML as a small tree in which everything knows its place and scalars keep their text: a tag `1.10` is not a number.
//!
//! The parser reports events with positions; deriving a deserializer would stop at the first error of a file, and this
//! reader wants them all.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

/// The deepest nesting of a manifest. Manifests need five.
const DEPTH_MAX: usize = 32;
/// The most nodes of one file, with what aliases stand for.
const NODES_MAX: usize = 1_000_000;

/// A place in a file, both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// A value and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) position: Position,
    pub(super) value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    /// A scalar's text, as it is written.
    Text(String),
    List(Vec<Node>),
    /// Pairs in the order of the file; keys may repeat.
    Map(Vec<(Node, Node)>),
}

impl Value {
    /// What it is, for an error message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Why a text is not a YAML document that can be read.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) position: Position,
    pub(super) message: String,
}

/// Reads the one document of a text; an empty text is null.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| scan_error(&error))?;
        builder.take(event, &span)?;
    }
    Ok(builder.root.unwrap_or(Node { position: Position { line: 1, column: 1 }, value: Value::Null }))
}

/// A collection that is being read.
struct Frame {
    node: Node,
    /// The key that waits for its value.
    key: Option<Node>,
    anchor: usize,
}

#[derive(Default)]
struct Builder {
    root: Option<Node>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    documents: usize,
    nodes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), SyntaxError> {
        let at = position(span);
        let fail = |message: &str| Err(SyntaxError { position: at, message: message.to_owned() });
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return fail("a second document begins here, and a manifest is one document");
                }
            }
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if null { Value::Null } else { Value::Text(text.into_owned()) };
                self.add(Node { position: at, value }, anchor)?;
            }
            Event::SequenceStart(_, anchor, _) => self.open(at, Value::List(Vec::new()), anchor)?,
            Event::MappingStart(_, anchor, _) => self.open(at, Value::Map(Vec::new()), anchor)?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Frame { node, anchor, .. }) = self.stack.pop() {
                    self.add(node, anchor)?;
                }
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => {
                    let node = Node { position: at, value: node.value.clone() };
                    self.count(size(&node), at)?;
                    self.add(node, 0)?;
                }
                None => return fail("this alias refers to what it is part of"),
            },
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, position: Position, value: Value, anchor: usize) -> Result<(), SyntaxError> {
        if self.stack.len() == DEPTH_MAX {
            return Err(SyntaxError { position, message: format!("nested more than {DEPTH_MAX} deep") });
        }
        self.stack.push(Frame { node: Node { position, value }, key: None, anchor });
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxError> {
        self.count(1, node.position)?;
        if anchor != 0 {
            self.count(size(&node), node.position)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame { node: Node { value: Value::List(items), .. }, .. }) => items.push(node),
            Some(Frame { node: Node { value: Value::Map(pairs), .. }, key, .. }) => match key.take() {
                Some(key) => pairs.push((key, node)),
                None => *key = Some(node),
            },
            // Frames are opened for collections alone.
            Some(_) => {}
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, position: Position) -> Result<(), SyntaxError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX {
            let message = format!("more than {NODES_MAX} values, counting what aliases stand for");
            return Err(SyntaxError { position, message });
        }
        Ok(())
    }
}

/// The nodes of a tree. Trees are shallow: see [`DEPTH_MAX`].
fn size(node: &Node) -> usize {
    match &node.value {
        Value::Null | Value::Text(_) => 1,
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(pairs) => 1 + pairs.iter().map(|(key, value)| size(key) + size(value)).sum::<usize>(),
    }
}

fn position(span: &Span) -> Position {
    place(span.start.line(), span.start.col())
}

fn scan_error(error: &ScanError) -> SyntaxError {
    let marker = error.marker();
    SyntaxError { position: place(marker.line(), marker.col()), message: error.info() }
}

/// A position from a line that counts from 1 and a column that counts from 0.
fn place(line: usize, column: usize) -> Position {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Position { line: number(line.max(1)), column: number(column.saturating_add(1)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scalars_keep_their_text_and_everything_its_place() {
        let Value::Map(pairs) = parse("a: [1.10, \"x\"]\nb: ~\n").unwrap().value else { panic!("a mapping") };
        let Value::List(items) = &pairs[0].1.value else { panic!("a list") };
        assert!(matches!(&items[0].value, Value::Text(text) if text == "1.10"));
        assert_eq!(items[1].position, Position { line: 1, column: 11 });
        assert!(matches!(pairs[1].1.value, Value::Null));
    }

    #[test]
    fn aliases_stand_for_what_they_name_and_bombs_are_defused() {
        let Value::Map(pairs) = parse("a: &x [1]\nb: *x\n").unwrap().value else { panic!("a mapping") };
        assert!(matches!(&pairs[1].1.value, Value::List(items) if items.len() == 1));

        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let below = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        assert!(parse(&bomb).unwrap_err().message.contains("aliases"));
    }

    #[test]
    fn deep_nesting_is_refused_without_a_deep_stack() {
        let deep = |depth: usize| parse(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        assert!(deep(DEPTH_MAX).is_ok());
        assert_eq!(deep(DEPTH_MAX + 1).unwrap_err().position, Position { line: 1, column: 33 });
        assert!(deep(100_000).is_err(), "the scanner has a bound of its own");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~\\n\\t&*\\[\\]{}:,'\"-]{0,200}") {
            let _ = parse(&text);
        }
    }
}
