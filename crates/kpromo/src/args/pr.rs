//! Flags of `kpromo pr`.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::OsStringValueParser;
use clap::{ArgAction, Args};
use oci::{Digest, RegistryRoot, RepositoryPath, Tag};
use url::{Host, Url};

use super::config::ConfigFlags;
use super::manifest_add::sha256;
use super::value::{BOOL, go_bool, path};

const EXAMPLES: &str = "\
Examples:
  kpromo pr --project coredns --tag v1.12.0 --image coredns --dry-run
  GITHUB_TOKEN=… kpromo pr --fork me --tag v1.31.0 --use-ssh=false
  kpromo pr --fork me --upstream org/promotions --manifest-root images \\
    --staging-repo registry.example.com/staging --project app --tag v2.0.0 \\
    --git-url https://git.example.com --api-url https://git.example.com/api/v1

Exit codes:
  0    proposed, or nothing to propose
  2    usage
  10   invalid manifest, not a fork, or a commit that git refuses
  11   conflict, or a branch that is not a proposal of yours
  20   a registry, git or the forge is unavailable
  130  interrupted";

/// The git server of GitHub.
const GIT_URL: &str = "https://github.com";
/// The API of GitHub.
pub(super) const API_URL: &str = "https://api.github.com";

/// The flags of `kpromo pr`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct PrFlags {
    /// Tags to promote. The first one is part of the branch name.
    #[arg(long = "tag", short = 't', help_heading = "Images", required = true, value_name = "TAG", value_delimiter = ',', action = ArgAction::Append)]
    tags: Vec<Tag>,
    /// Project. It determines the branch name and the staging registry gcr.io/k8s-staging-PROJECT.
    #[arg(long, help_heading = "Images", default_value = "kubernetes", value_name = "PROJECT")]
    project: String,
    /// Staging registry to use instead of gcr.io/k8s-staging-PROJECT.
    #[arg(
        long,
        help_heading = "Images",
        default_value = "",
        hide_default_value = true,
        value_name = "REGISTRY"
    )]
    staging_repo: String,
    /// Promote only these images, by their names below the staging registry. Default: all images in staging with one of the tags.
    #[arg(long = "image", help_heading = "Images", value_name = "IMAGE", value_delimiter = ',', action = ArgAction::Append)]
    images: Vec<RepositoryPath>,
    /// Promote only these digests.
    #[arg(long, help_heading = "Images", value_name = "DIGEST", value_delimiter = ',', action = ArgAction::Append)]
    digests: Vec<Digest>,
    /// Reformat the whole list of images.
    #[arg(long, help_heading = "Images")]
    format: bool,

    /// Your fork: USER or USER/NAME. Required unless --dry-run is given.
    #[arg(long, help_heading = "Pull request", value_name = "USER")]
    fork: Option<String>,
    /// Reviewers to mention in the cc line.
    #[arg(
        long,
        help_heading = "Pull request",
        default_value = "@kubernetes/release-engineering",
        value_name = "TEXT"
    )]
    reviewers: String,
    /// Push the branch, but do not create a pull request.
    #[arg(long, help_heading = "Pull request")]
    no_pr: bool,
    /// Print the change as a diff, and write nothing. Needs neither a fork nor a token.
    #[arg(long, help_heading = "Pull request")]
    dry_run: bool,
    /// Ask before each step.
    #[arg(long, short, help_heading = "Pull request", default_value = "false", value_parser = go_bool(), action = ArgAction::Set, value_name = BOOL)]
    interactive: bool,

    /// Repository to propose to.
    #[arg(long, help_heading = "Repository", default_value = "kubernetes/k8s.io", value_name = "ORG/REPO")]
    upstream: Slug,
    /// Branch to propose to.
    #[arg(long, help_heading = "Repository", default_value = "main", value_name = "BRANCH")]
    base: String,
    /// Directory of the manifests in the repository.
    #[arg(long, help_heading = "Repository", default_value = "registry.k8s.io", value_name = "DIR")]
    manifest_root: PathBuf,
    /// Existing clone of the repository to use. Its working tree is not changed. Default: a temporary clone.
    #[arg(long, help_heading = "Repository", value_name = "CLONE", value_parser = OsStringValueParser::new())]
    dir: Option<OsString>,
    /// With --dir, fetch the base branch first. If false, the checked-out commit is the base.
    #[arg(long, help_heading = "Repository", default_value = "true", value_parser = go_bool(), action = ArgAction::Set, value_name = BOOL)]
    update_repo: bool,
    /// Push over SSH. If false, push over HTTPS with the token.
    #[arg(long, help_heading = "Repository", default_value = "true", value_parser = go_bool(), action = ArgAction::Set, value_name = BOOL)]
    use_ssh: bool,
    /// URL of a GitHub-compatible API.
    #[arg(long, help_heading = "Repository", value_name = "URL")]
    api_url: Option<Url>,
    /// URL of the forge's git server.
    #[arg(long, help_heading = "Repository", default_value = GIT_URL, value_name = "URL")]
    git_url: Url,

    #[command(flatten)]
    config: ConfigFlags,
}

/// A repository of a forge: owner and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slug {
    pub(crate) owner: String,
    pub(crate) name: String,
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl FromStr for Slug {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("`{text}` is not of the form ORG/REPO");
        let (owner, name) = text.split_once('/').ok_or_else(invalid)?;
        if is_part(owner) && is_part(name) {
            Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
        } else {
            Err(invalid())
        }
    }
}

/// Returns whether a text is the name of an owner or of a repository, and safe as an argument of git.
fn is_part(text: &str) -> bool {
    let is_word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    is_word && !text.is_empty() && !text.starts_with('-') && text != "." && text != ".."
}

/// The checked arguments of `kpromo pr`.
#[derive(Clone, Debug)]
pub(crate) struct PrArgs {
    pub(crate) tags: Vec<Tag>,
    pub(crate) project: String,
    pub(crate) staging: RegistryRoot,
    pub(crate) images: Vec<RepositoryPath>,
    pub(crate) digests: Vec<Digest>,
    pub(crate) format: bool,
    /// The fork; `None` in a dry run.
    pub(crate) fork: Option<Slug>,
    pub(crate) reviewers: String,
    pub(crate) no_pr: bool,
    pub(crate) interactive: bool,
    pub(crate) upstream: Slug,
    pub(crate) base: String,
    pub(crate) manifest_root: PathBuf,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) update_repo: bool,
    pub(crate) use_ssh: bool,
    pub(crate) api_url: Url,
    pub(crate) git_url: Url,
    /// The path of the configuration. If `None`, that of the environment is used, if any.
    pub(crate) config: Option<PathBuf>,
    /// The flags that describe the proposal, in command-line form, for the text of the pull request.
    pub(crate) written: Vec<(&'static str, String)>,
}

impl PrArgs {
    pub(crate) fn is_dry_run(&self) -> bool {
        self.fork.is_none()
    }
}

impl PrFlags {
    /// Returns the checked arguments.
    ///
    /// # Errors
    /// Returns an error if a value is invalid, or flags contradict each other.
    pub(crate) fn resolve(self) -> Result<PrArgs, String> {
        let written = self.written();
        if self.tags.iter().any(|tag| tag.as_str() == "latest") {
            return Err("--tag: `latest` moves, and production tags never move: name a version".to_owned());
        }
        self.digests.iter().try_for_each(sha256)?;
        if !is_part(&self.project) || self.project.contains("..") || self.project.ends_with(".lock") {
            return Err(format!("--project: `{}` cannot be a part of a branch's name", self.project));
        }
        // The first tag is also a part of the branch name, so it is checked in the same way.
        if let Some(tag) = self.tags.first().filter(|tag| tag.as_str().contains("..")) {
            return Err(format!("--tag: `{tag}`, as the first one, cannot be a part of a branch's name"));
        }
        if !is_branch(&self.base) {
            return Err(format!("--base: `{}` is not the name of a branch", self.base));
        }
        let is_below = |part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir);
        if !self.manifest_root.components().all(is_below) {
            return Err("--manifest-root must be a path within the repository".to_owned());
        }
        let fork = match (&self.fork, self.dry_run) {
            (_, true) => None,
            (None, false) => return Err("--fork is required without --dry-run".to_owned()),
            (Some(fork), false) => Some(fork_of(fork, &self.upstream)?),
        };
        let staging = match self.staging_repo.trim_end_matches('/') {
            "" => format!("gcr.io/k8s-staging-{}", self.project),
            staging => staging.to_owned(),
        };
        let is_github = self.git_url.as_str().trim_end_matches('/') == GIT_URL;
        let api_url = match self.api_url {
            Some(url) => checked_url("--api-url", url)?,
            None if is_github || self.dry_run => Url::parse(API_URL).map_err(|error| error.to_string())?,
            None => return Err("--git-url needs --api-url, such as https://HOST/api/v1".to_owned()),
        };
        Ok(PrArgs {
            tags: unique(self.tags),
            project: self.project,
            staging: staging.parse().map_err(|error| format!("the staging registry: {error}"))?,
            images: unique(self.images),
            digests: unique(self.digests),
            format: self.format,
            fork,
            reviewers: self.reviewers,
            no_pr: self.no_pr,
            interactive: self.interactive,
            upstream: self.upstream,
            base: self.base,
            manifest_root: self.manifest_root,
            dir: path(self.dir),
            update_repo: self.update_repo,
            use_ssh: self.use_ssh,
            api_url,
            git_url: checked_url("--git-url", self.git_url)?,
            config: self.config.resolve()?,
            written,
        })
    }

    /// Returns the flags that differ from their defaults, without local paths, which mean nothing to others.
    fn written(&self) -> Vec<(&'static str, String)> {
        let mut written = Vec::new();
        let mut text = |flag, value: &str, default: &str| {
            if value != default {
                written.push((flag, value.to_owned()));
            }
        };
        text("--fork", self.fork.as_deref().unwrap_or_default(), "");
        text("--interactive", if self.interactive { "true" } else { "" }, "");
        text("--project", &self.project, "kubernetes");
        text("--staging-repo", &self.staging_repo, "");
        text("--reviewers", &self.reviewers, "@kubernetes/release-engineering");
        self.tags.iter().for_each(|tag| text("--tag", tag.as_str(), ""));
        self.images.iter().for_each(|image| text("--image", image.as_str(), ""));
        self.digests.iter().for_each(|digest| text("--digests", &digest.to_string(), ""));
        text("--format", if self.format { "true" } else { "" }, "");
        text("--no-pr", if self.no_pr { "true" } else { "" }, "");
        text("--upstream", &self.upstream.to_string(), "kubernetes/k8s.io");
        text("--base", &self.base, "main");
        text("--manifest-root", &self.manifest_root.to_string_lossy(), "registry.k8s.io");
        text("--update-repo", &self.update_repo.to_string(), "true");
        text("--use-ssh", &self.use_ssh.to_string(), "true");
        text("--api-url", self.api_url.as_ref().map(Url::as_str).unwrap_or_default(), "");
        text("--git-url", self.git_url.as_str().trim_end_matches('/'), GIT_URL);
        written
    }
}

/// Parses a fork: an owner, or an owner and the name of the repository. The default name is that of upstream.
fn fork_of(text: &str, upstream: &Slug) -> Result<Slug, String> {
    let whole = if text.contains('/') { text.to_owned() } else { format!("{text}/{}", upstream.name) };
    whole.parse().map_err(|_| format!("--fork: `{text}` is neither USER nor USER/NAME"))
}

/// Checks the URL of a forge. The token is sent there, so it is encrypted unless it stays on this machine.
pub(super) fn checked_url(flag: &str, url: Url) -> Result<Url, String> {
    let is_loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback) {
        return Err(format!("{flag} must begin with https://, because the token is sent there"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{flag} must not contain a user: the token is read from $GITHUB_TOKEN"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{flag} must not have a query"));
    }
    Ok(url)
}

/// Returns whether a text is a plain name of a branch, and safe as an argument of git (git-check-ref-format).
fn is_branch(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    let has_parts =
        text.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"));
    text.bytes().all(is_word)
        && has_parts
        && !text.starts_with('-')
        && !text.contains("..")
        && !text.ends_with('.')
}

fn unique<T: PartialEq>(values: Vec<T>) -> Vec<T> {
    values.into_iter().fold(Vec::new(), |mut unique, value| {
        if !unique.contains(&value) {
            unique.push(value);
        }
        unique
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use super::*;

    fn pr(words: &[&str]) -> Result<PrArgs, String> {
        let words = ["kpromo", "pr"].iter().chain(words);
        let (cli, _) = Cli::read(words).map_err(|error| error.to_string())?;
        let Command::Pr(flags) = cli.command else { panic!("pr was asked for") };
        flags.resolve()
    }

    #[test]
    fn the_defaults_are_those_of_kubernetes() {
        let args = pr(&["--fork", "me", "-t", "v1,v2", "--tag", "v3"]).unwrap();
        assert_eq!(args.fork.unwrap().to_string(), "me/k8s.io");
        assert_eq!(args.tags.len(), 3);
        assert_eq!(args.staging.to_string(), "gcr.io/k8s-staging-kubernetes");
        assert_eq!((args.use_ssh, args.update_repo, args.interactive), (true, true, false));
        assert_eq!((args.api_url.as_str(), args.base.as_str()), ("https://api.github.com/", "main"));
        let args =
            pr(&["--fork", "me/k8s.io", "-t", "v1", "-i", "--use-ssh=false", "--project", "x"]).unwrap();
        assert_eq!(args.fork.unwrap().to_string(), "me/k8s.io", "dots are names of repositories too");
        assert_eq!((args.use_ssh, args.interactive), (false, true));
        assert_eq!(args.staging.to_string(), "gcr.io/k8s-staging-x");
    }

    #[test]
    fn what_cannot_be_meant_is_a_usage_error() {
        let fork = ["--fork", "me", "--tag", "v1"];
        for (more, expected) in [
            (&["--fork", "a/b/c"][..], "--fork"),
            (&["--fork=-x"], "--fork"),
            (&["--tag", "latest"], "never move"),
            (&["--digests", "sha256:0"], "digest"),
            (&["--project", "a/b"], "--project"),
            (&["--project", "a..b"], "--project"),
            (&["--base", "a..b"], "--base"),
            (&["--upstream", "x"], "ORG/REPO"),
            (&["--manifest-root", "../x"], "within"),
            (&["--manifest-root", "/x"], "within"),
            (&["--git-url", "https://git.example.com"], "--api-url"),
            (&["--api-url", "http://git.example.com"], "https://"),
            (&["--api-url", "https://me:x@git.example.com"], "user"),
            (&["--staging-repo", "R/X"], "staging"),
        ] {
            let words: Vec<&str> = fork.iter().chain(more).copied().collect();
            let error = pr(&words).unwrap_err();
            assert!(error.contains(expected), "{more:?}: {error}");
        }
        assert!(pr(&["--tag", "v1"]).unwrap_err().contains("--fork"));
        assert!(pr(&["--fork", "me"]).unwrap_err().contains("--tag"));
        assert!(pr(&["--tag", "v1", "--dry-run"]).unwrap().is_dry_run());
        assert!(pr(&["--tag", "v1", "--dry-run", "--api-url", "http://127.0.0.1:1/api"]).is_ok());
    }

    #[test]
    fn flags_that_are_given_are_written_and_others_are_not() {
        let words = ["--tag", "v1", "--fork", "me", "--use-ssh=false", "--digests"];
        let digest = format!("sha256:{}", "a".repeat(64));
        let words: Vec<&str> = words.into_iter().chain([digest.as_str()]).collect();
        let expected = [("--fork", "me"), ("--tag", "v1"), ("--digests", &digest), ("--use-ssh", "false")];
        let written = pr(&words).unwrap().written;
        let written: Vec<(&str, &str)> =
            written.iter().map(|(flag, value)| (*flag, value.as_str())).collect();
        assert_eq!(written, expected);
    }
}
