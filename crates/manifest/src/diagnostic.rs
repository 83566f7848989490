//! A fault of a manifest and its location: file, line, column, and the text of the line.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use annotate_snippets::renderer::Renderer;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Snippet};
use oci_types::text::visible;

use super::source::{Position, Source};

/// The maximum length of a line's excerpt, in characters.
const EXCERPT_MAX: usize = 160;
/// The maximum length of an excerpt before the position, in characters.
const EXCERPT_BEFORE: usize = 100;

/// The width of a rendered diagnostic where none is given, in columns.
const WIDTH: usize = 100;

/// The severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// A part of a manifest is invalid and is not promoted.
    Error,
    /// The manifest is valid, but a part of it may be unintended.
    Warning,
}

/// A fault of a file, or a part of it that may be unintended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    file: Arc<str>,
    /// `None` if the diagnostic is about the whole file.
    place: Option<Box<Place>>,
    message: String,
    /// Whether the message names the file.
    names_file: bool,
    help: Option<String>,
    /// Identifies the fault in another commit: see [`Diagnostic::identify`].
    identity: Option<u64>,
}

/// A position in a file, with an excerpt of its line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    position: Position,
    /// The line, or the part around the position if the line is long.
    excerpt: String,
    /// Whether the excerpt begins at the start of the line.
    is_whole: bool,
    /// The offset of the position in the excerpt, in bytes.
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

    /// Adds the position and the excerpt to a group.
    fn show<'a>(&'a self, group: Group<'a>, file: &'a str) -> Group<'a> {
        let Position { line, column } = self.position;
        let annotation = AnnotationKind::Primary.span(self.offset..self.end());
        let snippet = Snippet::source(self.excerpt.as_str()).line_start(line as usize).annotation(annotation);
        if self.is_whole {
            return group.element(snippet.path(file));
        }
        // The snippet would count columns from the start of the excerpt.
        group.element(Origin::path(file).line(line as usize).char_column(column as usize)).element(snippet)
    }

    /// Returns the end of the value that begins at the position, in bytes of the excerpt.
    fn end(&self) -> usize {
        let value = &self.excerpt[self.offset..];
        let length = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].find(quote).map(|at| at + 2),
            _ => value.find([' ', ',', ']', '}']),
        };
        self.offset + length.unwrap_or(value.len())
    }
}

/// Replaces characters that control a terminal and that the renderer passes on. The renderer replaces the others itself.
fn inert(c: char) -> char {
    match c {
        '\u{80}'..='\u{9f}' | '\u{200e}' | '\u{200f}' => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

/// A position for diagnostics that are created after the file's text was dropped.
#[derive(Clone, Debug)]
pub(super) struct Span {
    file: Arc<str>,
    /// `None` for the whole file.
    place: Option<Box<Place>>,
}

impl Span {
    pub(super) fn new(source: &Source<'_>, position: Position) -> Self {
        Self { file: Arc::clone(source.file()), place: Some(Box::new(Place::new(source, position))) }
    }

    /// Returns the name of the file in messages.
    pub(super) fn file(&self) -> Arc<str> {
        Arc::clone(&self.file)
    }

    /// Creates a span of the whole file.
    pub(super) fn of_file(file: &Arc<str>) -> Self {
        Self { file: Arc::clone(file), place: None }
    }

    /// Creates a diagnostic at this span.
    pub(super) fn diagnostic(&self, message: impl AsRef<str>) -> Diagnostic {
        Diagnostic::new(&self.file, self.place.clone(), message.as_ref())
    }
}

/// Writes `file:line:column`, or `file` for the whole file.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_ref().map(|place| place.position) {
            Some(Position { line, column }) => write!(f, "{}:{line}:{column}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// Hashes a value. Equal values have equal hashes within one process.
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
            names_file: false,
            help: None,
            identity: None,
        }
    }

    /// Creates a diagnostic about a whole file.
    pub(super) fn of_file(file: &Arc<str>, message: impl AsRef<str>) -> Self {
        Self::new(file, None, message.as_ref())
    }

    /// Creates a diagnostic about a whole file whose message names the file.
    pub(super) fn about(file: &Arc<str>, message: impl AsRef<str>) -> Self {
        Self { names_file: true, ..Self::of_file(file, message) }
    }

    /// Creates a diagnostic about a file of another format than a manifest's, with the text that was read from it. `None` is the
    /// whole file.
    pub fn in_text(file: &str, text: &str, position: Option<Position>, message: impl AsRef<str>) -> Self {
        let file = Arc::from(file);
        match position {
            Some(position) => Self::at(&Source::new(&file, text), position, message),
            None => Self::of_file(&file, message),
        }
    }

    /// Creates a diagnostic at a position in a file.
    pub(super) fn at(source: &Source<'_>, position: Position, message: impl AsRef<str>) -> Self {
        Self::new(source.file(), Some(Box::new(Place::new(source, position))), message.as_ref())
    }

    /// Adds a hint how to resolve it.
    pub(super) fn help(mut self, help: impl AsRef<str>) -> Self {
        self.help = Some(visible(help.as_ref()));
        self
    }

    /// Turns the fault into a warning, because the base commit has it too.
    pub(super) fn known(mut self) -> Self {
        self.help.get_or_insert_with(|| "the commit that this run is compared with has it too".to_owned());
        self.warning()
    }

    /// Turns the fault into a warning.
    pub(super) fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Sets the identity of the fault, unless it is already set. The identity is made of the message and the entry, without
    /// their position, and finds the fault in another commit. A fault without an identity matches no other.
    pub(super) fn identify(&mut self, entry: u64) {
        if self.identity.is_none() {
            self.identity = Some(fingerprint((&self.message, entry)));
        }
    }

    /// Limits the identity to a project. A fault without an entry gets the project's `content` as its entry, so that it
    /// counts as a new fault after any change to the project's files.
    pub(super) fn belongs_to(&mut self, project: &str, content: u64) {
        self.identify(content);
        self.identity = self.identity.map(|identity| fingerprint((project, identity)));
    }

    /// Replaces the identity, for messages that contain positions.
    pub(super) fn identified(mut self, identity: u64) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Returns the identity, which finds the fault in another commit.
    pub(super) fn identity(&self) -> Option<u64> {
        self.identity
    }

    /// Returns the severity.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Returns the name of the file in messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Returns the shared name of the file.
    pub(super) fn file_name(&self) -> &Arc<str> {
        &self.file
    }

    /// Returns the position in the file, or `None` for the whole file.
    pub fn position(&self) -> Option<Position> {
        self.place.as_ref().map(|place| place.position)
    }

    /// Returns the message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Formats the diagnostic with its line, in colour if `color` is set. The text has several lines, without a trailing line
    /// feed.
    pub fn render(&self, color: bool) -> String {
        self.render_as(None, WIDTH, color)
    }

    /// Formats the diagnostic like [`Self::render`], and cuts its line around the position so that it fits into `width` columns.
    pub fn render_within(&self, width: usize, color: bool) -> String {
        self.render_as(None, width, color)
    }

    /// Formats the diagnostic like [`Self::render`], with the name of a rule before the message.
    pub(super) fn render_as(&self, rule: Option<&str>, width: usize, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(self.message.as_str());
        let group = Group::with_title(match rule {
            Some(rule) => title.id(rule),
            None => title,
        });
        let mut group = match &self.place {
            Some(place) => place.show(group, &self.file),
            None if self.names_file => group,
            None => group.element(Origin::path(&*self.file)),
        };
        let mut advice = None;
        match &self.help {
            Some(help) if self.names_file => {
                advice = Some(Group::with_title(Level::HELP.primary_title(help.as_str())));
            }
            Some(help) => group = group.element(Level::HELP.message(help.as_str())),
            None => {}
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() }.term_width(width);
        let text = renderer.render(&[group]);
        advice.map_or(text.clone(), |advice| format!("{text}\n{}", renderer.render(&[advice])))
    }

    /// Returns the hint how to resolve it.
    pub fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }

    pub(super) fn sort_key(&self) -> (&str, Option<Position>) {
        (&self.file, self.position())
    }
}

/// Writes `file:line:column: message` on one line, or the message alone if it names the file.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position() {
            Some(Position { line, column }) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
            None if self.names_file => f.write_str(&self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}
