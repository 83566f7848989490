//! The manifests of an image, without reading those of its leaves: indexes tell enough of what they list.

use std::collections::HashSet;

use super::graph::{Graph, IMAGE_DEPTH_MAX, IMAGE_MANIFESTS_MAX};
use crate::error::{Error, ErrorKind};
use crate::manifest::{Descriptor, RawManifest};
use crate::name::DigestReference;
use crate::read::Selector;
use crate::reader::Reader;

impl Graph {
    /// Descriptors of all manifests, the image itself first.
    pub fn outline(&self) -> Vec<Descriptor> {
        self.nodes().iter().rev().map(|node| described(node.digest, &node.manifest)).collect()
    }
}

impl Reader {
    /// Descriptors of all manifests of an image as a repository holds it, each once, the image itself first.
    ///
    /// One request for the image, and one for each index below it.
    ///
    /// # Errors
    /// When a manifest cannot be read, or there are more than any image has.
    pub async fn outline(&self, image: &DigestReference) -> Result<Vec<Descriptor>, Error> {
        let doing = || format!("reading all of {image}");
        let mut outline: Vec<Descriptor> = Vec::new();
        let mut seen = HashSet::from([image.digest]);
        let mut level = vec![image.digest];
        let mut depth = 0;
        while !level.is_empty() {
            let mut next = Vec::new();
            for digest in level {
                let manifest = self.manifest(&image.repository, Selector::Digest(digest)).await?;
                if outline.is_empty() {
                    outline.push(described(digest, &manifest));
                }
                let parsed =
                    manifest.parse().map_err(|error| Error::new(doing(), ErrorKind::Manifest(error)))?;
                for child in parsed.children {
                    if seen.insert(child.digest) {
                        next.extend(child.media_type.is_index().then_some(child.digest));
                        outline.push(child);
                    }
                }
            }
            depth += 1;
            if outline.len() > IMAGE_MANIFESTS_MAX || (depth == IMAGE_DEPTH_MAX && !next.is_empty()) {
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
