//! `kpromo pr`: proposes a promotion by a pull request (specification 05, `docs/design/pull-requests.md`).
//!
//! Everything is read, edited and planned before the first write. Each write is safe to repeat: a run that is repeated finds
//! the branch and the pull request of the one before.

mod ask;
mod git;
mod github;
mod policy;
mod staging;
mod text;
mod workspace;

use std::path::{Path, PathBuf};

use ask::Questions;
use git::Git;
use github::{Forge, NewPull};
use manifest::edit::Edited;
use policy::Policy;
use workspace::{BranchState, Workspace, push_url};

use crate::args::{PrArgs, Slug};
use crate::config::{Config, InvalidConfig};
use crate::connect::connect;
use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::github::GitHub;
use crate::images_edit::{Project, diff, read_folder};
use crate::output::write_file;
use crate::render::counted;
use crate::terminal::{Interrupts, print, print_error};
use crate::watchdog;

/// Proposes a promotion.
pub(crate) async fn run(args: &PrArgs, environment: &Environment) -> Exit {
    let mut interrupts = Interrupts::new();
    tokio::select! {
        ended = propose(args, environment) => match ended {
            Ok(()) => Exit::Success,
            Err(failure) => failure.print(),
        },
        () = interrupts.next() => {
            print_error("interrupted; the same command can be run again");
            Exit::Interrupted
        }
    }
}

/// The parts of a proposal.
struct Proposal<'a> {
    args: &'a PrArgs,
    git: &'a Git,
    /// The forge and the fork; `None` in a dry run.
    target: Option<(&'a Forge, &'a Slug)>,
    policy: Policy<'a>,
}

async fn propose(args: &PrArgs, environment: &Environment) -> Result<(), Failure> {
    let invalid = |error: InvalidConfig| Failure::new(Exit::Invalid, error.to_string());
    let config = Config::of(args.config.as_deref(), environment).map_err(invalid)?;
    let connection = connect(&config, environment).map_err(invalid)?;
    let (door, reader) = (connection.door, connection.client.reader());
    let token = environment.forge_token.clone().filter(|_| !args.is_dry_run());
    let forge = match (&args.fork, &token) {
        (None, _) => None,
        (Some(fork), Some(token)) => {
            let api = GitHub::new(door.clone(), args.api_url.clone(), Some(token.clone()));
            Some((Forge::new(api), fork))
        }
        (Some(_), None) => {
            let text = "the forge needs a token: set $GITHUB_TOKEN or $GH_TOKEN";
            return Err(Failure::new(Exit::Unavailable, text).help("--dry-run needs none"));
        }
    };
    let git = Git::new(token.as_ref(), &args.git_url)?;
    let policy = Policy { args, config: &config, environment, door: &door, reader: &reader };
    let target = forge.as_ref().map(|(forge, fork)| (forge, *fork));
    let proposal = Proposal { args, git: &git, target, policy };
    let working = async {
        if let Some((forge, fork)) = target {
            forge.check_fork(fork, &args.upstream).await?;
        }
        let workspace = Workspace::open(&git, args).await?;
        let mut questions = Questions::new(args.interactive && !args.is_dry_run());
        let ended = proposal.carry_out(&workspace, &mut questions).await;
        let ended = ended.map_err(|failure| failure.within(&workspace.folder));
        // Without questions nothing is left behind.
        let keeps = args.dir.is_none()
            && questions.is_interactive()
            && ended.is_ok()
            && !questions.ask("Remove the clone?").await;
        if let Some(kept) = workspace.close(&git, keeps).await {
            tracing::info!("the clone is kept at {}", kept.display());
        }
        ended
    };
    tokio::select! {
        ended = working => ended,
        never = watchdog::watch(&door) => match never {},
    }
}

impl Proposal<'_> {
    async fn carry_out(&self, workspace: &Workspace, questions: &mut Questions) -> Result<(), Failure> {
        let args = self.args;
        let project = self.project(workspace)?;
        if !questions.ask("Add the new tags to the manifest?").await {
            return Ok(());
        }
        let additions = staging::find(self.policy.reader, args).await?;
        let edited = project.edit(&additions, args.format)?;
        let path = relative(workspace, &project.path)?;
        if edited.file.bytes() == project.file.bytes() {
            let tags = counted(additions.len(), "tag");
            tracing::info!("nothing to propose: {} lists {tags} already, which is all", path.display());
            return Ok(());
        }
        self.policy.warn(&project.manifests, &edited.added).await;
        let Some((forge, fork)) = self.target else {
            print(&diff(&path.to_string_lossy(), project.file.bytes(), edited.file.bytes()));
            return Ok(());
        };
        let rows = staging::platforms(self.policy.reader, args, &edited.added).await?;
        self.write(workspace, &project, &edited, &path).await?;
        if !questions.ask(&format!("Push the change to the fork {fork}?")).await {
            return Ok(());
        }
        let branch = text::branch(args);
        self.push(workspace, forge, fork, &branch, &path).await?;
        if args.no_pr {
            return Ok(());
        }
        if let Some(pull) = forge.open_pull(&args.upstream, fork, &branch, &args.base).await? {
            tracing::info!("the branch has an open pull request");
            print(&format!("{}\n", pull.url));
            return Ok(());
        }
        if !questions.ask("Create the pull request?").await {
            return Ok(());
        }
        let (title, body) = (text::title(args), text::body(args, &rows));
        let new = NewPull { fork, branch: &branch, base: &args.base, title: &title, body: &body };
        let pull = forge.create_pull(&args.upstream, &new).await?;
        print(&format!("{}\n", pull.url));
        Ok(())
    }

    /// Finds the project whose source is the staging registry.
    fn project(&self, workspace: &Workspace) -> Result<Project, Failure> {
        let folder = workspace.folder.join(&self.args.manifest_root);
        let is_inside = |folder: &Path| {
            let (folder, root) = (folder.canonicalize().ok()?, workspace.folder.canonicalize().ok()?);
            Some(folder.starts_with(root))
        };
        if is_inside(&folder) != Some(true) {
            let shown = self.args.manifest_root.display();
            let text = format!("{} has no folder {shown} at {}", self.args.upstream, self.args.base);
            return Err(
                Failure::new(Exit::Invalid, text).help("name the folder of manifests with --manifest-root")
            );
        }
        let (staging, manifests) = (&self.args.staging, read_folder(&folder)?);
        let sought = format!("the staging registry {staging}");
        Project::find(&folder, manifests, &sought, |manifest| manifest.source == *staging)
    }

    /// Writes and commits the change.
    async fn write(
        &self,
        workspace: &Workspace,
        project: &Project,
        edited: &Edited,
        path: &Path,
    ) -> Result<(), Failure> {
        let written = write_file(&project.path, "manifest", |to| to.write_all(edited.file.bytes()));
        written.map_err(|problem| Failure::new(Exit::Failure, problem))?;
        workspace.commit(self.git, path, &text::title(self.args)).await
    }

    /// Makes the branch of the fork propose the change.
    async fn push(
        &self,
        workspace: &Workspace,
        forge: &Forge,
        fork: &Slug,
        branch: &str,
        path: &Path,
    ) -> Result<(), Failure> {
        let (git, args, url) = (self.git, self.args, push_url(self.args, fork));
        let state = if forge.has_branch(fork, branch).await? {
            workspace.branch_state(git, &url, branch, path, &text::title(args)).await?
        } else {
            BranchState::Absent
        };
        match &state {
            BranchState::Absent => {
                workspace.push(git, &url, branch, None, args).await?;
                tracing::info!("pushed the branch {branch} to {fork}");
            }
            BranchState::Current => tracing::info!("the branch {branch} of {fork} proposes this already"),
            BranchState::Behind(tip) => {
                workspace.push(git, &url, branch, Some(tip), args).await?;
                tracing::info!("renewed the branch {branch} of {fork}, which was at {tip}");
            }
            BranchState::Foreign => {
                let pull = forge.open_pull(&args.upstream, fork, branch, &args.base).await?;
                let Some(pull) = pull else {
                    let text = format!("the branch {branch} of {fork} has commits that are not by kpromo");
                    let help = "delete or rename the branch, and run the same command again";
                    return Err(Failure::new(Exit::Conflict, text).help(help));
                };
                // Its pull request is printed, and what people have committed there stays.
                tracing::warn!(
                    "the branch of {} has commits that are not by kpromo; it stays as it is",
                    pull.url
                );
            }
        }
        Ok(())
    }
}

/// Returns the path of a file in the repository, with its links resolved.
fn relative(workspace: &Workspace, path: &Path) -> Result<PathBuf, Failure> {
    let resolved = path.canonicalize().ok().zip(workspace.folder.canonicalize().ok());
    let inside = resolved.and_then(|(path, root)| Some(path.strip_prefix(root).ok()?.to_owned()));
    inside
        .ok_or_else(|| Failure::new(Exit::Invalid, format!("{} leads out of the repository", path.display())))
}
