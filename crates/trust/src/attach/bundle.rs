//! Bundles in registries: a manifest with one layer that refers to the image (Sigstore *Bundle Format*, cosign's *Bundle
//! Specification*).

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use oci::{Descriptor, NewLayer, NewReferrer};

use crate::evidence::PREDICATE_TYPE;

/// The media type of a bundle, and the artifact type of its manifest.
pub(super) const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The annotation for the kind of content. kpromo signs only statements.
const CONTENT: &str = "dev.sigstore.bundle.content";
const CREATED: &str = "org.opencontainers.image.created";

/// Creates the referrer that attaches a bundle with a statement to an image.
pub fn attached_bundle(
    about: &Descriptor,
    bundle: Vec<u8>,
    predicate_type: &str,
    created: Timestamp,
) -> NewReferrer {
    let annotations = [
        (CONTENT, "dsse-envelope".to_owned()),
        (PREDICATE_TYPE, predicate_type.to_owned()),
        (CREATED, created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
    ];
    NewReferrer {
        subject: about.into(),
        artifact_type: BUNDLE_TYPE.to_owned(),
        layer: NewLayer {
            media_type: BUNDLE_TYPE.to_owned(),
            content: Bytes::from(bundle),
            annotations: BTreeMap::new(),
        },
        annotations: annotations.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}
