//! Where the change is made: a temporary clone, or a temporary worktree of the user's clone.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::git::{Git, GitError};
use crate::args::{PrArgs, Slug};
use crate::exit::Exit;
use crate::failure::Failure;

/// A checkout of the base branch.
pub(super) struct Workspace {
    /// The root of the checkout.
    pub(super) folder: PathBuf,
    /// The user's clone, of which this is a worktree.
    owner: Option<PathBuf>,
    holder: TempDir,
}

/// The state of the branch of the proposal in the fork.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BranchState {
    /// There is none.
    Absent,
    /// It proposes the same file.
    Current,
    /// It is an older proposal of the same images, at this commit.
    Behind(String),
    /// It has other commits than one of kpromo.
    Foreign,
}

/// Returns the URL of a repository, for reading.
fn https(args: &PrArgs, repository: &Slug) -> String {
    format!("{}/{repository}", args.git_url.as_str().trim_end_matches('/'))
}

/// Returns the URL of the fork, for pushing.
pub(super) fn push_url(args: &PrArgs, fork: &Slug) -> String {
    if args.use_ssh {
        // The form that `insteadOf` rules of users are written for.
        return format!("git@{}:{fork}", args.git_url.host_str().unwrap_or_default());
    }
    https(args, fork)
}

impl Workspace {
    /// Makes a checkout of the base branch.
    pub(super) async fn open(git: &Git, args: &PrArgs) -> Result<Self, Failure> {
        let holder = tempfile::Builder::new().prefix("kpromo-pr-").tempdir().map_err(|error| {
            Failure::new(Exit::Failure, format!("a temporary folder cannot be made: {error}"))
        })?;
        let folder = holder.path().join("checkout");
        let owner = match &args.dir {
            None => {
                clone(git, args, &folder).await?;
                None
            }
            Some(dir) => Some(worktree(git, args, dir, &folder).await?),
        };
        Ok(Self { folder, owner, holder })
    }

    /// Commits a changed file.
    pub(super) async fn commit(&self, git: &Git, path: &Path, message: &str) -> Result<(), Failure> {
        let add = [OsString::from("add"), "--".into(), path.into()];
        let doing = "commit the change";
        git.local(doing, &self.folder, &add).await.map_err(|error| error.into_failure(Exit::Failure))?;
        let commit = ["commit", "--quiet", "--signoff", "-m", message];
        git.local(doing, &self.folder, &commit).await.map(drop).map_err(|error| {
            let is_nameless = error.message().contains("Please tell me who you are");
            let failure = error.into_failure(Exit::Failure);
            if is_nameless { failure.help("set git's user.name and user.email") } else { failure }
        })
    }

    /// Compares the branch of the fork with the commit that is checked out.
    pub(super) async fn branch_state(
        &self,
        git: &Git,
        url: &str,
        branch: &str,
        path: &Path,
        title: &str,
    ) -> Result<BranchState, Failure> {
        let doing = format!("read the branch {branch} of the fork");
        let reference = format!("refs/heads/{branch}");
        let mut fetch = vec!["fetch", "--quiet", "--no-tags"];
        if self.owner.is_none() {
            // The commit and its parent. The clone of a user is not made shallow.
            fetch.push("--depth=2");
        }
        fetch.extend(["--", url, &reference]);
        git.remote(&doing, &self.folder, &fetch).await.map_err(|error| self.unreachable(error, url))?;
        let line = async |arguments: &[&str]| -> Result<String, Failure> {
            let answer = git.local(&doing, &self.folder, arguments).await;
            answer.map(|line| line.trim_end().to_owned()).map_err(|error| error.into_failure(Exit::Failure))
        };
        let tip = line(&["rev-parse", "--verify", "FETCH_HEAD^{commit}"]).await?;
        let (subject, parents) = (
            line(&["log", "-1", "--format=%s", &tip]).await?,
            line(&["log", "-1", "--format=%P", &tip]).await?,
        );
        let parents: Vec<&str> = parents.split_whitespace().collect();
        let [parent] = parents[..] else { return Ok(BranchState::Foreign) };
        let shown = path.to_string_lossy();
        let changed = line(&["-c", "core.quotePath=false", "diff", "--name-only", parent, &tip]).await?;
        if subject != title || changed != shown {
            return Ok(BranchState::Foreign);
        }
        let (theirs, ours) = (format!("{tip}:{shown}"), format!("HEAD:{shown}"));
        let is_current = line(&["rev-parse", &theirs]).await? == line(&["rev-parse", &ours]).await?;
        Ok(if is_current { BranchState::Current } else { BranchState::Behind(tip) })
    }

    /// Pushes the commit to a branch that is absent, or at the given commit.
    pub(super) async fn push(
        &self,
        git: &Git,
        url: &str,
        branch: &str,
        expected: Option<&str>,
        args: &PrArgs,
    ) -> Result<(), Failure> {
        let reference = format!("refs/heads/{branch}");
        let lease = format!("--force-with-lease={reference}:{}", expected.unwrap_or_default());
        let commit = format!("HEAD:{reference}");
        let push = ["push", "--quiet", &lease, "--", url, &commit];
        let doing = format!("push to {url}");
        let error = match git.remote(&doing, &self.folder, &push).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        // A fork that lacks the base commit needs the history up to it.
        if self.owner.is_none() && error.message().contains("shallow update not allowed") {
            let upstream = https(args, &args.upstream);
            let fetch = ["fetch", "--quiet", "--no-tags", "--unshallow", "--", &upstream, &args.base];
            git.remote("fetch the history of the base branch", &self.folder, &fetch)
                .await
                .map_err(|error| self.unreachable(error, &upstream))?;
            return git
                .remote(&doing, &self.folder, &push)
                .await
                .map(drop)
                .map_err(|e| self.refused(e, branch));
        }
        Err(self.refused(error, branch))
    }

    fn refused(&self, error: GitError, branch: &str) -> Failure {
        if error.message().contains("stale info") {
            let text =
                format!("the branch {branch} of the fork was changed meanwhile, and nothing was pushed");
            return Failure::new(Exit::Conflict, text).help("run the same command again");
        }
        let failure = error.into_failure(Exit::Unavailable);
        failure
            .help("nothing was pushed; check that you may push to the fork, and run the same command again")
    }

    fn unreachable(&self, error: GitError, url: &str) -> Failure {
        error.into_failure(Exit::Unavailable).help(format!("check that git can read {url}"))
    }

    /// Ends the work. A temporary clone is removed, or kept at the returned path.
    pub(super) async fn close(self, git: &Git, keeps: bool) -> Option<PathBuf> {
        if let Some(owner) = &self.owner {
            let remove =
                [OsString::from("worktree"), "remove".into(), "--force".into(), self.folder.clone().into()];
            if let Err(error) = git.local("remove the temporary worktree", owner, &remove).await {
                tracing::warn!("git cannot remove a temporary worktree: {}", error.message());
            }
            return None;
        }
        keeps.then(|| self.holder.keep().join("checkout"))
    }
}

async fn clone(git: &Git, args: &PrArgs, folder: &Path) -> Result<(), Failure> {
    let url = https(args, &args.upstream);
    let parent = folder.parent().unwrap_or(folder);
    let clone: Vec<OsString> = [
        "clone",
        "--quiet",
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
    let cloned = git.remote(&format!("clone {url}"), parent, &clone).await;
    cloned.map_err(|error| {
        let failure = error.into_failure(Exit::Unavailable);
        failure.help("check --upstream, --base and --git-url, or name a clone with --dir")
    })?;
    if let Some(fork) = &args.fork {
        let remote = ["remote", "add", "userfork", &push_url(args, fork)];
        let branch = super::text::branch(args);
        let doing = "prepare the clone";
        let failed = |error: GitError| error.into_failure(Exit::Failure);
        git.local(doing, folder, &remote).await.map_err(failed)?;
        git.local(doing, folder, &["checkout", "--quiet", "-b", &branch]).await.map_err(failed)?;
    }
    Ok(())
}

/// Adds a worktree to a clone of the user. Returns the root of the clone.
async fn worktree(git: &Git, args: &PrArgs, dir: &Path, folder: &Path) -> Result<PathBuf, Failure> {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let failed = |error: GitError| {
        error.into_failure(Exit::Invalid).help(format!("--dir names a clone of {}", args.upstream))
    };
    let root = git.local("find the clone", &dir, &["rev-parse", "--show-toplevel"]).await.map_err(failed)?;
    let root = PathBuf::from(root.trim_end_matches('\n'));
    let mut revision = "HEAD";
    if args.update_repo {
        let url = https(args, &args.upstream);
        let fetch = ["fetch", "--quiet", "--no-tags", "--", &url, &args.base];
        git.remote(&format!("fetch {} of {url}", args.base), &root, &fetch).await.map_err(|error| {
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
        folder.into(),
        revision.into(),
    ];
    git.local("check out the base", &root, &add).await.map_err(failed)?;
    Ok(root)
}
