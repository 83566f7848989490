//! Google's ID tokens: of a service account to impersonate, or of the machine's service account.

use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use transport::{Body, Class, Door, Request, Secret};
use url::Url;

use super::answer::{Failure, bearer, json, success};
use super::found::Found;
use crate::google::{Metadata, MetadataAnswer};

/// Why there is no access token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct AccessError {
    /// What is wrong, as a text for a person. It contains no secret.
    pub why: String,
    /// Whether a retry may succeed a little later.
    pub is_temporary: bool,
}

/// Google access tokens of the caller (scope `cloud-platform`).
pub trait AccessTokens: Send + Sync {
    /// Returns a valid access token, or `None` if the caller has no Google credentials.
    ///
    /// # Errors
    /// Returns an error if there are credentials and they cannot be used. The text is meant for a person and contains no secret.
    fn access_token(&self) -> BoxFuture<'_, Result<Option<Secret>, String>>;

    /// Returns the same as [`access_token`](Self::access_token), with errors that distinguish temporary failures, which signers
    /// retry, from permanent ones. The default implementation treats all failures as permanent.
    ///
    /// # Errors
    /// The same as [`access_token`](Self::access_token).
    fn try_access_token(&self) -> BoxFuture<'_, Result<Option<Secret>, AccessError>> {
        Box::pin(async {
            let token = self.access_token().await;
            token.map_err(|why| AccessError { why, is_temporary: false })
        })
    }
}

/// Returns whether an account may be a Google account: an e-mail address. Workflows and Kubernetes service accounts have URIs.
pub(super) fn may_be_account(account: &str) -> bool {
    let odd = |letter: char| letter.is_control() || letter.is_whitespace() || "/:?#%\\".contains(letter);
    let parts: Vec<&str> = account.split('@').collect();
    account.len() <= 320 && !account.contains(odd) && parts.len() == 2 && parts.iter().all(|p| !p.is_empty())
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

/// Requests a token of a service account (IAM Service Account Credentials API v1, *projects.serviceAccounts.generateIdToken*).
pub(super) async fn impersonate(
    door: &Door,
    iam: &str,
    access: &Secret,
    account: &str,
    audience: &str,
) -> Result<Secret, Failure> {
    let base = iam.trim_end_matches('/');
    let text = format!("{base}/v1/projects/-/serviceAccounts/{account}:generateIdToken");
    let url = Url::parse(&text).map_err(|_| format!("{base} is not a URL"))?;
    let body = json!({ "audience": audience, "includeEmail": true }).to_string();
    let request = Request::new(Method::POST, url, "google-id-token", Class::Token)
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(header::AUTHORIZATION, bearer(access)?)
        .body(Body::Bytes(body.into()));
    let answer = door.send(request).await?;
    let body = success(&answer, |status| advice(status, account))?;
    Ok(json(&body).map(|Token { token }| Secret::new(token))?)
}

/// Returns the advice for a refusal.
fn advice(status: StatusCode, account: &str) -> Option<String> {
    match status {
        StatusCode::BAD_REQUEST => Some(format!("is {account} the name of a service account?")),
        StatusCode::UNAUTHORIZED => Some(
            "the access token is not accepted; check the credentials, and log in again with \
             `gcloud auth application-default login`"
                .to_owned(),
        ),
        StatusCode::FORBIDDEN => Some(format!(
            "grant the account that runs kpromo `roles/iam.serviceAccountOpenIdTokenCreator` on \
             {account}, and check that the account exists and that its project has the IAM Service \
             Account Credentials API enabled"
        )),
        StatusCode::NOT_FOUND => Some(format!("there is no service account {account}, or it is disabled")),
        _ => None,
    }
}

/// Requests a token of the machine's service account (Compute Engine, *Verifying the identity of instances*).
pub(super) async fn of_machine(metadata: &Metadata, audience: &str) -> Result<Found, Failure> {
    const PATH: &str = "instance/service-accounts/default/identity";
    match metadata.ask(PATH, &[("audience", audience), ("format", "full")]).await? {
        MetadataAnswer::Body(body) => {
            let text = std::str::from_utf8(&body).map_err(|_| "it answered, and its answer is not text")?;
            Ok(Found::Token(Secret::new(text)))
        }
        MetadataAnswer::Absent => Ok(Found::Nothing("this machine has no account of Google's".to_owned())),
        MetadataAnswer::NoService(why) => Ok(Found::NoService(why)),
    }
}
