//! Authentication challenges (RFC 9110, section 11.6.1; distribution's *Token Authentication Specification*), as registries write
//! them.

use std::collections::HashMap;

use http::{HeaderMap, header};
use oci_types::text::printable;
use url::Url;

/// The maximum length of a challenge header that is parsed, in bytes.
const CHALLENGE_MAX: usize = 16 * 1024;

/// The schemes of an answer that this client supports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Challenges {
    /// The first `Bearer` challenge with a usable realm.
    pub(super) bearer: Option<Bearer>,
    /// Whether `Basic` is offered.
    pub(super) basic: bool,
}

/// A `Bearer` challenge.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Bearer {
    /// The URL of the token service, without user and fragment.
    pub(super) realm: Url,
    /// The service to name in the token request.
    pub(super) service: Option<String>,
    /// The scopes that the registry requires of the token.
    pub(super) scopes: Vec<String>,
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bearer").field("realm", &transport::shown(&self.realm)).finish_non_exhaustive()
    }
}

impl Challenges {
    /// Parses the challenges of an answer from `asked`, in one or several headers.
    pub(super) fn of(headers: &HeaderMap, asked: &Url) -> Self {
        let values = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let mut found = Self::default();
        for challenge in values.filter(|value| value.len() <= CHALLENGE_MAX).flat_map(challenges) {
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                found.basic = true;
            } else if challenge.scheme.eq_ignore_ascii_case("bearer") && found.bearer.is_none() {
                found.bearer = Bearer::of(challenge, asked).ok();
            }
        }
        found
    }

    /// Removes the scopes of repositories, which apply only to the repository of the request.
    pub(super) fn for_all_repositories(mut self) -> Self {
        if let Some(challenge) = &mut self.bearer {
            challenge.scopes.retain(|scope| !scope.starts_with("repository:"));
        }
        self
    }

    /// Returns `true` if there is no challenge that this client can answer.
    pub(super) fn is_empty(&self) -> bool {
        self.bearer.is_none() && !self.basic
    }
}

/// Returns why this client cannot answer any challenge of an answer from `asked`; `None` if it can, or if there is no challenge.
pub(super) fn not_understood(headers: &HeaderMap, asked: &Url) -> Option<String> {
    if !headers.contains_key(header::WWW_AUTHENTICATE) || !Challenges::of(headers, asked).is_empty() {
        return None;
    }
    let values = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut found: Vec<_> =
        values.filter(|value| value.len() <= CHALLENGE_MAX).flat_map(challenges).collect();
    if let Some(at) = found.iter().position(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer")) {
        return Bearer::of(found.swap_remove(at), asked).err();
    }
    let Some(first) = found.first() else { return Some("it cannot be read".to_owned()) };
    Some(format!("it wants `{}`, and only Basic and Bearer are supported", printable(&first.scheme, 40)))
}

impl Bearer {
    /// Returns the challenge if its realm is usable, or why it is not.
    fn of(mut challenge: Challenge, asked: &Url) -> Result<Self, String> {
        let mut take = |name: &str| challenge.parameters.remove(name).filter(|value| !value.is_empty());
        let realm = take("realm").ok_or("it names no realm that issues tokens")?;
        // The realm may be relative to the URL of the request: a path, or a host with a path.
        let mut realm = asked.join(&realm).map_err(|_| "its realm is not a URL")?;
        if !matches!(realm.scheme(), "http" | "https") || realm.host_str().is_none() {
            let scheme = printable(realm.scheme(), 20);
            return Err(format!(
                "its realm is a URL of `{scheme}`, and tokens are requested only by http and https"
            ));
        }
        // An HTTP client would send the user information of a URL as credentials, but only the configuration provides them.
        let _ = realm.set_username("");
        let _ = realm.set_password(None);
        realm.set_fragment(None);
        let scopes = take("scope").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        Ok(Self { realm, service: take("service"), scopes })
    }
}

/// One challenge of a header.
#[derive(Debug)]
struct Challenge {
    scheme: String,
    parameters: HashMap<String, String>,
}

/// Parses the challenges of one header value: `scheme name="value", name=value, scheme token68, …`.
fn challenges(value: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        let end = rest.find(|c: char| c == '=' || c == ',' || c.is_whitespace()).unwrap_or(rest.len());
        let word = &rest[..end];
        if word.is_empty() {
            // An equals sign without a name: the rest of the value is ambiguous.
            return found;
        }
        let after = rest[end..].trim_start();
        match after.strip_prefix('=') {
            // A word right before `=` is a parameter, unless the `=` ends a token68 (`Negotiate abc=`).
            Some(after)
                if !after.trim_start_matches('=').trim_start().is_empty() && !after.starts_with('=') =>
            {
                let (value, next) = parameter(after.trim_start());
                if let Some(challenge) = found.last_mut() {
                    challenge.parameters.entry(word.to_ascii_lowercase()).or_insert(value);
                }
                rest = next;
            }
            Some(after) => rest = after.trim_start_matches('='),
            None => {
                found.push(Challenge { scheme: word.to_owned(), parameters: HashMap::new() });
                rest = after;
            }
        }
        if rest.is_empty() {
            return found;
        }
    }
}

/// Splits off the value of a parameter, and returns the rest.
fn parameter(text: &str) -> (String, &str) {
    if let Some(quoted) = text.strip_prefix('"') {
        return unquote(quoted);
    }
    let end = text.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(text.len());
    (text[..end].to_owned(), &text[end..])
}

/// Splits off the value of a quoted string whose opening quote was removed, and returns the rest.
fn unquote(quoted: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Challenges {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::WWW_AUTHENTICATE, value.parse().unwrap());
        }
        Challenges::of(&headers, &Url::parse("https://registry.example/v2/team/app/tags/list?n=1").unwrap())
    }

    fn bearer(values: &[&str]) -> Bearer {
        of(values).bearer.unwrap_or_else(|| panic!("no Bearer in {values:?}"))
    }

    #[test]
    fn a_bearer_challenge_may_contain_commas_and_quotes() {
        let found = bearer(&[
            r#"Bearer realm="https://auth.example/token?a=b,c",service="a \"b\"",scope="repository:x:pull,push""#,
        ]);
        assert_eq!(found.realm.as_str(), "https://auth.example/token?a=b,c");
        assert_eq!(found.service.as_deref(), Some("a \"b\""));
        assert_eq!(found.scopes, ["repository:x:pull,push"]);
    }

    #[test]
    fn several_challenges_are_separated_in_any_notation() {
        let realm = r#"Bearer realm="https://a.example/t",service=x"#;
        for values in [
            vec![realm],
            vec![r#"Basic realm="r", Bearer realm="https://a.example/t",service=x"#],
            vec!["Negotiate", r#"Basic realm="r""#, realm],
            vec![r#"Negotiate YII=, bearer  realm = "https://a.example/t" , service="x""#],
            vec!["BEARER realm=https://a.example/t, service=x"],
            vec![r#"Digest realm="d", qop="auth, auth-int", Bearer realm="https://a.example/t",service="x""#],
        ] {
            let found = bearer(&values);
            assert_eq!(found.realm.as_str(), "https://a.example/t", "{values:?}");
            assert_eq!(found.service.as_deref(), Some("x"), "{values:?}");
        }
        assert!(of(&[r#"Basic realm="r", Bearer realm="https://a.example/t""#]).basic);
        assert_eq!(of(&[r#"Basic realm="r""#]), Challenges { bearer: None, basic: true });
    }

    #[test]
    fn a_realm_may_be_relative() {
        for (realm, expected) in [
            ("/token", "https://registry.example/token"),
            ("//auth.registry.example/t?x=1", "https://auth.registry.example/t?x=1"),
        ] {
            assert_eq!(bearer(&[&format!("Bearer realm=\"{realm}\"")]).realm.as_str(), expected);
        }
    }

    #[test]
    fn unsupported_challenges_are_ignored() {
        for value in
            ["Negotiate abc", r#"Bearer realm="""#, "Bearer", "=", "Bearer realm=\"ftp://a.example\"", ""]
        {
            assert!(of(&[value]).is_empty(), "{value}");
        }
    }

    #[test]
    fn the_reason_why_a_challenge_is_unsupported_is_reported() {
        for (value, why) in [
            ("Bearer realm=\"ftp://a.example/t\"", Some("`ftp`")),
            ("Bearer service=x", Some("no realm")),
            ("Bearer realm=\"http://[\"", Some("not a URL")),
            ("Negotiate abc", Some("`Negotiate`")),
            ("=", Some("cannot be read")),
            ("Basic realm=\"r\"", None),
        ] {
            let headers = [(header::WWW_AUTHENTICATE, value.parse().unwrap())].into_iter().collect();
            let reported = not_understood(&headers, &Url::parse("https://registry.example/v2/").unwrap());
            assert_eq!(reported.is_some(), why.is_some(), "{value}: {reported:?}");
            assert!(reported.unwrap_or_default().contains(why.unwrap_or_default()), "{value}");
        }
    }

    #[test]
    fn a_user_in_the_realm_is_neither_sent_nor_shown() {
        let found = bearer(&[r#"Bearer realm="https://me:hush@a.example/t?key=hush""#]);
        assert_eq!(found.realm.as_str(), "https://a.example/t?key=hush");
        assert!(!format!("{found:?}").contains("hush"), "{found:?}");
    }
}
