//! Tokens of token services (RFC 6749, section 5).

use std::time::Duration;

use http::{HeaderValue, Method, header};
use jiff::Timestamp;
use serde::Deserialize;
use transport::{Answer, Body, Class, Door, Request, Secret};
use url::Url;

use crate::identity::answer::{Failure, bearer};

/// What a token may be used for.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The largest answer of a token service, in bytes.
const ANSWER_MAX: u64 = 256 * 1024;
/// The longest that a token is taken to be good for.
const LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// An access token.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) secret: Secret,
    /// How long it is good for.
    pub(super) life: Duration,
}

impl Token {
    /// The token of a token service's answer.
    pub(super) fn of_answer(body: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct TokenAnswer {
            access_token: String,
            #[serde(default)]
            expires_in: u64,
        }
        // The parser's message could quote the token.
        let TokenAnswer { access_token, expires_in } = serde_json::from_slice(body)
            .map_err(|_| "the token service's answer holds no token".to_owned())?;
        Ok(Self { secret: Secret::new(access_token), life: Duration::from_secs(expires_in).min(LIFE_MAX) })
    }
}

/// A form that is posted to a token service, which answers with a token. `client` is shown in the header where there is one.
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

/// A token of a service account, got with one of whoever may act as it (IAM Service Account Credentials API v1,
/// *projects.serviceAccounts.generateAccessToken*).
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
        .map_err(|_| "the answer of IAM Credentials holds no token".to_owned())?;
    let life = Duration::try_from(expire_time.duration_since(Timestamp::now())).unwrap_or_default();
    Ok(Token { secret: Secret::new(access_token), life: life.min(LIFE_MAX) })
}

/// Why a token service gave none.
#[derive(Debug)]
pub(super) struct Refused {
    failure: Failure,
    /// Whether it has said no (4xx), so that something is wrong with the credentials.
    is_refusal: bool,
}

impl Refused {
    fn of(failure: Failure) -> Self {
        Self { failure, is_refusal: false }
    }

    /// The failure, with advice where it was a refusal.
    pub(super) fn advised(self, advice: &str) -> Failure {
        let Self { failure: Failure { why, is_temporary }, is_refusal } = self;
        let why = if is_refusal { format!("{why}; {advice}") } else { why };
        Failure { why, is_temporary }
    }

    /// The failure, said of something.
    pub(super) fn about(self, what: &str) -> Failure {
        self.failure.about(what)
    }
}

impl From<String> for Refused {
    fn from(why: String) -> Self {
        Self::of(why.into())
    }
}

/// The body of a success. Of a refusal nothing is told but its code: the rest may hold anything.
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

/// The code of a refusal (RFC 6749, *Error Response*; `google.rpc.Status`), in brackets; nothing where there is none.
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
