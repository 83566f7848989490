//! Media types of manifests, and the errors of manifests.

use std::fmt;

/// The media types of manifests that this crate distinguishes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// `application/vnd.oci.image.manifest.v1+json`
    OciManifest,
    /// `application/vnd.oci.image.index.v1+json`
    OciIndex,
    /// `application/vnd.docker.distribution.manifest.v2+json`
    DockerManifest,
    /// `application/vnd.docker.distribution.manifest.list.v2+json`
    DockerManifestList,
    /// Docker's first schema, signed or not. It is deprecated, and its digest is not that of its bytes.
    DockerSchema1,
    /// `application/vnd.oci.artifact.manifest.v1+json`, which was withdrawn before version 1.1 of the specification.
    OciArtifact,
    /// Any other media type.
    Other(Box<str>),
}

impl MediaType {
    /// The `Accept` header of a client that accepts all supported manifests.
    pub const ACCEPT: &'static str = "application/vnd.oci.image.index.v1+json, \
         application/vnd.docker.distribution.manifest.list.v2+json, \
         application/vnd.oci.image.manifest.v1+json, \
         application/vnd.docker.distribution.manifest.v2+json, */*;q=0.1";

    /// Parses a `Content-Type` or `mediaType`, and drops its parameters.
    pub fn parse(text: &str) -> Self {
        match text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/vnd.oci.image.manifest.v1+json" => Self::OciManifest,
            "application/vnd.oci.image.index.v1+json" => Self::OciIndex,
            "application/vnd.docker.distribution.manifest.v2+json" => Self::DockerManifest,
            "application/vnd.docker.distribution.manifest.list.v2+json" => Self::DockerManifestList,
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Self::DockerSchema1,
            "application/vnd.oci.artifact.manifest.v1+json" => Self::OciArtifact,
            // The input is untrusted and appears in errors, so it is truncated and control characters are removed.
            other => Self::Other(other.chars().filter(char::is_ascii_graphic).take(120).collect()),
        }
    }

    /// Returns the media type as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::OciManifest => "application/vnd.oci.image.manifest.v1+json",
            Self::OciIndex => "application/vnd.oci.image.index.v1+json",
            Self::DockerManifest => "application/vnd.docker.distribution.manifest.v2+json",
            Self::DockerManifestList => "application/vnd.docker.distribution.manifest.list.v2+json",
            Self::DockerSchema1 => "application/vnd.docker.distribution.manifest.v1+prettyjws",
            Self::OciArtifact => "application/vnd.oci.artifact.manifest.v1+json",
            Self::Other(other) => other,
        }
    }

    /// Returns `true` if manifests of this type list other manifests.
    pub fn is_index(&self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerManifestList)
    }

    /// Returns `true` if this is the type of a web page.
    fn is_page(&self) -> bool {
        matches!(self.as_str(), "text/html" | "application/xhtml+xml")
    }

    /// Returns `true` if this is the type of a manifest, supported or not.
    pub(super) fn is_manifest(&self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// Returns `true` if images of this type can be read, copied and verified.
    pub fn is_supported(&self) -> bool {
        matches!(self, Self::OciManifest | Self::OciIndex | Self::DockerManifest | Self::DockerManifestList)
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The bytes are not a usable manifest.
#[derive(Debug, thiserror::Error)]
pub enum InvalidManifest {
    /// The media type is deprecated or unknown.
    #[error("{}", unsupported(.0))]
    Unsupported(MediaType),
    /// The header and the body name different types, so some clients would read an image and others an index.
    #[error("the registry says it is `{header}`, the manifest itself says `{body}`")]
    Contradiction {
        /// The type in the header of the registry.
        header: MediaType,
        /// The type in the manifest.
        body: MediaType,
    },
    /// The manifest is of another type than expected.
    #[error("expected {expected}, found the type `{got}`")]
    WrongKind {
        /// What is expected.
        expected: &'static str,
        /// The type of the manifest.
        got: MediaType,
    },
    /// The JSON does not conform to the media type.
    #[error("not a manifest of the type `{media_type}`: {problem}")]
    Malformed {
        /// The media type.
        media_type: MediaType,
        /// What is wrong, and where.
        problem: String,
    },
    /// The manifest has members of an index and of an image, so some clients would read an image and others an index.
    #[error("the manifest has the parts of an index and those of an image")]
    Ambiguous,
    /// A descriptor is invalid or unsupported.
    #[error("the manifest names a part that cannot be followed: {0}")]
    Descriptor(String),
}

/// Returns why a media type is not supported, and what the user can do about it.
fn unsupported(media_type: &MediaType) -> String {
    if media_type.is_page() {
        return "the answer is an HTML page, probably of a login or a proxy, not a manifest".to_owned();
    }
    format!(
        "a manifest of the type `{media_type}` is not supported: rebuild the image as an OCI or a Docker schema 2 image"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_html_page_is_not_reported_as_an_image_to_rebuild() {
        for (media_type, is_page) in [
            ("text/html; charset=utf-8", true),
            ("application/xhtml+xml", true),
            ("application/vnd.docker.distribution.manifest.v1+json", false),
        ] {
            let error = InvalidManifest::Unsupported(MediaType::parse(media_type)).to_string();
            assert_eq!(error.contains("login"), is_page, "{error}");
            assert_eq!(error.contains("rebuild"), !is_page, "{error}");
        }
    }
}
