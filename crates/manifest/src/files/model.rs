//! The content of manifests of files after reading.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::store_url::StoreUrl;
use crate::diagnostic::Diagnostic;
use crate::source::Position;

/// The manifests of a run. They have no faults.
#[derive(Clone, Debug, Default)]
pub struct FileManifests {
    /// The projects, ordered by name.
    pub projects: Vec<FileProject>,
    /// Parts that may be unintended.
    pub warnings: Vec<Diagnostic>,
}

/// The files of a project, and the stores to copy them between.
#[derive(Clone, Debug)]
pub struct FileProject {
    /// The name of the project: its directory in a tree, or the stem of the file of stores.
    pub name: Arc<str>,
    /// The store that files are copied from.
    pub source: Filestore,
    /// The stores that files are copied to: at least one, without duplicates and without the source.
    pub destinations: Vec<Filestore>,
    /// The files, in the order of the manifests: at least one, without duplicate names.
    pub files: Vec<FileEntry>,
}

/// An entry of `filestores`.
#[derive(Clone, Debug)]
pub struct Filestore {
    /// The URL of the store.
    pub url: StoreUrl,
    /// The account that writes to the store. Only used for Google Cloud Storage.
    pub service_account: Option<Arc<str>>,
    /// The name of the manifest in messages.
    pub manifest: Arc<str>,
    /// The position of the entry in the manifest.
    pub position: Position,
}

impl Filestore {
    /// Returns the position of the entry as `file:line:column`.
    pub fn origin(&self) -> String {
        format!("{}:{}:{}", self.manifest, self.position.line, self.position.column)
    }
}

/// An entry of `files`.
#[derive(Clone, Debug)]
pub struct FileEntry {
    /// The name relative to the URL of each store.
    pub name: FileName,
    /// The SHA-256 of the content.
    pub sha256: Sha256,
    /// The name of the manifest in messages.
    pub manifest: Arc<str>,
    /// The position of the entry in the manifest.
    pub position: Position,
}

impl FileEntry {
    /// Returns the position of the entry as `file:line:column`.
    pub fn origin(&self) -> String {
        format!("{}:{}:{}", self.manifest, self.position.line, self.position.column)
    }
}

/// The stores of a project, as far as they can be read.
#[derive(Debug, Default)]
pub(crate) struct Stores {
    /// `None` if there is no valid source, which has been reported.
    pub(crate) source: Option<Filestore>,
    pub(crate) destinations: Vec<Filestore>,
}

/// The SHA-256 of a file's content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// Wraps a hash.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Writes 64 digits in lower case.
impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a SHA-256: 64 hexadecimal digits, without a prefix")]
pub struct InvalidSha256;

/// Parses 64 hexadecimal digits in upper or lower case.
impl FromStr for Sha256 {
    type Err = InvalidSha256;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(InvalidSha256);
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = (digit(pair[0]).ok_or(InvalidSha256)?, digit(pair[1]).ok_or(InvalidSha256)?);
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

/// The name of a file relative to the URL of a store: segments separated by slashes. No segment is empty, `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName(Arc<str>);

impl FileName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for FileName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for FileName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFileName {
    /// The name begins with a slash.
    #[error("a file's name is relative to the filestores, and does not begin with a slash")]
    Absolute,
    /// The name ends with a slash.
    #[error("a file's name does not end with a slash")]
    Directory,
    /// The name has an empty segment.
    #[error("a file's name has no empty segment")]
    EmptySegment,
    /// The name has a segment `.` or `..`.
    #[error("a file's name has no segment `.` or `..`")]
    Dots,
    /// The name has a control character.
    #[error("a file's name has no control characters")]
    Control,
    /// The name is empty.
    #[error("a file's name is empty")]
    Empty,
}

impl FromStr for FileName {
    type Err = InvalidFileName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidFileName::Empty);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidFileName::Control);
        }
        if text.starts_with('/') {
            return Err(InvalidFileName::Absolute);
        }
        if text.ends_with('/') {
            return Err(InvalidFileName::Directory);
        }
        for segment in text.split('/') {
            match segment {
                "" => return Err(InvalidFileName::EmptySegment),
                "." | ".." => return Err(InvalidFileName::Dots),
                _ => {}
            }
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_64_digits_in_any_case() {
        let digits = "905FEF7b0658ff5d266140d1cea1eb5b414393b4d0c7897b05beae78678395c3";
        assert_eq!(digits.parse::<Sha256>().unwrap().to_string(), digits.to_lowercase());
        let (short, long) = (&digits[1..], format!("{digits}0"));
        for wrong in ["", "abcd", short, &long, &format!("sha256:{digits}"), &digits.replace('9', "z")] {
            assert_eq!(wrong.parse::<Sha256>(), Err(InvalidSha256), "{wrong}");
        }
    }

    #[test]
    fn a_name_has_no_segment_that_is_empty_or_dots() {
        for good in ["a", "v1.0/linux/amd64/tool", ".hidden", "a b", "...", "ü", "a..b"] {
            assert_eq!(good.parse::<FileName>().unwrap().as_str(), good);
        }
        for (wrong, expected) in [
            ("", InvalidFileName::Empty),
            ("/abs", InvalidFileName::Absolute),
            ("dir/", InvalidFileName::Directory),
            ("a//b", InvalidFileName::EmptySegment),
            ("../x", InvalidFileName::Dots),
            ("a/./b", InvalidFileName::Dots),
            ("a/..", InvalidFileName::Dots),
            ("a\nb", InvalidFileName::Control),
            ("a\u{85}b", InvalidFileName::Control),
        ] {
            assert_eq!(wrong.parse::<FileName>().unwrap_err(), expected, "{wrong:?}");
        }
    }
}
