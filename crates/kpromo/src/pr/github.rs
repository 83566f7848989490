//! The calls of GitHub's API that a proposal needs. Gitea, Forgejo and GitHub Enterprise answer the same ones.

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use oci_types::text::printable;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use transport::{Answer, Body, Class, Door, Request, Secret, shown};
use url::Url;

use crate::args::Slug;
use crate::exit::Exit;
use crate::failure::Failure;

/// The maximum size of an answer, in bytes. A list of a hundred pull requests of GitHub has about 2 MB.
const ANSWER_MAX: u64 = 16 * 1024 * 1024;
/// The maximum number of pages of pull requests that are read.
const PAGES_MAX: usize = 40;
/// The smallest default size of a page among the known forges. A shorter page is the last one.
const PAGE_MIN: usize = 30;
/// The maximum length of a text of an answer that is shown, in characters.
const TEXT_MAX: usize = 500;

/// A forge, by its API.
#[derive(Debug)]
pub(super) struct Forge {
    door: Door,
    api: Url,
    token: Secret,
}

/// An open pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pull {
    /// The address for a browser.
    pub(super) url: String,
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
    html_url: String,
    #[serde(default)]
    state: String,
    head: Option<End>,
    base: Option<End>,
}

#[derive(Deserialize)]
struct End {
    #[serde(rename = "ref", default)]
    branch: String,
    /// Null for a repository that was deleted.
    repo: Option<NamedRepository>,
}

/// What a forge says about an error.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Complaint {
    message: String,
    errors: Vec<serde_json::Value>,
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
    pub(super) fn new(door: Door, api: Url, token: Secret) -> Self {
        Self { door, api, token }
    }

    /// Checks that a repository is a fork of another, and that the token may create pull requests, if the forge says what it may.
    ///
    /// # Errors
    /// If it is not a fork, if the token is not accepted, or if the forge does not answer.
    pub(super) async fn check_fork(&self, fork: &Slug, upstream: &Slug) -> Result<(), Failure> {
        let answer = self.get(&["repos", &fork.owner, &fork.name], &[]).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            let text = format!(
                "the repository {fork} does not exist at {}, or the token cannot read it",
                self.name()
            );
            let help = format!("fork {upstream} there, and name the fork with --fork");
            return Err(Failure::new(Exit::Invalid, text).help(help));
        }
        if let Some(scopes) = answer.header("x-oauth-scopes") {
            // Only classic tokens of GitHub have scopes.
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
        let repository: RepositoryAnswer = self.parse(&answer, "the fork")?;
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
            self.get(&["repos", &repository.owner, &repository.name, "branches", branch], &[]).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        // A branch that was renamed is answered by its new name.
        let found: BranchAnswer = self.parse(&answer, "the branch")?;
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
            // `limit` is what Gitea calls the size of a page; it does not know `head`.
            let query = [
                ("state", "open"),
                ("head", &head),
                ("base", base),
                ("per_page", "100"),
                ("limit", "50"),
                ("page", &page),
            ];
            let answer = self.get(&["repos", &upstream.owner, &upstream.name, "pulls"], &query).await?;
            let pulls: Vec<PullAnswer> = self.parse(&answer, "the list of pull requests")?;
            let is_last = pulls.len() < PAGE_MIN;
            if let Some(pull) = pulls.into_iter().find(|pull| is_of(pull, fork, branch, base)) {
                return Ok(Some(Pull { url: printable(&pull.html_url, TEXT_MAX) }));
            }
            if is_last {
                return Ok(None);
            }
        }
        let text = format!("{upstream} has too many open pull requests to look for that of {head}");
        Err(Failure::new(Exit::Unavailable, text))
    }

    /// Creates a pull request, or returns the one that there is.
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
        let url = self.url(&["repos", &upstream.owner, &upstream.name, "pulls"], &[]);
        let request = Request::new(Method::POST, url, "forge-pull-create", Class::Write)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Body::Bytes(Bytes::from(body.to_string())))
            .again_when_refused();
        let answer = self.send(request).await?;
        if matches!(answer.status(), StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY)
            && let Some(pull) = self.open_pull(upstream, new.fork, new.branch, new.base).await?
        {
            return Ok(pull);
        }
        let created: PullAnswer = self.parse(&answer, "the pull request")?;
        Ok(Pull { url: printable(&created.html_url, TEXT_MAX) })
    }

    async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer, Failure> {
        let request = Request::new(Method::GET, self.url(path, query), "forge-get", Class::Read);
        self.send(request).await
    }

    async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let bearer = HeaderValue::try_from(format!("Bearer {}", self.token.reveal()));
        let mut bearer = bearer.map_err(|_| {
            Failure::new(Exit::Unavailable, "the token of the environment has characters that no token has")
        })?;
        bearer.set_sensitive(true);
        let request = request
            .header(header::AUTHORIZATION, bearer)
            .header(header::ACCEPT, HeaderValue::from_static("application/vnd.github+json"))
            .limit(ANSWER_MAX);
        let sent = self.door.send(request).await;
        sent.map_err(|error| Failure::new(Exit::Unavailable, format!("the forge does not answer: {error}")))
    }

    /// Reads an answer, or says what the forge complains about.
    fn parse<T: DeserializeOwned>(&self, answer: &Answer, what: &str) -> Result<T, Failure> {
        if !answer.status().is_success() {
            return Err(self.refused(answer));
        }
        serde_json::from_slice(answer.body()).map_err(|error| {
            let text = format!(
                "{} answers {what} with something else than GitHub's API: {}",
                self.name(),
                printable(&error.to_string(), TEXT_MAX)
            );
            Failure::new(Exit::Unavailable, text).help("check --api-url")
        })
    }

    fn refused(&self, answer: &Answer) -> Failure {
        let complaint: Complaint = serde_json::from_slice(answer.body()).unwrap_or_default();
        let details = complaint.errors.iter().filter_map(|error| {
            error.as_str().or_else(|| error.get("message").and_then(|message| message.as_str()))
        });
        let said: Vec<&str> = [complaint.message.as_str()].into_iter().chain(details).collect();
        let said = printable(&answer.masked(&said.join(": ")), TEXT_MAX);
        let url = shown(answer.url());
        let text = format!("{} {url} is answered {}: {said}", answer.method(), answer.status());
        let failure = Failure::new(Exit::Unavailable, text.trim_end_matches([':', ' ']));
        match answer.status() {
            StatusCode::UNAUTHORIZED => failure.help("the token in $GITHUB_TOKEN or $GH_TOKEN is wrong or has expired"),
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND if answer.method() == Method::POST => failure.help(
                "the token may not create pull requests there: it needs the scope `public_repo`, or as a fine-grained token the \
                 permission to write pull requests. The branch is pushed; run the same command again with another token",
            ),
            StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT => {
                failure.help("the repository was renamed: name it by its new name")
            }
            _ if answer.method() == Method::POST => {
                failure.help("the branch is pushed; run the same command again to create the pull request")
            }
            _ => failure,
        }
    }

    fn name(&self) -> &str {
        self.api.host_str().unwrap_or_default()
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.api.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
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
