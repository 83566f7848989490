//! The digest that identifies a promotion which is divided into shards.

use std::fmt::Write as _;

use manifest::Manifest;
use oci::Digest;
use trust::Production;

/// Returns the digest of what the shards promote together and of what decides their division: all sources, destinations,
/// images, digests and tags, and the canonical region. Shards with the same digest agree on the owner of each host. The order of
/// manifests and of destinations, and the names of projects, make no difference.
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
    for image in &manifest.images {
        let _ = writeln!(text, "image {}", image.name);
        for listed in &image.digests {
            let _ = writeln!(text, "digest {}", listed.digest);
            for (tag, _) in &listed.tags {
                let _ = writeln!(text, "tag {tag}");
            }
        }
    }
    Digest::of(text.as_bytes())
}
