//! Who has signed, and who may.

use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};

/// The most that a compiled pattern may take, in bytes: patterns come from manifests.
const PATTERN_MAX: usize = 1 << 20;

/// Who has signed something, as proven by a signature that verifies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Signatory {
    /// The holder of a certificate of Fulcio.
    Certificate {
        /// The OpenID issuer that vouches for the identity.
        issuer: String,
        /// The identity: an e-mail address or a URI.
        subject: String,
    },
    /// The holder of a key of the verifier's own.
    Key {
        /// The SHA-256 digest of the public key's DER, in hexadecimal.
        fingerprint: String,
    },
}

impl fmt::Display for Signatory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate { issuer, subject } => write!(f, "{subject} ({issuer})"),
            Self::Key { fingerprint } => write!(f, "the key {}", &fingerprint[..fingerprint.len().min(16)]),
        }
    }
}

/// A text that has to be met.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// To the letter.
    Exact(String),
    /// By a regular expression that has to match the whole of it.
    Regex(Regex),
}

/// Why a pattern cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPattern {
    /// Not a regular expression.
    #[error("`{pattern}` is not a regular expression: {why}")]
    Regex {
        /// What was written.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing stands where an identity or an issuer should.
    #[error("an identity and an issuer must not be empty: whoever has none would be met by anybody")]
    Empty,
    /// Not the form of a signer.
    #[error(
        "`{0}` names no signer: write `sigstore::ISSUER::IDENTITY` or `sigstore(identityMatch=regex)::ISSUER::IDENTITY`"
    )]
    Form(String),
}

impl Pattern {
    /// A text that has to be met to the letter.
    ///
    /// # Errors
    /// When it is empty.
    pub fn exact(text: &str) -> Result<Self, InvalidPattern> {
        if text.is_empty() { Err(InvalidPattern::Empty) } else { Ok(Self::Exact(text.to_owned())) }
    }

    /// A regular expression (RE2 syntax) that has to match the whole text.
    ///
    /// # Errors
    /// When it is empty or not a regular expression.
    pub fn regex(pattern: &str) -> Result<Self, InvalidPattern> {
        if pattern.is_empty() {
            return Err(InvalidPattern::Empty);
        }
        // By itself first: what is put around it must not complete it.
        let build = |text: &str| RegexBuilder::new(text).size_limit(PATTERN_MAX).build();
        build(pattern)
            .and_then(|_| build(&format!(r"\A(?:{pattern})\z")))
            .map(Self::Regex)
            .map_err(|error| InvalidPattern::Regex { pattern: pattern.to_owned(), why: error.to_string() })
    }

    /// Whether a text meets it.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(exact) => f.write_str(exact),
            Self::Regex(regex) => {
                let text = regex.as_str();
                let inner = text.strip_prefix(r"\A(?:").and_then(|text| text.strip_suffix(r")\z"));
                write!(f, "/{}/", inner.unwrap_or(text))
            }
        }
    }
}

/// Patterns are the same where they are written the same.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) => a == b,
            (Self::Regex(a), Self::Regex(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

impl Eq for Pattern {}

/// Which holders of certificates are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerPattern {
    /// The issuer of the identity.
    pub issuer: Pattern,
    /// The identity.
    pub subject: Pattern,
}

impl SignerPattern {
    /// Whether this is somebody who is meant. Keys are never.
    pub fn matches(&self, signatory: &Signatory) -> bool {
        match signatory {
            Signatory::Certificate { issuer, subject } => {
                self.issuer.matches(issuer) && self.subject.matches(subject)
            }
            Signatory::Key { .. } => false,
        }
    }
}

impl fmt::Display for SignerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.subject, self.issuer)
    }
}

/// As policies write signers: `sigstore::ISSUER::IDENTITY`, and with `(identityMatch=regex)` both as regular expressions.
/// The issuer ends at the first `::` that follows it.
impl FromStr for SignerPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let form = || InvalidPattern::Form(text.to_owned());
        let (kind, rest) = text.split_once("::").ok_or_else(form)?;
        let (issuer, subject) = rest.split_once("::").ok_or_else(form)?;
        let pattern = match kind {
            "sigstore" | "sigstore(identityMatch=exact)" => Pattern::exact,
            "sigstore(identityMatch=regex)" | "sigstore(identityMatch=regexp)" => Pattern::regex,
            _ => return Err(form()),
        };
        Ok(Self { issuer: pattern(issuer)?, subject: pattern(subject)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(issuer: &str, subject: &str) -> Signatory {
        Signatory::Certificate { issuer: issuer.to_owned(), subject: subject.to_owned() }
    }

    #[test]
    fn an_expression_has_to_match_the_whole_text() {
        let pattern =
            Pattern::regex("https://github\\.com/org/.*@refs/tags/v[0-9]+|bot@example\\.com").unwrap();
        assert!(pattern.matches("https://github.com/org/a@refs/tags/v1"));
        assert!(pattern.matches("bot@example.com"));
        for partial in [
            "xbot@example.com",
            "bot@example.com.evil",
            "bot@example.com\n",
            "https://github.com/org/a@refs/tags/v1x",
        ] {
            assert!(!pattern.matches(partial), "{partial:?}");
        }
    }

    #[test]
    fn what_is_put_around_an_expression_does_not_complete_it() {
        for broken in ["a)|(?:.*", "(", "a)(b", ""] {
            assert!(Pattern::regex(broken).is_err(), "{broken}");
        }
        assert!(Pattern::regex(&"(a{1000}){1000}".repeat(3)).is_err(), "nor may it be without bounds");
    }

    #[test]
    fn a_signer_has_both_issuer_and_identity() {
        let signer: SignerPattern = "sigstore::https://accounts.google.com::a@b.c".parse().unwrap();
        assert!(signer.matches(&certificate("https://accounts.google.com", "a@b.c")));
        assert!(!signer.matches(&certificate("https://accounts.google.com", "a@b.cd")));
        assert!(!signer.matches(&certificate("https://evil.example", "a@b.c")));
        assert!(!signer.matches(&Signatory::Key { fingerprint: "a@b.c".into() }));
        let regex: SignerPattern =
            r"sigstore(identityMatch=regex)::https://i::https://h/o/.+@refs/tags/v[0-9.]+".parse().unwrap();
        assert!(regex.matches(&certificate("https://i", "https://h/o/r@refs/tags/v1.2")));
        for bad in
            ["", "a@b.c", "sigstore::https://i", "sigstore::::a@b.c", "sigstore::https://i::", "key::a::b"]
        {
            assert!(bad.parse::<SignerPattern>().is_err(), "{bad}");
        }
    }
}
