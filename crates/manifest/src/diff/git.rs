//! Queries to a git repository. They run the installed `git`, which reads only the local repository and runs no command from
//! the repository's configuration.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::base::Base;
use super::error::DiffError;
use crate::contents::FILE_MAX;

/// The maximum output of one command, in bytes. A list of the files of all projects of Kubernetes has 20 KB.
const ANSWER_MAX: u64 = 64 * 1024 * 1024;
/// The maximum error output of a command that is read, in bytes.
const COMPLAINT_MAX: u64 = 16 * 1024;
/// The maximum length of an object's header line, in bytes: identifier, kind and size.
const HEAD_MAX: u64 = 256;
/// Environment variables that redirect git to a repository other than that of the directory.
pub const GIT_REDIRECTIONS: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_SHALLOW_FILE",
];

/// The repository of a directory.
pub(super) struct Git<'a> {
    program: &'a str,
    directory: &'a Path,
    /// Whether the clone is shallow: its history ends before the first commit.
    is_shallow: bool,
}

/// A file of a commit.
pub(super) struct Entry {
    /// The path, relative to the directory.
    pub(super) path: String,
    /// The object identifier of the content.
    pub(super) id: String,
    /// The size in bytes.
    pub(super) size: u64,
    pub(super) kind: Kind,
}

/// The kind of a commit's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    /// A symbolic link. Its content is the target path.
    Link,
    /// A commit of another repository.
    Submodule,
}

impl<'a> Git<'a> {
    pub(super) fn open(directory: &'a Path) -> Result<Self, DiffError> {
        Self::with_program("git", directory)
    }

    fn with_program(program: &'a str, directory: &'a Path) -> Result<Self, DiffError> {
        let git = Self { program, directory, is_shallow: false };
        match git.line(&["rev-parse", "--is-shallow-repository"]) {
            Ok(answer) => Ok(Self { is_shallow: answer == "true", ..git }),
            Err(DiffError::Failed { message, .. }) if message.contains("not a git repository") => {
                Err(DiffError::NotARepository(directory.to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the base commit, or `None` if there are no commits since the given time.
    pub(super) fn resolve(&self, base: &Base) -> Result<Option<String>, DiffError> {
        match base {
            Base::Revision(revision) => self.commit(revision).map(Some),
            Base::Since(when) => match self.oldest_since(when)? {
                Some(oldest) => Ok(Some(self.parent(&oldest)?.unwrap_or(oldest))),
                None => Ok(None),
            },
        }
    }

    /// Returns the root directory of the repository.
    pub(super) fn root(&self) -> Result<String, DiffError> {
        let root = self.text(&["rev-parse", "--show-toplevel"])?;
        Ok(root.strip_suffix('\n').unwrap_or(&root).to_owned())
    }

    /// Returns the checked-out commit.
    pub(super) fn head(&self) -> Result<String, DiffError> {
        self.commit("HEAD")
    }

    /// Returns the configured URL of the remote `origin`, or `None` if there is none.
    pub(super) fn origin(&self) -> Result<Option<String>, DiffError> {
        match self.line(&["config", "--get", "remote.origin.url"]) {
            // `git config --get` fails without a message if the value is not set.
            Err(DiffError::Failed { message, .. }) if message.is_empty() => Ok(None),
            answer => answer.map(Some),
        }
    }

    fn commit(&self, revision: &str) -> Result<String, DiffError> {
        let commit = format!("{revision}^{{commit}}");
        let id = match self.line(&["rev-parse", "--verify", "--quiet", "--end-of-options", &commit]) {
            // With `--quiet`, git prints no message for a missing revision.
            Err(DiffError::Failed { message, .. }) if message.is_empty() || message.contains("revision") => {
                return Err(DiffError::UnknownRevision {
                    revision: revision.escape_debug().to_string(),
                    directory: self.directory.to_owned(),
                    is_shallow: self.is_shallow,
                });
            }
            answer => answer?,
        };
        if is_id(&id) { Ok(id) } else { Err(unexpected("rev-parse")) }
    }

    fn oldest_since(&self, when: &str) -> Result<Option<String>, DiffError> {
        // git reads a time that it does not understand as the present. One process resolves both times, so both use the same
        // clock.
        let times = self.text(&["rev-parse", "--since=now", &format!("--since={when}")])?;
        let seconds = |line: &str| line.strip_prefix("--max-age=")?.parse::<u64>().ok();
        let times: Option<Vec<u64>> = times.lines().map(seconds).collect();
        let Some([now, then]) = times.as_deref() else { return Err(unexpected("rev-parse")) };
        if then >= now {
            return Err(DiffError::NotPast(when.escape_debug().to_string()));
        }
        let commits = self.text(&["rev-list", &format!("--max-age={then}"), "HEAD", "--"])?;
        Ok(commits.lines().last().map(str::to_owned))
    }

    /// Returns the first parent of a commit, or `None` if it has none. The commit object is read because git reports no
    /// parent at the boundary of a shallow clone.
    fn parent(&self, commit: &str) -> Result<Option<String>, DiffError> {
        let object = self.run(&["cat-file", "commit", commit])?;
        let object = String::from_utf8_lossy(&object);
        let mut head = object.lines().take_while(|line| !line.is_empty());
        let Some(parent) = head.find_map(|line| line.strip_prefix("parent ")) else { return Ok(None) };
        match self.commit(parent) {
            Err(DiffError::UnknownRevision { .. }) => {
                Err(DiffError::NoParent { commit: commit.to_owned(), parent: parent.to_owned() })
            }
            answer => answer.map(Some),
        }
    }

    /// Returns the files of a commit below some paths, which are relative to the directory. Without paths, returns all files
    /// below the directory.
    pub(super) fn files(&self, commit: &str, paths: &[&str]) -> Result<Vec<Entry>, DiffError> {
        let mut arguments = vec!["ls-tree", "-r", "-l", "-z", commit, "--"];
        arguments.extend(paths);
        let listed = self.run(&arguments)?;
        let entries = listed.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
        // A project name is UTF-8, so other paths are skipped.
        let entries = entries.filter_map(|entry| std::str::from_utf8(entry).ok());
        entries.map(entry_of).collect()
    }

    /// Starts a reader of file contents.
    pub(super) fn blobs(&self) -> Result<Blobs, DiffError> {
        let mut child =
            self.command(&["cat-file", "--batch"]).stderr(Stdio::null()).spawn().map_err(DiffError::Git)?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(questions), Some(answers)) => {
                Ok(Blobs { child, questions, answers: BufReader::new(answers) })
            }
            _ => Err(unexpected("cat-file")),
        }
    }

    fn line(&self, arguments: &[&str]) -> Result<String, DiffError> {
        Ok(self.text(arguments)?.trim().to_owned())
    }

    fn text(&self, arguments: &[&str]) -> Result<String, DiffError> {
        String::from_utf8(self.run(arguments)?).map_err(|_| unexpected(arguments[0]))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command
            .arg("-C")
            .arg(self.directory)
            .arg("--no-pager")
            // Reading must not run a command that the repository names.
            .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"])
            .args(arguments)
            .envs([
                ("LC_ALL", "C"),
                ("GIT_LITERAL_PATHSPECS", "1"),
                // Missing objects of a partial clone are not fetched, because the repository's configuration may name any
                // command for that. Older versions of git ignore `GIT_NO_LAZY_FETCH`; `GIT_ALLOW_PROTOCOL` leaves them no
                // transport.
                ("GIT_NO_LAZY_FETCH", "1"),
                ("GIT_ALLOW_PROTOCOL", "none"),
                ("GIT_NO_REPLACE_OBJECTS", "1"),
                ("GIT_OPTIONAL_LOCKS", "0"),
                ("GIT_TERMINAL_PROMPT", "0"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in GIT_REDIRECTIONS {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<Vec<u8>, DiffError> {
        let command = || arguments.join(" ").escape_debug().to_string();
        let mut child = self.command(arguments).stdin(Stdio::null()).spawn().map_err(DiffError::Git)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // Both pipes are read concurrently. Otherwise git could block on a full pipe while this process waits for git.
        let (answer, complaint) = std::thread::scope(|scope| {
            let complaint = scope.spawn(move || drain(stderr, COMPLAINT_MAX));
            (drain(stdout, ANSWER_MAX + 1), complaint.join().unwrap_or_default())
        });
        let status = child.wait().map_err(DiffError::Git)?;
        if answer.len() as u64 > ANSWER_MAX {
            return Err(DiffError::TooMuch { command: command(), most: ANSWER_MAX });
        }
        if status.success() {
            return Ok(answer);
        }
        let message = String::from_utf8_lossy(&complaint).trim().to_owned();
        if let Some(repository) = owned_by_another(&message) {
            return Err(DiffError::OtherOwner(repository.escape_debug().to_string()));
        }
        Err(DiffError::Failed { command: command(), message })
    }
}

/// Returns the repository that git does not read because it belongs to another user.
fn owned_by_another(message: &str) -> Option<&str> {
    message.split_once("dubious ownership in repository at '")?.1.split('\'').next()
}

/// Parses an entry of `git ls-tree -l`: `<mode> <kind> <id> <size>`, a tab, the path.
fn entry_of(entry: &str) -> Result<Entry, DiffError> {
    let (head, path) = entry.split_once('\t').ok_or_else(|| unexpected("ls-tree"))?;
    let head: Vec<&str> = head.split_whitespace().collect();
    let [mode, kind, id, size] = head[..] else { return Err(unexpected("ls-tree")) };
    let (kind, size) = match (kind, mode.starts_with("120")) {
        ("commit", _) => (Kind::Submodule, 0),
        // A file without a size has missing content. It must not count as absent: all its edges would appear to be new.
        ("blob", is_link) => {
            let size = size.parse().map_err(|_| unexpected("ls-tree"))?;
            (if is_link { Kind::Link } else { Kind::File }, size)
        }
        _ => return Err(unexpected("ls-tree")),
    };
    Ok(Entry { path: path.to_owned(), id: id.to_owned(), size, kind })
}

/// Whether a text is an object identifier, SHA-1 or SHA-256.
fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn unexpected(command: &str) -> DiffError {
    DiffError::Unexpected { command: command.to_owned() }
}

/// Reads at most `most` bytes from a pipe. If the process writes more, the closed pipe stops it.
fn drain(pipe: Option<impl Read>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A read error is ignored: the exit status shows whether the command succeeded.
    let _ = pipe.map(|pipe| pipe.take(most).read_to_end(&mut bytes));
    bytes
}

/// Reads the contents of files one at a time, so that only one is in memory.
pub(super) struct Blobs {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Blobs {
    /// Returns the content of a file, which must not be larger than [`FILE_MAX`].
    pub(super) fn read(&mut self, entry: &Entry) -> Result<Vec<u8>, DiffError> {
        self.ask(entry).ok().flatten().ok_or_else(|| unexpected("cat-file --batch"))
    }

    fn ask(&mut self, entry: &Entry) -> std::io::Result<Option<Vec<u8>>> {
        writeln!(self.questions, "{}", entry.id)?;
        // The output is `<id> blob <size>`, a line feed, the content, a line feed.
        let mut head = String::new();
        self.answers.by_ref().take(HEAD_MAX).read_line(&mut head)?;
        let expected = format!("{} blob {}\n", entry.id, entry.size);
        if head != expected || entry.size > FILE_MAX {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        self.answers.by_ref().take(entry.size + 1).read_to_end(&mut bytes)?;
        let is_whole = bytes.pop() == Some(b'\n') && bytes.len() as u64 == entry.size;
        Ok(is_whole.then_some(bytes))
    }
}

impl Drop for Blobs {
    fn drop(&mut self) {
        // The process waits for requests. It does not matter whether it has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_git_is_reported() {
        let result = Git::with_program("a-git-that-nobody-has", Path::new(".")).map(|_| ());
        assert!(matches!(result, Err(DiffError::Git(_))), "{result:?}");
    }
}
