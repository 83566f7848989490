//! The manifests of an image, without reading the leaves: indexes contain the descriptors of the manifests that they list.

use std::collections::{BTreeMap, HashSet};

use oci_types::{Descriptor, Digest, DigestReference, RawManifest, Repository};

use super::graph::Graph;
use super::walk::walk;
use crate::error::Error;
use crate::read::Selector;
use crate::reader::Reader;

/// The manifests of an image.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// The descriptors of all manifests, without duplicates, the image itself first.
    pub manifests: Vec<Descriptor>,
    /// The entries of each index, by the digest of the index.
    pub indexes: BTreeMap<Digest, Vec<Descriptor>>,
}

impl Graph {
    /// Returns the outline of the image.
    pub fn outline(&self) -> Outline {
        let nodes = || self.nodes().iter().rev();
        let manifests = nodes().map(|node| described(node.digest, &node.manifest)).collect();
        let indexes = nodes().filter(|node| !node.children.is_empty());
        // All manifests of a graph were parsed before, so none is left out here.
        let indexes =
            indexes.filter_map(|node| Some((node.digest, node.manifest.parse().ok()?.children))).collect();
        Outline { manifests, indexes }
    }
}

impl Reader {
    /// Reads the outline of an image in a repository.
    ///
    /// Sends one request for the image, and one for each index below it.
    ///
    /// # Errors
    /// Returns an error if a manifest cannot be read, or if the image exceeds the limits on manifests.
    pub async fn outline(&self, image: &DigestReference) -> Result<Outline, Error> {
        let root = self.manifest(&image.repository, Selector::Digest(image.digest)).await?;
        self.outline_below(&image.repository, image.digest, root).await
    }

    /// Reads the outline of an image whose own manifest has been read.
    ///
    /// Sends one request for each index below it.
    ///
    /// # Errors
    /// Returns the errors of [`Reader::outline`].
    pub async fn outline_below(
        &self,
        repository: &Repository,
        digest: Digest,
        manifest: RawManifest,
    ) -> Result<Outline, Error> {
        let mut outline = Outline { manifests: vec![described(digest, &manifest)], indexes: BTreeMap::new() };
        let visited = walk(self, repository, (digest, manifest), |entry| entry.media_type.is_index()).await?;
        let mut seen = HashSet::from([digest]);
        for (index, entries) in visited.into_iter().map(|visited| (visited.node.digest, visited.entries)) {
            outline.manifests.extend(entries.iter().filter(|entry| seen.insert(entry.digest)).cloned());
            if !entries.is_empty() {
                outline.indexes.insert(index, entries);
            }
        }
        Ok(outline)
    }
}

/// Returns the descriptor of a manifest with the digest by which it is referenced, which may use another algorithm than the
/// digest under which its content is stored.
fn described(digest: Digest, manifest: &RawManifest) -> Descriptor {
    let size = manifest.bytes().len() as u64;
    let media_type = manifest.media_type().clone();
    Descriptor { media_type, digest, size, foreign: false, platform: None, attests: None }
}
