//! Quirks of authentication: challenges, tokens, and repositories hidden from anonymous clients.

use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use oci::RepositoryPath;

use super::rejection::Rejection;
use super::template::fill;
use crate::auth::{Action, Need, Wanted};
use crate::body::{Response, full};
use crate::error::{ErrorCode, Refusal};
use crate::store::Store;

/// How a registry authenticates. With [`crate::Authentication::Open`], only the quirks of token requests have an effect.
#[derive(Clone, Debug, Default)]
pub struct Auth {
    /// The response to a read of a repository without credentials, instead of a challenge. Requests to the API root and writes
    /// are challenged.
    pub hidden: Option<Rejection>,
    /// Repositories whose names contain one of these texts can be read without credentials.
    pub public: Vec<String>,
    /// The value of `WWW-Authenticate` in a 401.
    pub challenges: Challenges,
    /// The body of the token service's response, a template of `{token}`.
    pub token_answer: Option<String>,
    /// A text that the query of each token request must contain. Other token requests are answered with 400.
    pub token_query: Option<String>,
    /// The scope that grants everything. A token requested without it grants nothing.
    pub token_scope: Option<String>,
    /// The response of the token service to `POST`.
    pub token_post: Option<Rejection>,
    /// Whether a token grants nothing if it is requested only to pull from a repository that does not exist.
    pub unknown_repositories_grant_nothing: bool,
    /// How many requests a token is valid for.
    pub token_uses: Option<u64>,
}

/// The value of `WWW-Authenticate` in a 401.
#[derive(Clone, Debug, Default)]
pub enum Challenges {
    /// The challenge of the configured authentication.
    #[default]
    Own,
    /// No challenge.
    Missing,
    /// These headers, templates of `{realm}`, `{service}`, `{scope}`, `{base}` (`http://127.0.0.1:5000`) and
    /// `{repository}`.
    Said(Vec<String>),
}

/// The values for the templates of a challenge.
pub(crate) struct Challenged<'a> {
    pub(crate) realm: &'a str,
    pub(crate) service: &'a str,
    pub(crate) base: &'a str,
    pub(crate) needs: &'a [Need],
}

impl Auth {
    /// Returns whether a request is admitted without credentials.
    pub(crate) fn lets_in(&self, headers: &HeaderMap, needs: &[Need]) -> bool {
        let is_public = |name: &str| self.public.iter().any(|part| name.contains(part.as_str()));
        !self.public.is_empty() && !headers.contains_key(AUTHORIZATION) && reads(needs).is_some_and(is_public)
    }

    /// Returns the refusal of a request that was not admitted.
    pub(crate) fn refuse(&self, refusal: Refusal, headers: &HeaderMap, asked: &Challenged<'_>) -> Refusal {
        if let Some(rejection) = self.hidden
            && !headers.contains_key(AUTHORIZATION)
            && reads(asked.needs).is_some()
        {
            return rejection.refusal();
        }
        if refusal.status() != StatusCode::UNAUTHORIZED {
            return refusal;
        }
        match &self.challenges {
            Challenges::Own => refusal,
            Challenges::Missing => refusal.without_header(WWW_AUTHENTICATE),
            Challenges::Said(templates) => {
                let values = asked.texts(templates);
                let refusal = refusal.without_header(WWW_AUTHENTICATE);
                values.fold(refusal, |refusal, value| refusal.with_header(WWW_AUTHENTICATE, value))
            }
        }
    }

    /// Returns what a token is issued for, given the requested scopes.
    pub(crate) fn wanted<'a>(
        &self,
        method: &Method,
        query: Option<&str>,
        mut scopes: Vec<&'a str>,
        store: &Store,
    ) -> Result<Wanted<'a>, Refusal> {
        if let Some(rejection) = self.token_post.filter(|_| method == Method::POST) {
            return Err(rejection.refusal());
        }
        let has = |part: &String| query.is_some_and(|query| query.contains(part.as_str()));
        if self.token_query.as_ref().is_some_and(|part| !has(part)) {
            return Err(Rejection::new(StatusCode::BAD_REQUEST, ErrorCode::Unsupported).refusal());
        }
        if let Some(everything) = &self.token_scope {
            let asked = scopes.contains(&everything.as_str());
            return Ok(if asked { Wanted::Everything } else { Wanted::Scopes(Vec::new()) });
        }
        if self.unknown_repositories_grant_nothing {
            scopes.retain(|scope| pulled(scope).is_none_or(|path| exists(store, &path)));
        }
        Ok(Wanted::Scopes(scopes))
    }

    /// Returns the response with a token.
    pub(crate) fn issued(&self, token: &str, own: Response) -> Response {
        let Some(template) = &self.token_answer else { return own };
        let mut response = Response::new(full(fill(template, &[("token", token)])));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

impl Challenged<'_> {
    fn texts<'a>(&'a self, templates: &'a [String]) -> impl Iterator<Item = HeaderValue> {
        let scopes: Vec<String> = self.needs.iter().filter_map(Need::scope).collect();
        let scope = scopes.join(" ");
        let repository = self.needs.iter().find_map(Need::repository).unwrap_or_default();
        templates.iter().filter_map(move |template| {
            let values = [
                ("realm", self.realm),
                ("service", self.service),
                ("scope", &scope),
                ("base", self.base),
                ("repository", repository),
            ];
            HeaderValue::try_from(fill(template, &values)).ok()
        })
    }
}

/// Returns the repository, if the request only reads from one.
fn reads(needs: &[Need]) -> Option<&str> {
    match needs {
        [Need::Repository(path, Action::Pull)] => Some(path.as_str()),
        _ => None,
    }
}

/// Returns the repository of a scope, if the scope is for pulls only.
fn pulled(scope: &str) -> Option<RepositoryPath> {
    scope.strip_prefix("repository:")?.strip_suffix(":pull")?.parse().ok()
}

fn exists(store: &Store, path: &RepositoryPath) -> bool {
    store.index().repository(path).is_some_and(|names| !names.is_empty())
}
