//! What a manifest may say. All errors are collected, and what they do not concern is read.

mod images;
mod provenance;
mod registries;

use std::fmt::Display;
use std::hash::Hash;
use std::rc::Rc;
use std::str::FromStr;

pub(super) use registries::Registries;

use super::contents::Contents;
use super::diagnostic::Diagnostic;
use super::diagnostics::Diagnostics;
use super::model::Image;
use super::source::{Position, Source};
use super::tree::{self, Node, Value};

/// The policy block of a manifest.
const PROVENANCE: &str = "provenance";
/// The longest part of an unknown field's name that is shown, in characters.
const NAME_SHOWN: usize = 60;
/// The most warnings of one file.
const WARNINGS_MAX: usize = 1_000;

/// What was read of a file.
pub(super) struct Reading<T> {
    /// What could be read. What is wrong is left out.
    pub(super) value: T,
    pub(super) wrong: Diagnostics,
    pub(super) warnings: Vec<Diagnostic>,
}

/// Which files are read: thin ones are accepted where a plain one is not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Thin,
}

/// Reads a whole plain manifest: `registries`, `images` and `provenance`. There are no images where these are not a list.
pub(super) fn plain(contents: &Contents) -> Reading<(Registries, Option<Vec<Image>>)> {
    let interpret = |reader: &mut Reader<'_>, root: Option<&Node>| {
        let fields = root.and_then(|root| reader.fields(root, &["registries", "images", PROVENANCE]));
        let (Some(root), Some(mut fields)) = (root, fields) else { return (reader.illegible(), None) };
        let images = fields.take("images");
        let registries = reader.registries(root.position, fields);
        let images = images.map_or_else(|| Some(Vec::new()), |node| reader.images(node, &registries.roots()));
        (registries, images)
    };
    let unreadable = || (Registries::unreadable(&contents.file), None);
    Reader::read(contents, Kind::Plain, interpret, unreadable)
}

/// Reads the `promoter-manifest.yaml` of a thin manifest: `registries` and `provenance`.
pub(super) fn registries(contents: &Contents) -> Reading<Registries> {
    let interpret = |reader: &mut Reader<'_>, root: Option<&Node>| {
        // `imagesPath` is deprecated, and the files of Kubernetes still have it.
        let fields = root.and_then(|root| reader.fields(root, &["registries", "imagesPath", PROVENANCE]));
        match (root, fields) {
            (Some(root), Some(fields)) => reader.registries(root.position, fields),
            _ => reader.illegible(),
        }
    };
    Reader::read(contents, Kind::Thin, interpret, || Registries::unreadable(&contents.file))
}

/// Reads the `images.yaml` of a thin manifest: a list of images. `registries` limit the length of their names. `None` where
/// the file has no list of images.
pub(super) fn images(contents: &Contents, registries: Option<&Registries>) -> Reading<Option<Vec<Image>>> {
    let roots = registries.map(Registries::roots).unwrap_or_default();
    let interpret = |reader: &mut Reader<'_>, root: Option<&Node>| reader.images(root?, &roots);
    Reader::read(contents, Kind::Thin, interpret, || None)
}

/// The fields of a mapping, each at most once.
struct Fields<'n> {
    pairs: Vec<(&'n str, &'n Node)>,
}

impl<'n> Fields<'n> {
    fn take(&mut self, name: &str) -> Option<&'n Node> {
        let at = self.pairs.iter().position(|(key, _)| *key == name)?;
        Some(self.pairs.swap_remove(at).1)
    }
}

/// Reads a file and collects what is wrong with it.
struct Reader<'a> {
    source: Source<'a>,
    kind: Kind,
    wrong: Diagnostics,
    warnings: Vec<Diagnostic>,
    /// Whether a field that was not read may have been meant as a policy: it is repeated, its name is no text, or its name is
    /// unknown and its value a mapping.
    hides_block: bool,
}

impl<'a> Reader<'a> {
    /// Reads a file by `interpret`, which gets no tree where the file is not YAML. A file that is not text has the value
    /// `unreadable`.
    fn read<T>(
        contents: &'a Contents,
        kind: Kind,
        interpret: impl FnOnce(&mut Self, Option<&Node>) -> T,
        unreadable: impl FnOnce() -> T,
    ) -> Reading<T> {
        let source = match contents.text() {
            Ok(source) => source,
            Err(error) => {
                return Reading { value: unreadable(), wrong: error.into(), warnings: Vec::new() };
            }
        };
        let (wrong, warnings) = (Diagnostics::default(), Vec::new());
        let mut reader = Self { source, kind, wrong, warnings, hides_block: false };
        let root = match tree::parse(reader.source.text()) {
            Ok(root) => Some(root),
            Err(error) => {
                reader.wrong(error.position, format!("not YAML that can be read: {}", error.message));
                None
            }
        };
        let value = interpret(&mut reader, root.as_ref());
        Reading { value, wrong: reader.wrong, warnings: reader.warnings }
    }

    /// Reads an entry. Its faults are recognised in another commit by the whole entry, unless a part of it was named before.
    fn entry<T>(&mut self, entry: impl Hash, read: impl FnOnce(&mut Self) -> T) -> T {
        let start = self.wrong.kept();
        let value = read(self);
        self.wrong.identify(start, entry);
        value
    }

    /// Reports that an image has no digests: a warning in thin manifests, where the Go tool accepts it.
    fn no_digests(&mut self, position: Position, message: &str) {
        match self.kind {
            Kind::Plain => self.wrong(position, message),
            Kind::Thin => self.warn(Diagnostic::at(&self.source, position, message)),
        }
    }

    fn warn(&mut self, diagnostic: Diagnostic) {
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(diagnostic.warning());
        }
    }

    fn wrong(&mut self, position: Position, message: impl AsRef<str>) {
        let source = &self.source;
        self.wrong.push_with(|| Diagnostic::at(source, position, message));
    }

    fn wrong_with_help(&mut self, position: Position, message: &str, help: &str) {
        let source = &self.source;
        self.wrong.push_with(|| Diagnostic::at(source, position, message).help(help));
    }

    /// The pairs of a mapping; null is an empty mapping.
    fn pairs<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Node, Node)]> {
        match &node.value {
            Value::Map(pairs) => Some(pairs),
            Value::Null => Some(&[]),
            other => {
                self.wrong(node.position, format!("{what} is expected, this is {}", other.kind()));
                None
            }
        }
    }

    /// The fields of a mapping. Unknown and repeated fields are errors.
    fn fields<'n>(&mut self, node: &'n Node, known: &[&str]) -> Option<Fields<'n>> {
        let pairs = self.pairs(node, &format!("a mapping with `{}`", known[..2].join("`, `")))?;
        let mut fields: Vec<(&str, &Node)> = Vec::new();
        for (key, value) in pairs {
            let Value::Text(name) = &key.value else {
                self.wrong(key.position, format!("a field's name is expected, this is {}", key.value.kind()));
                self.hides_block = true;
                continue;
            };
            if !known.contains(&&**name) {
                self.hides_block |= matches!(value.value, Value::Map(_));
                let name: String = name.chars().take(NAME_SHOWN).collect();
                let help = format!("known here: `{}`", known.join("`, `"));
                self.wrong_with_help(key.position, &format!("unknown field `{name}`"), &help);
            } else if fields.iter().any(|(other, _)| *other == &**name) {
                self.wrong(key.position, format!("the field `{name}` stands twice"));
                self.hides_block = true;
            } else {
                fields.push((name, value));
            }
        }
        Some(Fields { pairs: fields })
    }

    /// The items of a list; null is an empty list.
    fn list<'n>(&mut self, node: &'n Node, of: &str) -> Option<&'n [Node]> {
        match &node.value {
            Value::List(items) => Some(items),
            Value::Null => Some(&[]),
            other => {
                self.wrong(node.position, format!("a list of {of} is expected, this is {}", other.kind()));
                None
            }
        }
    }

    /// A text that is not empty.
    fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n Rc<str>> {
        match &node.value {
            Value::Text(text) if !text.is_empty() => return Some(text),
            Value::Text(_) | Value::Null => self.wrong(node.position, format!("{what} is empty")),
            other => self.wrong(node.position, format!("{what} is expected, this is {}", other.kind())),
        }
        None
    }

    /// A value that is parsed from its text.
    fn parse<T: FromStr<Err: Display>>(&mut self, position: Position, text: &str) -> Option<T> {
        text.parse().map_err(|error| self.wrong(position, format!("{error}"))).ok()
    }

    fn value<T: FromStr<Err: Display>>(&mut self, node: &Node, what: &str) -> Option<T> {
        let text = self.text(node, what)?;
        self.parse(node.position, text)
    }

    fn boolean(&mut self, node: &Node) -> bool {
        let text = match &node.value {
            Value::Text(text) => text.to_ascii_lowercase(),
            _ => String::new(),
        };
        match text.as_str() {
            "true" | "yes" | "on" => true,
            "false" | "no" | "off" => false,
            _ => {
                self.wrong(node.position, "`true` or `false` is expected");
                false
            }
        }
    }
}
