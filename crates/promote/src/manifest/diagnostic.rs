//! What is wrong with a manifest, and where: file, line, column, and the line itself.

use std::fmt;
use std::sync::Arc;

use annotate_snippets::renderer::Renderer;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Snippet};

use super::source::{Position, Source};
use crate::text::visible;

/// The most diagnostics that are shown; the rest is counted.
const SHOWN: usize = 100;
/// The most diagnostics of one file that are kept.
const KEPT: usize = 1_000;
/// The most of a line that is shown, in characters.
const EXCERPT_MAX: usize = 160;
/// The most that is shown before the place that is meant, in characters.
const EXCERPT_BEFORE: usize = 100;

/// Whether a diagnostic stops the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It does.
    Error,
    /// It does not.
    Warning,
}

/// Something about a file that a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    file: Arc<str>,
    /// `None` where the file as a whole is meant.
    place: Option<Place>,
    message: String,
    help: Option<String>,
}

/// A place in a file, with what is to be seen there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    position: Position,
    /// The line, or as much of it around the place as is worth showing.
    excerpt: String,
    /// Whether the excerpt begins where the line does.
    is_whole: bool,
    /// Where the place is in the excerpt, in bytes.
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

/// A character of a line, one for one, where the renderer leaves it a command for a terminal: it replaces most of these itself.
fn inert(c: char) -> char {
    match c {
        '\u{80}'..='\u{9f}' | '\u{200e}' | '\u{200f}' => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

/// A place that is kept for what is found out when the file's text is gone.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    file: Arc<str>,
    place: Place,
}

impl Spot {
    pub(super) fn new(source: &Source<'_>, position: Position) -> Self {
        Self { file: Arc::clone(source.file()), place: Place::new(source, position) }
    }

    /// The file that it is in, as it is shown.
    pub(super) fn file(&self) -> Arc<str> {
        Arc::clone(&self.file)
    }

    /// Says something about the place.
    pub(super) fn diagnostic(&self, message: impl AsRef<str>) -> Diagnostic {
        Diagnostic::new(&self.file, Some(self.place.clone()), message.as_ref())
    }
}

/// `file:line:column`.
impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.place.position;
        write!(f, "{}:{line}:{column}", self.file)
    }
}

impl Diagnostic {
    fn new(file: &Arc<str>, place: Option<Place>, message: &str) -> Self {
        Self {
            severity: Severity::Error,
            file: Arc::clone(file),
            place,
            message: visible(message),
            help: None,
        }
    }

    /// About a file as a whole.
    pub(super) fn of_file(file: &Arc<str>, message: impl AsRef<str>) -> Self {
        Self::new(file, None, message.as_ref())
    }

    /// About a place in a file.
    pub(super) fn at(source: &Source<'_>, position: Position, message: impl AsRef<str>) -> Self {
        Self::new(source.file(), Some(Place::new(source, position)), message.as_ref())
    }

    /// Says what could be done about it.
    pub(super) fn help(mut self, help: impl AsRef<str>) -> Self {
        self.help = Some(visible(help.as_ref()));
        self
    }

    /// The same, where it stops nothing.
    pub(super) fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Says in which circumstances it is so.
    pub(super) fn context(mut self, context: &str) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// Whether it stops the run.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The file that is meant, as it is shown.
    pub fn file(&self) -> &str {
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

    fn sort_key(&self) -> (&str, Option<Position>) {
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

/// Everything that is wrong with the manifests of a run, by file and place.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
    /// What was found beyond what is worth keeping.
    more: usize,
}

impl Diagnostics {
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Takes in what is wrong with a file, unless there is so much already that nobody would read it.
    pub(super) fn push_with(&mut self, diagnostic: impl FnOnce() -> Diagnostic) {
        if self.found.len() < KEPT { self.found.push(diagnostic()) } else { self.more += 1 }
    }

    /// What was read, or takes in all that kept it from being read.
    pub(super) fn keep<T>(&mut self, read: Result<T, impl Into<Self>>) -> Option<T> {
        read.map_err(|wrong| {
            let wrong = wrong.into();
            self.found.extend(wrong.found);
            self.more += wrong.more;
        })
        .ok()
    }

    /// `value`, unless something is wrong.
    ///
    /// # Errors
    /// All that is wrong, by file and position.
    pub(super) fn or<T>(mut self, value: T) -> Result<T, Self> {
        if self.found.is_empty() {
            return Ok(value);
        }
        self.found.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        Err(self)
    }

    /// The diagnostics, one by one. Of a file with very many the first are kept.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.found.iter()
    }

    /// How many there are, with those that were not kept.
    pub fn count(&self) -> usize {
        self.found.len() + self.more
    }

    /// The diagnostics with their lines, in colour where `color` says so. The first hundred are shown, the rest is counted.
    pub fn render(&self, color: bool) -> String {
        let mut parts: Vec<String> =
            self.found.iter().take(SHOWN).map(|diagnostic| diagnostic.render(color)).collect();
        let hidden = self.count() - parts.len();
        if hidden > 0 {
            parts.push(format!("and {hidden} more"));
        }
        parts.join("\n\n")
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { found: vec![diagnostic], more: 0 }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}
