//! Manifests as registries and tools write them: any member may be null, missing or unknown.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::media_type::{InvalidManifest, MediaType};
use crate::digest::{Digest, InvalidDigest};
use crate::text::printable;

/// The longest platform that is kept, in characters.
const PLATFORM_MAX: usize = 120;

/// The annotation by which BuildKit says what a manifest of an index is for, and its value for attestations.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const ATTESTATION_MANIFEST: &str = "attestation-manifest";
/// The annotation by which BuildKit says which manifest of the index it is for.
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

/// The members of an image manifest or of an index, as they are written (OCI image specification, *Image Manifest* and *Image
/// Index*). A member of another type counts as missing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WireManifest {
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
    /// The annotations whose values are text.
    #[serde(deserialize_with = "annotations")]
    pub annotations: BTreeMap<String, String>,
    /// Docker's first schema.
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
    /// In bytes.
    pub size: u64,
    /// `urls` of a foreign layer.
    #[serde(default)]
    pub urls: Option<Vec<Value>>,
    /// The annotations whose values are text.
    #[serde(default, deserialize_with = "annotations")]
    pub annotations: BTreeMap<String, String>,
    /// `artifactType`.
    #[serde(default, deserialize_with = "text")]
    pub artifact_type: Option<String>,
    #[serde(default)]
    platform: Option<Value>,
}

impl WireManifest {
    /// Reads the members of a manifest.
    ///
    /// # Errors
    /// When it is not a JSON object, its members are not of the types of a manifest, or two of their names differ in case alone.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        // A list would be taken for the members in their order.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(serde::de::Error::custom("it is not an object"));
        }
        super::names::check(bytes)?;
        serde_json::from_slice(bytes)
    }

    /// The kind that its members speak for, where it does not name one.
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
    /// The digest.
    ///
    /// # Errors
    /// When it is not a digest, or of an algorithm that cannot be verified.
    pub fn digest(&self) -> Result<Digest, InvalidManifest> {
        self.digest
            .parse()
            .map_err(|error: InvalidDigest| InvalidManifest::Descriptor(printable(&error.to_string(), 300)))
    }

    /// `os/architecture[/variant]`, where it names any of the two: bounded, and nothing that a terminal obeys.
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

    /// The manifest that this one is annotated to hold attestations of.
    pub(super) fn attests(&self) -> Option<Digest> {
        if self.annotations.get(REFERENCE_TYPE)? != ATTESTATION_MANIFEST {
            return None;
        }
        self.annotations.get(REFERENCE_DIGEST)?.parse().ok()
    }
}

/// A text; nothing where there is something else.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        _ => None,
    })
}

/// The annotations that are texts.
fn annotations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let Value::Object(members) = Value::deserialize(deserializer)? else { return Ok(BTreeMap::new()) };
    let text = |(name, value): (String, Value)| match value {
        Value::String(text) => Some((name, text)),
        _ => None,
    };
    Ok(members.into_iter().filter_map(text).collect())
}
