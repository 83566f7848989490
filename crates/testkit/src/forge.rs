//! A forge on loopback: repositories by `git http-backend`, and the calls of GitHub's API that kpromo uses.

mod api;
mod backend;
mod model;
pub(crate) mod wire;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use api::Api;
pub use model::{ForgePull, ForgeQuirks};
use tempfile::TempDir;
use wire::{Received, Reply};

use crate::loopback::{Listening, locked};
use crate::script::write_script;
use crate::tool::tool;

/// A request that the forge has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgeRequest {
    /// The method.
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// The value of `Authorization`.
    pub authorization: Option<String>,
    /// The body, if it is text.
    pub body: String,
    /// The status of the response.
    pub status: u16,
}

/// A forge, which stops when it is dropped.
#[derive(Debug)]
pub struct Forge {
    listening: Listening,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    directory: TempDir,
    token: String,
    api: Mutex<Api>,
    requests: Mutex<Vec<ForgeRequest>>,
}

impl Forge {
    /// Starts a forge without repositories. It accepts this token.
    pub fn start(token: &str) -> Self {
        let state = Arc::new(State {
            directory: tempfile::tempdir().expect("a temporary directory"),
            token: token.to_owned(),
            api: Mutex::default(),
            requests: Mutex::default(),
        });
        let answering = Arc::clone(&state);
        let listening = Listening::start(move |stream, _| {
            let state = Arc::clone(&answering);
            thread::spawn(move || drop(state.answer(&stream)));
        });
        Self { listening, state }
    }

    /// Returns the URL of the git server.
    pub fn url(&self) -> String {
        self.listening.url()
    }

    /// Returns the URL of the API.
    pub fn api_url(&self) -> String {
        format!("{}/api", self.url())
    }

    /// Changes how the forge behaves.
    pub fn set(&self, quirks: ForgeQuirks) {
        locked(&self.state.api).quirks = quirks;
    }

    /// Creates a repository with one commit on `main`.
    pub fn create(&self, slug: &str, files: &[(&str, &str)]) {
        let path = self.state.repository(slug);
        git(
            &self.state,
            self.state.directory.path(),
            &["init", "--quiet", "--bare", "--initial-branch=main", text(&path)],
        );
        git(&self.state, &path, &["config", "http.receivepack", "true"]);
        locked(&self.state.api).repositories.insert(slug.to_owned(), None);
        self.commit(slug, "main", files, "First");
    }

    /// Creates a fork of a repository, with its branches. With `parent`, the API reports it as a fork of that repository.
    pub fn fork(&self, upstream: &str, fork: &str, parent: Option<&str>) {
        let (from, to) = (self.state.repository(upstream), self.state.repository(fork));
        git(
            &self.state,
            self.state.directory.path(),
            &["clone", "--quiet", "--bare", "--no-local", text(&from), text(&to)],
        );
        git(&self.state, &to, &["config", "http.receivepack", "true"]);
        locked(&self.state.api).repositories.insert(fork.to_owned(), parent.map(str::to_owned));
    }

    /// Adds a commit with these files to a branch. A branch that does not exist starts at `main`.
    pub fn commit(&self, slug: &str, branch: &str, files: &[(&str, &str)], message: &str) {
        self.commit_by(("Somebody", "somebody@example.org"), slug, branch, files, message);
    }

    /// Adds a commit like [`Forge::commit`], by a person with this name and address.
    pub fn commit_by(
        &self,
        (name, address): (&str, &str),
        slug: &str,
        branch: &str,
        files: &[(&str, &str)],
        message: &str,
    ) {
        let (state, path) = (&self.state, self.state.repository(slug));
        let worktree = tempfile::tempdir_in(state.directory.path()).expect("a temporary directory");
        git(state, worktree.path(), &["clone", "--quiet", text(&path), "."]);
        let branches = self.branches(slug);
        let checkout: &[&str] = if branches.iter().any(|name| name == branch) {
            &["checkout", "--quiet", branch]
        } else {
            &["checkout", "--quiet", "-b", branch]
        };
        // A repository without commits already has its branch.
        if !branches.is_empty() {
            git(state, worktree.path(), checkout);
        }
        for (name, content) in files {
            let file = worktree.path().join(name);
            std::fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
            std::fs::write(file, content).expect("a file");
        }
        git(state, worktree.path(), &["add", "--all"]);
        let mut commit = command(state.directory.path(), worktree.path());
        commit.envs([("GIT_AUTHOR_NAME", name), ("GIT_COMMITTER_NAME", name)]);
        commit.envs([("GIT_AUTHOR_EMAIL", address), ("GIT_COMMITTER_EMAIL", address)]);
        let committed = commit.args(["commit", "--quiet", "--allow-empty", "-m", message]).status();
        assert!(committed.expect("git is installed").success(), "git commit has failed");
        git(state, worktree.path(), &["push", "--quiet", "origin", &format!("HEAD:refs/heads/{branch}")]);
    }

    /// Deletes a branch.
    pub fn delete_branch(&self, slug: &str, branch: &str) {
        git(
            &self.state,
            &self.state.repository(slug),
            &["update-ref", "-d", &format!("refs/heads/{branch}")],
        );
    }

    /// Returns the commit of a branch.
    pub fn tip(&self, slug: &str, branch: &str) -> Option<String> {
        self.state.commit_of(slug, branch)
    }

    /// Refuses all pushes to a repository with this message.
    pub fn refuse_pushes(&self, slug: &str, message: &str) {
        let hook = self.state.repository(slug).join("hooks/pre-receive");
        std::fs::create_dir_all(hook.parent().expect("a directory")).expect("a directory");
        write_script(&hook, &format!("echo '{message}' >&2\nexit 1"));
    }

    /// Returns the branches of a repository, sorted.
    pub fn branches(&self, slug: &str) -> Vec<String> {
        let path = self.state.repository(slug);
        let listed = git(&self.state, &path, &["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
        listed.lines().map(str::to_owned).collect()
    }

    /// Returns the content of a file on a branch.
    pub fn file(&self, slug: &str, branch: &str, name: &str) -> String {
        git(&self.state, &self.state.repository(slug), &["show", &format!("{branch}:{name}")])
    }

    /// Returns the message of the last commit of a branch, and the number of its commits that are not on `main`.
    pub fn message(&self, slug: &str, branch: &str) -> (String, usize) {
        let path = self.state.repository(slug);
        let message = git(&self.state, &path, &["log", "-1", "--format=%B", branch]);
        let commits = git(&self.state, &path, &["rev-list", branch, "^main"]);
        (message.trim_end().to_owned(), commits.lines().count())
    }

    /// Returns the pull requests.
    pub fn pulls(&self) -> Vec<ForgePull> {
        locked(&self.state.api).pulls.clone()
    }

    /// Returns the requests so far, in order.
    pub fn requests(&self) -> Vec<ForgeRequest> {
        locked(&self.state.requests).clone()
    }

    /// Clears the list of requests.
    pub fn forget_requests(&self) {
        locked(&self.state.requests).clear();
    }

    /// Writes a stand-in for `ssh` that serves the repositories of the forge, and returns its path. It appends its arguments and
    /// its environment to the file `ssh.log` beside it.
    pub fn ssh(&self) -> PathBuf {
        let path = self.state.directory.path().join("ssh");
        let root = self.state.root();
        let script = format!(
            "(echo \"$@\"; env) >> '{}.log'\nfor last; do :; done\ncd '{}' && eval \"$last\"",
            path.display(),
            root.display()
        );
        write_script(&path, &script);
        path
    }
}

impl State {
    fn root(&self) -> PathBuf {
        self.directory.path().join("repositories")
    }

    fn repository(&self, slug: &str) -> PathBuf {
        self.root().join(slug)
    }

    /// Answers the one request of a connection.
    fn answer(&self, stream: &TcpStream) -> std::io::Result<()> {
        let Some(received) = Received::read(stream)? else { return Ok(()) };
        let is_api = received.path.starts_with("/api/");
        let reply = if is_api {
            let commit_of = |slug: &str, branch: &str| self.commit_of(slug, branch);
            locked(&self.api).answer(&received, &self.token, &commit_of)
        } else {
            let reply = backend::answer(&received, &self.root(), &self.token);
            let is_push = received.method == "POST" && received.path.ends_with("/git-receive-pack");
            let is_lost = is_push && reply.status == 200 && locked(&self.api).quirks.loses_pushes;
            if is_lost { Reply { status: 502, headers: Vec::new(), body: Vec::new() } } else { reply }
        };
        let Received { method, path, query, body, .. } = &received;
        let separator = if query.is_empty() { "" } else { "?" };
        locked(&self.requests).push(ForgeRequest {
            method: method.clone(),
            path: format!("{path}{separator}{query}"),
            authorization: received.header("authorization").map(str::to_owned),
            body: String::from_utf8(body.clone()).unwrap_or_default(),
            status: reply.status,
        });
        reply.write(stream)
    }

    /// Returns the commit of a branch.
    fn commit_of(&self, slug: &str, branch: &str) -> Option<String> {
        let path = self.repository(slug);
        let output = command(self.directory.path(), &path)
            .args(["rev-parse", "--verify", "--quiet", &format!("refs/heads/{branch}")])
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

fn command(home: &Path, directory: &Path) -> Command {
    let mut command = Command::new(tool("git"));
    command
        .current_dir(directory)
        .env_clear()
        .envs([
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_AUTHOR_NAME", "Somebody"),
            ("GIT_AUTHOR_EMAIL", "somebody@example.org"),
            ("GIT_COMMITTER_NAME", "Somebody"),
            ("GIT_COMMITTER_EMAIL", "somebody@example.org"),
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ])
        .env("HOME", home);
    command
}

/// Runs git, which must succeed.
fn git(state: &State, directory: &Path, arguments: &[&str]) -> String {
    std::fs::create_dir_all(directory).expect("a directory");
    let output =
        command(state.directory.path(), directory).args(arguments).output().expect("git is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?} has failed: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}
