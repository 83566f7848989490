//! Source code repositories in policies and provenance.

use std::fmt;
use std::str::FromStr;

/// The maximum length of a compared URI, in bytes.
pub const URI_MAX: usize = 2_048;
/// The git transports that a source without a scheme matches.
const TRANSPORTS: [&str; 3] = ["https", "ssh", "git"];

/// A source code repository that images may be built from: `github.com/org/repo`, or with a scheme.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceRepository {
    scheme: Option<String>,
    /// The host in lower case, and the path.
    location: String,
}

/// The error for a text that is not a source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not a source: expected host and path of a repository, such as `github.com/org/repo`, without ref or pattern",
    super::shown(.0)
)]
pub struct InvalidSource(String);

impl SourceRepository {
    /// Whether a provenance URI names this repository, at any ref: `git+https://github.com/org/repo@refs/heads/main` and
    /// `https://github.com/org/repo.git` match `github.com/org/repo`, and `github.com/org/repo2` does not.
    pub fn matches(&self, uri: &str) -> bool {
        let Some(Self { scheme, location }) = Self::of(uri) else { return false };
        location == self.location
            && match (&self.scheme, &scheme) {
                (None, None) => true,
                (None, Some(scheme)) => TRANSPORTS.contains(&scheme.as_str()),
                (wanted, scheme) => wanted == scheme,
            }
    }

    /// Returns the repository that a URI names. User, ref, query, fragment, `git+` and `.git` do not change the repository.
    fn of(uri: &str) -> Option<Self> {
        if uri.len() > URI_MAX {
            return None;
        }
        let uri = uri.strip_prefix("git+").unwrap_or(uri);
        let (scheme, rest) = match uri.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, uri),
        };
        let (authority, path) = rest.split_once('/')?;
        // Everything before the last `@` is the user, even if it looks like a host.
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let path = path.split(['@', '?', '#']).next().unwrap_or_default();
        let path = path.strip_suffix('/').unwrap_or(path);
        let path = path.strip_suffix(".git").unwrap_or(path);
        let location = format!("{}/{path}", host.to_ascii_lowercase());
        (!host.is_empty() && !path.is_empty()).then_some(Self { scheme, location })
    }
}

impl FromStr for SourceRepository {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let is_strange = |c: char| c.is_whitespace() || c.is_control() || "@?#*\\".contains(c);
        let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
        match Self::of(text) {
            Some(source)
                if !text.contains(is_strange)
                    && source.location.split('/').all(is_segment)
                    && source.scheme.as_deref() != Some("") =>
            {
                Ok(source)
            }
            _ => Err(InvalidSource(text.to_owned())),
        }
    }
}

impl fmt::Display for SourceRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = &self.scheme {
            write!(f, "{scheme}://")?;
        }
        f.write_str(&self.location)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(text: &str) -> SourceRepository {
        text.parse().unwrap()
    }

    #[test]
    fn a_repository_matches_with_any_git_transport_and_at_any_ref() {
        let wanted = source("github.com/org/repo");
        for uri in [
            "git+https://github.com/org/repo@refs/heads/main",
            "git+https://github.com/org/repo",
            "https://github.com/org/repo.git",
            "https://github.com/org/repo.git/",
            "https://github.com/org/repo/",
            "https://GitHub.com/org/repo@v1",
            "https://github.com/org/repo.git#refs/tags/v1",
            "https://github.com/org/repo?ref=main",
            "ssh://git@github.com/org/repo.git",
            "git://github.com/org/repo",
            "github.com/org/repo",
        ] {
            assert!(wanted.matches(uri), "{uri}");
        }
    }

    #[test]
    fn similar_uris_do_not_match_a_repository() {
        let wanted = source("github.com/org/repo");
        let long = format!("https://github.com/org/repo@{}", "v".repeat(URI_MAX));
        for uri in [
            "https://github.com/org/repo2",
            "https://github.com/org/repo/sub",
            "https://github.com/org/rep",
            "https://github.com/org",
            "https://github.com/Org/repo",
            "https://github.com/org/repo/../other",
            "https://github.com/org/repo.git.git",
            "https://github.com/org//repo",
            "https://evil.example/github.com/org/repo",
            "https://github.com@evil.example/org/repo",
            "https://evil.example/x@github.com/org/repo",
            "https://evil.example/#github.com/org/repo",
            "https://github.com.evil.example/org/repo",
            "https://github.com:8443/org/repo",
            "http://github.com/org/repo",
            "gs://github.com/org/repo",
            "pkg:github.com/org/repo",
            "git+git+https://github.com/org/repo",
            "github.com:org/repo",
            " https://github.com/org/repo",
            "https:///org/repo",
            "",
            &long,
        ] {
            assert!(!wanted.matches(uri), "{uri}");
        }
    }

    #[test]
    fn a_source_with_a_scheme_matches_only_that_scheme() {
        let wanted = source("https://github.com/org/repo");
        assert!(wanted.matches("git+HTTPS://github.com/org/repo@main"));
        for uri in ["github.com/org/repo", "ssh://git@github.com/org/repo", "http://github.com/org/repo"] {
            assert!(!wanted.matches(uri), "{uri}");
        }
        assert!(source("gs://bucket/source").matches("gs://bucket/source#123"));
    }

    #[test]
    fn spellings_of_one_source_are_one_source() {
        assert_eq!(source("git+https://GitHub.com/o/r.git"), source("https://github.com/o/r/"));
        assert_ne!(source("github.com/o/r"), source("https://github.com/o/r"));
        assert_eq!(source("git+https://GitHub.com/o/r.git").to_string(), "https://github.com/o/r");
    }

    #[test]
    fn a_source_names_one_repository_and_no_ref() {
        for bad in [
            "",
            "github.com",
            "github.com/",
            "/org/repo",
            "github.com/org/repo@main",
            "github.com/org/repo#main",
            "github.com/org/*",
            "github.com/org//repo",
            "github.com/org/../repo",
            "git@github.com/org/repo",
            "github.com/org/re po",
            "github.com\\org/repo",
            "://github.com/org/repo",
            "github.com/.git",
        ] {
            assert!(bad.parse::<SourceRepository>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn only_a_ref_may_follow_the_name_of_a_repository(tail in "[a-z0-9./_-]{1,12}") {
            let same = matches!(tail.as_str(), "/" | ".git" | ".git/");
            prop_assert_eq!(source("github.com/org/repo").matches(&format!("https://github.com/org/repo{tail}")), same);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[ -~é@:/#?]{0,60}") {
            let _ = text.parse::<SourceRepository>();
            let _ = source("github.com/org/repo").matches(&text);
        }
    }
}
