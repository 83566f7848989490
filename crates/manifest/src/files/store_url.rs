//! URLs of object stores.

use std::fmt;
use std::str::FromStr;

/// The maximum length of an object's name in Google Cloud Storage and in S3, in bytes.
const KEY_MAX: usize = 1_024;
/// The maximum length of a bucket's name, in bytes: Google's limit for names with dots.
const BUCKET_MAX: usize = 222;

/// The kind of an object store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// `gs://`: Google Cloud Storage.
    Gcs,
    /// `s3://`: Amazon S3, or another store with its API.
    S3,
    /// `file://`: a directory of this machine.
    File,
}

impl Scheme {
    fn prefix(self) -> &'static str {
        match self {
            Self::Gcs => "gs://",
            Self::S3 => "s3://",
            Self::File => "file://",
        }
    }
}

/// The URL of a store: a bucket and a path in it, or a directory.
///
/// A trailing slash in the text is ignored. The path is otherwise kept as written, and never has a segment `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreUrl {
    scheme: Scheme,
    bucket: Box<str>,
    path: Box<str>,
}

impl StoreUrl {
    /// Returns the kind of the store.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the name of the bucket. It is empty for a directory.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Returns the path in the bucket, without a trailing slash, or the absolute path of the directory.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the key of the object for the file `name` in the bucket or, for a directory, the path of the file.
    pub fn key(&self, name: &str) -> String {
        match (self.scheme, &*self.path) {
            (Scheme::Gcs | Scheme::S3, "") => name.to_owned(),
            (_, path) => format!("{path}/{name}"),
        }
    }

    /// Returns the URL of the file `name`, for messages.
    pub fn file(&self, name: &str) -> String {
        format!("{self}/{name}")
    }

    /// Returns whether a file below one URL may also be below the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        let is_below = |a: &str, b: &str| {
            b.is_empty() || a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.scheme == other.scheme
            && self.bucket == other.bucket
            && (is_below(&self.path, &other.path) || is_below(&other.path, &self.path))
    }

    /// Returns whether the name of the object for the file `name` is short enough.
    pub fn fits(&self, name: &str) -> bool {
        self.scheme == Scheme::File || self.path.len() + 1 + name.len() <= KEY_MAX
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, bucket, path) = (self.scheme.prefix(), &self.bucket, &self.path);
        let slash = if self.scheme == Scheme::File || path.is_empty() { "" } else { "/" };
        write!(f, "{scheme}{bucket}{slash}{path}")
    }
}

/// Why a text is not the URL of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStoreUrl {
    /// The scheme is missing or unknown.
    #[error("a filestore begins with `gs://`, `s3://` or `file://`, in lower case")]
    Scheme,
    /// The bucket is empty.
    #[error("the bucket is missing: `gs://BUCKET/PATH`")]
    NoBucket,
    /// The name of the bucket is too long or has invalid characters.
    #[error("not the name of a bucket: letters, digits, `-`, `_` and `.`, at most {BUCKET_MAX}")]
    Bucket,
    /// The path has a segment `.` or `..`.
    #[error("a path has no segment `.` or `..`")]
    Dots,
    /// The path has a control character.
    #[error("a path has no control characters")]
    Control,
    /// The URL has a query or a fragment.
    #[error("a filestore is a plain path, without `?` and `#`")]
    Query,
    /// The directory is not absolute.
    #[error("a directory is absolute: `file:///PATH`")]
    Relative,
}

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let schemes = [Scheme::Gcs, Scheme::S3, Scheme::File];
        let found = schemes.iter().find_map(|scheme| Some((*scheme, text.strip_prefix(scheme.prefix())?)));
        let (scheme, rest) = found.ok_or(InvalidStoreUrl::Scheme)?;
        if rest.chars().any(char::is_control) {
            return Err(InvalidStoreUrl::Control);
        }
        if rest.contains(['?', '#']) {
            return Err(InvalidStoreUrl::Query);
        }
        let (bucket, path) = match scheme {
            Scheme::File if !rest.starts_with('/') => return Err(InvalidStoreUrl::Relative),
            Scheme::File => ("", rest),
            Scheme::Gcs | Scheme::S3 => rest.split_once('/').unwrap_or((rest, "")),
        };
        // Repeated slashes count as one in the path of a directory, but are part of the name of an object.
        let directory = (scheme == Scheme::File).then(|| {
            path.split('/').filter(|part| !part.is_empty()).map(|part| format!("/{part}")).collect::<String>()
        });
        let path = directory.as_deref().unwrap_or_else(|| path.trim_end_matches('/'));
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(InvalidStoreUrl::Dots);
        }
        if scheme != Scheme::File {
            check_bucket(bucket)?;
        }
        Ok(Self { scheme, bucket: bucket.into(), path: path.into() })
    }
}

fn check_bucket(bucket: &str) -> Result<(), InvalidStoreUrl> {
    let is_named = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    match bucket {
        "" => Err(InvalidStoreUrl::NoBucket),
        "." | ".." => Err(InvalidStoreUrl::Bucket),
        bucket if bucket.len() > BUCKET_MAX || !bucket.bytes().all(is_named) => Err(InvalidStoreUrl::Bucket),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_bucket_and_a_path_and_names_files() {
        for (text, shown, key) in [
            ("gs://prod", "gs://prod", "a/b"),
            ("gs://prod/", "gs://prod", "a/b"),
            ("gs://prod/sub//", "gs://prod/sub", "sub/a/b"),
            ("gs://prod//sub", "gs://prod//sub", "/sub/a/b"),
            ("s3://prod/x/y", "s3://prod/x/y", "x/y/a/b"),
            ("file:///srv/prod/", "file:///srv/prod", "/srv/prod/a/b"),
            ("file:///", "file://", "/a/b"),
            ("file:////srv//prod//", "file:///srv/prod", "/srv/prod/a/b"),
        ] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.key("a/b").as_str()), (shown, key), "{text}");
        }
        let url: StoreUrl = "gs://prod/sub".parse().unwrap();
        assert_eq!(url.file("a"), "gs://prod/sub/a");
    }

    #[test]
    fn invalid_store_urls_are_refused() {
        for (text, expected) in [
            ("", InvalidStoreUrl::Scheme),
            ("staging", InvalidStoreUrl::Scheme),
            ("GS://staging", InvalidStoreUrl::Scheme),
            ("https://prod", InvalidStoreUrl::Scheme),
            ("gs://", InvalidStoreUrl::NoBucket),
            ("s3:///path", InvalidStoreUrl::NoBucket),
            ("gs://me@host:80/x", InvalidStoreUrl::Bucket),
            ("s3://..", InvalidStoreUrl::Bucket),
            ("s3://a/../b", InvalidStoreUrl::Dots),
            ("file:///a/./b", InvalidStoreUrl::Dots),
            ("file://host/a", InvalidStoreUrl::Relative),
            ("gs://a/b?x", InvalidStoreUrl::Query),
            ("gs://a/b\nc", InvalidStoreUrl::Control),
        ] {
            assert_eq!(text.parse::<StoreUrl>().unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn urls_overlap_if_one_is_below_the_other() {
        let overlap = |a: &str, b: &str| {
            let (a, b) = (a.parse::<StoreUrl>().unwrap(), b.parse::<StoreUrl>().unwrap());
            assert_eq!(a.overlaps(&b), b.overlaps(&a));
            a.overlaps(&b)
        };
        assert!(
            overlap("gs://a", "gs://a") && overlap("gs://a", "gs://a/b") && overlap("gs://a/b", "gs://a/b/c")
        );
        assert!(
            !overlap("gs://a/b", "gs://a/bc") && !overlap("gs://a", "s3://a") && !overlap("gs://a", "gs://b")
        );
    }
}
