//! Signers in policies and flags.

use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};

/// The maximum size of a compiled pattern, in bytes. Patterns come from manifests, so their size must be bounded.
const PATTERN_MAX: usize = 1 << 20;

/// A pattern that a text must match.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Matches exactly this text.
    Exact(String),
    /// Matches if the regular expression matches the whole text.
    Regex {
        /// The expression as it is written.
        written: String,
        /// The compiled expression.
        regex: Regex,
    },
}

/// The error for an invalid pattern.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPattern {
    /// Not a regular expression.
    #[error("`{pattern}` is not a regular expression: {why}")]
    Regex {
        /// The expression as it is written.
        pattern: String,
        /// The reason.
        why: String,
    },
    /// The identity or the issuer is empty.
    #[error("an identity and an issuer must not be empty: an empty one would match every signature")]
    Empty,
    /// Not the syntax of a signer.
    #[error(
        "`{0}` names no signer: write `sigstore::ISSUER::IDENTITY` or `sigstore(identityMatch=regex)::ISSUER::IDENTITY`"
    )]
    Form(String),
}

impl Pattern {
    /// Creates a pattern that matches exactly `text`.
    ///
    /// # Errors
    /// If `text` is empty.
    pub fn exact(text: &str) -> Result<Self, InvalidPattern> {
        if text.is_empty() { Err(InvalidPattern::Empty) } else { Ok(Self::Exact(text.to_owned())) }
    }

    /// Creates a pattern from a regular expression (RE2 syntax), which must match the whole text. `\d`, `\w`, `\s` and `\b`
    /// cover ASCII only.
    ///
    /// # Errors
    /// If `pattern` is empty or not a regular expression.
    pub fn regex(pattern: &str) -> Result<Self, InvalidPattern> {
        if pattern.is_empty() {
            return Err(InvalidPattern::Empty);
        }
        // The expression is compiled on its own first: the added anchors and group must not complete a broken expression.
        let build = |text: &str| RegexBuilder::new(text).size_limit(PATTERN_MAX).build();
        build(pattern)
            .and_then(|_| build(&format!(r"\A(?:{})\z", in_ascii(pattern))))
            .map(|regex| Self::Regex { written: pattern.to_owned(), regex })
            .map_err(|error| InvalidPattern::Regex { pattern: pattern.to_owned(), why: error.to_string() })
    }

    /// Returns whether a text matches.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Regex { regex, .. } => regex.is_match(text),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(exact) => f.write_str(exact),
            Self::Regex { written, .. } => write!(f, "/{written}/"),
        }
    }
}

/// Rewrites Perl character classes to their meaning in RE2. RE2 limits them to ASCII, but the `regex` crate matches all of
/// Unicode, so that non-ASCII digits would match in a version and non-ASCII letters in a name. Each replacement has the same
/// meaning inside and outside of brackets.
fn in_ascii(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            text.push(letter);
            continue;
        }
        match letters.next() {
            Some('d') => text.push_str("[0-9]"),
            Some('D') => text.push_str("[^0-9]"),
            Some('w') => text.push_str("[0-9A-Za-z_]"),
            Some('W') => text.push_str("[^0-9A-Za-z_]"),
            Some('s') => text.push_str(r"[\t\n\f\r\x20]"),
            Some('S') => text.push_str(r"[^\t\n\f\r\x20]"),
            Some('b') => text.push_str(r"(?-u:\b)"),
            Some('B') => text.push_str(r"(?-u:\B)"),
            Some(other) => text.extend(['\\', other]),
            // The regex engine has already refused a trailing backslash.
            None => text.push('\\'),
        }
    }
    text
}

/// Patterns are equal if they are written the same.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) => a == b,
            (Self::Regex { written: a, .. }, Self::Regex { written: b, .. }) => a == b,
            _ => false,
        }
    }
}

impl Eq for Pattern {}

/// A pattern for certificate identities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerPattern {
    /// The issuer of the identity.
    pub issuer: Pattern,
    /// The identity.
    pub subject: Pattern,
}

impl SignerPattern {
    /// Whether the pattern matches the identity `subject` of the issuer `issuer`.
    pub fn matches(&self, issuer: &str, subject: &str) -> bool {
        self.issuer.matches(issuer) && self.subject.matches(subject)
    }
}

impl fmt::Display for SignerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.subject, self.issuer)
    }
}

/// Parses a signer as policies write it: `sigstore::ISSUER::IDENTITY`. With `(identityMatch=regex)` after `sigstore`, both
/// parts are regular expressions. The issuer ends at the first `::` after it.
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
    fn the_added_anchors_and_group_do_not_complete_a_broken_expression() {
        for broken in ["a)|(?:.*", "(", "a)(b", ""] {
            assert!(Pattern::regex(broken).is_err(), "{broken}");
        }
        assert!(
            Pattern::regex(&"(a{1000}){1000}".repeat(3)).is_err(),
            "the size of an expression is bounded"
        );
    }

    #[test]
    fn character_classes_match_only_ascii_and_literals_may_be_any_letters() {
        let matches = |pattern: &str, text: &str| Pattern::regex(pattern).unwrap().matches(text);
        for (pattern, ascii, other) in [
            (r"v\d+", "v12", "v1\u{663}"),
            (r"v[\d.]+", "v1.2", "v1.\u{663}"),
            (r"\w+@x", "a_1@x", "\u{431}ot@x"),
            (r"[\w-]+@x", "a-1@x", "\u{e9}-1@x"),
            (r"(?i)[\d\w]+", "aB1", "\u{663}"),
            (r"a\sb", "a b", "a\u{a0}b"),
            (r"a[\s]b", "a\tb", "a\u{b}b"),
            (r".*\bbot", "\u{e9}bot", "abot"),
            (r"a\Bb", "ab", "a b"),
        ] {
            assert!(matches(pattern, ascii) && !matches(pattern, other), "{pattern}");
        }
        for (pattern, text) in [
            (r"\D+", "\u{663}\u{e9}x"),
            (r"\W", "\u{e9}"),
            (r"[\W]", "\u{e9}"),
            (r"[^\W\d]+", "ab"),
            (r"\S+", "\u{a0}\u{e9}"),
            (r"\u{e9}.+\p{Cyrillic}", "\u{e9}\u{663}\u{431}"),
            ("b\u{f6}t@.", "b\u{f6}t@\u{e9}"),
            (r"\\d\\w", r"\d\w"),
            (r"\.\[\d\]", ".[1]"),
        ] {
            assert!(matches(pattern, text), "{pattern}");
        }
        assert!(!matches(r"[^\W]", "\u{e9}") && !matches(r"\\d", "1"));
        assert!(!matches(r"[^\d]", "7") && matches(r"[^\d]", "\u{663}"));
    }

    #[test]
    fn an_expression_is_shown_as_it_was_written() {
        let pattern = Pattern::regex(r"v\d+|\w").unwrap();
        assert_eq!(pattern.to_string(), r"/v\d+|\w/");
        assert_eq!(pattern, Pattern::regex(r"v\d+|\w").unwrap());
        assert_ne!(pattern, Pattern::regex(r"v[0-9]+|\w").unwrap());
        for broken in [r"\", r"[\b]", r"[a-\d]", r"[+-\d]"] {
            assert!(Pattern::regex(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_signer_has_both_issuer_and_identity() {
        let signer: SignerPattern = "sigstore::https://accounts.google.com::a@b.c".parse().unwrap();
        assert!(signer.matches("https://accounts.google.com", "a@b.c"));
        assert!(!signer.matches("https://accounts.google.com", "a@b.cd"));
        assert!(!signer.matches("https://evil.example", "a@b.c"));
        let regex: SignerPattern =
            r"sigstore(identityMatch=regex)::https://i::https://h/o/.+@refs/tags/v[0-9.]+".parse().unwrap();
        assert!(regex.matches("https://i", "https://h/o/r@refs/tags/v1.2"));
        for bad in
            ["", "a@b.c", "sigstore::https://i", "sigstore::::a@b.c", "sigstore::https://i::", "key::a::b"]
        {
            assert!(bad.parse::<SignerPattern>().is_err(), "{bad}");
        }
    }
}
