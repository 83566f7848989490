//! What token services have in common: a secret is shown, and an answer may hold one.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use transport::{Answer, Secret, shown};

/// The value of an `Authorization` header.
pub(super) fn bearer(proof: &Secret) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", proof.reveal()))
        .map_err(|_| "what it has to be asked with holds characters that no token has")?;
    value.set_sensitive(true);
    Ok(value)
}

/// The body of an answer that grants what was asked for. `advise` knows what to do about a refusal. Of its body nothing is
/// told but Google's word for what is wrong: the rest may hold anything.
pub(super) fn success(
    answer: &Answer,
    advise: impl FnOnce(StatusCode) -> Option<String>,
) -> Result<Bytes, String> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer.body().clone());
    }
    let word = refusal(answer.body()).map(|word| format!(" ({word})")).unwrap_or_default();
    let advice = advise(status).map(|advice| format!("; {advice}")).unwrap_or_default();
    Err(format!("{} {} was answered {status}{word}{advice}", answer.method(), shown(answer.url())))
}

/// What an answer of JSON holds.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
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
