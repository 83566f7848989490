//! Access tokens of token endpoints (RFC 6749, section 5).

use std::time::Duration;

use http::{HeaderValue, Method, header};
use jiff::Timestamp;
use serde::Deserialize;
use transport::{Answer, Body, Class, Door, Request, Secret};
use url::Url;

use crate::identity::answer::{Failure, bearer};

/// The scope of the requested tokens.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The maximum size of an answer of a token endpoint, in bytes.
const ANSWER_MAX: u64 = 256 * 1024;
/// The longest lifetime that a token is assumed to have.
const LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// An access token.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) secret: Secret,
    /// The remaining lifetime.
    pub(super) life: Duration,
}

impl Token {
    /// Reads the token from an answer of a token endpoint.
    pub(super) fn of_answer(body: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct TokenAnswer {
            access_token: String,
            #[serde(default)]
            expires_in: u64,
        }
        // The parser's message could quote the token.
        let TokenAnswer { access_token, expires_in } = serde_json::from_slice(body)
            .map_err(|_| "the token service's answer contains no token".to_owned())?;
        Ok(Self { secret: Secret::new(access_token), life: Duration::from_secs(expires_in).min(LIFE_MAX) })
    }
}

/// Posts a form to a token endpoint, which answers with a token. `client` is the `Authorization` header, if any.
pub(super) async fn granted(
    door: &Door,
    url: Url,
    form: String,
    secret: &Secret,
    client: Option<HeaderValue>,
) -> Result<Token, Refused> {
    let mut request = Request::new(Method::POST, url, "google-token", Class::Token)
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
        .body(Body::Bytes(form.into()))
        .secret(secret)
        .limit(ANSWER_MAX);
    if let Some(client) = client {
        request = request.header(header::AUTHORIZATION, client);
    }
    let answer = door.send(request).await.map_err(|error| Refused::of(error.into()))?;
    Ok(Token::of_answer(successful(&answer)?)?)
}

/// Requests a token of a service account with a token of an account that may impersonate it (IAM Service Account Credentials API
/// v1, *projects.serviceAccounts.generateAccessToken*).
pub(super) async fn impersonated(
    door: &Door,
    url: Url,
    access: &Secret,
    delegates: &[String],
    seconds: u32,
) -> Result<Token, Refused> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Generated {
        access_token: String,
        expire_time: Timestamp,
    }
    let body = serde_json::json!({
        "delegates": delegates, "scope": [SCOPE], "lifetime": format!("{seconds}s"),
    });
    let request = Request::new(Method::POST, url, "google-token", Class::Token)
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(header::AUTHORIZATION, bearer(access)?)
        .body(Body::Bytes(body.to_string().into()))
        .limit(ANSWER_MAX);
    let answer = door.send(request).await.map_err(|error| Refused::of(error.into()))?;
    let Generated { access_token, expire_time } = serde_json::from_slice(successful(&answer)?)
        .map_err(|_| "the answer of IAM Credentials contains no token".to_owned())?;
    let life = Duration::try_from(expire_time.duration_since(Timestamp::now())).unwrap_or_default();
    Ok(Token { secret: Secret::new(access_token), life: life.min(LIFE_MAX) })
}

/// Why a token endpoint issued no token.
#[derive(Debug)]
pub(super) struct Refused {
    failure: Failure,
    /// Whether the endpoint refused (4xx), so that the credentials are at fault.
    is_refusal: bool,
}

impl Refused {
    fn of(failure: Failure) -> Self {
        Self { failure, is_refusal: false }
    }

    /// Returns the failure, with advice if it is a refusal.
    pub(super) fn advised(self, advice: &str) -> Failure {
        let Self { failure: Failure { why, is_temporary }, is_refusal } = self;
        let why = if is_refusal { format!("{why}; {advice}") } else { why };
        Failure { why, is_temporary }
    }

    /// Returns the failure with its subject prepended.
    pub(super) fn about(self, what: &str) -> Failure {
        self.failure.about(what)
    }
}

impl From<String> for Refused {
    fn from(why: String) -> Self {
        Self::of(why.into())
    }
}

/// Returns the body of a success. The error for a refusal contains only its code: the rest of the body may contain anything.
pub(super) fn successful(answer: &Answer) -> Result<&[u8], Refused> {
    let (status, body) = (answer.status(), answer.body());
    if status.is_success() {
        return Ok(body);
    }
    let (host, code) = (answer.url().host_str().unwrap_or_default(), code(body));
    let is_temporary = transport::is_temporary(status);
    let failure = Failure { why: format!("the token service {host} answered {status}{code}"), is_temporary };
    Err(Refused { failure, is_refusal: status.is_client_error() && !is_temporary })
}

/// Returns the code of a refusal (RFC 6749, *Error Response*; `google.rpc.Status`) in brackets, or an empty text if there is
/// none.
fn code(body: &[u8]) -> String {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Reason {
        OAuth(String),
        Rpc { status: String },
    }
    #[derive(Deserialize)]
    struct Refusal {
        error: Reason,
    }
    let is_code = |text: &str| text.len() <= 40 && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    match serde_json::from_slice(body) {
        Ok(Refusal { error: Reason::OAuth(code) | Reason::Rpc { status: code } }) if is_code(&code) => {
            format!(" ({code})")
        }
        _ => String::new(),
    }
}
