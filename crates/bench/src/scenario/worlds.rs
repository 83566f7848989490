//! Worlds that several scenarios share.

use crate::protocol::{ConditionsSpec, Content, HostSpec, Spec, Storage};

/// The number of regions in the production of Kubernetes.
pub(super) const REGIONS: usize = 22;

/// Returns a world of staging and this number of regions, all with the same conditions.
pub(super) fn alike(regions: usize, storage: &Storage, conditions: ConditionsSpec, content: Content) -> Spec {
    let host = |storage: &Storage| HostSpec { storage: storage.clone(), conditions };
    // Staging is read, so it keeps its blobs.
    let mut hosts = vec![host(&Storage::Memory)];
    hosts.extend((0..regions).map(|_| host(storage)));
    Spec { hosts, content }
}

/// Returns new images of four platforms, with layers of their own and shared layers.
pub(super) fn new_images(images: usize, layer_size: usize) -> Content {
    Content::New {
        images,
        platforms: 4,
        layers: 2,
        layer_size,
        shared_layers: 2,
        shared_size: 2 * layer_size,
    }
}

/// Returns new small images of four platforms with two layers each, none of them shared.
pub(super) fn small_images(images: usize) -> Content {
    Content::New { images, platforms: 4, layers: 2, layer_size: 1024, shared_layers: 0, shared_size: 0 }
}
