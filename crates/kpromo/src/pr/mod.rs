//! `kpromo pr`: proposes a promotion with a pull request (specification 05, `docs/design/pull-requests.md`).
//!
//! Everything is read, edited and planned before the first write. Each write is safe to repeat: a repeated run finds the branch
//! and the pull request of the previous run.

mod ask;
mod branch;
mod git;
mod github;
mod policy;
mod staging;
mod text;
mod workspace;

use std::path::{Path, PathBuf};

use ask::Questions;
use branch::BranchState;
use git::Git;
use github::{Forge, NewPull, Pull};
use manifest::edit::{Addition, Edited};
use policy::Policy;
use text::Row;
use workspace::{Planned, Workspace, push_url};

use crate::args::{PrArgs, Slug};
use crate::config::{Config, InvalidConfig};
use crate::connect::connect;
use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::github::GitHub;
use crate::images_edit::{Project, diff, read_directory};
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
            Some((Forge::new(api, args.git_url.clone()), fork))
        }
        (Some(_), None) => {
            let text = "the forge needs a token: set $GITHUB_TOKEN or $GH_TOKEN";
            return Err(Failure::new(Exit::Unavailable, text).help("--dry-run needs none"));
        }
    };
    let git = Git::new(token.as_ref(), &args.git_url)?;
    let policy = Policy { args, config: &config, environment, door: &door, reader: &reader };
    let target = forge.as_ref().map(|(forge, fork)| (forge, *fork));
    let proposal = Proposal { args, target, policy };
    let working = async {
        if let Some((forge, fork)) = target {
            forge.check_fork(fork, &args.upstream).await?;
        }
        let workspace = Workspace::open(&git, args).await?;
        let mut questions = Questions::new(args.interactive && !args.is_dry_run());
        let ended = proposal.carry_out(&workspace, &mut questions).await;
        let ended = ended.map_err(|failure| failure.within(&workspace.directory));
        // Without questions, the clone is removed.
        let keeps = args.dir.is_none()
            && questions.is_interactive()
            && ended.is_ok()
            && !questions.ask("Remove the clone?").await;
        if let Some(kept) = workspace.close(keeps) {
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
    async fn carry_out(&self, workspace: &Workspace<'_>, questions: &mut Questions) -> Result<(), Failure> {
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
        // Read the images, in a dry run too: the answer to a lookup of a tag does not prove that the registry has the image.
        let rows = staging::platforms(self.policy.reader, args, &edited.added).await?;
        let Some((forge, fork)) = self.target else {
            print(&diff(&path.to_string_lossy(), project.file.bytes(), edited.file.bytes()));
            return Ok(());
        };
        let planned = Planned { path: &path, content: edited.file.bytes() };
        let commit = self.write(workspace, &project, &planned).await?;
        if !questions.ask(&format!("Push the change to the fork {fork}?")).await {
            return Ok(());
        }
        let branch = text::branch(args);
        let outcome = self.push(workspace, forge, fork, &planned, &commit, &edited).await?;
        if args.no_pr && outcome != Outcome::Renewed {
            return Ok(());
        }
        let (title, body) = (text::title(args), text::body(args, &rows));
        if let Some(pull) = forge.open_pull(&args.upstream, fork, &branch, &args.base).await? {
            self.show(forge, &pull, outcome, &rows, (&title, &body)).await?;
            return Ok(());
        }
        if args.no_pr {
            return Ok(());
        }
        if outcome == Outcome::Foreign {
            return Err(foreign(&branch, fork, "its pull request is not open any more"));
        }
        if !questions.ask("Create the pull request?").await {
            return Ok(());
        }
        let new = NewPull { fork, branch: &branch, base: &args.base, title: &title, body: &body };
        let pull = forge.create_pull(&args.upstream, &new).await?;
        print(&format!("{}\n", pull.url));
        Ok(())
    }

    /// Prints the open pull request of the branch. If the branch is a proposal by kpromo, updates an outdated title and body.
    async fn show(
        &self,
        forge: &Forge,
        pull: &Pull,
        outcome: Outcome,
        rows: &[Row],
        (title, body): (&str, &str),
    ) -> Result<(), Failure> {
        tracing::info!("the branch has an open pull request");
        if outcome != Outcome::Foreign && !text::is_current(self.args, rows, &pull.title, &pull.body) {
            forge.update_pull(&self.args.upstream, pull, title, body).await?;
            tracing::info!("renewed the title and the text of the pull request");
        }
        if !self.args.no_pr {
            print(&format!("{}\n", pull.url));
        }
        Ok(())
    }

    /// Finds the project whose source is the staging registry.
    fn project(&self, workspace: &Workspace<'_>) -> Result<Project, Failure> {
        let directory = workspace.directory.join(&self.args.manifest_root);
        let is_inside = |directory: &Path| {
            let (directory, root) =
                (directory.canonicalize().ok()?, workspace.directory.canonicalize().ok()?);
            Some(directory.starts_with(root))
        };
        if is_inside(&directory) != Some(true) {
            let shown = self.args.manifest_root.display();
            let text = format!("{} has no directory {shown} at {}", self.args.upstream, self.args.base);
            return Err(Failure::new(Exit::Invalid, text)
                .help("name the directory of manifests with --manifest-root"));
        }
        let (staging, manifests) = (&self.args.staging, read_directory(&directory)?);
        let sought = format!("the staging registry {staging}");
        Project::find(&directory, manifests, &sought, |manifest| manifest.source == *staging)
    }

    /// Writes and commits the change. Returns the commit.
    async fn write(
        &self,
        workspace: &Workspace<'_>,
        project: &Project,
        planned: &Planned<'_>,
    ) -> Result<String, Failure> {
        let written = write_file(&project.path, "manifest", |to| to.write_all(planned.content));
        written.map_err(|problem| Failure::new(Exit::Failure, problem))?;
        workspace.commit(planned, &text::title(self.args)).await
    }

    /// Pushes the change to the branch of the fork, if necessary.
    async fn push(
        &self,
        workspace: &Workspace<'_>,
        forge: &Forge,
        fork: &Slug,
        planned: &Planned<'_>,
        commit: &str,
        edited: &Edited,
    ) -> Result<Outcome, Failure> {
        let (args, url, branch) = (self.args, push_url(self.args, fork), text::branch(self.args));
        let state = if forge.has_branch(fork, &branch).await? {
            workspace.branch_state(args, &url, &branch, planned, commit).await?
        } else {
            BranchState::Absent
        };
        match &state {
            BranchState::Absent => {
                workspace.push(args, &url, &branch, commit, None).await?;
                tracing::info!("pushed the branch {branch} to {fork}");
                Ok(Outcome::Proposed)
            }
            BranchState::Current => {
                tracing::info!("the branch {branch} of {fork} proposes this already");
                Ok(Outcome::Proposed)
            }
            BranchState::Behind { tip, proposed } => {
                refuse_dropping(&branch, fork, proposed, edited)?;
                workspace.push(args, &url, &branch, commit, Some(tip)).await?;
                tracing::info!("renewed the branch {branch} of {fork}, which was at {tip}");
                Ok(Outcome::Renewed)
            }
            BranchState::Foreign { why } => {
                let Some(pull) = forge.open_pull(&args.upstream, fork, &branch, &args.base).await? else {
                    return Err(foreign(&branch, fork, why));
                };
                // The pull request of the branch is printed, and commits of other users are kept.
                tracing::warn!(
                    "the branch of {} is not a proposal of yours by kpromo, {why}; it stays as it is",
                    pull.url
                );
                Ok(Outcome::Foreign)
            }
        }
    }
}

/// The result for the branch of the fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The branch proposes the change.
    Proposed,
    /// The branch proposed something else before, and was updated.
    Renewed,
    /// The branch is not a proposal by kpromo, and was not changed.
    Foreign,
}

fn foreign(branch: &str, fork: &Slug, why: &str) -> Failure {
    let text = format!("the branch {branch} of {fork} is not a proposal of yours by kpromo: {why}");
    Failure::new(Exit::Conflict, text).help("delete or rename the branch, and run the same command again")
}

/// Refuses to update a branch that proposes tags which this run does not request. A tag that staging has on a new digest is
/// updated.
fn refuse_dropping(branch: &str, fork: &Slug, proposed: &[Addition], edited: &Edited) -> Result<(), Failure> {
    let lists = |Addition { image, tag, .. }: &Addition| {
        let images = edited.file.images().iter().filter(|own| own.name == *image);
        images
            .flat_map(|own| &own.digests)
            .find(|row| row.tags.iter().any(|(own, _)| own == tag))
            .map(|row| row.digest)
    };
    let mut dropped = Vec::new();
    for addition in proposed {
        match lists(addition) {
            None => dropped.push(format!("{}:{}", addition.image, addition.tag)),
            Some(digest) if digest != addition.digest => {
                tracing::warn!(
                    "{}:{} was proposed as {} and is {digest} now",
                    addition.image,
                    addition.tag,
                    addition.digest
                );
            }
            Some(_) => {}
        }
    }
    if dropped.is_empty() {
        return Ok(());
    }
    let text = format!(
        "the branch {branch} of {fork} proposes images that this command does not: {}; they would be dropped",
        dropped.join(", ")
    );
    let help = "name these images too with --image and --tag, or delete the branch";
    Err(Failure::new(Exit::Conflict, text).help(help))
}

/// Returns the path of a file in the repository, with its links resolved.
fn relative(workspace: &Workspace<'_>, path: &Path) -> Result<PathBuf, Failure> {
    let resolved = path.canonicalize().ok().zip(workspace.directory.canonicalize().ok());
    let inside = resolved.and_then(|(path, root)| Some(path.strip_prefix(root).ok()?.to_owned()));
    inside
        .ok_or_else(|| Failure::new(Exit::Invalid, format!("{} leads out of the repository", path.display())))
}
