//! The workspace of the change: a temporary clone, or a temporary worktree of the user's clone.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use oci_types::text::printable;
use tempfile::TempDir;

use super::git::{Git, GitError, remove_worktree};
use crate::args::{PrArgs, Slug};
use crate::exit::Exit;
use crate::failure::Failure;

/// The prefix of the names of temporary directories.
const PREFIX: &str = "kpromo-pr-";
/// Attributes that check out and commit files without conversion.
const ATTRIBUTES: &str = "* -text -filter -ident -working-tree-encoding\n";
/// The number of files that one git process compares.
const FILES_AT_ONCE: usize = 500;
const GIT_HELP: &str =
    "a setting or a hook of git refuses the commit: correct it, and run the same command again";

/// A checkout of the base branch.
pub(super) struct Workspace<'a> {
    git: &'a Git,
    /// The root of the checkout.
    pub(super) directory: PathBuf,
    /// The checked-out commit.
    base: String,
    /// The user's clone, if this is a worktree of it.
    registered: Option<Registered>,
    holder: TempDir,
}

/// A worktree that is registered in a clone of the user. Dropping this removes it.
struct Registered {
    owner: PathBuf,
    directory: PathBuf,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Err(error) = remove_worktree(&self.owner, &self.directory)
            && !error.to_string().contains("is not a working tree")
        {
            tracing::warn!("git cannot remove a temporary worktree: {error}");
        }
    }
}

/// The planned change.
pub(super) struct Planned<'a> {
    /// The path of the file in the repository.
    pub(super) path: &'a Path,
    /// The new content of the file.
    pub(super) content: &'a [u8],
}

/// A file that a commit changes.
#[derive(Debug)]
pub(super) struct Change {
    /// The modes of the file before and after.
    modes: (String, String),
    /// The new blob.
    pub(super) new: String,
    pub(super) path: String,
}

impl Change {
    /// Returns whether the file is a regular file before and after the commit, with the same mode.
    pub(super) fn is_of_content(&self) -> bool {
        self.modes.0 == self.modes.1 && self.modes.0.starts_with("100")
    }
}

/// Queries git about commits.
pub(super) struct Asking<'a> {
    git: &'a Git,
    directory: &'a Path,
    doing: &'static str,
}

impl Asking<'_> {
    /// Returns the output without the trailing line break.
    pub(super) async fn of(&self, arguments: &[&str]) -> Result<String, Failure> {
        let answer = self.git.local(self.doing, self.directory, arguments).await;
        answer
            .map(|line| line.trim_end_matches('\n').to_owned())
            .map_err(|error| error.into_failure(Exit::Failure))
    }
}

/// Returns the URL of a repository, for reading.
fn https(args: &PrArgs, repository: &Slug) -> String {
    format!("{}/{repository}", args.git_url.as_str().trim_end_matches('/'))
}

/// Returns the URL of the fork, for pushing.
pub(super) fn push_url(args: &PrArgs, fork: &Slug) -> String {
    if args.use_ssh {
        // Users write `insteadOf` rules for this form.
        return format!("git@{}:{fork}", args.git_url.host_str().unwrap_or_default());
    }
    https(args, fork)
}

impl<'a> Workspace<'a> {
    /// Creates a checkout of the base branch.
    pub(super) async fn open(git: &'a Git, args: &PrArgs) -> Result<Self, Failure> {
        let holder = tempfile::Builder::new().prefix(PREFIX).tempdir().map_err(|error| {
            Failure::new(Exit::Failure, format!("a temporary directory cannot be made: {error}"))
        })?;
        let directory = holder.path().join("checkout");
        let registered = match &args.dir {
            None => {
                clone(git, args, &directory).await?;
                None
            }
            Some(dir) => Some(worktree(git, args, dir, &directory).await?),
        };
        let mut this = Self { git, directory, base: String::new(), registered, holder };
        this.base = this.line("read the base").of(&["rev-parse", "--verify", "HEAD^{commit}"]).await?;
        if !args.is_dry_run()
            && args.dir.is_some()
            && !args.update_repo
            && !this.is_in_base(args, &this.base).await?
        {
            let text = format!(
                "the checked-out commit {} is not in the branch {} of {}: its commits would be published with the proposal",
                this.base, args.base, args.upstream
            );
            let help =
                "check out a commit of that branch, or let kpromo fetch it: leave out --update-repo=false";
            return Err(Failure::new(Exit::Conflict, text).help(help));
        }
        this.check_files(&args.manifest_root).await?;
        Ok(this)
    }

    pub(super) fn line(&self, doing: &'static str) -> Asking<'_> {
        Asking { git: self.git, directory: &self.directory, doing }
    }

    /// Checks that the checked-out manifests are equal to those of the commit: filters and line end settings may change files.
    async fn check_files(&self, root: &Path) -> Result<(), Failure> {
        let asking = self.line("check the files of the base");
        let listed = asking.of(&["ls-files", "-z", "--stage", "--", &root.to_string_lossy()]).await?;
        let files = listed.split('\0').filter_map(|entry| {
            let (about, path) = entry.split_once('\t')?;
            let mut about = about.split(' ');
            let (mode, blob) = (about.next()?, about.next()?);
            (mode.starts_with("100") && path.ends_with(".yaml")).then_some((path, blob))
        });
        let files: Vec<(&str, &str)> = files.collect();
        for files in files.chunks(FILES_AT_ONCE) {
            let paths = files.iter().map(|(path, _)| *path);
            let arguments: Vec<&str> =
                ["hash-object", "--no-filters", "--"].into_iter().chain(paths).collect();
            let hashed = self.git.local("check the files of the base", &self.directory, &arguments).await;
            let hashed = hashed.map_err(|error| error.into_failure(Exit::Invalid))?;
            let mut pairs = files.iter().zip(hashed.lines());
            if let Some(((path, _), _)) = pairs.find(|((_, blob), hashed)| blob != hashed) {
                let text = format!(
                    "{path} is checked out with another content than the commit {} has: a filter of git, or a setting for line ends, changes it",
                    self.base
                );
                return Err(
                    Failure::new(Exit::Conflict, text).help("run without --dir, or change the setting")
                );
            }
        }
        Ok(())
    }

    /// Commits the planned change, and checks that the commit has nothing else. Returns the commit.
    pub(super) async fn commit(&self, planned: &Planned<'_>, message: &str) -> Result<String, Failure> {
        let doing = "commit the change";
        // The file is already tracked in the base, so an ignore rule for its directory does not apply.
        let add = [OsString::from("add"), "--force".into(), "--".into(), planned.path.into()];
        let add = self.git.local(doing, &self.directory, &add).await;
        add.map_err(|error| error.into_failure(Exit::Invalid).help(GIT_HELP))?;
        let commit = ["commit", "--quiet", "--signoff", "-m", message];
        let committed = self.git.with_hooks(doing, &self.directory, &commit).await;
        committed.map_err(|error| {
            let said = error.message();
            let is_nameless =
                ["tell me who you are", "no name was given", "no email was given", "empty ident name"];
            let is_nameless = is_nameless.iter().any(|text| said.contains(text));
            let failure = error.into_failure(Exit::Invalid);
            failure.help(if is_nameless { "set git's user.name and user.email" } else { GIT_HELP })
        })?;
        let asking = self.line("check the commit");
        let commit = asking.of(&["rev-parse", "--verify", "HEAD^{commit}"]).await?;
        let differences = self.differences(planned, &commit).await?;
        if differences.is_empty() {
            return Ok(commit);
        }
        let text = format!(
            "git has not committed what is planned, and nothing was pushed: {}",
            differences.join("; ")
        );
        let help = "a hook or a filter of git changes the commit: switch it off for this repository";
        Err(Failure::new(Exit::Conflict, text).help(help))
    }

    /// Returns how a commit differs from the planned one.
    async fn differences(&self, planned: &Planned<'_>, commit: &str) -> Result<Vec<String>, Failure> {
        let path = planned.path.to_string_lossy();
        let parents =
            self.line("check the commit").of(&["rev-list", "--no-walk", "--parents", commit]).await?;
        let mut differences = Vec::new();
        if parents != format!("{commit} {}", self.base) {
            differences.push(format!("the commit is not a single one on {}", self.base));
        }
        let (mut is_changed, expected) = (false, self.blob_of(planned.content).await?);
        for change in self.changes(&self.base, commit).await? {
            if change.path != path {
                differences.push(format!("it changes {} too", printable(&change.path, 200)));
                continue;
            }
            is_changed = true;
            if change.new != expected || !change.is_of_content() {
                differences.push(format!("{path} has another content in it"));
            }
        }
        if !is_changed {
            differences.push(format!("it does not change {path}"));
        }
        Ok(differences)
    }

    /// Returns the files that differ between two commits.
    pub(super) async fn changes(&self, from: &str, to: &str) -> Result<Vec<Change>, Failure> {
        let asking = self.line("compare commits");
        let raw =
            asking.of(&["diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", from, to]).await?;
        // Each change is `:MODE MODE BLOB BLOB STATUS` and the path.
        let mut parts = raw.split('\0');
        let mut changes = Vec::new();
        while let (Some(about), Some(path)) = (parts.next(), parts.next()) {
            let mut words = about.trim_start_matches(':').split(' ').map(str::to_owned);
            let (Some(old), Some(new), _, Some(blob)) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                continue;
            };
            changes.push(Change { modes: (old, new), new: blob, path: path.to_owned() });
        }
        Ok(changes)
    }

    /// Returns the object identifier of a blob with this content.
    pub(super) async fn blob_of(&self, content: &[u8]) -> Result<String, Failure> {
        let path = self.holder.path().join("content");
        std::fs::write(&path, content).map_err(|error| {
            Failure::new(Exit::Failure, format!("a temporary file cannot be written: {error}"))
        })?;
        let path = path.to_string_lossy();
        self.line("hash a file").of(&["hash-object", "--no-filters", "--", &path]).await
    }

    /// Returns the blob of a file in a commit.
    pub(super) async fn blob(&self, commit: &str, path: &Path) -> Result<String, Failure> {
        let object = format!("{commit}:{}", path.to_string_lossy());
        self.line("read a commit").of(&["rev-parse", "--verify", &object]).await
    }

    /// Returns the content of a file in a commit.
    pub(super) async fn content(&self, commit: &str, path: &Path) -> Result<String, Failure> {
        let blob = self.blob(commit, path).await?;
        let content = self.git.local("read a commit", &self.directory, &["cat-file", "blob", &blob]).await;
        content.map_err(|error| error.into_failure(Exit::Failure))
    }

    /// Returns whether a commit is in upstream's base branch.
    pub(super) async fn is_in_base(&self, args: &PrArgs, commit: &str) -> Result<bool, Failure> {
        let asking = self.line("read the history of the base branch");
        let is_fetched = args.dir.is_none() || args.update_repo;
        if is_fetched && commit == self.base {
            return Ok(true);
        }
        let url = https(args, &args.upstream);
        let is_shallow = asking.of(&["rev-parse", "--is-shallow-repository"]).await? == "true";
        let mut fetch = vec!["fetch", "--quiet", "--no-tags"];
        // A clone of the user must be neither made shallow nor completed.
        if is_shallow && self.registered.is_none() {
            fetch.push("--unshallow");
        }
        let base = format!("refs/heads/{}", args.base);
        fetch.extend(["--", &url, &base]);
        let fetched =
            self.git.remote("fetch the history of the base branch", &self.directory, &url, &fetch).await;
        fetched.map_err(|error| unreachable(error, &url))?;
        let among = asking.of(&["rev-list", "--max-count=1", commit, "^FETCH_HEAD"]).await?;
        Ok(among.is_empty())
    }

    /// Fetches the branch of the fork. Returns its commit.
    pub(super) async fn fetch_branch(&self, url: &str, branch: &str) -> Result<String, Failure> {
        let reference = format!("refs/heads/{branch}");
        let mut fetch = vec!["fetch", "--quiet", "--no-tags"];
        if self.registered.is_none() {
            // Fetch the commit and its parent. A clone of the user must not be made shallow.
            fetch.push("--depth=2");
        }
        fetch.extend(["--", url, &reference]);
        let fetched = self
            .git
            .remote(&format!("read the branch {branch} of the fork"), &self.directory, url, &fetch)
            .await;
        fetched.map_err(|error| unreachable(error, url))?;
        self.line("read the branch of the fork").of(&["rev-parse", "--verify", "FETCH_HEAD^{commit}"]).await
    }

    /// Pushes a commit to a branch that is absent, or at the given commit.
    pub(super) async fn push(
        &self,
        args: &PrArgs,
        url: &str,
        branch: &str,
        commit: &str,
        expected: Option<&str>,
    ) -> Result<(), Failure> {
        let reference = format!("refs/heads/{branch}");
        let lease = format!("--force-with-lease={reference}:{}", expected.unwrap_or_default());
        let what = format!("{commit}:{reference}");
        let push = ["push", "--quiet", &lease, "--", url, &what];
        let doing = format!("push to {url}");
        let mut pushed = self.git.push(&doing, &self.directory, url, &push).await;
        let lacks_base = |error: &GitError| error.message().contains("shallow update not allowed");
        // If the fork lacks the base commit, the push needs the history up to it.
        if self.registered.is_none() && pushed.as_ref().is_err_and(lacks_base) {
            let upstream = https(args, &args.upstream);
            let fetch = ["fetch", "--quiet", "--no-tags", "--unshallow", "--", &upstream, &args.base];
            let fetched = self
                .git
                .remote("fetch the history of the base branch", &self.directory, &upstream, &fetch)
                .await;
            fetched.map_err(|error| unreachable(error, &upstream))?;
            pushed = self.git.push(&doing, &self.directory, url, &push).await;
        }
        let Err(error) = pushed else { return Ok(()) };
        // The push may have succeeded although its answer was lost.
        let listed =
            self.git.remote(&doing, &self.directory, url, &["ls-remote", "--", url, &reference]).await;
        let at = listed.ok().map(|lines| lines.split_whitespace().next().unwrap_or_default().to_owned());
        if at.as_deref() == Some(commit) {
            tracing::warn!(
                "git said that the push failed, but the branch has the commit: {}",
                error.message()
            );
            return Ok(());
        }
        let is_stale = error.message().contains("stale info");
        Err(match at {
            Some(_) if is_stale => {
                let text = format!("the branch {branch} of the fork was changed meanwhile, and nothing was pushed");
                Failure::new(Exit::Conflict, text).help("run the same command again")
            }
            Some(_) => error.into_failure(Exit::Unavailable).help(
                "nothing was pushed; check that you may push to the fork, and run the same command again",
            ),
            None => error.into_failure(Exit::Unavailable).help(format!(
                "the branch {branch} of the fork cannot be read either, so it is not known whether the push arrived; run the same \
                 command again, which looks first"
            )),
        })
    }

    /// Ends the work. A temporary clone is removed, or kept at the returned path.
    pub(super) fn close(self, keeps: bool) -> Option<PathBuf> {
        (keeps && self.registered.is_none()).then(|| self.holder.keep().join("checkout"))
    }
}

fn unreachable(error: GitError, url: &str) -> Failure {
    error.into_failure(Exit::Unavailable).help(format!("check that git can read {url}"))
}

async fn clone(git: &Git, args: &PrArgs, directory: &Path) -> Result<(), Failure> {
    let url = https(args, &args.upstream);
    let parent = directory.parent().unwrap_or(directory);
    let clone: Vec<OsString> = [
        "clone",
        "--quiet",
        "--no-checkout",
        "--depth=1",
        "--single-branch",
        "--no-tags",
        "--branch",
        &args.base,
        "--",
        &url,
        "checkout",
    ]
    .map(OsString::from)
    .into();
    let cloned = git.remote(&format!("clone {url}"), parent, &url, &clone).await;
    cloned.map_err(|error| {
        let failure = error.into_failure(Exit::Unavailable);
        failure.help("check --upstream, --base and --git-url, or name a clone with --dir")
    })?;
    let doing = "prepare the clone";
    let failed = |error: GitError| error.into_failure(Exit::Failure);
    let info = directory.join(".git/info");
    std::fs::create_dir_all(&info)
        .and_then(|()| std::fs::write(info.join("attributes"), ATTRIBUTES))
        .map_err(|error| {
            Failure::new(Exit::Failure, format!("the temporary clone cannot be written: {error}"))
        })?;
    let mut checkout = vec!["checkout".to_owned(), "--quiet".to_owned(), "--force".to_owned()];
    if let Some(fork) = &args.fork {
        let remote = ["remote", "add", "userfork", &push_url(args, fork)];
        git.local(doing, directory, &remote).await.map_err(failed)?;
        checkout.extend(["-b".to_owned(), super::text::branch(args)]);
    }
    git.local(doing, directory, &checkout).await.map(drop).map_err(failed)
}

/// Removes the worktrees that killed runs have left in a clone.
async fn forget_killed(git: &Git, root: &Path) {
    let listed = git.local("list worktrees", root, &["worktree", "list", "--porcelain"]).await;
    let listed = listed.unwrap_or_default();
    for directory in listed.lines().filter_map(|line| line.strip_prefix("worktree ")).map(Path::new) {
        let holder = directory.parent().and_then(Path::file_name).unwrap_or_default();
        // The directory of a running process still exists.
        if holder.to_string_lossy().starts_with(PREFIX)
            && directory.ends_with("checkout")
            && !directory.exists()
        {
            let _ = remove_worktree(root, directory);
        }
    }
}

/// Adds a worktree to a clone of the user.
async fn worktree(git: &Git, args: &PrArgs, dir: &Path, directory: &Path) -> Result<Registered, Failure> {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let failed = |error: GitError| {
        error.into_failure(Exit::Invalid).help(format!("--dir names a clone of {}", args.upstream))
    };
    let root = git.local("find the clone", &dir, &["rev-parse", "--show-toplevel"]).await.map_err(failed)?;
    let root = PathBuf::from(root.trim_end_matches('\n'));
    forget_killed(git, &root).await;
    let mut revision = "HEAD";
    if args.update_repo {
        let url = https(args, &args.upstream);
        let fetch = ["fetch", "--quiet", "--no-tags", "--", &url, &args.base];
        git.remote(&format!("fetch {} of {url}", args.base), &root, &url, &fetch).await.map_err(|error| {
            let failure = error.into_failure(Exit::Unavailable);
            failure.help("with --update-repo=false the checked-out commit is the base")
        })?;
        revision = "FETCH_HEAD";
    }
    let add: [OsString; 6] = [
        "worktree".into(),
        "add".into(),
        "--quiet".into(),
        "--detach".into(),
        directory.into(),
        revision.into(),
    ];
    let registered = Registered { owner: root, directory: directory.to_owned() };
    git.local("check out the base", &registered.owner, &add).await.map_err(failed)?;
    Ok(registered)
}
