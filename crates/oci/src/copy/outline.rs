//! The manifests of an image, without reading the leaves: indexes contain the descriptors of the manifests that they list.

use std::collections::HashSet;

use oci_types::DigestReference;
use oci_types::{Descriptor, RawManifest};

use super::graph::{Graph, IMAGE_DEPTH_MAX, IMAGE_MANIFESTS_MAX};
use crate::error::{Error, ErrorKind};
use crate::read::Selector;
use crate::reader::Reader;

/// The manifests of an image.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// The descriptors of all manifests, without duplicates, the image itself first.
    pub manifests: Vec<Descriptor>,
    /// The entries of each index.
    pub indexes: Vec<Vec<Descriptor>>,
}

impl Graph {
    /// Returns the outline of the image.
    pub fn outline(&self) -> Outline {
        let nodes = || self.nodes().iter().rev();
        let manifests = nodes().map(|node| described(node.digest, &node.manifest)).collect();
        let indexes = nodes().filter(|node| !node.children.is_empty());
        // All manifests of a graph were parsed before, so none is left out here.
        let indexes = indexes.filter_map(|node| Some(node.manifest.parse().ok()?.children)).collect();
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
        let doing = || format!("reading all of {image}");
        let mut outline = Outline::default();
        let mut seen = HashSet::from([image.digest]);
        let mut level = vec![image.digest];
        let mut depth = 0;
        while !level.is_empty() {
            let mut next = Vec::new();
            for digest in level {
                let manifest = self.manifest(&image.repository, Selector::Digest(digest)).await?;
                if outline.manifests.is_empty() {
                    outline.manifests.push(described(digest, &manifest));
                }
                let parsed =
                    manifest.parse().map_err(|error| Error::new(doing(), ErrorKind::Manifest(error)))?;
                for child in &parsed.children {
                    if seen.insert(child.digest) {
                        next.extend(child.media_type.is_index().then_some(child.digest));
                        outline.manifests.push(child.clone());
                    }
                }
                if !parsed.children.is_empty() {
                    outline.indexes.push(parsed.children);
                }
            }
            depth += 1;
            if outline.manifests.len() > IMAGE_MANIFESTS_MAX || (depth == IMAGE_DEPTH_MAX && !next.is_empty())
            {
                let what = format!(
                    "it has more than {IMAGE_MANIFESTS_MAX} manifests, or more than {IMAGE_DEPTH_MAX} levels"
                );
                return Err(Error::new(doing(), ErrorKind::Unreasonable(what)));
            }
            level = next;
        }
        Ok(outline)
    }
}

/// Returns the descriptor of a manifest with the digest by which it is referenced, which may use another algorithm than the
/// digest under which its content is stored.
fn described(digest: crate::Digest, manifest: &RawManifest) -> Descriptor {
    let size = manifest.bytes().len() as u64;
    let media_type = manifest.media_type().clone();
    Descriptor { media_type, digest, size, foreign: false, platform: None, attests: None }
}
