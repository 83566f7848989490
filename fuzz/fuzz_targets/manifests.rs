//! Manifests. A parsed manifest refers to content by digests that can be verified, and it has no more descriptors than fit into
//! its bytes. An index has no blobs, and an image has no children. The same bytes parse to the same manifest with every
//! `Content-Type` with which they parse. Errors may be shown.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use oci::{Descriptor, Digest, Manifest, RawManifest};

const CONTENT_TYPES: [Option<&str>; 6] = [
    None,
    Some("application/octet-stream"),
    Some("application/vnd.oci.image.manifest.v1+json"),
    Some("application/vnd.oci.image.index.v1+json"),
    Some("application/vnd.docker.distribution.manifest.v2+json; charset=utf-8"),
    Some("application/vnd.docker.distribution.manifest.list.v2+json"),
];

/// The minimum length of a digest as text.
const DIGEST_MIN: usize = "sha256:".len() + 64;

fn check(raw: &RawManifest, manifest: &Manifest) {
    assert!(raw.media_type().is_supported());
    let other_parts = if raw.media_type().is_index() { &manifest.blobs } else { &manifest.children };
    assert!(other_parts.is_empty());
    let descriptors: Vec<&Descriptor> =
        manifest.children.iter().chain(&manifest.blobs).chain(&manifest.subject).collect();
    assert!(descriptors.len() * DIGEST_MIN <= raw.bytes().len(), "the descriptors do not fit into the input");
    for descriptor in descriptors {
        let text = descriptor.digest.to_string();
        assert_eq!(text.parse::<Digest>(), Ok(descriptor.digest));
        fuzz::assert_presentable(descriptor.media_type.as_str(), 120);
        if let Some(platform) = &descriptor.platform {
            fuzz::assert_presentable(platform, 200);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    let mut parsed: Option<Manifest> = None;
    for content_type in CONTENT_TYPES {
        let raw = RawManifest::received(content_type, bytes.clone());
        assert!(raw.digest().names(data) && raw.bytes() == data);
        fuzz::assert_presentable(raw.media_type().as_str(), 120);
        match raw.parse() {
            Ok(manifest) => {
                check(&raw, &manifest);
                if let Some(parsed) = &parsed {
                    assert_eq!(parsed, &manifest, "the same bytes parse to different manifests");
                }
                parsed = Some(manifest);
            }
            Err(error) => fuzz::assert_presentable(&error.to_string(), 500),
        }
    }
});
