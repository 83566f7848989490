//! Manifests as they are: their bytes, and what they refer to (OCI image specification, *Image Manifest* and
//! *Image Index*; Docker's *Image Manifest V 2, Schema 2*).

use std::fmt;

use bytes::Bytes;
use oci_spec::image::{Descriptor as OciDescriptor, ImageIndex, ImageManifest};
use serde::Deserialize;

use crate::digest::Digest;

/// The largest manifest that is read or stored, in bytes: the bound that the distribution specification recommends.
pub const MANIFEST_MAX: usize = 4 * 1024 * 1024;

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
        match text.split(';').next().unwrap_or_default().trim() {
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
    #[error(
        "a manifest of the type `{0}` is not supported: rebuild the image as an OCI or a Docker schema 2 image"
    )]
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
    #[error("not a manifest of the type `{media_type}`: {}", crate::error::printable(&source.to_string(), 200))]
    Malformed {
        /// The kind it should be.
        media_type: MediaType,
        /// Where it goes wrong.
        source: oci_spec::OciSpecError,
    },
    /// A part is named in a way that cannot be trusted or followed.
    #[error("the manifest names a part that cannot be followed: {0}")]
    Descriptor(String),
}

/// A manifest's bytes, exactly as they came, with their kind and their digest.
#[derive(Clone, PartialEq, Eq)]
pub struct RawManifest {
    media_type: MediaType,
    bytes: Bytes,
    digest: Digest,
}

impl RawManifest {
    /// Takes bytes for a manifest of a kind; nothing but the SHA-256 digest is computed.
    pub fn new(media_type: MediaType, bytes: Bytes) -> Self {
        let digest = Digest::of(&bytes);
        Self { media_type, bytes, digest }
    }

    /// Its kind.
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// Its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The SHA-256 digest of its bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Reads what the manifest refers to.
    ///
    /// # Errors
    /// When the kind is not supported, the bytes are not of that kind, or a descriptor makes no sense.
    pub fn parse(&self) -> Result<Manifest, InvalidManifest> {
        /// The fields by which a manifest says what it is, before anything else is believed.
        #[derive(Deserialize)]
        struct Kind {
            #[serde(rename = "mediaType")]
            media_type: Option<String>,
        }
        let malformed = |source| InvalidManifest::Malformed { media_type: self.media_type.clone(), source };
        if !self.media_type.is_supported() {
            return Err(InvalidManifest::Unsupported(self.media_type.clone()));
        }
        let kind: Kind = serde_json::from_slice(&self.bytes).map_err(|e| malformed(e.into()))?;
        if let Some(body) = kind.media_type.as_deref().map(MediaType::parse)
            && body != self.media_type
        {
            return Err(InvalidManifest::Contradiction { header: self.media_type.clone(), body });
        }
        if self.media_type.is_index() {
            let index = ImageIndex::from_reader(&self.bytes[..]).map_err(malformed)?;
            Ok(Manifest {
                children: Descriptor::all(index.manifests())?,
                blobs: Vec::new(),
                subject: index.subject().as_ref().map(Descriptor::new).transpose()?,
            })
        } else {
            let image = ImageManifest::from_reader(&self.bytes[..]).map_err(malformed)?;
            let mut blobs = vec![Descriptor::new(image.config())?];
            blobs.extend(Descriptor::all(image.layers())?);
            Ok(Manifest {
                children: Vec::new(),
                blobs,
                subject: image.subject().as_ref().map(Descriptor::new).transpose()?,
            })
        }
    }
}

impl fmt::Debug for RawManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {} bytes)", self.digest, self.media_type, self.bytes.len())
    }
}

/// What a manifest refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The manifests of an index, in its order.
    pub children: Vec<Descriptor>,
    /// The configuration and the layers of an image, in its order.
    pub blobs: Vec<Descriptor>,
    /// The manifest that this one is about, where it is a referrer.
    pub subject: Option<Descriptor>,
}

/// A reference to content (OCI image specification, *Content Descriptors*).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The media type of the content.
    pub media_type: MediaType,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content, in bytes.
    pub size: u64,
    /// Whether the content may be had from elsewhere (`urls`): such a layer is not fetched nor pushed.
    pub foreign: bool,
    /// `os/architecture[/variant]`, where an index tells it.
    pub platform: Option<String>,
}

impl Descriptor {
    fn new(descriptor: &OciDescriptor) -> Result<Self, InvalidManifest> {
        let digest = descriptor
            .digest()
            .to_string()
            .parse()
            .map_err(|e: crate::digest::InvalidDigest| InvalidManifest::Descriptor(e.to_string()))?;
        Ok(Self {
            media_type: MediaType::parse(descriptor.media_type().as_ref()),
            digest,
            size: descriptor.size(),
            foreign: descriptor.urls().as_ref().is_some_and(|urls| !urls.is_empty()),
            platform: descriptor.platform().as_ref().map(|platform| {
                let variant = platform.variant().as_deref().map(|v| format!("/{v}")).unwrap_or_default();
                format!("{}/{}{variant}", platform.os(), platform.architecture())
            }),
        })
    }

    fn all(descriptors: &[OciDescriptor]) -> Result<Vec<Self>, InvalidManifest> {
        descriptors.iter().map(Self::new).collect()
    }
}
