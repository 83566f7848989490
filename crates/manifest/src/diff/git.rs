//! Questions to a git repository. The installed `git` is run. It reads only the local repository, and runs nothing that the
//! repository's configuration names.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::base::Base;
use super::error::DiffError;
use crate::contents::FILE_MAX;

/// The most that one command may answer, in bytes. A list of the files of all projects of Kubernetes has 20 KB.
const ANSWER_MAX: u64 = 64 * 1024 * 1024;
/// The most that is read of what a command complains about, in bytes.
const COMPLAINT_MAX: u64 = 16 * 1024;
/// The longest first line of an object, in bytes: an identity, a kind and a size.
const HEAD_MAX: u64 = 256;
/// What names another repository than the one that a folder is in.
const REDIRECTIONS: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_SHALLOW_FILE",
];

/// The repository that a folder is in.
pub(super) struct Git<'a> {
    program: &'a str,
    folder: &'a Path,
    /// Whether the clone ends somewhere before the first commit.
    is_shallow: bool,
}

/// A file of a commit.
pub(super) struct Entry {
    /// Its path from the folder.
    pub(super) path: String,
    /// The identity of its content.
    pub(super) id: String,
    /// Its size in bytes.
    pub(super) size: u64,
    pub(super) kind: Kind,
}

/// What an entry of a commit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    /// Its content is the path that it leads to.
    Link,
    /// A commit of another repository.
    Submodule,
}

impl<'a> Git<'a> {
    pub(super) fn open(folder: &'a Path) -> Result<Self, DiffError> {
        Self::with_program("git", folder)
    }

    fn with_program(program: &'a str, folder: &'a Path) -> Result<Self, DiffError> {
        let git = Self { program, folder, is_shallow: false };
        match git.line(&["rev-parse", "--is-shallow-repository"]) {
            Ok(answer) => Ok(Self { is_shallow: answer == "true", ..git }),
            Err(DiffError::Failed { message, .. }) if message.contains("not a git repository") => {
                Err(DiffError::NotARepository(folder.to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    /// The commit to compare with; `None` where nothing has happened since.
    pub(super) fn resolve(&self, base: &Base) -> Result<Option<String>, DiffError> {
        match base {
            Base::Revision(revision) => self.commit(revision).map(Some),
            Base::Since(when) => match self.oldest_since(when)? {
                Some(oldest) => Ok(Some(self.parent(&oldest)?.unwrap_or(oldest))),
                None => Ok(None),
            },
        }
    }

    /// The folder that the repository's files are in.
    pub(super) fn root(&self) -> Result<String, DiffError> {
        let root = self.text(&["rev-parse", "--show-toplevel"])?;
        Ok(root.strip_suffix('\n').unwrap_or(&root).to_owned())
    }

    /// The commit that is checked out.
    pub(super) fn head(&self) -> Result<String, DiffError> {
        self.commit("HEAD")
    }

    /// Where the repository was cloned from, as its configuration says; `None` where it says nothing.
    pub(super) fn origin(&self) -> Result<Option<String>, DiffError> {
        match self.line(&["config", "--get", "remote.origin.url"]) {
            // With nothing to give it fails and says nothing.
            Err(DiffError::Failed { message, .. }) if message.is_empty() => Ok(None),
            answer => answer.map(Some),
        }
    }

    fn commit(&self, revision: &str) -> Result<String, DiffError> {
        let commit = format!("{revision}^{{commit}}");
        let id = match self.line(&["rev-parse", "--verify", "--quiet", "--end-of-options", &commit]) {
            // Quiet, it says nothing about what is not there.
            Err(DiffError::Failed { message, .. }) if message.is_empty() || message.contains("revision") => {
                return Err(DiffError::UnknownRevision {
                    revision: revision.escape_debug().to_string(),
                    folder: self.folder.to_owned(),
                    is_shallow: self.is_shallow,
                });
            }
            answer => answer?,
        };
        if is_id(&id) { Ok(id) } else { Err(unexpected("rev-parse")) }
    }

    fn oldest_since(&self, when: &str) -> Result<Option<String>, DiffError> {
        // git takes for the present what it does not understand; both are read in one process, by one clock.
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

    /// The first parent of a commit, by what the commit itself says: where a clone ends, git would say that there is none.
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

    /// The files of a commit below some paths from the folder, or below the folder where none is given.
    pub(super) fn files(&self, commit: &str, paths: &[&str]) -> Result<Vec<Entry>, DiffError> {
        let mut arguments = vec!["ls-tree", "-r", "-l", "-z", commit, "--"];
        arguments.extend(paths);
        let listed = self.run(&arguments)?;
        let entries = listed.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
        // A name that is not UTF-8 is no project's name.
        let entries = entries.filter_map(|entry| std::str::from_utf8(entry).ok());
        entries.map(entry_of).collect()
    }

    /// A reader of files' contents.
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
            .arg(self.folder)
            .arg("--no-pager")
            // Reading a repository must run nothing that the repository names.
            .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"])
            .args(arguments)
            .envs([
                ("LC_ALL", "C"),
                ("GIT_LITERAL_PATHSPECS", "1"),
                // What a partial clone lacks is not fetched: its configuration says how, and that may be any command. Older
                // versions do not know the first, and the second leaves them no way to fetch.
                ("GIT_NO_LAZY_FETCH", "1"),
                ("GIT_ALLOW_PROTOCOL", "none"),
                ("GIT_NO_REPLACE_OBJECTS", "1"),
                ("GIT_OPTIONAL_LOCKS", "0"),
                ("GIT_TERMINAL_PROMPT", "0"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in REDIRECTIONS {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<Vec<u8>, DiffError> {
        let command = || arguments.join(" ").escape_debug().to_string();
        let mut child = self.command(arguments).stdin(Stdio::null()).spawn().map_err(DiffError::Git)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // Both pipes at once: git must not wait for us while we wait for it.
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
        Err(DiffError::Failed { command: command(), message })
    }
}

/// An entry of `git ls-tree -l`: `<mode> <kind> <id> <size>`, a tab, the path.
fn entry_of(entry: &str) -> Result<Entry, DiffError> {
    let (head, path) = entry.split_once('\t').ok_or_else(|| unexpected("ls-tree"))?;
    let head: Vec<&str> = head.split_whitespace().collect();
    let [mode, kind, id, size] = head[..] else { return Err(unexpected("ls-tree")) };
    let (kind, size) = match (kind, mode.starts_with("120")) {
        ("commit", _) => (Kind::Submodule, 0),
        // A file whose content is missing has no size. It must not be taken for absent: all its edges would seem new.
        ("blob", is_link) => {
            let size = size.parse().map_err(|_| unexpected("ls-tree"))?;
            (if is_link { Kind::Link } else { Kind::File }, size)
        }
        _ => return Err(unexpected("ls-tree")),
    };
    Ok(Entry { path: path.to_owned(), id: id.to_owned(), size, kind })
}

/// Whether a text is an object's identity, of SHA-1 or SHA-256.
fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn unexpected(command: &str) -> DiffError {
    DiffError::Unexpected { command: command.to_owned() }
}

/// What comes out of a pipe, as far as it may come. A process that has more to say is stopped by the closed pipe.
fn drain(pipe: Option<impl Read>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What a broken pipe has brought is judged by the exit status.
    let _ = pipe.map(|pipe| pipe.take(most).read_to_end(&mut bytes));
    bytes
}

/// Reads contents one by one, so that only one is held.
pub(super) struct Blobs {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Blobs {
    /// The content of a file that is not larger than a manifest may be.
    pub(super) fn read(&mut self, entry: &Entry) -> Result<Vec<u8>, DiffError> {
        self.ask(entry).ok().flatten().ok_or_else(|| unexpected("cat-file --batch"))
    }

    fn ask(&mut self, entry: &Entry) -> std::io::Result<Option<Vec<u8>>> {
        writeln!(self.questions, "{}", entry.id)?;
        // `<id> blob <size>`, a line feed, the content, a line feed.
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
        // It waits for questions; whether it is gone already does not matter.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_git_is_told_so() {
        let result = Git::with_program("a-git-that-nobody-has", Path::new(".")).map(|_| ());
        assert!(matches!(result, Err(DiffError::Git(_))), "{result:?}");
    }
}
