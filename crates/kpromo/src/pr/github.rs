//! The requests to GitHub's API that a proposal needs.

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use oci_types::text::printable;
use serde::Deserialize;
use serde_json::json;
use transport::{Answer, Body, Class, Request};
use url::Url;

use crate::args::Slug;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::github::{GitHub, TEXT_MAX};

/// The maximum size of the answer to a new pull request, in bytes.
const ANSWER_MAX: u64 = 1024 * 1024;
/// The maximum number of pages of pull requests that are read.
const PAGES_MAX: usize = 40;
/// The smallest default size of a page among the known forges. A shorter page is the last one.
const PAGE_MIN: usize = 30;

/// The forge of a proposal.
#[derive(Debug)]
pub(super) struct Forge {
    api: GitHub,
    /// The git server, which also serves the web pages of pull requests.
    git_url: Url,
}

/// An open pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pull {
    /// The URL for browsers.
    pub(super) url: String,
    number: u64,
    pub(super) title: String,
    pub(super) body: String,
}

#[derive(Deserialize)]
struct RepositoryAnswer {
    #[serde(default)]
    fork: bool,
    parent: Option<NamedRepository>,
    source: Option<NamedRepository>,
}

#[derive(Deserialize)]
struct NamedRepository {
    full_name: String,
}

#[derive(Deserialize)]
struct BranchAnswer {
    name: String,
}

#[derive(Deserialize)]
struct PullAnswer {
    number: u64,
    #[serde(default)]
    html_url: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    state: String,
    head: Option<End>,
    base: Option<End>,
}

#[derive(Deserialize)]
struct End {
    #[serde(rename = "ref", default)]
    branch: String,
    /// Null if the repository was deleted.
    repo: Option<NamedRepository>,
}

/// A pull request to create.
pub(super) struct NewPull<'a> {
    pub(super) fork: &'a Slug,
    pub(super) branch: &'a str,
    pub(super) base: &'a str,
    pub(super) title: &'a str,
    pub(super) body: &'a str,
}

impl Forge {
    pub(super) fn new(api: GitHub, git_url: Url) -> Self {
        Self { api, git_url }
    }

    /// Checks that a repository is a fork of another, and that the token may create pull requests, if the forge reports its
    /// scopes.
    ///
    /// # Errors
    /// If the repository is not a fork, if the token is not accepted, or if the forge does not answer.
    pub(super) async fn check_fork(&self, fork: &Slug, upstream: &Slug) -> Result<(), Failure> {
        let answer = self.api.get(&["repos", &fork.owner, &fork.name], &[]).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            let text = format!(
                "the repository {fork} does not exist at {}, or the token cannot read it",
                self.api.name()
            );
            let help = format!("fork {upstream} there, and name the fork with --fork");
            return Err(Failure::new(Exit::Invalid, text).help(help));
        }
        if let Some(scopes) = answer.header("x-oauth-scopes") {
            // Only GitHub's classic tokens have scopes.
            let may = scopes.split(',').any(|scope| matches!(scope.trim(), "repo" | "public_repo"));
            if !may {
                let text = format!(
                    "the token may not create pull requests: its scopes are {}",
                    if scopes.trim().is_empty() { "none".to_owned() } else { printable(scopes, TEXT_MAX) }
                );
                let help = "make a token with the scope `public_repo` (`repo` for private repositories)";
                return Err(Failure::new(Exit::Unavailable, text).help(help));
            }
        }
        let repository: RepositoryAnswer = self.api.parse(&answer, "the fork")?;
        let origins: Vec<NamedRepository> =
            [repository.parent, repository.source].into_iter().flatten().collect();
        let is_fork = repository.fork && origins.iter().any(|origin| is_named(origin, upstream));
        if is_fork {
            return Ok(());
        }
        let what = match origins.first().filter(|_| repository.fork) {
            Some(origin) => format!("it is a fork of {}", printable(&origin.full_name, TEXT_MAX)),
            None => "it is not a fork".to_owned(),
        };
        let text = format!("{fork} is not a fork of {upstream}: {what}");
        Err(Failure::new(Exit::Invalid, text)
            .help("name your fork with --fork, and its origin with --upstream"))
    }

    /// Returns whether a repository has a branch.
    ///
    /// # Errors
    /// If the forge does not answer the question.
    pub(super) async fn has_branch(&self, repository: &Slug, branch: &str) -> Result<bool, Failure> {
        let answer =
            self.api.get(&["repos", &repository.owner, &repository.name, "branches", branch], &[]).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        // For a renamed branch, the answer has the new name.
        let found: BranchAnswer = self.api.parse(&answer, "the branch")?;
        Ok(found.name == branch)
    }

    /// Returns the open pull request of a branch of the fork.
    ///
    /// # Errors
    /// If the forge does not answer the question.
    pub(super) async fn open_pull(
        &self,
        upstream: &Slug,
        fork: &Slug,
        branch: &str,
        base: &str,
    ) -> Result<Option<Pull>, Failure> {
        let head = format!("{}:{branch}", fork.owner);
        for page in 1..=PAGES_MAX {
            let page = page.to_string();
            // Gitea calls the size of a page `limit`, and ignores `head`.
            let query = [
                ("state", "open"),
                ("head", &head),
                ("base", base),
                ("per_page", "100"),
                ("limit", "50"),
                ("page", &page),
            ];
            let answer = self.api.get(&["repos", &upstream.owner, &upstream.name, "pulls"], &query).await?;
            let pulls: Vec<PullAnswer> = self.api.parse(&answer, "the list of pull requests")?;
            let is_last = pulls.len() < PAGE_MIN;
            if let Some(pull) = pulls.into_iter().find(|pull| is_of(pull, fork, branch, base)) {
                return Ok(Some(self.pull(upstream, pull, &answer)));
            }
            if is_last {
                return Ok(None);
            }
        }
        let text = format!("{upstream} has too many open pull requests to look for that of {head}");
        Err(Failure::new(Exit::Unavailable, text))
    }

    /// Creates a pull request, or returns the existing one.
    ///
    /// # Errors
    /// If the forge refuses it.
    pub(super) async fn create_pull(&self, upstream: &Slug, new: &NewPull<'_>) -> Result<Pull, Failure> {
        let body = json!({
            "title": new.title,
            "head": format!("{}:{}", new.fork.owner, new.branch),
            "base": new.base,
            "body": new.body,
            "maintainer_can_modify": true,
            "draft": false,
        });
        let url = self.api.url(&["repos", &upstream.owner, &upstream.name, "pulls"], &[]);
        let request = Request::new(Method::POST, url, "forge-pull-create", Class::Write)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Body::Bytes(Bytes::from(body.to_string())))
            .limit(ANSWER_MAX)
            .again_when_refused();
        let answer = self.api.send(request).await?;
        if matches!(answer.status(), StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY)
            && let Some(pull) = self.open_pull(upstream, new.fork, new.branch, new.base).await?
        {
            return Ok(pull);
        }
        if !answer.status().is_success() {
            return Err(self.not_created(&answer));
        }
        let created: PullAnswer = self.api.parse(&answer, "the pull request")?;
        Ok(self.pull(upstream, created, &answer))
    }

    /// Changes the title and the body of a pull request.
    ///
    /// # Errors
    /// If the forge refuses it.
    pub(super) async fn update_pull(
        &self,
        upstream: &Slug,
        pull: &Pull,
        title: &str,
        body: &str,
    ) -> Result<(), Failure> {
        let number = pull.number.to_string();
        let url = self.api.url(&["repos", &upstream.owner, &upstream.name, "pulls", &number], &[]);
        let request = Request::new(Method::PATCH, url, "forge-pull-update", Class::Write)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Body::Bytes(Bytes::from(json!({ "title": title, "body": body }).to_string())))
            .limit(ANSWER_MAX);
        let answer = self.api.send(request).await?;
        if answer.status().is_success() {
            return Ok(());
        }
        let help = format!(
            "the branch is renewed, but the text of {} still has the images of before; run the same command again",
            pull.url
        );
        Err(self.api.refused(&answer).help(help))
    }

    /// Parses a pull request from an answer. A URL that is neither HTTPS nor at the forge is not shown.
    fn pull(&self, upstream: &Slug, pull: PullAnswer, answer: &Answer) -> Pull {
        let named = pull.html_url.unwrap_or_default();
        let is_shown = Url::parse(&named).is_ok_and(|url| {
            let origins = [self.api.url(&[], &[]).origin(), self.git_url.origin()];
            url.scheme() == "https" || (url.scheme() == "http" && origins.contains(&url.origin()))
        });
        let url = if is_shown {
            printable(&answer.masked(&named), TEXT_MAX)
        } else {
            let server = self.git_url.as_str().trim_end_matches('/');
            format!("{server}/{upstream}/pull/{}", pull.number)
        };
        let (title, body) = (pull.title.unwrap_or_default(), pull.body.unwrap_or_default());
        Pull { url, number: pull.number, title, body }
    }

    /// Returns the failure for a pull request that was not created. The branch already exists.
    fn not_created(&self, answer: &Answer) -> Failure {
        let failure = self.api.refused(answer);
        match answer.status() {
            _ if answer.is_refusal() => failure,
            StatusCode::UNAUTHORIZED | StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT => failure,
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => failure.help(
                "the token may not create pull requests there: it needs the scope `public_repo`, or as a fine-grained token the \
                 permission to write pull requests. The branch is pushed; run the same command again with another token",
            ),
            _ => failure.help("the branch is pushed; run the same command again to create the pull request"),
        }
    }
}

fn is_named(repository: &NamedRepository, slug: &Slug) -> bool {
    repository.full_name.eq_ignore_ascii_case(&slug.to_string())
}

fn is_of(pull: &PullAnswer, fork: &Slug, branch: &str, base: &str) -> bool {
    let is_from = pull.head.as_ref().is_some_and(|head| {
        head.branch == branch && head.repo.as_ref().is_some_and(|repository| is_named(repository, fork))
    });
    is_from && pull.state == "open" && pull.base.as_ref().is_some_and(|end| end.branch == base)
}
