//! Manifests as registries and tools write them: any member may be null, missing or unknown.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::media_type::{InvalidManifest, MediaType};
use crate::digest::{Digest, InvalidDigest};
use crate::text::printable;

/// The maximum length of a platform, in characters.
const PLATFORM_MAX: usize = 120;

/// The annotation of BuildKit for the purpose of a manifest in an index, and its value for attestations.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const ATTESTATION_MANIFEST: &str = "attestation-manifest";
/// The annotation of BuildKit for the manifest of the index that this one refers to.
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

/// The members of an image manifest or of an index, as they are written (OCI image specification, *Image Manifest* and *Image
/// Index*). A text or annotation of another JSON type counts as missing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WireManifest {
    /// `schemaVersion`, which must be 2.
    schema_version: Option<Value>,
    /// `mediaType`.
    #[serde(deserialize_with = "text")]
    pub media_type: Option<String>,
    /// `artifactType`.
    #[serde(deserialize_with = "text")]
    pub artifact_type: Option<String>,
    /// `config` of an image.
    pub config: Option<WireDescriptor>,
    /// `layers` of an image.
    pub layers: Option<Vec<WireDescriptor>>,
    /// `manifests` of an index.
    pub manifests: Option<Vec<WireDescriptor>>,
    /// `subject`: the manifest that this one refers to.
    pub subject: Option<WireDescriptor>,
    /// The annotations whose values are strings.
    #[serde(deserialize_with = "annotations")]
    pub annotations: BTreeMap<String, String>,
    /// `fsLayers` of Docker's first schema.
    fs_layers: Option<Value>,
}

/// A descriptor as it is written (OCI image specification, *Content Descriptors*).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireDescriptor {
    /// `mediaType`.
    #[serde(default, deserialize_with = "text")]
    pub media_type: Option<String>,
    digest: String,
    /// The size, in bytes.
    pub size: u64,
    /// `urls` of a foreign layer.
    #[serde(default)]
    pub urls: Option<Vec<Value>>,
    /// The annotations whose values are strings.
    #[serde(default, deserialize_with = "annotations")]
    pub annotations: BTreeMap<String, String>,
    /// `artifactType`.
    #[serde(default, deserialize_with = "text")]
    pub artifact_type: Option<String>,
    #[serde(default)]
    platform: Option<Value>,
}

impl WireManifest {
    /// Returns `true` if `schemaVersion` is 2, as in every manifest and index. Other JSON, such as an error, does not have it.
    pub fn has_schema_version(&self) -> bool {
        self.schema_version.as_ref().and_then(Value::as_u64) == Some(2)
    }

    /// Parses the members of a manifest.
    ///
    /// # Errors
    /// Returns an error if the bytes are not a JSON object, if a member has the wrong type, or if a name differs from a known one
    /// only in case.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        // The deserializer would also accept a list, as the members in their order.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(serde::de::Error::custom("it is not an object"));
        }
        super::names::check(bytes)?;
        serde_json::from_slice(bytes)
    }

    /// Returns the media type that the members imply, for a manifest without `mediaType`.
    pub(super) fn kind(&self) -> Option<MediaType> {
        match self {
            Self { fs_layers: Some(_), .. } => Some(MediaType::DockerSchema1),
            Self { manifests: Some(_), .. } => Some(MediaType::OciIndex),
            Self { config: Some(_), .. } | Self { layers: Some(_), .. } => Some(MediaType::OciManifest),
            _ => None,
        }
    }
}

impl WireDescriptor {
    /// Returns the digest.
    ///
    /// # Errors
    /// Returns an error if it is not a digest, or if its algorithm is not supported.
    pub fn digest(&self) -> Result<Digest, InvalidManifest> {
        self.digest
            .parse()
            .map_err(|error: InvalidDigest| InvalidManifest::Descriptor(printable(&error.to_string(), 300)))
    }

    /// Returns `os/architecture[/variant]` if either of the two is known, truncated and without control characters.
    pub(super) fn platform(&self) -> Option<String> {
        let platform = self.platform.as_ref()?;
        let member = |name: &str| platform.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (os, architecture) = (member("os"), member("architecture"));
        if os.is_none() && architecture.is_none() {
            return None;
        }
        let variant = member("variant").map(|variant| format!("/{variant}")).unwrap_or_default();
        let platform = format!("{}/{}{variant}", os.unwrap_or("unknown"), architecture.unwrap_or("unknown"));
        Some(printable(&platform, PLATFORM_MAX))
    }

    /// Returns the digest of the manifest that this one attests to, according to its annotations.
    pub(super) fn attests(&self) -> Option<Digest> {
        if self.annotations.get(REFERENCE_TYPE)? != ATTESTATION_MANIFEST {
            return None;
        }
        self.annotations.get(REFERENCE_DIGEST)?.parse().ok()
    }
}

/// Deserializes a string, or `None` if the value is of another type.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        _ => None,
    })
}

/// Deserializes the annotations whose values are strings.
fn annotations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let Value::Object(members) = Value::deserialize(deserializer)? else { return Ok(BTreeMap::new()) };
    let text = |(name, value): (String, Value)| match value {
        Value::String(text) => Some((name, text)),
        _ => None,
    };
    Ok(members.into_iter().filter_map(text).collect())
}
