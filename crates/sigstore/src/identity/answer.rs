//! Requests to token services: each sends a secret, and an answer may contain one.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use transport::{Answer, ErrorKind, Secret, shown};

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What was tried, what came back and what to do.
    pub(crate) why: String,
    /// Whether a retry may succeed a little later.
    pub(crate) is_temporary: bool,
}

impl Failure {
    /// Returns the failure with its subject prepended.
    pub(crate) fn about(self, what: &str) -> Self {
        Self { why: format!("{what}: {}", self.why), ..self }
    }
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self { why, is_temporary: false }
    }
}

impl From<&str> for Failure {
    fn from(why: &str) -> Self {
        why.to_owned().into()
    }
}

impl From<transport::Error> for Failure {
    fn from(error: transport::Error) -> Self {
        // The door may admit a host again after a while.
        let is_temporary = error.is_temporary() || matches!(error.kind(), ErrorKind::NotAdmitted { .. });
        Self { why: error.to_string(), is_temporary }
    }
}

/// Returns the value of an `Authorization` header.
pub(crate) fn bearer(proof: &Secret) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", proof.reveal()))
        .map_err(|_| "the request token has characters that no token has")?;
    value.set_sensitive(true);
    Ok(value)
}

/// Returns the body of a successful answer. For a refusal, `advise` returns the advice for a status, if any. The error contains
/// nothing of a refusal's body but the status of Google's APIs: the rest may contain anything.
pub(crate) fn success(
    answer: &Answer,
    advise: impl FnOnce(StatusCode) -> Option<String>,
) -> Result<Bytes, Failure> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer.body().clone());
    }
    let word = refusal(answer.body()).map(|word| format!(" ({word})")).unwrap_or_default();
    let advice = advise(status).map(|advice| format!("; {advice}")).unwrap_or_default();
    let why = format!("{} {} was answered {status}{word}{advice}", answer.method(), shown(answer.url()));
    Err(Failure { why, is_temporary: transport::is_temporary(status) })
}

/// Reads a JSON answer.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    // The parser's message could quote the token.
    serde_json::from_slice(body).map_err(|_| "its answer contains no token".to_owned())
}

/// Returns the status in a refusal by Google's APIs (`google.rpc.Status`, the name of *code*).
fn refusal(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        error: Reason,
    }
    #[derive(Deserialize)]
    struct Reason {
        status: String,
    }
    let Refusal { error: Reason { status } } = serde_json::from_slice(body).ok()?;
    let is_name = status.len() <= 40 && status.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    is_name.then_some(status)
}
