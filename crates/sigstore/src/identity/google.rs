//! Google's ID tokens: of a service account that we may act as, or of the machine's own.

use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use transport::{Body, Class, Door, Opened, Request, Secret};
use url::Url;

use super::Found;
use super::answer::{bearer, json, success};

/// The longest that the metadata service may take. Elsewhere than at Google nobody answers at its address.
const METADATA_TIME: Duration = Duration::from_secs(2);
/// The most bytes of its answer.
const TOKEN_MAX: u64 = 64 * 1024;
/// The flavor that its answers name.
const GOOGLE: &str = "Google";
/// What the metadata service takes, and gives back as its mark: other clouds answer at the same address.
const FLAVOR: (HeaderName, HeaderValue) =
    (HeaderName::from_static("metadata-flavor"), HeaderValue::from_static("Google"));

/// Access tokens of Google, of whoever runs us (scope `cloud-platform`).
pub trait AccessTokens: Send + Sync {
    /// An access token that is good now; `None` where nobody here has credentials of Google.
    ///
    /// # Errors
    /// When there are credentials, and they could not be had. The text is for a person, and holds no secret.
    fn access_token(&self) -> BoxFuture<'_, Result<Option<Secret>, String>>;
}

/// Whether an account may be one of Google's: an e-mail address. Workflows and service accounts of clusters have URIs.
pub(super) fn may_be_account(account: &str) -> bool {
    let odd = |letter: char| letter.is_control() || letter.is_whitespace() || "/:?#%\\".contains(letter);
    let parts: Vec<&str> = account.split('@').collect();
    account.len() <= 320 && !account.contains(odd) && parts.len() == 2 && parts.iter().all(|p| !p.is_empty())
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

/// A token of a service account (IAM Service Account Credentials API v1, *projects.serviceAccounts.generateIdToken*).
pub(super) async fn impersonate(
    door: &Door,
    iam: &str,
    access: &Secret,
    account: &str,
    audience: &str,
) -> Result<Secret, String> {
    let base = iam.trim_end_matches('/');
    let text = format!("{base}/v1/projects/-/serviceAccounts/{account}:generateIdToken");
    let url = Url::parse(&text).map_err(|_| format!("{base} is not a URL"))?;
    let body = json!({ "audience": audience, "includeEmail": true }).to_string();
    let request = Request::new(Method::POST, url, "google-id-token", Class::Token)
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(header::AUTHORIZATION, bearer(access)?)
        .body(Body::Bytes(body.into()));
    let answer = door.send(request).await.map_err(|error| error.to_string())?;
    let body = success(&answer, |status| advice(status, account))?;
    json(&body).map(|Token { token }| Secret::new(token))
}

/// What a person can do about a refusal.
fn advice(status: StatusCode, account: &str) -> Option<String> {
    match status {
        StatusCode::BAD_REQUEST => Some(format!("is {account} the name of a service account?")),
        StatusCode::UNAUTHORIZED => Some(
            "the access token is not taken; see whether the credentials are still good, and log in anew with \
             `gcloud auth application-default login`"
                .to_owned(),
        ),
        StatusCode::FORBIDDEN => Some(format!(
            "grant whoever runs this `roles/iam.serviceAccountOpenIdTokenCreator` on {account}, and see that the account \
             exists and that its project has the IAM Service Account Credentials API enabled"
        )),
        StatusCode::NOT_FOUND => Some(format!("there is no service account {account}, or it is disabled")),
        _ => None,
    }
}

/// A token of the machine's own account (Compute Engine, *Verifying the identity of instances*).
pub(super) async fn of_machine(door: &Door, host: &str, audience: &str) -> Result<Found, String> {
    const PATH: &str = "computeMetadata/v1/instance/service-accounts/default/identity";
    let query = [("audience", audience), ("format", "full")];
    let url = Url::parse_with_params(&format!("http://{host}/{PATH}"), query)
        .map_err(|_| format!("{host} is not a host"))?;
    // Once: elsewhere than at Google nobody would answer the second time either.
    let request =
        Request::new(Method::GET, url, "google-metadata", Class::Token).header(FLAVOR.0, FLAVOR.1).once();
    let deadline = Instant::now() + METADATA_TIME;
    match timeout_at(deadline, door.stream(request)).await {
        Ok(Ok(Opened::Body(body))) if body.header(FLAVOR.0.as_str()) != Some(GOOGLE) => Ok(foreign(host)),
        Ok(Ok(Opened::Other(answer))) if answer.header(FLAVOR.0.as_str()) != Some(GOOGLE) => {
            Ok(foreign(host))
        }
        Ok(Ok(Opened::Other(answer))) if answer.status() == StatusCode::NOT_FOUND => {
            Ok(Found::Nothing("this machine has no account of Google's".to_owned()))
        }
        Ok(Ok(Opened::Other(answer))) => success(&answer, |_| None).and_then(|body| text(&body)),
        // What begins to answer as Google's service is it: its faults are told.
        Ok(Ok(Opened::Body(body))) => match timeout_at(deadline, body.bytes(TOKEN_MAX)).await {
            Ok(body) => text(&body.map_err(|error| error.to_string())?),
            Err(_) => Err(format!("{host} did not finish its answer within {} s", METADATA_TIME.as_secs())),
        },
        Ok(Err(_)) | Err(_) => Ok(Found::Nothing(format!("no metadata service answers at {host}"))),
    }
}

fn foreign(host: &str) -> Found {
    Found::Nothing(format!("what answers at {host} is not Google's metadata service"))
}

fn text(body: &[u8]) -> Result<Found, String> {
    let text = std::str::from_utf8(body).map_err(|_| "it answered, and its answer is not a text")?;
    Ok(Found::Token(Secret::new(text)))
}
