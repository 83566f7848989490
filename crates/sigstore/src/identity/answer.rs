//! What token services have in common: a secret is shown, and an answer may hold one.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use transport::{Answer, ErrorKind, Secret, shown};

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What was tried, what came back, what to do.
    pub(crate) why: String,
    /// Whether the same might succeed a little later.
    pub(crate) is_temporary: bool,
}

impl Failure {
    /// The same, said of something.
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
        // A host that was given up may come back.
        let is_temporary = error.is_temporary() || matches!(error.kind(), ErrorKind::NotAdmitted { .. });
        Self { why: error.to_string(), is_temporary }
    }
}

/// The value of an `Authorization` header.
pub(crate) fn bearer(proof: &Secret) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", proof.reveal()))
        .map_err(|_| "what it has to be asked with holds characters that no token has")?;
    value.set_sensitive(true);
    Ok(value)
}

/// The body of an answer that grants what was asked for. `advise` knows what to do about a refusal. Of its body nothing is
/// told but Google's word for what is wrong: the rest may hold anything.
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

/// What an answer of JSON holds.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    // The parser's message could quote the token.
    serde_json::from_slice(body).map_err(|_| "it answered, and its answer holds no token".to_owned())
}

/// The status that Google's APIs give with a refusal (`google.rpc.Status`, *code* by its name).
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
