//! Names of registries, repositories, tags and images (OCI distribution specification, *Pulling manifests*).
//!
//! References by tag and by digest are distinct types, so that mutable and immutable references are never confused.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The maximum length of a repository name, without the host, that every registry accepts (distribution specification).
const REPOSITORY_MAX: usize = 255;
/// The maximum length of a tag (distribution specification).
const TAG_MAX: usize = 128;

/// The text is not a valid name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {expected}: {rule}")]
pub struct InvalidName {
    text: String,
    expected: &'static str,
    rule: &'static str,
}

impl InvalidName {
    fn new(text: &str, expected: &'static str, rule: &'static str) -> Self {
        // The input is untrusted, so the error contains at most 160 characters of it.
        Self { text: text.chars().take(160).collect(), expected, rule }
    }
}

/// Implements the conversions of a name for a newtype over `Arc<str>`, by means of its `FromStr`.
macro_rules! name {
    ($name:ident) => {
        impl $name {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        parsed!($name);
    };
}

/// Serializes a type with its `Display`, and deserializes it with its `FromStr`.
macro_rules! parsed {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.to_string()
            }
        }
    };
}

/// The host of a registry, with the port unless it is the default of the scheme: `gcr.io`, `127.0.0.1:5000`, `[::1]:5000`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host(Arc<str>);

name!(Host);

impl Host {
    /// A regular expression for hosts (ECMA-262, as in JSON Schemas). It accepts more than [`Host::from_str`]: it does not check
    /// addresses of IPv6, the range of ports and the length of the whole name.
    pub const PATTERN: &str = r"^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*|\[[0-9A-Fa-f:.]+\])(:0*[1-9][0-9]{0,4})?$";

    /// Returns the host without the port and without the brackets of an IPv6 address.
    pub fn name(&self) -> &str {
        match self.0.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.0.split(':').next().unwrap_or_default(),
        }
    }

    /// Returns `true` if the name is a loopback name or address. Plain HTTP is the default only for such hosts.
    pub fn is_loopback(&self) -> bool {
        let name = self.name();
        name == "localhost"
            || name.ends_with(".localhost")
            || name.parse::<Ipv4Addr>().is_ok_and(|a| a.is_loopback())
            || name.parse::<Ipv6Addr>().is_ok_and(|a| a.is_loopback())
    }

    /// Returns the host that serves the API of the registry, as URLs contain it. It differs from the name of the registry for Docker
    /// Hub, and for a name with the port of HTTPS, which URLs leave out.
    pub fn api(&self) -> &str {
        match self.as_str() {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            host => host.strip_suffix(":443").unwrap_or(host),
        }
    }
}

impl FromStr for Host {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        const RULE: &str = "expected a domain name or address, with a port if it needs one, such as `gcr.io` or `127.0.0.1:5000`";
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-'))
        };
        let port =
            |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0);
        let valid = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, rest)) => {
                address.parse::<Ipv6Addr>().is_ok()
                    && (rest.is_empty() || rest.strip_prefix(':').is_some_and(port))
            }
            None => {
                let (name, number) =
                    text.split_once(':').map_or((text, None), |(name, number)| (name, Some(number)));
                name.len() <= 253 && name.split('.').all(label) && number.is_none_or(port)
            }
        };
        if valid {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(InvalidName::new(text, "registry host", RULE))
        }
    }
}

/// The path of a repository on its host: `library/alpine`, `k8s-artifacts-prod/images/coredns`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryPath(Arc<str>);

name!(RepositoryPath);

impl RepositoryPath {
    /// A regular expression for paths of repositories (ECMA-262, as in JSON Schemas). It does not check the length.
    pub const PATTERN: &str = r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$";

    /// Appends another path.
    ///
    /// # Errors
    /// Returns an error if the result exceeds the maximum length of a repository name.
    pub fn join(&self, below: &RepositoryPath) -> Result<Self, InvalidName> {
        format!("{self}/{below}").parse()
    }
}

impl FromStr for RepositoryPath {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        const RULE: &str = "expected components of lower-case letters and digits, joined by `/`, each inside by `.`, `_`, `__` or dashes, 255 characters at most";
        if text.len() <= REPOSITORY_MAX && text.split('/').all(is_component) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName::new(text, "repository name", RULE))
        }
    }
}

/// Returns `true` if the text is a component of a repository name: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    alphanumeric(*first)
        && alphanumeric(*last)
        && bytes
            .split(|b| alphanumeric(*b))
            .filter(|between| !between.is_empty())
            .all(|between| matches!(between, b"." | b"_" | b"__") || between.iter().all(|b| *b == b'-'))
}

/// A tag: a mutable name of a manifest.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Arc<str>);

name!(Tag);

impl FromStr for Tag {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        const RULE: &str =
            "expected a letter, digit or `_`, then at most 127 letters, digits, `_`, `.` or `-`";
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let mut bytes = text.bytes();
        let valid = text.len() <= TAG_MAX
            && bytes.next().is_some_and(word)
            && bytes.all(|b| word(b) || b == b'.' || b == b'-');
        if valid { Ok(Self(text.into())) } else { Err(InvalidName::new(text, "tag", RULE)) }
    }
}

/// A registry as promotion manifests name it: a host, and optionally the path below which its images are located.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegistryRoot {
    /// The host.
    pub host: Host,
    /// The path that precedes the names of all its images.
    pub prefix: Option<RepositoryPath>,
}

parsed!(RegistryRoot);

impl RegistryRoot {
    /// Returns the repository of an image of this registry.
    ///
    /// # Errors
    /// Returns an error if the result exceeds the maximum length of a repository name.
    pub fn repository(&self, image: &RepositoryPath) -> Result<Repository, InvalidName> {
        let path = match &self.prefix {
            Some(prefix) => prefix.join(image)?,
            None => image.clone(),
        };
        Ok(Repository { host: self.host.clone(), path })
    }
}

impl FromStr for RegistryRoot {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        match text.split_once('/') {
            Some((host, prefix)) => Ok(Self { host: host.parse()?, prefix: Some(prefix.parse()?) }),
            None => Ok(Self { host: text.parse()?, prefix: None }),
        }
    }
}

impl fmt::Display for RegistryRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.prefix {
            Some(prefix) => write!(f, "{}/{prefix}", self.host),
            None => self.host.fmt(f),
        }
    }
}

impl fmt::Debug for RegistryRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A repository: a host and a path on it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository {
    /// The host.
    pub host: Host,
    /// The path on that host.
    pub path: RepositoryPath,
}

parsed!(Repository);

impl Repository {
    /// Returns the reference to an image of this repository by tag.
    pub fn tagged(&self, tag: Tag) -> TagReference {
        TagReference { repository: self.clone(), tag }
    }

    /// Returns the reference to an image of this repository by digest.
    pub fn at(&self, digest: Digest) -> DigestReference {
        DigestReference { repository: self.clone(), digest }
    }
}

impl FromStr for Repository {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        const RULE: &str = "expected a host and a path, such as `gcr.io/project/image`";
        let (host, path) = text.split_once('/').ok_or_else(|| InvalidName::new(text, "repository", RULE))?;
        Ok(Self { host: host.parse()?, path: path.parse()? })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A reference to an image by tag, which is mutable.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TagReference {
    /// The repository.
    pub repository: Repository,
    /// The tag.
    pub tag: Tag,
}

parsed!(TagReference);

impl FromStr for TagReference {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        const RULE: &str = "expected a repository, a colon and a tag, such as `gcr.io/project/image:v1.0`";
        match text.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => {
                Ok(Self { repository: repository.parse()?, tag: tag.parse()? })
            }
            _ => Err(InvalidName::new(text, "tagged image", RULE)),
        }
    }
}

impl fmt::Display for TagReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

impl fmt::Debug for TagReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A reference to an image by digest, which is immutable.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DigestReference {
    /// The repository.
    pub repository: Repository,
    /// The digest of the manifest.
    pub digest: Digest,
}

parsed!(DigestReference);

impl FromStr for DigestReference {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        const RULE: &str = "expected a repository, `@` and a digest, such as `gcr.io/project/image@sha256:…`";
        let invalid = || InvalidName::new(text, "image by digest", RULE);
        let (repository, digest) = text.split_once('@').ok_or_else(invalid)?;
        Ok(Self { repository: repository.parse()?, digest: digest.parse().map_err(|_| invalid())? })
    }
}

impl fmt::Display for DigestReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

impl fmt::Debug for DigestReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_distinguished_from_other_text() {
        for good in ["gcr.io", "localhost", "127.0.0.1:5000", "[::1]:5000", "[2001:db8::1]", "a-b.c:443"] {
            assert_eq!(good.parse::<Host>().unwrap().as_str(), good);
        }
        for bad in [
            "", ".", "a..b", "-a", "a-", "a:0", "a:99999", "a:+1", "a:", "a b", "a@b", "a/b", "[::1", "[x]",
            "é",
        ] {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
        assert_eq!(
            "GCR.io".parse::<Host>().unwrap(),
            "gcr.io".parse().unwrap(),
            "hosts are case-insensitive"
        );
    }

    #[test]
    fn the_host_of_the_api_is_the_one_in_its_urls() {
        for (name, expected) in [
            ("docker.io", "registry-1.docker.io"),
            ("index.docker.io", "registry-1.docker.io"),
            ("gcr.io", "gcr.io"),
            ("a.example:443", "a.example"),
            ("[2001:db8::1]:443", "[2001:db8::1]"),
            ("a.example:8443", "a.example:8443"),
        ] {
            assert_eq!(name.parse::<Host>().unwrap().api(), expected);
        }
    }

    #[test]
    fn loopback_hosts_are_recognized() {
        for own in ["localhost", "localhost:1", "a.localhost", "127.0.0.1:5000", "127.9.9.9", "[::1]:80"] {
            assert!(own.parse::<Host>().unwrap().is_loopback(), "{own}");
        }
        for other in ["gcr.io", "localhost.example", "127.example", "10.0.0.1", "[::2]"] {
            assert!(!other.parse::<Host>().unwrap().is_loopback(), "{other}");
        }
    }

    #[test]
    fn repository_names_follow_the_specification() {
        for good in ["a", "a/b/c", "a.b", "a_b", "a__b", "a---b", "0/1", &"a".repeat(255)] {
            assert!(good.parse::<RepositoryPath>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "A",
            "..",
            "../a",
            "a..b",
            "a___b",
            "a._b",
            "-a",
            "a-",
            "é",
            &"a".repeat(256),
        ] {
            assert!(bad.parse::<RepositoryPath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_follow_the_specification() {
        for good in ["v1", "1.0", "_", "A-b.c", &"t".repeat(128)] {
            assert!(good.parse::<Tag>().is_ok(), "{good}");
        }
        for bad in ["", "-x", ".x", "é", "a:b", "a/b", &"t".repeat(129)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_port_is_not_a_tag() {
        assert!("127.0.0.1:5000/a".parse::<TagReference>().is_err());
        let reference: TagReference = "127.0.0.1:5000/a:v1".parse().unwrap();
        assert_eq!(reference.repository.host.as_str(), "127.0.0.1:5000");
        assert_eq!(reference.tag.as_str(), "v1");
    }

    #[test]
    fn a_registry_root_names_repositories_with_and_without_a_prefix() {
        let image = "coredns".parse().unwrap();
        let with: RegistryRoot = "gcr.io/k8s-staging-coredns".parse().unwrap();
        let without: RegistryRoot = "127.0.0.1:5000".parse().unwrap();
        assert_eq!(with.repository(&image).unwrap().to_string(), "gcr.io/k8s-staging-coredns/coredns");
        assert_eq!(without.repository(&image).unwrap().to_string(), "127.0.0.1:5000/coredns");
    }

    proptest! {
        /// Parsing never panics, and a name that parses is formatted unchanged.
        #[test]
        fn a_parsed_name_is_formatted_unchanged(text in "[a-z0-9.:/@_-]{0,40}") {
            if let Ok(name) = text.parse::<Repository>() { prop_assert_eq!(name.to_string(), text.clone()); }
            if let Ok(name) = text.parse::<TagReference>() { prop_assert_eq!(name.to_string(), text.clone()); }
            if let Ok(name) = text.parse::<RegistryRoot>() { prop_assert_eq!(name.to_string(), text); }
        }
    }
}
