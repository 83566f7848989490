//! The digest that identifies a promotion which is divided into shards.

use std::fmt::Write as _;

use manifest::{DigestTags, Image, Manifest};
use oci::Digest;
use trust::Production;

/// Returns the digest of what the shards promote together and of what decides their division: all sources, destinations,
/// images, digests and tags, and the canonical region. Shards with the same digest agree on the owner of each host. The order of
/// manifests and of their entries, and the names of projects, make no difference.
pub(super) fn identity(manifests: &[Manifest], production: &Production) -> Digest {
    let mut parts: Vec<Digest> = manifests.iter().map(of_manifest).collect();
    parts.sort_unstable();
    let mut text = format!("{}/{}\n", production.canonical_host, production.path);
    for part in parts {
        let _ = writeln!(text, "{part}");
    }
    Digest::of(text.as_bytes())
}

fn of_manifest(manifest: &Manifest) -> Digest {
    let mut destinations: Vec<String> =
        manifest.destinations.iter().map(|destination| destination.root.to_string()).collect();
    destinations.sort_unstable();
    let mut text = String::new();
    let _ = writeln!(text, "source {}", manifest.source);
    for destination in destinations {
        let _ = writeln!(text, "destination {destination}");
    }
    let listed =
        manifest.images.iter().flat_map(|image| image.digests.iter().map(move |digest| (image, digest)));
    let mut images: Vec<String> = listed.map(|(image, digest)| of_digest(image, digest)).collect();
    images.sort_unstable();
    images.iter().for_each(|image| text.push_str(image));
    Digest::of(text.as_bytes())
}

/// Returns an image by digest, with its tags.
fn of_digest(image: &Image, listed: &DigestTags) -> String {
    let mut tags: Vec<&str> = listed.tags.iter().map(|(tag, _)| tag.as_str()).collect();
    tags.sort_unstable();
    format!("image {}@{} {}\n", image.name, listed.digest, tags.join(" "))
}
