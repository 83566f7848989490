//! What is wrong with a manifest, and where: file, line, column, and the line itself.

use std::fmt;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::tree::Position;

/// The most diagnostics that are shown; the rest is counted.
const SHOWN: usize = 100;
/// The most diagnostics of one file that are kept.
const KEPT: usize = 1_000;
/// The most of a line that is kept, in characters.
const LINE_MAX: usize = 200;

/// Something about a file that a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    file: Arc<str>,
    /// The place, and the line that stands there; `None` where the file as a whole is meant.
    place: Option<(Position, String)>,
    message: String,
    help: Option<String>,
}

/// Everything that is wrong with the manifests of a run.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
    /// What was found beyond what is worth keeping.
    more: usize,
}

impl Diagnostic {
    /// About a file as a whole.
    pub(super) fn of_file(file: &Arc<str>, message: impl Into<String>) -> Self {
        Self { file: Arc::clone(file), place: None, message: message.into(), help: None }
    }

    /// About a place in a file whose text is `text`.
    pub(super) fn at(file: &Arc<str>, text: &str, position: Position, message: impl Into<String>) -> Self {
        let line = text.lines().nth(position.line.saturating_sub(1) as usize).unwrap_or_default();
        let line = line.chars().take(LINE_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self { file: Arc::clone(file), place: Some((position, line)), message: message.into(), help: None }
    }

    /// Says what could be done about it.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same of a file of an earlier commit, where it stops nothing.
    pub(super) fn was_so_before(mut self) -> Self {
        self.message = format!("as it was, left out of the comparison: {}", self.message);
        self
    }

    fn sort_key(&self) -> (&str, Option<Position>) {
        (&self.file, self.place.as_ref().map(|(position, _)| *position))
    }

    /// The diagnostic with its line, in colour where `color` says so.
    fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let title = Level::ERROR.primary_title(self.message.as_str());
        let mut group = Group::with_title(title);
        if let Some((position, line)) = &self.place {
            let before = (position.column.saturating_sub(1) as usize).min(line.chars().count());
            let start = line.char_indices().nth(before).map_or(line.len(), |(at, _)| at);
            let end = line[start..].find([' ', ',', ']']).map_or(line.len(), |length| start + length);
            let annotation = AnnotationKind::Primary.span(start..end.max(start));
            let snippet = Snippet::source(line.as_str()).line_start(position.line as usize).path(&*self.file);
            group = group.element(snippet.annotation(annotation));
        } else {
            group = group.element(annotate_snippets::Origin::path(&*self.file));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }
}

/// `file:line:column: message`, on one line.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some((Position { line, column }, _)) => {
                write!(f, "{}:{line}:{column}: {}", self.file, self.message)
            }
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl Diagnostics {
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Takes in something about a place, unless there is so much already that nobody would read it.
    pub(super) fn push_with(&mut self, diagnostic: impl FnOnce() -> Diagnostic) {
        if self.found.len() < KEPT { self.found.push(diagnostic()) } else { self.more += 1 }
    }

    /// Takes in all that another reader has found.
    pub(super) fn extend(&mut self, other: Self) {
        self.found.extend(other.found);
        self.more += other.more;
    }

    pub(super) fn into_inner(self) -> Vec<Diagnostic> {
        self.found
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

    /// The diagnostics, one by one.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.found.iter()
    }

    /// All diagnostics with their lines, in colour where `color` says so.
    pub fn render(&self, color: bool) -> String {
        let mut parts: Vec<String> =
            self.found.iter().take(SHOWN).map(|diagnostic| diagnostic.render(color)).collect();
        let hidden = self.found.len().saturating_sub(SHOWN) + self.more;
        if hidden > 0 {
            parts.push(format!("and {hidden} more"));
        }
        parts.join("\n\n")
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}
