//! The reader of a file: checks that all manifests share, and the collected diagnostics.

use std::fmt::Display;
use std::hash::Hash;
use std::rc::Rc;
use std::str::FromStr;

use oci_types::text::nearest;

use super::super::contents::Contents;
use super::super::diagnostic::Diagnostic;
use super::super::diagnostics::Diagnostics;
use super::super::model::Image;
use super::super::source::{Position, Source};
use super::super::tree::{self, Node, Value};

/// The field of the policy block.
pub(super) const PROVENANCE: &str = "provenance";
/// The maximum length of an unknown field's name in a message, in characters.
const NAME_SHOWN: usize = 60;
/// The maximum number of warnings per file.
const WARNINGS_MAX: usize = 1_000;

/// The result of reading a file.
pub(in super::super) struct Reading<T> {
    /// All valid parts. Invalid parts are left out.
    pub(in super::super) value: T,
    pub(in super::super) wrong: Diagnostics,
    pub(in super::super) warnings: Vec<Diagnostic>,
    /// The readable parts of images that are left out because they are ambiguous. They show which tags the images may have.
    pub(in super::super) doubtful: Vec<Image>,
}

/// The kind of manifest. Thin manifests accept some entries that plain ones refuse.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Thin,
}

/// The fields of a mapping, each at most once.
pub(super) struct Fields<'n> {
    pairs: Vec<(&'n str, &'n Node)>,
}

impl<'n> Fields<'n> {
    pub(super) fn take(&mut self, name: &str) -> Option<&'n Node> {
        let at = self.pairs.iter().position(|(key, _)| *key == name)?;
        Some(self.pairs.swap_remove(at).1)
    }
}

/// Reads a file and collects its diagnostics.
pub(super) struct Reader<'a> {
    pub(super) source: Source<'a>,
    pub(super) kind: Kind,
    pub(super) wrong: Diagnostics,
    pub(super) warnings: Vec<Diagnostic>,
    /// Whether a field that was not read may have been meant as a policy: the field is repeated, its name is not text, or its
    /// name is unknown and its value is a mapping.
    pub(super) hides_block: bool,
    /// See [`Reading::doubtful`].
    pub(super) doubtful: Vec<Image>,
}

impl<'a> Reader<'a> {
    /// Reads a file with `interpret`, which gets `None` if the file is not YAML. If the file is not text, the value is that
    /// of `unreadable`.
    pub(super) fn read<T>(
        contents: &'a Contents,
        kind: Kind,
        interpret: impl FnOnce(&mut Self, Option<&Node>) -> T,
        unreadable: impl FnOnce() -> T,
    ) -> Reading<T> {
        let source = match contents.text() {
            Ok(source) => source,
            Err(error) => {
                let (warnings, doubtful) = (Vec::new(), Vec::new());
                return Reading { value: unreadable(), wrong: error.into(), warnings, doubtful };
            }
        };
        let (wrong, warnings) = (Diagnostics::default(), Vec::new());
        let mut reader = Self { source, kind, wrong, warnings, hides_block: false, doubtful: Vec::new() };
        let root = match tree::parse(reader.source.text()) {
            Ok(root) => Some(root),
            Err(error) => {
                reader.wrong(error.position, format!("not YAML that can be read: {}", error.message));
                None
            }
        };
        let value = interpret(&mut reader, root.as_ref());
        Reading { value, wrong: reader.wrong, warnings: reader.warnings, doubtful: reader.doubtful }
    }

    /// Reads an entry with `read`. The whole entry identifies its faults in another commit, unless an inner call has already
    /// set a narrower identity.
    pub(super) fn entry<T>(&mut self, entry: impl Hash, read: impl FnOnce(&mut Self) -> T) -> T {
        let start = self.wrong.kept();
        let value = read(self);
        self.wrong.identify(start, entry);
        value
    }

    /// Reports that an image has no digests. For thin manifests this is a warning, because the Go tool accepts them.
    pub(super) fn no_digests(&mut self, position: Position, message: &str) {
        match self.kind {
            Kind::Plain => self.wrong(position, message),
            Kind::Thin => self.warn(Diagnostic::at(&self.source, position, message)),
        }
    }

    pub(super) fn warn(&mut self, diagnostic: Diagnostic) {
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(diagnostic.warning());
        }
    }

    pub(super) fn wrong(&mut self, position: Position, message: impl AsRef<str>) {
        let source = &self.source;
        self.wrong.push_with(|| Diagnostic::at(source, position, message));
    }

    pub(super) fn wrong_with_help(&mut self, position: Position, message: &str, help: &str) {
        let source = &self.source;
        self.wrong.push_with(|| Diagnostic::at(source, position, message).help(help));
    }

    /// Returns a hint with the first position of a repeated entry.
    pub(super) fn first_place(&self, Position { line, column }: Position) -> String {
        format!("it is first listed at {}:{line}:{column}: keep one of the two", self.source.file())
    }

    /// Returns the pairs of a mapping. Null counts as an empty mapping.
    pub(super) fn pairs<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Node, Node)]> {
        match &node.value {
            Value::Map(pairs) => Some(pairs),
            Value::Null => Some(&[]),
            other => {
                self.wrong(node.position, format!("expected {what}, found {}", other.kind()));
                None
            }
        }
    }

    /// Returns the fields of a mapping. Unknown and repeated fields are errors.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, known: &[&str]) -> Option<Fields<'n>> {
        let pairs =
            self.pairs(node, &format!("a mapping with `{}`", known[..known.len().min(2)].join("`, `")))?;
        let mut fields: Vec<(&str, &Node)> = Vec::new();
        for (key, value) in pairs {
            let Value::Text(name) = &key.value else {
                self.wrong(key.position, format!("expected a field's name, found {}", key.value.kind()));
                self.hides_block = true;
                continue;
            };
            if !known.contains(&&**name) {
                self.hides_block |= matches!(value.value, Value::Map(_));
                let name: String = name.chars().take(NAME_SHOWN).collect();
                let help = match nearest(&name, known.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("known here: `{}`", known.join("`, `")),
                };
                self.wrong_with_help(key.position, &format!("unknown field `{name}`"), &help);
            } else if fields.iter().any(|(other, _)| *other == &**name) {
                let is_same =
                    |pair: &&(Node, Node)| matches!(&pair.0.value, Value::Text(other) if other == name);
                let first = pairs.iter().find(is_same).map_or(key.position, |(first, _)| first.position);
                let help = self.first_place(first);
                self.wrong_with_help(key.position, &format!("the field `{name}` is listed twice"), &help);
                self.hides_block = true;
            } else {
                fields.push((name, value));
            }
        }
        Some(Fields { pairs: fields })
    }

    /// Returns the items of a list. Null counts as an empty list.
    pub(super) fn list<'n>(&mut self, node: &'n Node, of: &str) -> Option<&'n [Node]> {
        match &node.value {
            Value::List(items) => Some(items),
            Value::Null => Some(&[]),
            other => {
                self.wrong(node.position, format!("expected a list of {of}, found {}", other.kind()));
                None
            }
        }
    }

    /// Returns the text of a node. Empty text is an error.
    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n Rc<str>> {
        match &node.value {
            Value::Text(text) if !text.is_empty() => return Some(text),
            Value::Text(_) | Value::Null => self.wrong(node.position, format!("{what} is empty")),
            other => self.wrong(node.position, format!("expected {what}, found {}", other.kind())),
        }
        None
    }

    /// Parses a value from its text, and reports the error if it is invalid.
    pub(super) fn parse<T: FromStr<Err: Display>>(&mut self, position: Position, text: &str) -> Option<T> {
        text.parse().map_err(|error| self.wrong(position, format!("{error}"))).ok()
    }

    pub(super) fn value<T: FromStr<Err: Display>>(&mut self, node: &Node, what: &str) -> Option<T> {
        let text = self.text(node, what)?;
        self.parse(node.position, text)
    }

    pub(super) fn boolean(&mut self, node: &Node) -> bool {
        let text = match &node.value {
            Value::Text(text) => text.to_ascii_lowercase(),
            _ => String::new(),
        };
        match text.as_str() {
            "true" | "yes" | "on" => true,
            "false" | "no" | "off" => false,
            _ => {
                self.wrong(node.position, "expected `true` or `false`");
                false
            }
        }
    }
}
