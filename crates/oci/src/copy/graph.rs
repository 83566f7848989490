//! An image with all the manifests and blobs that its manifests name.

use std::collections::{HashMap, HashSet};

use oci_types::{Descriptor, Digest, DigestReference};

use super::walk::{Node, visit, walk};
use crate::error::Error;
use crate::read::Selector;
use crate::reader::Reader;

/// All manifests of an image, without duplicates, children before parents. The last one is the image itself.
#[derive(Clone, Debug)]
pub struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    /// Reads all manifests of an image.
    ///
    /// # Errors
    /// Returns an error if a manifest is missing, wrong or unsupported, or if the image exceeds the limits on manifests.
    pub async fn read(reader: &Reader, image: &DigestReference) -> Result<Self, Error> {
        let root = reader.manifest(&image.repository, Selector::Digest(image.digest)).await?;
        let visited = walk(reader, &image.repository, (image.digest, root), |_| true).await?;
        Ok(Self { nodes: children_first(visited.into_iter().map(|visited| visited.node).collect()) })
    }

    /// Reads only the image's own manifest. This suffices to tag an image that exists.
    ///
    /// # Errors
    /// Returns an error if the manifest is missing, wrong or unsupported.
    pub async fn read_root(reader: &Reader, image: &DigestReference) -> Result<Self, Error> {
        let root = reader.manifest(&image.repository, Selector::Digest(image.digest)).await?;
        Ok(Self { nodes: vec![visit(&image.repository, image.digest, root)?.node] })
    }

    /// Returns the manifests, children before parents.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Returns the manifest of the image itself.
    pub fn root(&self) -> &Node {
        #[expect(clippy::expect_used, reason = "every constructor adds the manifest of the image")]
        self.nodes.last().expect("a graph has a root")
    }

    /// Returns `true` if the graph contains all manifests that its manifests list, rather than only the image's own manifest.
    pub fn is_whole(&self) -> bool {
        let digests: HashSet<Digest> = self.nodes.iter().map(|node| node.digest).collect();
        self.nodes.iter().flat_map(|node| &node.children).all(|child| digests.contains(child))
    }

    /// Returns the blobs of the manifests for which `lacking` returns `true`, without duplicates.
    pub fn blobs(&self, mut lacking: impl FnMut(&Node) -> bool) -> Vec<&Descriptor> {
        let mut seen = HashSet::new();
        self.nodes
            .iter()
            .filter(|node| lacking(node))
            .flat_map(|node| &node.blobs)
            .filter(|b| seen.insert(b.digest))
            .collect()
    }

    /// Returns the size of the image in bytes: all its manifests and blobs, each counted once.
    pub fn size(&self) -> u64 {
        let manifests: u64 = self.nodes.iter().map(|node| node.manifest.bytes().len() as u64).sum();
        // Sizes come from untrusted manifests, so the sum saturates.
        self.blobs(|_| true).iter().fold(manifests, |sum, blob| sum.saturating_add(blob.size))
    }
}

/// Orders manifests so that each one follows all its children. A child may occur at several depths.
fn children_first(nodes: Vec<Node>) -> Vec<Node> {
    let Some(root) = nodes.first().map(|node| node.digest) else { return nodes };
    let mut waiting: HashMap<Digest, Node> = nodes.into_iter().map(|node| (node.digest, node)).collect();
    let mut ordered = Vec::with_capacity(waiting.len());
    let mut path = vec![root];
    // A manifest cannot contain its own hash, so there are no cycles and the loop ends.
    while let Some(digest) = path.last().copied() {
        let next = waiting
            .get(&digest)
            .and_then(|node| node.children.iter().find(|child| waiting.contains_key(child)));
        match next {
            Some(child) => path.push(*child),
            None => {
                path.pop();
                ordered.extend(waiting.remove(&digest));
            }
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use oci_types::{MediaType, RawManifest};

    use super::*;

    fn node(name: u8, children: &[u8]) -> Node {
        let digest = |name: u8| Digest::of(&[name]);
        let manifest = RawManifest::new(MediaType::OciIndex, vec![name].into());
        let children = children.iter().map(|child| digest(*child)).collect();
        Node { digest: digest(name), manifest, children, blobs: Vec::new() }
    }

    #[test]
    fn children_precede_parents_even_at_several_depths() {
        // Manifest 1 lists 2 and 3; manifest 2 lists 3 and 4.
        let ordered = children_first(vec![node(1, &[3, 2]), node(3, &[]), node(2, &[4, 3]), node(4, &[])]);
        let place = |name: u8| ordered.iter().position(|node| node.digest == Digest::of(&[name])).unwrap();
        assert_eq!(ordered.len(), 4);
        assert!(place(3) < place(2) && place(4) < place(2) && place(2) < place(1));
    }
}
