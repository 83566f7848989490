//! The manifests of an image, without reading those of its leaves: indexes tell enough of what they list.

use std::collections::HashSet;

use oci_types::DigestReference;
use oci_types::{Descriptor, RawManifest};

use super::graph::{Graph, IMAGE_DEPTH_MAX, IMAGE_MANIFESTS_MAX};
use crate::error::{Error, ErrorKind};
use crate::read::Selector;
use crate::reader::Reader;

/// What an image is made of.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// Descriptors of all manifests, each once, the image itself first.
    pub manifests: Vec<Descriptor>,
    /// The entries of each index.
    pub indexes: Vec<Vec<Descriptor>>,
}

impl Graph {
    /// What the image is made of.
    pub fn outline(&self) -> Outline {
        let nodes = || self.nodes().iter().rev();
        let manifests = nodes().map(|node| described(node.digest, &node.manifest)).collect();
        let indexes = nodes().filter(|node| !node.children.is_empty());
        // A graph is made of manifests that were parsed.
        let indexes = indexes.filter_map(|node| Some(node.manifest.parse().ok()?.children)).collect();
        Outline { manifests, indexes }
    }
}

impl Reader {
    /// What an image is made of, as a repository holds it.
    ///
    /// One request for the image, and one for each index below it.
    ///
    /// # Errors
    /// When a manifest cannot be read, or there are more than any image has.
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

/// A manifest by the digest that it is referred to by, which need not be of the algorithm that its content is kept under.
fn described(digest: crate::Digest, manifest: &RawManifest) -> Descriptor {
    let size = manifest.bytes().len() as u64;
    let media_type = manifest.media_type().clone();
    Descriptor { media_type, digest, size, foreign: false, platform: None, attests: None }
}
