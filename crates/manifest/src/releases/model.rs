//! Releases and their destinations.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::files::{FileName, InvalidFileName, InvalidStoreUrl, Scheme, StoreUrl};

/// The maximum length of the name of an owner or of a repository, in bytes. Names on GitHub are shorter.
const NAME_MAX: usize = 255;

/// Releases of a repository, and their destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseEntry {
    /// The owner of the repository.
    pub owner: GitHubName,
    /// The name of the repository.
    pub repository: GitHubName,
    /// The tags of the releases, without duplicates. Empty: all releases.
    pub tags: Vec<ReleaseTag>,
    /// Whether "all releases" includes prereleases. A tag in `tags` may always be a prerelease.
    pub include_prereleases: bool,
    /// The destination of the files. `None` only if it is not needed.
    pub bucket: Option<StoreUrl>,
    /// The directory in `bucket`.
    pub directory: ReleaseDirectory,
    /// The origin of the entry, for messages: `file:line:column`, or the command line.
    pub origin: Arc<str>,
}

/// The name of an owner or of a repository on GitHub.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GitHubName(Box<str>);

/// A text that is not the name of an owner or of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of an owner or of a repository: letters, digits, `-`, `_` and `.`")]
pub struct InvalidGitHubName;

impl GitHubName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GitHubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for GitHubName {
    type Err = InvalidGitHubName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        let is_name = is_word && !text.is_empty() && text.len() <= NAME_MAX && text != "." && text != "..";
        if is_name && !text.starts_with('-') { Ok(Self(text.into())) } else { Err(InvalidGitHubName) }
    }
}

/// The tag of a release. It may have slashes, and becomes a directory in the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReleaseTag(Box<str>);

/// A text that is not a tag, or whose name cannot be that of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a tag of a release: a name without control characters and without segments that are empty, `.` or `..`"
)]
pub struct InvalidReleaseTag;

impl ReleaseTag {
    /// Returns the tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReleaseTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ReleaseTag {
    type Err = InvalidReleaseTag;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<FileName>().map_err(|_| InvalidReleaseTag)?;
        Ok(Self(text.into()))
    }
}

/// A directory in a bucket. It is empty for the bucket itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReleaseDirectory(Box<str>);

impl ReleaseDirectory {
    /// Returns the name of a file of a release in this directory: `DIRECTORY/TAG/FILE`.
    ///
    /// # Errors
    /// If `file` is not a valid last segment of a name.
    pub fn file(&self, tag: &ReleaseTag, file: &str) -> Result<FileName, InvalidFileName> {
        if file.contains('/') {
            return Err(InvalidFileName::EmptySegment);
        }
        let slash = if self.0.is_empty() { "" } else { "/" };
        format!("{}{slash}{tag}/{file}", self.0).parse()
    }
}

/// Parses a path. Leading and trailing slashes are ignored.
impl FromStr for ReleaseDirectory {
    type Err = InvalidFileName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim_matches('/');
        if !text.is_empty() {
            text.parse::<FileName>()?;
        }
        Ok(Self(text.into()))
    }
}

/// The destination of releases: the URL of a store, or the name of a bucket of Google Cloud Storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseBucket(StoreUrl);

/// A text that is not the destination of releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReleaseBucket {
    /// The text is not the URL of a store.
    #[error(transparent)]
    Url(#[from] InvalidStoreUrl),
    /// The destination is the root of the file system.
    #[error("files are not written to the root of the file system")]
    Root,
}

impl ReleaseBucket {
    /// Returns the URL.
    pub fn into_url(self) -> StoreUrl {
        self.0
    }
}

impl FromStr for ReleaseBucket {
    type Err = InvalidReleaseBucket;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: StoreUrl =
            if text.contains("://") { text.parse()? } else { format!("gs://{text}").parse()? };
        if url.scheme() == Scheme::File && url.path().is_empty() {
            return Err(InvalidReleaseBucket::Root);
        }
        Ok(Self(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_asset_is_one_segment() {
        let (directory, tag) = (ReleaseDirectory::default(), "release/v1".parse().unwrap());
        assert_eq!(directory.file(&tag, "a b.txt").unwrap().as_str(), "release/v1/a b.txt");
        for wrong in ["", ".", "..", "a/b", "a\nb"] {
            assert!(directory.file(&tag, wrong).is_err(), "{wrong:?}");
        }
    }
}
