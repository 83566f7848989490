//! What is wrong with a manifest, and where: file, line, column, and the line itself.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use annotate_snippets::renderer::Renderer;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Snippet};
use oci_types::text::visible;

use super::source::{Position, Source};

/// The longest part of a line that is shown, in characters.
const EXCERPT_MAX: usize = 160;
/// The longest part of a line that is shown before the place, in characters.
const EXCERPT_BEFORE: usize = 100;

/// How bad what a diagnostic reports is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something cannot be read as it was meant, and is not promoted.
    Error,
    /// Everything is read, but it may not have been meant so.
    Warning,
}

/// A fault of a file, or something in it that may not have been meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    file: Arc<str>,
    /// `None` where the file as a whole is meant.
    place: Option<Box<Place>>,
    message: String,
    help: Option<String>,
    /// What the fault is recognised by in another commit: see [`Diagnostic::identify`].
    identity: Option<u64>,
}

/// A place in a file, with the text that is shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    position: Position,
    /// The line, or its part around the place where it is long.
    excerpt: String,
    /// Whether the excerpt begins where the line does.
    is_whole: bool,
    /// The offset of the place in the excerpt, in bytes.
    offset: usize,
}

impl Place {
    fn new(source: &Source<'_>, position: Position) -> Self {
        let before = position.column.saturating_sub(1) as usize;
        let skipped = before.saturating_sub(EXCERPT_BEFORE);
        let mut rest = source.line(position.line).chars().map(inert).skip(skipped);
        let mut excerpt = String::from(if skipped > 0 { "…" } else { "" });
        excerpt.extend(rest.by_ref().take(before - skipped));
        let offset = excerpt.len();
        excerpt.extend(rest.by_ref().take(EXCERPT_MAX - (before - skipped)));
        if rest.next().is_some() {
            excerpt.push('…');
        }
        Self { position, excerpt, is_whole: skipped == 0, offset }
    }

    /// Adds the place and its line to what is shown.
    fn show<'a>(&'a self, group: Group<'a>, file: &'a str) -> Group<'a> {
        let Position { line, column } = self.position;
        let annotation = AnnotationKind::Primary.span(self.offset..self.end());
        let snippet = Snippet::source(self.excerpt.as_str()).line_start(line as usize).annotation(annotation);
        if self.is_whole {
            return group.element(snippet.path(file));
        }
        // Columns are those of the whole line.
        group.element(Origin::path(file).line(line as usize).char_column(column as usize)).element(snippet)
    }

    /// The end of the value that begins at the place, in bytes of the excerpt.
    fn end(&self) -> usize {
        let value = &self.excerpt[self.offset..];
        let length = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].find(quote).map(|at| at + 2),
            _ => value.find([' ', ',', ']', '}']),
        };
        self.offset + length.unwrap_or(value.len())
    }
}

/// Replaces characters that command a terminal and that the renderer would pass on. It replaces the others itself.
fn inert(c: char) -> char {
    match c {
        '\u{80}'..='\u{9f}' | '\u{200e}' | '\u{200f}' => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

/// A place that is kept for diagnostics that are made after the file's text was dropped.
#[derive(Clone, Debug)]
pub(super) struct Span {
    file: Arc<str>,
    /// `None` where the file as a whole is meant.
    place: Option<Box<Place>>,
}

impl Span {
    pub(super) fn new(source: &Source<'_>, position: Position) -> Self {
        Self { file: Arc::clone(source.file()), place: Some(Box::new(Place::new(source, position))) }
    }

    /// The file that it is in, as it is shown.
    pub(super) fn file(&self) -> Arc<str> {
        Arc::clone(&self.file)
    }

    /// A file as a whole.
    pub(super) fn of_file(file: &Arc<str>) -> Self {
        Self { file: Arc::clone(file), place: None }
    }

    /// A diagnostic about the place.
    pub(super) fn diagnostic(&self, message: impl AsRef<str>) -> Diagnostic {
        Diagnostic::new(&self.file, self.place.clone(), message.as_ref())
    }
}

/// `file:line:column`, or the file where it is meant as a whole.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_ref().map(|place| place.position) {
            Some(Position { line, column }) => write!(f, "{}:{line}:{column}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// A number that equal values share within one run of the program.
pub(super) fn fingerprint(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Diagnostic {
    fn new(file: &Arc<str>, place: Option<Box<Place>>, message: &str) -> Self {
        Self {
            severity: Severity::Error,
            file: Arc::clone(file),
            place,
            message: visible(message),
            help: None,
            identity: None,
        }
    }

    /// About a file as a whole.
    pub(super) fn of_file(file: &Arc<str>, message: impl AsRef<str>) -> Self {
        Self::new(file, None, message.as_ref())
    }

    /// About a place in a file.
    pub(super) fn at(source: &Source<'_>, position: Position, message: impl AsRef<str>) -> Self {
        Self::new(source.file(), Some(Box::new(Place::new(source, position))), message.as_ref())
    }

    /// Adds what a person can do about it.
    pub(super) fn help(mut self, help: impl AsRef<str>) -> Self {
        self.help = Some(visible(help.as_ref()));
        self
    }

    /// The same as a warning, because the commit that is compared with has it too.
    pub(super) fn known(mut self) -> Self {
        self.help.get_or_insert_with(|| "the commit that this run is compared with has it too".to_owned());
        self.warning()
    }

    /// The same as a warning.
    pub(super) fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Sets what the fault is recognised by in another commit, unless that is set already: its message and the entry that
    /// has it, without their place. A fault without an identity is never recognised.
    pub(super) fn identify(&mut self, entry: u64) {
        if self.identity.is_none() {
            self.identity = Some(fingerprint((&self.message, entry)));
        }
    }

    /// Limits the identity to a project. A fault of no entry is one of the project's `content`: it is another fault as soon as
    /// anything in the project's files changes.
    pub(super) fn belongs_to(&mut self, project: &str, content: u64) {
        self.identify(content);
        self.identity = self.identity.map(|identity| fingerprint((project, identity)));
    }

    /// The same fault with an identity of the caller's, for messages that name places.
    pub(super) fn identified(mut self, identity: u64) -> Self {
        self.identity = Some(identity);
        self
    }

    /// What the fault is recognised by in another commit.
    pub(super) fn identity(&self) -> Option<u64> {
        self.identity
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The file that is meant, as it is shown.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The same, shared.
    pub(super) fn file_name(&self) -> &Arc<str> {
        &self.file
    }

    /// The place in the file; `None` where the file as a whole is meant.
    pub fn position(&self) -> Option<Position> {
        self.place.as_ref().map(|place| place.position)
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The diagnostic with its line, in colour where `color` says so. Several lines, the last without a line feed.
    pub fn render(&self, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let group = Group::with_title(level.primary_title(self.message.as_str()));
        let mut group = match &self.place {
            Some(place) => place.show(group, &self.file),
            None => group.element(Origin::path(&*self.file)),
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }

    pub(super) fn sort_key(&self) -> (&str, Option<Position>) {
        (&self.file, self.position())
    }
}

/// `file:line:column: message`, on one line.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position() {
            Some(Position { line, column }) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}
