//! A client of GitHub's API, which Gitea, Forgejo and GitHub Enterprise also provide.

use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use oci_types::text::printable;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use transport::{Answer, Class, Door, Request, Secret, shown};
use url::Url;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::duration;

/// The maximum size of an answer, in bytes. A list of a hundred pull requests of GitHub has about 2 MB.
const ANSWER_MAX: u64 = 16 * 1024 * 1024;
/// The maximum length of a text of an answer that is shown, in characters.
pub(crate) const TEXT_MAX: usize = 500;

/// A forge, by its API.
#[derive(Clone, Debug)]
pub(crate) struct GitHub {
    door: Door,
    api: Url,
    token: Option<Secret>,
}

/// The error response of a forge.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Complaint {
    message: String,
    errors: Vec<serde_json::Value>,
}

/// Returns the host of an API as the settings of the door name it: with the port unless it is the default of the scheme.
pub(crate) fn authority(api: &Url) -> String {
    let host = api.host_str().unwrap_or_default();
    api.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

impl GitHub {
    pub(crate) fn new(door: Door, api: Url, token: Option<Secret>) -> Self {
        Self { door, api, token }
    }

    /// Returns the door that requests go through.
    pub(crate) fn door(&self) -> &Door {
        &self.door
    }

    /// Returns the host of the API.
    pub(crate) fn name(&self) -> &str {
        self.api.host_str().unwrap_or_default()
    }

    /// Returns whether requests carry a token.
    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Returns a text without the token.
    pub(crate) fn masked(&self, text: &str) -> String {
        let token = self.token.as_ref().map(Secret::reveal).filter(|token| !token.is_empty());
        token.map_or_else(|| text.to_owned(), |token| text.replace(token, "[secret]"))
    }

    /// Returns the URL of a call.
    pub(crate) fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.api.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Sends a GET request. The answer may have any status.
    ///
    /// # Errors
    /// Returns an error if the forge does not answer.
    pub(crate) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer, Failure> {
        let request = Request::new(Method::GET, self.url(path, query), "forge-get", Class::Read);
        self.send(request.limit(ANSWER_MAX)).await
    }

    /// Sends a request with a size limit for the answer. The answer may have any status.
    ///
    /// # Errors
    /// Returns an error if the forge does not answer.
    pub(crate) async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let json = HeaderValue::from_static("application/vnd.github+json");
        let request = self.authorized(request)?.header(header::ACCEPT, json);
        let sent = self.door.send(request).await;
        sent.map_err(|error| match error.used_up_for() {
            Some(time) => {
                let text = format!("the rate limit of {} is used up", self.name());
                Failure::new(Exit::Unavailable, text).help(self.rate_help(Some(time)))
            }
            None => Failure::new(Exit::Unavailable, format!("the forge does not answer: {error}")),
        })
    }

    /// Adds the token to a request for the API.
    ///
    /// # Errors
    /// Returns an error if the token is invalid.
    pub(crate) fn authorized(&self, request: Request) -> Result<Request, Failure> {
        let Some(token) = &self.token else { return Ok(request) };
        let bearer = HeaderValue::try_from(format!("Bearer {}", token.reveal()));
        let mut bearer = bearer.map_err(|_| {
            Failure::new(Exit::Unavailable, "the token in the environment has invalid characters")
        })?;
        bearer.set_sensitive(true);
        Ok(request.header(header::AUTHORIZATION, bearer))
    }

    /// Parses an answer, or returns the error of the forge.
    ///
    /// # Errors
    /// Returns an error if the status is not a success, or if the content is not `what`.
    pub(crate) fn parse<T: DeserializeOwned>(&self, answer: &Answer, what: &str) -> Result<T, Failure> {
        if !answer.status().is_success() {
            return Err(self.refused(answer));
        }
        serde_json::from_slice(answer.body()).map_err(|error| {
            let text = format!(
                "{} did not answer {what} as GitHub's API does: {}",
                self.name(),
                printable(&error.to_string(), TEXT_MAX)
            );
            Failure::new(Exit::Unavailable, text).help("check --api-url")
        })
    }

    /// Converts an answer that is not a success to a failure.
    pub(crate) fn refused(&self, answer: &Answer) -> Failure {
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
            _ if answer.is_refusal() => failure.help(self.rate_help(answer.asked_pause())),
            StatusCode::UNAUTHORIZED if self.has_token() => {
                failure.help("the token in $GITHUB_TOKEN or $GH_TOKEN is wrong or has expired")
            }
            StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT => {
                failure.help("the repository was renamed: name it by its new name")
            }
            _ => failure,
        }
    }

    /// Returns the advice for a rate limit that is used up for this time.
    fn rate_help(&self, time: Option<Duration>) -> String {
        let when = time.filter(|time| !time.is_zero());
        let when = when.map_or("later".to_owned(), |pause| format!("in {}", duration(pause)));
        let token = match self.has_token() {
            true => "",
            false => ", or set $GITHUB_TOKEN: with a token many more requests are allowed",
        };
        format!("the rate limit is used up: run the same command again {when}{token}")
    }

    /// Returns the advice for a token that may lack access to a private repository.
    pub(crate) fn private_help(&self, answer: &Answer) -> String {
        if !self.has_token() {
            return "check the names; a private repository needs a token in $GITHUB_TOKEN".to_owned();
        }
        // Only classic tokens of GitHub have scopes.
        match answer.header("x-oauth-scopes") {
            Some(scopes) if !scopes.split(',').any(|scope| scope.trim() == "repo") => format!(
                "check the names; a private repository needs a token with the scope `repo`, and the scopes of this one are {}",
                if scopes.trim().is_empty() { "none".to_owned() } else { printable(scopes, TEXT_MAX) }
            ),
            _ => "check the names, and that the token may read the contents of the repository".to_owned(),
        }
    }
}
