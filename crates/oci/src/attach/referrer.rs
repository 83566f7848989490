//! One entry of a list of referrers.

use std::collections::BTreeMap;

use oci_types::Digest;
use oci_types::{InvalidManifest, MediaType, RawManifest, WireDescriptor};

/// The maximum number of referrers of one image. Referrers of other types are counted too, although they are not returned.
pub(super) const REFERRERS_MAX: usize = 1_000;

/// A manifest that is listed as a referrer of an image. All fields are copied from the list, and are not verified; see
/// [`Reader::referrer`](crate::Reader::referrer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// The media type of the manifest.
    pub media_type: MediaType,
    /// The digest.
    pub digest: Digest,
    /// The size, in bytes.
    pub size: u64,
    /// The artifact type, if the list has one.
    pub artifact_type: Option<String>,
    /// The annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Referrer {
    fn listed(wire: &WireDescriptor) -> Result<Self, InvalidManifest> {
        Ok(Self {
            media_type: MediaType::parse(wire.media_type.as_deref().unwrap_or_default()),
            digest: wire.digest()?,
            size: wire.size,
            artifact_type: wire.artifact_type.clone().filter(|kind| !kind.is_empty()),
            annotations: wire.annotations.clone(),
        })
    }

    /// Returns the entry for a manifest (distribution specification, *Pushing Manifests with Subject*).
    pub(super) fn of(manifest: &RawManifest) -> Result<Self, InvalidManifest> {
        let wire = manifest.wire()?;
        let own = wire.artifact_type.filter(|kind| !kind.is_empty());
        Ok(Self {
            media_type: manifest.media_type().clone(),
            digest: manifest.digest(),
            size: manifest.bytes().len() as u64,
            artifact_type: own.or_else(|| wire.config.and_then(|config| config.media_type)),
            annotations: wire.annotations,
        })
    }

    /// Returns all referrers that an index lists, in its order.
    pub(super) fn all(index: &RawManifest) -> Result<Vec<Self>, InvalidManifest> {
        if *index.media_type() != MediaType::OciIndex {
            let got = index.media_type().clone();
            return Err(InvalidManifest::WrongKind { expected: "an OCI index of referrers", got });
        }
        index.wire()?.manifests.iter().flatten().map(Self::listed).collect()
    }
}
