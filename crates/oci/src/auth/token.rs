//! Tokens of token services (distribution's *Token Authentication Specification*).

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde::Deserialize;
use serde_json::Value;
use transport::Secret;

use crate::error::{Error, ErrorKind};

/// The lifetime of a token if its service does not state one (token specification).
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// The maximum lifetime of a token, in seconds.
const LONGEST_LIFE: f64 = 24.0 * 3600.0;
/// How long before its expiry a token is renewed. A token with a lifetime of less than twice this margin is renewed at half its
/// lifetime.
const MARGIN: Duration = Duration::from_secs(30);

/// A token as a header for its registry.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    pub(super) renew_at: Instant,
}

impl Token {
    /// Parses the answer of a token service. Services write its fields in many ways; only the token itself is required.
    pub(super) fn read(body: &[u8], doing: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Answer {
            token: Option<Value>,
            access_token: Option<Value>,
            expires_in: Option<Value>,
        }
        let malformed = |why: &str| Error::new(doing, ErrorKind::Malformed(why.to_owned()));
        // The parser's message could quote the content of the answer.
        let answer: Answer = serde_json::from_slice(body)
            .map_err(|_| malformed("the token service did not answer with a token"))?;
        let texts = [&answer.token, &answer.access_token].into_iter().flatten().filter_map(Value::as_str);
        let text = texts
            .map(str::trim)
            .find(|text| !text.is_empty())
            .ok_or_else(|| malformed("the answer of the token service contains no token"))?;
        let life = answer.expires_in.as_ref().map_or(DEFAULT_LIFE, life);
        let renew_at = Instant::now() + life.saturating_sub(MARGIN).max(life / 2);
        Ok(Self { header: bearer(text, doing)?, renew_at })
    }
}

/// Returns the lifetime that the service states, in seconds. `issued_at` is ignored: using it would rely on two clocks.
fn life(expires_in: &Value) -> Duration {
    let seconds = match expires_in {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().trim_end_matches('s').parse().ok(),
        _ => None,
    };
    match seconds {
        Some(seconds) if seconds >= 1.0 => Duration::from_secs_f64(seconds.min(LONGEST_LIFE)),
        _ => DEFAULT_LIFE,
    }
}

/// Returns the header for a token.
pub(super) fn bearer(token: &str, doing: &str) -> Result<HeaderValue, Error> {
    sensitive(format!("Bearer {token}"), doing)
}

/// Returns the header for a user name and a password.
pub(super) fn basic(user: &str, password: &Secret, doing: &str) -> Result<HeaderValue, Error> {
    sensitive(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal()))), doing)
}

fn sensitive(text: String, doing: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::try_from(text).map_err(|_| {
        Error::new(
            doing,
            ErrorKind::Credential("it has characters that are not allowed in a header".to_owned()),
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(body: &str) -> Duration {
        Token::read(body.as_bytes(), "testing").unwrap_or_else(|error| panic!("{body}: {error}")).renew_at
            - Instant::now()
    }

    #[test]
    fn a_token_is_renewed_before_it_expires() {
        let long = left(r#"{"token":"t","expires_in":300}"#);
        assert!(long > Duration::from_secs(260) && long <= Duration::from_secs(270), "{long:?}");
        assert!(left(r#"{"access_token":"t","expires_in":10}"#) <= Duration::from_secs(5));
    }

    #[test]
    fn unusual_fields_of_an_answer_are_accepted() {
        let default_life = Duration::from_secs(25)..=Duration::from_secs(30);
        for body in [
            r#"{"token":"t"}"#,
            r#"{"token":"","access_token":"t"}"#,
            r#"{"token":null,"access_token":"t","expires_in":0,"issued_at":"yesterday"}"#,
            r#"{"token":"t","access_token":null,"expires_in":-1,"issued_at":17}"#,
            r#"{"token":"t","expires_in":null}"#,
            r#"{"token":"t","expires_in":"soon"}"#,
            r#"{"token":"t","expires_in":{}}"#,
        ] {
            assert!(default_life.contains(&left(body)), "{body}: {:?}", left(body));
        }
        let stated_life = Duration::from_secs(265)..=Duration::from_secs(271);
        for body in [r#"{"token":"t","expires_in":"300"}"#, r#"{"token":"t","expires_in":300.5}"#] {
            assert!(stated_life.contains(&left(body)), "{body}: {:?}", left(body));
        }
        assert!(left(r#"{"token":"t","expires_in":1e300}"#) <= Duration::from_secs(24 * 3600));
    }

    #[test]
    fn an_answer_without_a_token_is_an_error_that_does_not_quote_it() {
        for body in [r#"{"expires_in":10}"#, r#"{"token":17}"#, "<html>hush</html>", r#"{"token":"  "}"#] {
            let error = Token::read(body.as_bytes(), "testing").unwrap_err().to_string();
            assert!(error.contains("token") && !error.contains("hush"), "{error}");
        }
    }
}
