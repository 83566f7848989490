//! Redaction: secrets and the queries of URLs (signed URLs, tokens) must not be displayed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use url::{Url, form_urlencoded};

/// The replacement for a secret.
const DOTS: &str = "…";
/// The minimum length of a secret that is searched for. Shorter ones would match unrelated words.
const SHORTEST: usize = 4;
/// The length of the prefix, in characters, by which a secret is recognized even if its rest is truncated or escaped.
const BEGINNING: usize = 12;
/// The minimum length of a query value that may be a signature or a token.
const LONG_VALUE: usize = 9;
/// The parameters of registries and token services that contain no secret.
const PLAIN_PARAMETERS: &[&str] =
    &["scope", "service", "n", "last", "mount", "from", "digest", "artifactType"];

/// A password, token or key. It can be used, but neither printed nor compared.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the secret text, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Returns a URL in a form that may be displayed: scheme, host and path. A query or a user is replaced by dots.
pub fn shown(url: &Url) -> String {
    let mut clean = url.clone();
    let hidden = clean.query().is_some() || clean.fragment().is_some();
    clean.set_query(None);
    clean.set_fragment(None);
    if !clean.username().is_empty() || clean.password().is_some() {
        // This fails only for URLs that cannot have a user.
        let _ = clean.set_username("…");
        let _ = clean.set_password(None);
    }
    if hidden { format!("{clean}?…") } else { clean.to_string() }
}

/// The secrets that a request carries.
#[derive(Default)]
pub(crate) struct Carried(Vec<String>);

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} secrets]", self.0.len())
    }
}

impl Carried {
    /// Collects the secrets of sensitive headers, the parts of an `Authorization` (RFC 9110, section 11.6.2; RFC 7617), and
    /// others.
    pub(crate) fn of(headers: &HeaderMap, others: &[Secret]) -> Self {
        let mut carried: Vec<String> = others.iter().map(|secret| secret.reveal().to_owned()).collect();
        for value in headers.values().filter(|value| value.is_sensitive()) {
            let value = String::from_utf8_lossy(value.as_bytes());
            let credentials = value.split_once(' ').map_or("", |(_, credentials)| credentials.trim());
            let pair = STANDARD.decode(credentials).ok().and_then(|pair| String::from_utf8(pair).ok());
            carried.extend(pair.as_ref().and_then(|pair| pair.split_once(':')).map(|pair| pair.1.to_owned()));
            carried.extend([value.to_string(), credentials.to_owned()]);
        }
        Self(carried)
    }

    /// Masks these secrets, the query of `url`, and everything that looks like credentials, in a text of the answer from `url`.
    pub(crate) fn masked(&self, text: &str, url: &Url) -> String {
        let values = url
            .query_pairs()
            .filter(|(name, value)| value.len() >= LONG_VALUE && !PLAIN_PARAMETERS.contains(&name.as_ref()));
        let query = url.query().filter(|query| query.len() >= LONG_VALUE).map(str::to_owned);
        let mut secrets: Vec<String> = values.map(|(_, value)| value.into_owned()).chain(query).collect();
        secrets.extend(self.0.iter().cloned());
        let escaped = |secret: &String| form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        secrets.extend(secrets.iter().map(escaped).collect::<Vec<_>>());
        secrets.retain(|secret| secret.len() >= SHORTEST);
        // The longest secret comes first, so that no part of it is left over.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let mut text = text.to_owned();
        for secret in &secrets {
            text = text.replace(secret.as_str(), DOTS);
            if secret.chars().count() > BEGINNING {
                let beginning: String = secret.chars().take(BEGINNING).collect();
                text = mask_prefixed(&text, &beginning);
            }
        }
        ["bearer", "basic"].iter().fold(text, |text, scheme| mask_credentials(&text, scheme))
    }
}

/// Masks everything that starts with `beginning`, up to the next space or quotation mark.
fn mask_prefixed(text: &str, beginning: &str) -> String {
    let mut parts = text.split(beginning);
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        clean.push_str(DOTS);
        let end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | ',');
        clean.push_str(part.find(end).map_or("", |end| &part[end..]));
    }
    clean
}

/// Masks the word after an authentication scheme, unless it is a plain word, as in `Basic authentication`.
fn mask_credentials(text: &str, scheme: &str) -> String {
    let is_credential_char = |c: char| c.is_ascii_alphanumeric() || "+/_.~-%".contains(c);
    let mut clean = String::new();
    let mut rest = text;
    // Only ASCII letters are changed, so the offsets stay the same.
    while let Some(at) = rest.to_ascii_lowercase().find(scheme) {
        let (before, after) = rest.split_at(at + scheme.len());
        clean.push_str(before);
        let gap = after.find(is_credential_char).unwrap_or(after.len());
        let word = &after[gap..];
        let word = &word[..word.find(|c| !is_credential_char(c)).unwrap_or(word.len())];
        let is_plain = word.trim_end_matches('.').bytes().all(|byte| byte.is_ascii_lowercase());
        clean.push_str(&after[..gap]);
        if gap > 0 && !is_plain {
            clean.push_str(DOTS);
            rest = &after[gap + word.len()..];
        } else {
            rest = &after[gap..];
        }
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    fn masked(authorization: &str, url: &str, text: &str) -> String {
        let mut value = HeaderValue::try_from(authorization).unwrap();
        value.set_sensitive(true);
        let headers = [(header::AUTHORIZATION, value)].into_iter().collect();
        let carried = Carried::of(&headers, &[Secret::new("refresh-me")]);
        carried.masked(text, &Url::parse(url).unwrap())
    }

    #[test]
    fn secrets_of_a_request_are_masked_in_its_answer() {
        // `robot:s3cr3t/pass+word`
        let basic = "Basic cm9ib3Q6czNjcjN0L3Bhc3Mrd29yZA==";
        for (text, expected) in [
            ("you sent Basic cm9ib3Q6czNjcjN0L3Bhc3Mrd29yZA==, no", "you sent …, no"),
            ("cm9ib3Q6czNjcjN0L3Bhc3Mrd29yZA== is wrong", "… is wrong"),
            ("cm9ib3Q6czNjcjN0L3Bhc", "…"),
            ("cm9ib3Q6czNjcjN0L3Bhc3Mrd29yZA%3D%3D", "…"),
            ("robot may not use s3cr3t/pass+word", "robot may not use …"),
            ("robot may not use s3cr3t%2Fpass%2Bword", "robot may not use …"),
            ("the token refresh-me is old", "the token … is old"),
        ] {
            assert_eq!(masked(basic, "https://a.example/token?service=registry.example", text), expected);
        }
        assert_eq!(masked("Bearer abc.def-ghi", "https://a.example/", "token=abc.def-ghi"), "token=…");
    }

    #[test]
    fn text_that_looks_like_credentials_is_masked() {
        for (text, expected) in [
            ("got bearer: eyJhbGciOi.x, sorry", "got bearer: …, sorry"),
            ("got \"BASIC  YTpi\" and Bearer Zz09", "got \"BASIC  …\" and Bearer …"),
            ("Basic authentication is off. Bearer", "Basic authentication is off. Bearer"),
            ("denied: requested access to the resource", "denied: requested access to the resource"),
        ] {
            assert_eq!(masked("Bearer t", "https://a.example/", text), expected);
        }
    }

    #[test]
    fn the_query_of_a_url_is_masked_in_its_answer() {
        let url = "https://a.example/up?_state=aB%2F34567890&scope=repository:team/app:pull&n=5";
        for (text, expected) in [
            ("no upload aB/34567890", "no upload …"),
            ("no upload aB%2F34567890", "no upload …"),
            ("/up?_state=aB%2F34567890&scope=repository:team/app:pull&n=5", "/up?…"),
            ("no repository:team/app:pull", "no repository:team/app:pull"),
        ] {
            assert_eq!(masked("Bearer t", url, text), expected);
        }
    }

    #[test]
    fn neither_query_nor_user_nor_secret_is_shown() {
        let url = Url::parse("https://me:hush@example.com/v2/?token=hush#hush").unwrap();
        assert!(!shown(&url).contains("hush"), "{}", shown(&url));
        assert!(shown(&url).ends_with("@example.com/v2/?…"));
        assert!(!format!("{:?}", Secret::new("hush")).contains("hush"));
    }

    #[test]
    fn a_url_without_query_or_user_is_shown_unchanged() {
        assert_eq!(shown(&Url::parse("https://example.com/v2/a").unwrap()), "https://example.com/v2/a");
    }
}
