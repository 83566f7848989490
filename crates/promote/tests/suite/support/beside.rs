//! Index entries besides platforms: BuildKit's attestation manifests, and manifests that only look like them.

use bytes::Bytes;
use oci::{Digest, MediaType, RawManifest};
use registry::sample::{Recipe, Sample};
use serde_json::{Value, json};

/// Creates a manifest in which BuildKit stores attestations, with its blobs.
pub(crate) fn attestations(seed: u64) -> Sample {
    let statement =
        Bytes::from(format!("{{\"predicateType\":\"https://spdx.dev/Document\",\"seed\":{seed}}}"));
    let config = Bytes::from(format!("{{\"architecture\":\"unknown\",\"os\":\"unknown\",\"seed\":{seed}}}"));
    let blob = |media_type: &str, content: &Bytes| json!({ "mediaType": media_type, "digest": Digest::of(content).to_string(), "size": content.len() });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciManifest.as_str(),
        "config": blob("application/vnd.oci.image.config.v1+json", &config),
        "layers": [blob("application/vnd.in-toto+json", &statement)],
    });
    let bytes = serde_json::to_vec(&manifest).unwrap();
    Sample {
        blobs: vec![statement, config],
        manifests: vec![RawManifest::new(MediaType::OciManifest, bytes.into())],
    }
}

/// Creates a runnable image.
pub(crate) fn runnable(seed: u64) -> Sample {
    Recipe { seed: seed + 1_000, ..Recipe::default() }.image()
}

/// Creates an index of two platforms, to be nested in another index.
pub(crate) fn inner_index(seed: u64) -> Sample {
    Recipe { seed: seed + 2_000, ..Recipe::default() }.index(2)
}

/// Adds an entry with the platform `unknown/unknown` to an index. With `attests`, it is annotated as the attestation manifest
/// of that sibling.
pub(crate) fn beside(mut index: Sample, other: &Sample, attests: Option<Digest>) -> Sample {
    let mut root: Value = serde_json::from_slice(index.root().bytes()).unwrap();
    let mut entry = json!({
        "mediaType": other.root().media_type().as_str(),
        "digest": other.digest().to_string(),
        "size": other.root().bytes().len(),
        "platform": { "os": "unknown", "architecture": "unknown" },
    });
    if let Some(about) = attests {
        entry["annotations"] = json!({
            "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": about.to_string(),
        });
    }
    root["manifests"].as_array_mut().unwrap().push(entry);
    index.blobs.extend(other.blobs.iter().cloned());
    index.manifests.pop();
    index.manifests.extend(other.manifests.iter().cloned());
    let bytes = serde_json::to_vec(&root).unwrap();
    index.manifests.push(RawManifest::new(MediaType::OciIndex, bytes.into()));
    index
}
