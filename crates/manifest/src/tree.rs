//! YAML as a small tree. Every node has its position. Scalars keep their text, so a tag `1.10` is not a number.
//!
//! The tree is built from parser events. A derived deserializer would stop at the first error of a file, but all errors must
//! be reported.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::source::Position;

/// The maximum nesting depth of a manifest. Manifests need five levels.
pub(super) const DEPTH_MAX: usize = 32;
/// The maximum number of nodes of one file, including the nodes that aliases repeat.
const NODES_MAX: usize = 1_000_000;

/// A value and its start position.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) position: Position,
    pub(super) value: Value,
}

/// The value of a node.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    /// The text of a scalar as it is written. It is shared, because aliases may repeat a long text many times.
    Text(Rc<str>),
    List(Vec<Node>),
    /// Pairs in the order of the file. Keys may repeat.
    Map(Vec<(Node, Node)>),
}

impl Value {
    /// Returns the kind of value, for error messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// The hash covers the content but not the position: an entry that moved to another line is the same entry.
impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.value {
            Value::Null => 0_u8.hash(state),
            Value::Text(text) => (1_u8, text).hash(state),
            Value::List(items) => (2_u8, items).hash(state),
            Value::Map(pairs) => (3_u8, pairs).hash(state),
        }
    }
}

/// The error for a text that is not a readable YAML document.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) position: Position,
    pub(super) message: String,
}

/// Parses a text with at most one document. An empty text is null.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut builder = Builder::default();
    // The parser reads ahead, so it must enforce the depth too.
    let options = granit_parser::options! { flow_nesting_limit: DEPTH_MAX, block_nesting_limit: DEPTH_MAX };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| scan_error(&error))?;
        builder.take(event, &span)?;
    }
    Ok(builder.root.unwrap_or(Node { position: Position::new(1, 1), value: Value::Null }))
}

/// A collection that is being read.
struct Frame {
    node: Node,
    /// The key whose value comes next.
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
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return fail(at, "a second document begins here, but a manifest must be one document");
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                check_tag(tag.as_deref(), "str", at)?;
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                let is_null = is_plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if is_null { Value::Null } else { Value::Text(Rc::from(&*text)) };
                self.add(Node { position: at, value }, anchor)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "seq", at)?;
                self.open(at, Value::List(Vec::new()), anchor)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "map", at)?;
                self.open(at, Value::Map(Vec::new()), anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Frame { node, anchor, .. }) = self.stack.pop() {
                    self.add(node, anchor)?;
                }
            }
            Event::Alias(anchor) => self.repeat(anchor, at)?,
            // The ends of streams and documents, and events that only editing tools need.
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, position: Position, value: Value, anchor: usize) -> Result<(), SyntaxError> {
        if self.stack.len() == DEPTH_MAX {
            return fail(position, too_deep());
        }
        self.stack.push(Frame { node: Node { position, value }, key: None, anchor });
        Ok(())
    }

    /// Adds a copy of the anchor's node at the position of an alias.
    fn repeat(&mut self, anchor: usize, at: Position) -> Result<(), SyntaxError> {
        let Some(node) = self.anchors.get(&anchor) else {
            return fail(at, "this alias refers to a value that contains it");
        };
        // The nodes are counted before they are copied, because many small aliases can create a large tree.
        self.nodes = self.nodes.saturating_add(size(node));
        check_count(self.nodes, at)?;
        let value = node.value.clone();
        self.add(Node { position: at, value }, 0)
    }

    /// Adds a complete node to the current collection, or as the root.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxError> {
        let copies = if anchor == 0 { 0 } else { size(&node) };
        self.nodes = self.nodes.saturating_add(1 + copies);
        check_count(self.nodes, node.position)?;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame { node: Node { value: Value::List(items), .. }, .. }) => items.push(node),
            Some(Frame { node: Node { value: Value::Map(pairs), .. }, key, .. }) => match key.take() {
                Some(key) => pairs.push((key, node)),
                None => *key = Some(node),
            },
            // Frames exist only for collections.
            Some(_) => {}
        }
        Ok(())
    }
}

fn fail<T>(position: Position, message: impl Into<String>) -> Result<T, SyntaxError> {
    Err(SyntaxError { position, message: message.into() })
}

fn too_deep() -> String {
    format!("nested more than {DEPTH_MAX} deep")
}

fn check_count(nodes: usize, position: Position) -> Result<(), SyntaxError> {
    if nodes <= NODES_MAX {
        return Ok(());
    }
    fail(position, format!("more than {NODES_MAX} values, counting what aliases stand for"))
}

/// Refuses YAML tags that would change the type of a value.
fn check_tag(tag: Option<&Tag>, expected: &str, position: Position) -> Result<(), SyntaxError> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(expected) => {
            fail(position, format!("the YAML tag `{tag}` has no meaning in a manifest"))
        }
        _ => Ok(()),
    }
}

/// Counts the nodes of a tree. The recursion is bounded by [`DEPTH_MAX`].
fn size(node: &Node) -> usize {
    match &node.value {
        Value::Null | Value::Text(_) => 1,
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(pairs) => 1 + pairs.iter().map(|(key, value)| size(key) + size(value)).sum::<usize>(),
    }
}

/// Converts a position of the parser, which counts lines from 1 and columns from 0.
fn position(span: &Span) -> Position {
    Position::new(span.start.line(), span.start.col() + 1)
}

fn scan_error(error: &ScanError) -> SyntaxError {
    let marker = error.marker();
    let message = match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(),
        _ => error.info(),
    };
    SyntaxError { position: Position::new(marker.line(), marker.col() + 1), message }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(Node, Node)> {
        let Value::Map(pairs) = parse(text).unwrap().value else { panic!("a mapping") };
        pairs
    }

    #[test]
    fn scalars_keep_their_text_and_nodes_their_positions() {
        let pairs = pairs("a: [1.10, \"x\"]\nb: ~\n");
        let Value::List(items) = &pairs[0].1.value else { panic!("a list") };
        assert!(matches!(&items[0].value, Value::Text(text) if &**text == "1.10"));
        assert_eq!(items[1].position, Position { line: 1, column: 11 });
        assert!(matches!(pairs[1].1.value, Value::Null));
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(pairs("é: [ü, x]")[0].1.position, Position { line: 1, column: 4 });
    }

    #[test]
    fn yaml_tags_may_only_confirm_the_type_of_a_value() {
        let Value::List(items) = &pairs("a: [!!str null, !!str 1]")[0].1.value else { panic!("a list") };
        assert!(items.iter().all(|item| matches!(item.value, Value::Text(_))), "{items:?}");
        for odd in ["a: !!int 1", "a: !secret x", "a: !!binary eA==", "a: !!set {x}", "!!seq {}"] {
            assert!(parse(odd).unwrap_err().message.contains("has no meaning"), "{odd}");
        }
    }

    #[test]
    fn aliases_repeat_the_anchored_node() {
        let pairs = pairs("a: &x [1]\nb: *x\n");
        assert!(matches!(&pairs[1].1.value, Value::List(items) if items.len() == 1));
        assert_eq!(pairs[1].1.position, Position { line: 2, column: 4 });
        assert!(parse("a: *nobody").is_err());
        assert!(parse("a: &x [*x]").unwrap_err().message.contains("contains it"));
    }

    #[test]
    fn alias_bombs_are_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let below = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        assert!(parse(&bomb).unwrap_err().message.contains("aliases"));
    }

    #[test]
    fn a_repeated_text_is_stored_once() {
        let long = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(100_000));
        let pairs = pairs(&long);
        let Value::List(items) = &pairs[1].1.value else { panic!("a list") };
        let Value::Text(text) = &items[99_999].value else { panic!("a text") };
        assert!(Rc::strong_count(text) > 100_000);
    }

    #[test]
    fn deep_nesting_is_refused_without_a_deep_stack() {
        let lists = |depth: usize| parse(&("[".repeat(depth) + &"]".repeat(depth)));
        assert!(lists(DEPTH_MAX).is_ok());
        assert!(lists(DEPTH_MAX + 1).unwrap_err().message.contains("deep"));
        for opener in ["[", "- ", "? ", "{a: ", "[{"] {
            let error = parse(&opener.repeat(100_000)).unwrap_err();
            assert!(error.message.contains("deep"), "{opener}: {}", error.message);
        }
    }

    #[test]
    fn megabytes_of_nonsense_are_refused_quickly() {
        for piece in
            ["\"", "'", "&a ", "*a ", "!", "%", "a: ", ": ", "[]", "{}", "#", "|\n", "- - ", "\t", "é"]
        {
            let start = Instant::now();
            let _ = parse(&piece.repeat((1 << 20) / piece.len()));
            assert!(start.elapsed() < Duration::from_secs(20), "{piece:?} took {:?}", start.elapsed());
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~\\n\\r\\t&*\\[\\]{}:,'\"é|>%-]{0,200}") {
            let _ = parse(&text);
        }
    }
}
