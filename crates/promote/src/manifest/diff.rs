//! Limiting a run to what changed: the digests and tags that are wished now and were not at an earlier commit.
//!
//! Both states are parsed and compared. Changed lines would miss a new tag on an old digest, and take a removed line for a
//! wish.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use oci::{Digest, Repository, Tag};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::thin::{FILE_MAX, IMAGES_FILE, Named, Project, REGISTRIES_FILE, plain};
use super::{Manifest, Manifests};

/// The most that `git` may say, in bytes: all manifests of one commit.
const OUTPUT_MAX: u64 = 512 * 1024 * 1024;

/// The commit that a run is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// This one.
    Revision(String),
    /// The parent of the oldest commit since then, in git's syntax for dates; that commit itself where it is the first.
    Since(String),
}

/// Why a run cannot be limited to what changed.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// The job's type does not say what to compare with.
    #[error(
        "JOB_TYPE is {0}: the manifests' changes are those of a `presubmit`, `batch` or `postsubmit` job"
    )]
    JobType(String),
    /// The job names no commit to compare with.
    #[error("PULL_BASE_SHA is not set: a `presubmit` or `batch` job compares with that commit")]
    NoBase,
    /// `git` cannot be run.
    #[error("cannot run git: {0}")]
    Git(std::io::Error),
    /// `git` failed.
    #[error("`git {command}` failed: {message}")]
    Failed {
        /// What it was to do.
        command: String,
        /// What it said.
        message: String,
    },
    /// `git` said something unexpected.
    #[error("`git {command}` gave an answer that cannot be read")]
    Unexpected {
        /// What it was to do.
        command: &'static str,
    },
}

/// The commit that a Prow job's changes are compared with, by the job's `JOB_TYPE` and `PULL_BASE_SHA`.
///
/// # Errors
/// When the job is of no type that has changes, or names no commit.
pub fn prow_base(job_type: Option<&str>, pull_base_sha: Option<&str>) -> Result<Base, DiffError> {
    match job_type {
        Some("postsubmit") => Ok(Base::Revision("HEAD^".to_owned())),
        Some("presubmit" | "batch") => match pull_base_sha {
            Some(sha) if !sha.is_empty() => Ok(Base::Revision(sha.to_owned())),
            _ => Err(DiffError::NoBase),
        },
        Some(other) => Err(DiffError::JobType(format!("`{other}`"))),
        None => Err(DiffError::JobType("not set".to_owned())),
    }
}

/// Leaves of `manifests` what was not wished at `base`. `path` is what they were loaded from: the folder of thin manifests,
/// or the plain one. A file that could not be read then counts as absent, with a warning.
///
/// # Errors
/// When git cannot say what was wished then.
pub fn limit_to_added(mut manifests: Manifests, path: &Path, base: &Base) -> Result<Manifests, DiffError> {
    let is_thin = path.is_dir();
    let folder = if is_thin {
        path
    } else {
        path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
    };
    let git = Git { folder };
    let Some(commit) = git.resolve(base)? else {
        manifests.manifests.clear();
        return Ok(manifests);
    };
    let prefix = git.run(&["rev-parse", "--show-prefix"])?;
    let prefix = String::from_utf8_lossy(&prefix).trim_end_matches('\n').to_owned();
    let mut wrong = Diagnostics::default();
    let before = if is_thin {
        let projects = git.projects(&commit, &prefix)?;
        Project::parse_all(projects, &mut wrong)
    } else {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let file: Arc<str> = format!("{commit}:{prefix}{name}").into();
        let blob = git.files(&commit, &[format!("{prefix}{name}")])?.into_iter().next();
        let read = blob.map(|(_, id)| git.blobs(&[id])).transpose()?.and_then(|mut blobs| blobs.pop());
        let parsed = read.map(|bytes| plain(&file, &bytes));
        parsed.and_then(|parsed| parsed.map_err(|found| wrong.extend(found)).ok()).into_iter().collect()
    };
    manifests.warnings.extend(wrong.into_inner().into_iter().map(Diagnostic::was_so_before));
    let known = before.iter().flat_map(pairs).collect();
    manifests.manifests.iter_mut().for_each(|manifest| keep_added(manifest, &known));
    manifests.manifests.retain(|manifest| !manifest.images.is_empty());
    Ok(manifests)
}

/// A wish, wherever it stands: what is promoted from where, and the tag it gets.
type Pair = (Repository, Digest, Option<Tag>);

fn pairs(manifest: &Manifest) -> impl Iterator<Item = Pair> {
    manifest
        .images
        .iter()
        .filter_map(|image| Some((manifest.source.repository(&image.name).ok()?, image)))
        .flat_map(|(source, image)| {
            image.digests.iter().flat_map(move |wish| {
                let untagged = wish.tags.is_empty().then_some(None);
                let tags = wish.tags.iter().map(|(tag, _)| Some(tag.clone())).chain(untagged);
                let source = source.clone();
                tags.map(move |tag| (source.clone(), wish.digest, tag))
            })
        })
}

/// Takes out of a manifest what is in `known`.
fn keep_added(manifest: &mut Manifest, known: &HashSet<Pair>) {
    let source = manifest.source.clone();
    for image in &mut manifest.images {
        let Ok(source) = source.repository(&image.name) else { continue };
        let is_new = |digest, tag| !known.contains(&(source.clone(), digest, tag));
        image.digests.retain_mut(|wish| {
            if wish.tags.is_empty() {
                return is_new(wish.digest, None);
            }
            wish.tags.retain(|(tag, _)| is_new(wish.digest, Some(tag.clone())));
            !wish.tags.is_empty()
        });
    }
    manifest.images.retain(|image| !image.digests.is_empty());
}

/// Questions to the repository that a folder is in.
struct Git<'a> {
    folder: &'a Path,
}

impl Git<'_> {
    /// The commit to compare with; `None` where nothing has happened since.
    fn resolve(&self, base: &Base) -> Result<Option<String>, DiffError> {
        match base {
            Base::Revision(revision) => self.commit(revision).map(Some),
            Base::Since(when) => {
                let since = format!("--since={when}");
                let commits = self.run(&["rev-list", &since, "HEAD"])?;
                let commits = String::from_utf8_lossy(&commits);
                let Some(oldest) = commits.lines().last() else { return Ok(None) };
                let parent = self.commit(&format!("{oldest}^"));
                Ok(Some(parent.unwrap_or_else(|_| oldest.to_owned())))
            }
        }
    }

    fn commit(&self, revision: &str) -> Result<String, DiffError> {
        let commit = format!("{revision}^{{commit}}");
        let id = self.run(&["rev-parse", "--verify", "--end-of-options", &commit])?;
        // git repeats `--end-of-options` in its answer where it is older than 2.30.
        let id = String::from_utf8_lossy(&id).lines().last().unwrap_or_default().trim().to_owned();
        if id.len() >= 40 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(id)
        } else {
            Err(DiffError::Unexpected { command: "rev-parse" })
        }
    }

    /// The thin manifests of a commit, by project; those that lack one of their files are left out.
    fn projects(&self, commit: &str, prefix: &str) -> Result<BTreeMap<String, Project>, DiffError> {
        let files = self.files(commit, &[format!("{prefix}manifests"), format!("{prefix}images")])?;
        let (paths, ids): (Vec<String>, Vec<String>) = files.into_iter().unzip();
        let blobs = self.blobs(&ids)?;
        let mut halves: BTreeMap<String, [Option<Named>; 2]> = BTreeMap::new();
        for (path, bytes) in paths.iter().zip(blobs) {
            let Some(below) = path.strip_prefix(prefix) else { continue };
            let half = match below.split('/').collect::<Vec<_>>()[..] {
                ["manifests", project, REGISTRIES_FILE] => Some((project, 0)),
                ["images", project, IMAGES_FILE] => Some((project, 1)),
                _ => None,
            };
            if let Some((project, half)) = half {
                let shown: Arc<str> = format!("{commit}:{path}").into();
                halves.entry(project.to_owned()).or_default()[half] = Some((shown, bytes));
            }
        }
        let whole = |(project, [registries, images]): (String, [Option<_>; 2])| {
            Some((project, Project { registries: registries?, images: images? }))
        };
        Ok(halves.into_iter().filter_map(whole).collect())
    }

    /// The regular files of a commit below some paths, from the top of the repository: path and blob.
    fn files(&self, commit: &str, paths: &[String]) -> Result<Vec<(String, String)>, DiffError> {
        let mut arguments = vec!["ls-tree", "-r", "-l", "-z", "--full-tree", commit, "--"];
        arguments.extend(paths.iter().map(String::as_str));
        let listed = self.run(&arguments)?;
        let entries = listed.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
        entries
            .filter_map(|entry| {
                let (head, path) = std::str::from_utf8(entry).ok()?.split_once('\t')?;
                let mut head = head.split_whitespace();
                let (mode, _kind, id, size) = (head.next()?, head.next()?, head.next()?, head.next()?);
                let is_yaml = mode.starts_with("100") && path.ends_with(".yaml");
                let fits = size.parse::<u64>().is_ok_and(|size| size <= FILE_MAX);
                (is_yaml && fits).then(|| Ok((path.to_owned(), id.to_owned())))
            })
            .collect()
    }

    /// The contents of blobs, in their order.
    fn blobs(&self, ids: &[String]) -> Result<Vec<Vec<u8>>, DiffError> {
        const UNEXPECTED: DiffError = DiffError::Unexpected { command: "cat-file" };
        let input = ids.iter().flat_map(|id| [id.as_str(), "\n"]).collect::<String>();
        let output = self.run_with(&["cat-file", "--batch"], &input)?;
        let mut rest = output.as_slice();
        let mut blobs = Vec::with_capacity(ids.len());
        for _ in ids {
            // `<id> blob <size>`, the content, a line feed.
            let end = rest.iter().position(|byte| *byte == b'\n').ok_or(UNEXPECTED)?;
            let head = std::str::from_utf8(&rest[..end]).map_err(|_| UNEXPECTED)?;
            let size =
                head.rsplit(' ').next().and_then(|size| size.parse::<usize>().ok()).ok_or(UNEXPECTED)?;
            let content = rest.get(end + 1..).and_then(|rest| rest.get(..size)).ok_or(UNEXPECTED)?;
            blobs.push(content.to_vec());
            rest = rest.get(end + 1 + size + 1..).unwrap_or_default();
        }
        Ok(blobs)
    }

    fn run(&self, arguments: &[&str]) -> Result<Vec<u8>, DiffError> {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> Result<Vec<u8>, DiffError> {
        let mut child = Command::new("git")
            .arg("-C")
            .arg(self.folder)
            // Reading a repository must run nothing that the repository names.
            .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-pager"])
            .args(arguments.iter().map(OsStr::new))
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(DiffError::Git)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        // All three pipes at once: git must not wait for us while we wait for it.
        let (output, message) = std::thread::scope(|scope| {
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
            let message = scope.spawn(move || drain(stderr, 64 * 1024));
            (drain(stdout, OUTPUT_MAX), message.join().unwrap_or_default())
        });
        let status = child.wait().map_err(DiffError::Git)?;
        if status.success() {
            return Ok(output);
        }
        let message = String::from_utf8_lossy(&message).trim().to_owned();
        Err(DiffError::Failed { command: arguments.join(" "), message })
    }
}

/// What comes out of a pipe, as far as it may come.
fn drain(pipe: Option<impl Read>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What a broken pipe has brought is judged by the exit status.
    let _ = pipe.map(|pipe| pipe.take(most).read_to_end(&mut bytes));
    bytes
}
