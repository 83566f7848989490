//! Google's ID tokens: of a service account that we may act as, or of the machine's own.

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
    /// What is wrong, for a person. Holds no secret.
    pub why: String,
    /// Whether the same might succeed a little later.
    pub is_temporary: bool,
}

/// Access tokens of Google, of whoever runs us (scope `cloud-platform`).
pub trait AccessTokens: Send + Sync {
    /// An access token that is good now; `None` where nobody here has credentials of Google.
    ///
    /// # Errors
    /// When there are credentials, and they could not be had. The text is for a person, and holds no secret.
    fn access_token(&self) -> BoxFuture<'_, Result<Option<Secret>, String>>;

    /// The same, with errors that tell temporary failures, which signers retry, from permanent ones. Without an implementation
    /// all failures are permanent.
    ///
    /// # Errors
    /// As [`access_token`](Self::access_token).
    fn try_access_token(&self) -> BoxFuture<'_, Result<Option<Secret>, AccessError>> {
        Box::pin(async {
            let token = self.access_token().await;
            token.map_err(|why| AccessError { why, is_temporary: false })
        })
    }
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
pub(super) async fn of_machine(metadata: &Metadata, audience: &str) -> Result<Found, Failure> {
    const PATH: &str = "instance/service-accounts/default/identity";
    match metadata.ask(PATH, &[("audience", audience), ("format", "full")]).await? {
        MetadataAnswer::Body(body) => {
            let text = std::str::from_utf8(&body).map_err(|_| "it answered, and its answer is not a text")?;
            Ok(Found::Token(Secret::new(text)))
        }
        MetadataAnswer::Absent => Ok(Found::Nothing("this machine has no account of Google's".to_owned())),
        MetadataAnswer::NoService(why) => Ok(Found::NoService(why)),
    }
}
