//! What token services have in common: a secret is shown, and an answer may hold one.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use transport::{Response, Secret, shown};

/// The largest answer, in bytes: a token, and what stands around it.
const ANSWER_MAX: u64 = 64 * 1024;

/// The value of an `Authorization` header.
pub(super) fn bearer(proof: &Secret) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", proof.reveal()))
        .map_err(|_| "what it has to be asked with holds characters that no token has")?;
    value.set_sensitive(true);
    Ok(value)
}

/// The body of an answer that grants what was asked for. `advise` knows what to do about a refusal. Of its body nothing is
/// told but Google's word for what is wrong: the rest may hold anything.
pub(super) async fn success(
    response: Response,
    advise: impl FnOnce(StatusCode) -> Option<String>,
) -> Result<Bytes, String> {
    let (status, place) = (response.status(), format!("{} {}", response.method(), shown(response.url())));
    let body = response.bytes(ANSWER_MAX).await.map_err(|error| error.to_string());
    if status.is_success() {
        return body;
    }
    let word = body.ok().and_then(|body| refusal(&body)).map(|word| format!(" ({word})")).unwrap_or_default();
    let advice = advise(status).map(|advice| format!("; {advice}")).unwrap_or_default();
    Err(format!("{place} was answered {status}{word}{advice}"))
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
