//! Runs all rules over a target.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::changes::{self, Change, Kind, Place};
use super::finding::{Edit, Finding, Related};
use super::fix::{Fixed, fix};
use super::flaw::{self, Flaw};
use super::rule::Rule;
use super::spelling::{self, Spelling};
use super::style::{FileKind, flaws};
use super::target::Target;
use super::text::Text;
use crate::assembly::{Assembled, Assembly};
use crate::contents::{Contents, shown};
use crate::diagnostic::{Diagnostic, Severity};
use crate::diagnostics::Diagnostics;
use crate::diff::{Base, DiffError, state_at};
use crate::source::Source;
use crate::thin::{self, IMAGES, IMAGES_FILE, MANIFESTS, REGISTRIES_FILE};

/// The maximum number of findings of one file that are kept. The rest is counted.
const KEPT: usize = 1_000;

/// The result of a check.
#[derive(Debug, Default)]
pub struct Linted {
    /// The findings, ordered by file and position. Only the first thousand of each file are kept.
    pub findings: Vec<Finding>,
    /// The number of errors that were not kept.
    pub more_errors: usize,
    /// The number of warnings that were not kept.
    pub more_warnings: usize,
    /// The number of files that were read.
    pub files: usize,
    /// The commit that the manifests were compared with.
    pub base: Option<String>,
    /// The rules whose warnings are not reported.
    allowed: Vec<Rule>,
    /// The files that can be fixed, with changes by rules about several files.
    fixable: Vec<(File, Vec<Vec<flaw::Change>>)>,
}

/// A file with its fixed content.
#[derive(Debug)]
pub struct FixedFile {
    /// The name in messages.
    pub file: Arc<str>,
    /// The path.
    pub path: PathBuf,
    /// The content as it was read.
    pub before: Vec<u8>,
    /// The fixed content, which promotes the same.
    pub after: Vec<u8>,
    /// The number of fixed flaws.
    pub fixed: usize,
}

/// A file that was read.
#[derive(Debug)]
struct File {
    kind: FileKind,
    project: Arc<str>,
    path: PathBuf,
    contents: Contents,
}

/// Checks a target. Warnings of the `allowed` rules are not reported and not fixed. With a base, the target is also compared with
/// that commit: this runs `git`, which reads only the local repository, and blocks until it exits.
///
/// # Errors
/// If git cannot determine the state of the manifests at `base`. Files that cannot be read are findings.
pub fn lint(target: &Target, base: Option<&Base>, allowed: &[Rule]) -> Result<Linted, DiffError> {
    let (path, State { fatal, now, files }) = match target {
        Target::Plain(path) => (path, plain(path)),
        Target::Thin { directory, .. } => (directory, tree(directory)),
    };
    // A tree that cannot be read has no state to compare.
    let base = match base.filter(|_| fatal.is_empty()) {
        Some(base) => state_at(path, base)?,
        None => None,
    };
    let mut linter =
        Linter { target, allowed, files: &files, findings: Vec::new(), kept: HashMap::new(), more: [0, 0] };
    linter.reading(fatal, &now, base.as_ref());
    linter.changes(&now, base.as_ref());
    linter.style();
    let spellings = linter.spellings();
    let Linter { mut findings, more: [more_errors, more_warnings], .. } = linter;
    if let Target::Thin { directory, projects: Some(projects) } = target {
        let wanted = Wanted { directory, projects };
        findings.retain(|finding| wanted.has(finding));
    }
    findings.sort_by(|a, b| a.diagnostic.sort_key().cmp(&b.diagnostic.sort_key()));
    let read = files.len();
    let mut fixable: Vec<(File, Vec<Vec<flaw::Change>>)> =
        files.into_iter().map(|file| (file, Vec::new())).collect();
    for Spelling { file, flaw, .. } in spellings {
        fixable[file].1.extend(flaw.fix);
    }
    if let Target::Thin { projects: Some(projects), .. } = target {
        fixable.retain(|(file, _)| projects.contains(&*file.project));
    }
    let base = base.map(|(commit, _)| commit);
    let allowed = allowed.to_vec();
    Ok(Linted { findings, more_errors, more_warnings, files: read, base, allowed, fixable })
}

impl Linted {
    /// Returns the number of errors.
    pub fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.is_error()).count() + self.more_errors
    }

    /// Returns the number of warnings.
    pub fn warnings(&self) -> usize {
        self.findings.iter().filter(|finding| !finding.is_error()).count() + self.more_warnings
    }

    /// Returns the files in which the fixable flaws are fixed. Comments, line ends and a byte order mark are kept. A file that
    /// several projects share is returned once.
    ///
    /// An error says why a file is not fixed: its fixed content would not promote the same, which is a bug in the fix.
    pub fn fixed(&self) -> Vec<Result<FixedFile, String>> {
        let mut seen = HashSet::new();
        let mut fixed = Vec::new();
        for (file, more) in &self.fixable {
            if !seen.insert(file.path.canonicalize().unwrap_or_else(|_| file.path.clone())) {
                continue;
            }
            let more = if self.allowed.contains(&Rule::RegistrySpelling) { &[][..] } else { more };
            match fix(file.kind, &file.contents, more, &self.allowed) {
                Ok(None) => {}
                Ok(Some(Fixed { bytes, fixed: number })) => fixed.push(Ok(FixedFile {
                    file: Arc::clone(&file.contents.file),
                    path: file.path.clone(),
                    before: file.contents.bytes.clone(),
                    after: bytes,
                    fixed: number,
                })),
                Err(problem) => fixed.push(Err(problem)),
            }
        }
        fixed
    }
}

/// The current state of a target.
struct State {
    fatal: Diagnostics,
    now: Assembled,
    files: Vec<File>,
}

fn plain(path: &Path) -> State {
    let contents = match Contents::read(path) {
        Ok(contents) => contents,
        Err(error) => return State { fatal: error.into(), now: Assembled::default(), files: Vec::new() },
    };
    let mut assembly = Assembly::default();
    let name = thin::plain_name(path);
    assembly.plain(&name, contents.clone());
    let file = File { kind: FileKind::Plain, project: name.into(), path: path.to_owned(), contents };
    State { fatal: Diagnostics::default(), now: assembly.finish(), files: vec![file] }
}

fn tree(directory: &Path) -> State {
    let thin::Tree { fatal, assembled, files } = thin::read_tree(directory, true);
    let file = |thin::ProjectFile { project, path, contents }| {
        let is_registries = path.file_name().is_some_and(|name| name == REGISTRIES_FILE);
        let kind = if is_registries { FileKind::Registries } else { FileKind::Images };
        File { kind, project, path, contents }
    };
    State { fatal, now: assembled, files: files.into_iter().map(file).collect() }
}

/// The projects whose findings are reported.
struct Wanted<'a> {
    directory: &'a Path,
    projects: &'a BTreeSet<String>,
}

impl Wanted<'_> {
    /// Returns whether a finding concerns only these projects.
    fn has(&self, finding: &Finding) -> bool {
        let is_wanted = |file: &str| self.project(file).is_none_or(|project| self.projects.contains(project));
        is_wanted(finding.diagnostic.file())
            || finding.related.iter().any(|related| {
                self.project(&related.file).is_some_and(|project| self.projects.contains(project))
            })
    }

    /// Returns the project of a file, given the file's name in messages.
    fn project<'f>(&self, file: &'f str) -> Option<&'f str> {
        [MANIFESTS, IMAGES].iter().find_map(|kind| {
            let below = file.strip_prefix(&*shown(&self.directory.join(kind)))?.strip_prefix('/')?;
            below.split('/').next()
        })
    }
}

/// Collects findings.
struct Linter<'a> {
    target: &'a Target,
    allowed: &'a [Rule],
    files: &'a [File],
    findings: Vec<Finding>,
    /// The number of findings about each file.
    kept: HashMap<Arc<str>, usize>,
    /// The numbers of errors and of warnings that are not kept.
    more: [usize; 2],
}

impl Linter<'_> {
    /// Adds a finding about a file, or only counts it if the file has too many. A warning of an allowed rule is dropped.
    fn found(&mut self, file: &Arc<str>, rule: Rule, severity: Severity, finding: impl FnOnce() -> Finding) {
        if severity == Severity::Warning && self.allowed.contains(&rule) {
            return;
        }
        let kept = self.kept.entry(Arc::clone(file)).or_default();
        if *kept < KEPT {
            *kept += 1;
            self.findings.push(finding());
        } else {
            self.more[usize::from(severity == Severity::Warning)] += 1;
        }
    }

    /// Reports the faults found by reading. Faults that the base also has are warnings.
    fn reading(&mut self, fatal: Diagnostics, now: &Assembled, base: Option<&(String, Assembled)>) {
        let mut rejected = now.rejected.clone();
        let mut known = Vec::new();
        if let Some((_, base)) = base {
            let identities: HashSet<u64> = base.rejected.iter().filter_map(Diagnostic::identity).collect();
            known = rejected.take(&identities);
        }
        rejected.append(fatal);
        self.more[0] += rejected.count() - rejected.kept();
        let of = |rule, diagnostic| Finding { rule, diagnostic, related: Vec::new(), fix: Vec::new() };
        let known = known.into_iter().map(|fault| of(Rule::Invalid, fault.known()));
        let new = rejected.iter().map(|fault| of(Rule::Invalid, fault.clone()));
        let warnings = now.warnings.iter().filter(|_| !self.allowed.contains(&Rule::Suspicious));
        let warnings = warnings.map(|warning| of(Rule::Suspicious, warning.clone()));
        self.findings.extend(known.chain(new).chain(warnings));
    }

    /// Returns the projects that have errors which the base does not have.
    fn faulty(&self, now: &Assembled) -> HashSet<Arc<str>> {
        let errors = self.findings.iter().filter(|finding| finding.is_error());
        let files: HashSet<&str> = errors.map(|finding| finding.diagnostic.file()).collect();
        let faulty = self.files.iter().filter(|file| files.contains(&*file.contents.file));
        faulty.map(|file| Arc::clone(&file.project)).chain(now.illegible.iter().cloned()).collect()
    }

    /// Reports overlaps, and what has changed since the base.
    fn changes(&mut self, now: &Assembled, base: Option<&(String, Assembled)>) {
        let faulty = self.faulty(now);
        if let Some((commit, base)) = base {
            let mut projects: Vec<&Arc<str>> = base.illegible.iter().collect();
            projects.sort();
            for project in projects {
                let file = self.images_file(project);
                let why = base.faults.get(project).map_or("its files are invalid", String::as_str);
                let message = format!(
                    "the project {project} cannot be read at commit {commit:.12}, so tags that moved and edges that are gone \
                     since then are not seen: {why}"
                );
                let rule = Rule::UnreadableBase;
                self.found(&file, rule, rule.severity(), || {
                    Finding::new(rule, Diagnostic::of_file(&file, message))
                });
            }
        }
        let changes = changes::compare(now, base.map(|(_, base)| base), &faulty);
        let files = self.files;
        let sources: HashMap<&str, Source<'_>> = files
            .iter()
            .filter_map(|file| Some((&*file.contents.file, file.contents.text().ok()?)))
            .collect();
        let commit = base.map_or("", |(commit, _)| commit);
        for change in changes {
            let file = match &change.kind {
                Kind::Overlap { second: (_, place), .. } | Kind::Moved { to: (_, place), .. } => {
                    Arc::clone(&place.file)
                }
                Kind::Removed { project, .. } => self.images_file(project),
            };
            self.found(&file, change.kind.rule(), change.kind.severity(), || {
                changed(&change, &file, &sources, commit)
            });
        }
    }

    /// Returns the name of a project's images file, which may no longer exist.
    fn images_file(&self, project: &str) -> Arc<str> {
        match self.target {
            Target::Plain(path) => shown(path),
            Target::Thin { directory, .. } => shown(&directory.join(IMAGES).join(project).join(IMAGES_FILE)),
        }
    }

    /// Reports the flaws of each file.
    fn style(&mut self) {
        for file in self.files {
            let Ok(source) = file.contents.text() else { continue };
            let text = Text::new(source.text());
            for flaw in flaws(file.kind, source.text()) {
                self.found(&file.contents.file, flaw.rule, flaw.rule.severity(), || {
                    of_flaw(&flaw, &source, &text)
                });
            }
        }
    }

    /// Reports registries with different spellings, and returns them.
    fn spellings(&mut self) -> Vec<Spelling> {
        let mut mentions = Vec::new();
        for (number, file) in self.files.iter().enumerate() {
            if let (true, Ok(source)) = (file.kind != FileKind::Images, file.contents.text()) {
                spelling::mentions(number, source.text(), &mut mentions);
            }
        }
        let spellings = spelling::spellings(&mentions);
        for Spelling { file, flaw, other } in &spellings {
            let (file, other, at) = (&self.files[*file], &self.files[other.0], other.1);
            let (Ok(source), Ok(compared)) = (file.contents.text(), other.contents.text()) else { continue };
            let position = Text::new(compared.text()).position(at);
            let message = "the registry that it is compared with".to_owned();
            let related = Related { file: Arc::clone(&other.contents.file), position, message };
            self.found(&file.contents.file, flaw.rule, flaw.rule.severity(), || {
                let mut finding = of_flaw(flaw, &source, &Text::new(source.text()));
                finding.related.push(related);
                finding
            });
        }
        spellings
    }
}

/// Creates the finding of a flaw.
fn of_flaw(flaw: &Flaw, source: &Source<'_>, text: &Text<'_>) -> Finding {
    let diagnostic = Diagnostic::at(source, text.position(flaw.at), &flaw.message);
    let (help, fix) = match &flaw.fix {
        Ok(changes) => ("`kpromo lint --fix` corrects it".to_owned(), &changes[..]),
        Err(why) => (format!("`--fix` leaves it as it is: {why}"), &[][..]),
    };
    let edit = |change: &flaw::Change| Edit {
        range: change.range.clone(),
        start: text.position(change.range.start),
        end: text.position(change.range.end),
        text: change.text.clone(),
    };
    let mut finding = Finding::new(flaw.rule, diagnostic.help(help));
    finding.fix = fix.iter().map(edit).collect();
    finding
}

/// Creates the finding of a change.
fn changed(change: &Change, file: &Arc<str>, sources: &HashMap<&str, Source<'_>>, commit: &str) -> Finding {
    let Change { kind, tag, repositories } = change;
    let reference = match (repositories.first(), tag) {
        (Some(repository), Some(tag)) => format!("{repository}:{tag}"),
        (Some(repository), None) => repository.to_string(),
        (None, _) => String::new(),
    };
    let more = match repositories.len().saturating_sub(1) {
        0 => String::new(),
        1 => " (and one more destination)".to_owned(),
        more => format!(" (and {more} more destinations)"),
    };
    let at = |place: &Place, message: String| match sources.get(&*place.file) {
        Some(source) => Diagnostic::at(source, place.position, message),
        None => Diagnostic::of_file(&place.file, message),
    };
    let related = |place: &Place, message: &str| Related {
        file: Arc::clone(&place.file),
        position: place.position,
        message: message.to_owned(),
    };
    match kind {
        Kind::Overlap { first: (one, there), second: (other, here), is_known } => {
            let message = format!("{reference}{more} would be {other} here and {one} at {}", line_of(there));
            let diagnostic = at(here, message);
            let diagnostic = if *is_known {
                diagnostic.known()
            } else {
                diagnostic.help("remove one of the two entries: a tag has one digest")
            };
            let mut finding =
                Finding { rule: Rule::Overlap, diagnostic, related: Vec::new(), fix: Vec::new() };
            finding.related.push(related(there, "the other digest"));
            finding
        }
        Kind::Moved { from: (old, there), to: (new, here), is_certain } => {
            if *is_certain {
                let message = format!(
                    "{reference}{more} would move to {new}, from {old} at {}; production tags never move",
                    line_of(there)
                );
                let help = "give the new image another tag, or restore the old digest";
                return Finding::new(Rule::TagMoved, at(here, message).help(help));
            }
            let message = format!(
                "{reference}{more} may move to {new}: it is {old} in an entry that is left out as invalid at commit \
                 {commit:.12}"
            );
            let help = "check which digest production has; production tags never move";
            let mut finding = Finding::new(Rule::TagMoved, at(here, message).help(help));
            finding.diagnostic = finding.diagnostic.warning();
            finding
        }
        Kind::Removed { digest, place, .. } => {
            let what = if tag.is_some() {
                format!("{reference} ({digest})")
            } else {
                format!("{reference}@{digest}")
            };
            let message = format!("{what}{more} is no longer listed; it was at {}", line_of(place));
            let help = "production keeps what was promoted; list it again unless this is intended";
            Finding::new(Rule::EdgeRemoved, Diagnostic::of_file(file, message).help(help))
        }
    }
}

fn line_of(place: &Place) -> String {
    format!("{}:{}:{}", place.file, place.position.line, place.position.column)
}
