//! The names of images on the command line.

use std::fmt;
use std::str::FromStr;

use oci::{Digest, DigestReference, InvalidName, Repository, Selector, Tag, TagReference};

/// An image by tag, by digest, or by both. If it has both, the digest decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// The repository.
    pub repository: Repository,
    which: Which,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    Tag(Tag),
    Digest(Digest, Option<Tag>),
}

impl ImageName {
    /// Returns the digest of the name, or `None` if the image is named by tag alone.
    pub fn digest(&self) -> Option<Digest> {
        match &self.which {
            Which::Tag(_) => None,
            Which::Digest(digest, _) => Some(*digest),
        }
    }

    /// Returns the tag of the name, if it has one.
    pub fn tag(&self) -> Option<&Tag> {
        match &self.which {
            Which::Tag(tag) | Which::Digest(_, Some(tag)) => Some(tag),
            Which::Digest(_, None) => None,
        }
    }

    /// Returns the selector for requests.
    pub fn selector(&self) -> Selector<'_> {
        match &self.which {
            Which::Tag(tag) => Selector::Tag(tag),
            Which::Digest(digest, _) => Selector::Digest(*digest),
        }
    }
}

impl From<DigestReference> for ImageName {
    fn from(DigestReference { repository, digest }: DigestReference) -> Self {
        Self { repository, which: Which::Digest(digest, None) }
    }
}

impl FromStr for ImageName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let Some((name, digest)) = text.split_once('@') else {
            let TagReference { repository, tag } = text.parse()?;
            return Ok(Self { repository, which: Which::Tag(tag) });
        };
        let (name, tag) = match name.parse::<TagReference>() {
            Ok(TagReference { repository, tag }) => (repository.to_string(), Some(tag)),
            Err(_) => (name.to_owned(), None),
        };
        let DigestReference { repository, digest } = format!("{name}@{digest}").parse()?;
        Ok(Self { repository, which: Which::Digest(digest, tag) })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repository, which } = self;
        match which {
            Which::Tag(tag) => write!(f, "{repository}:{tag}"),
            Which::Digest(digest, None) => write!(f, "{repository}@{digest}"),
            Which::Digest(digest, Some(tag)) => write!(f, "{repository}:{tag}@{digest}"),
        }
    }
}

/// Returns the repository of a reference in a signature, which may have a tag and a digest.
pub(super) fn repository_of(reference: &str) -> Option<Repository> {
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    match name.parse::<TagReference>() {
        Ok(tagged) => Some(tagged.repository),
        Err(_) => name.parse().ok(),
    }
}

/// Whether two names refer to the same repository. Docker Hub has several names.
pub(super) fn is_same(one: &Repository, other: &Repository) -> bool {
    one.host.api() == other.host.api() && one.path == other.path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_a_tag_or_a_digest_or_both() {
        let digest = Digest::of(b"x");
        for good in [
            "gcr.io/a/b:v1".to_owned(),
            format!("127.0.0.1:5000/a@{digest}"),
            format!("localhost:5000/a:v1@{digest}"),
        ] {
            assert_eq!(good.parse::<ImageName>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "gcr.io/a",
            "127.0.0.1:5000/a",
            "alpine:3",
            "gcr.io/a@sha256:00",
            "gcr.io/A:v1",
            "gcr.io/a:b:c@x",
        ] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn signatures_name_repositories_with_or_without_tags() {
        let digest = Digest::of(b"x");
        let expected: Repository = "127.0.0.1:5000/a/b".parse().unwrap();
        for reference in [
            "127.0.0.1:5000/a/b".to_owned(),
            "127.0.0.1:5000/a/b:v1".to_owned(),
            format!("127.0.0.1:5000/a/b@{digest}"),
        ] {
            assert_eq!(repository_of(&reference), Some(expected.clone()), "{reference}");
        }
        assert_eq!(repository_of("a b"), None);
        let hub = |text: &str| text.parse::<Repository>().unwrap();
        assert!(is_same(&hub("docker.io/library/a"), &hub("index.docker.io/library/a")));
        assert!(!is_same(&hub("docker.io/library/a"), &hub("docker.io/library/b")));
        assert!(!is_same(&hub("docker.io/library/a"), &hub("gcr.io/library/a")));
    }
}
