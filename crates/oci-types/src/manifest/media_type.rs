//! Kinds of manifest, and what can be wrong with one.

use std::fmt;

/// The kinds of manifest that this crate knows by their media types.
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
    /// Docker's first schema, signed or not: deprecated, its digest is not that of its bytes.
    DockerSchema1,
    /// `application/vnd.oci.artifact.manifest.v1+json`: withdrawn before the specification's 1.1.
    OciArtifact,
    /// Anything else.
    Other(Box<str>),
}

impl MediaType {
    /// What a client that takes every supported manifest sends as `Accept`.
    pub const ACCEPT: &'static str = "application/vnd.oci.image.index.v1+json, \
         application/vnd.docker.distribution.manifest.list.v2+json, \
         application/vnd.oci.image.manifest.v1+json, \
         application/vnd.docker.distribution.manifest.v2+json, */*;q=0.1";

    /// The media type that a `Content-Type` or `mediaType` names; parameters are left out.
    pub fn parse(text: &str) -> Self {
        match text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/vnd.oci.image.manifest.v1+json" => Self::OciManifest,
            "application/vnd.oci.image.index.v1+json" => Self::OciIndex,
            "application/vnd.docker.distribution.manifest.v2+json" => Self::DockerManifest,
            "application/vnd.docker.distribution.manifest.list.v2+json" => Self::DockerManifestList,
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Self::DockerSchema1,
            "application/vnd.oci.artifact.manifest.v1+json" => Self::OciArtifact,
            // Outside input that errors show: bounded, and nothing that a terminal obeys.
            other => Self::Other(other.chars().filter(char::is_ascii_graphic).take(120).collect()),
        }
    }

    /// The media type as text.
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

    /// Whether it is a manifest whose parts are manifests.
    pub fn is_index(&self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerManifestList)
    }

    /// Whether it is what people read in a browser.
    fn is_page(&self) -> bool {
        matches!(self.as_str(), "text/html" | "application/xhtml+xml")
    }

    /// Whether it is a kind of manifest, supported or not.
    pub(super) fn is_manifest(&self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// Whether images of this kind can be read, copied and verified.
    pub fn is_supported(&self) -> bool {
        matches!(self, Self::OciManifest | Self::OciIndex | Self::DockerManifest | Self::DockerManifestList)
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why bytes are not a manifest that can be worked with.
#[derive(Debug, thiserror::Error)]
pub enum InvalidManifest {
    /// The kind is deprecated or unknown.
    #[error("{}", unsupported(.0))]
    Unsupported(MediaType),
    /// The header and the body name different kinds: what one reader takes for an image another takes for an index.
    #[error("the registry says it is `{header}`, the manifest itself says `{body}`")]
    Contradiction {
        /// The kind that the registry names.
        header: MediaType,
        /// The kind that the manifest names.
        body: MediaType,
    },
    /// A manifest, but of another kind than belongs in its place.
    #[error("{expected} is expected here, this is of the type `{got}`")]
    WrongKind {
        /// What belongs there.
        expected: &'static str,
        /// What there is.
        got: MediaType,
    },
    /// Not the JSON of its kind.
    #[error("not a manifest of the type `{media_type}`: {problem}")]
    Malformed {
        /// The kind it should be.
        media_type: MediaType,
        /// What is wrong, and where.
        problem: String,
    },
    /// It has the parts of an index and those of an image: what one reader takes for the one another takes for the other.
    #[error("the manifest has the parts of an index and those of an image")]
    Ambiguous,
    /// A part is named in a way that cannot be trusted or followed.
    #[error("the manifest names a part that cannot be followed: {0}")]
    Descriptor(String),
}

/// Why a media type is not supported, and what to do about it.
fn unsupported(media_type: &MediaType) -> String {
    if media_type.is_page() {
        return "the answer is a page of HTML, probably of a login or a proxy, and no manifest".to_owned();
    }
    format!(
        "a manifest of the type `{media_type}` is not supported: rebuild the image as an OCI or a Docker schema 2 image"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_html_is_no_image_to_rebuild() {
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
