//! The snapshot of a registry as manifests describe it, without network access.

use std::collections::BTreeMap;

use manifest::Manifests;
use oci::{Digest, RegistryRoot, Tag};

use super::{Contents, Snapshot};

/// Returns the images that manifests promote to a registry, or `None` if they promote nothing to it or below it. The paths of
/// registries are compared by whole components.
///
/// Like the Go tool, it includes listed tags of signatures and attestations (`sha256-….sig`), which a run does not promote as
/// images.
pub fn declared(manifests: &Manifests, root: &RegistryRoot) -> Option<Snapshot> {
    let mut images: BTreeMap<String, BTreeMap<Digest, Vec<Tag>>> = BTreeMap::new();
    let mut is_known = false;
    for manifest in &manifests.manifests {
        let below = manifest.destinations.iter().filter_map(|destination| below(&destination.root, root));
        for path in below {
            is_known = true;
            for image in &manifest.images {
                let name =
                    if path.is_empty() { image.name.to_string() } else { format!("{path}/{}", image.name) };
                let digests = images.entry(name).or_default();
                for listed in &image.digests {
                    let tags = listed.tags.iter().map(|(tag, _)| tag.clone());
                    digests.entry(listed.digest).or_default().extend(tags);
                }
            }
        }
    }
    let mut snapshot = Snapshot::default();
    for (name, digests) in images {
        snapshot.insert(&name, Contents::new(digests));
    }
    is_known.then_some(snapshot)
}

/// Returns the path of a registry below another one: empty if they are the same, `None` if it is not below.
fn below<'a>(registry: &'a RegistryRoot, root: &RegistryRoot) -> Option<&'a str> {
    if registry.host != root.host {
        return None;
    }
    let path = registry.prefix.as_ref().map_or("", |path| path.as_str());
    match &root.prefix {
        None => Some(path),
        Some(prefix) => match path.strip_prefix(prefix.as_str())? {
            "" => Some(""),
            rest => rest.strip_prefix('/'),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_below_another_by_whole_components() {
        let root = |text: &str| text.parse::<RegistryRoot>().unwrap();
        for (registry, above, expected) in [
            ("r.example/prod/images", "r.example/prod", Some("images")),
            ("r.example/prod/images", "r.example", Some("prod/images")),
            ("r.example/prod/images", "r.example/prod/images", Some("")),
            ("r.example", "r.example", Some("")),
            ("r.example/prod-bundle", "r.example/prod", None),
            ("r.example/prod", "r.example/prod/images", None),
            ("r.example", "r.example/prod", None),
            ("r.example:443/prod", "r.example/prod", None),
        ] {
            assert_eq!(below(&root(registry), &root(above)), expected, "{registry} {above}");
        }
    }
}
