//! An image with all its parts, as its manifests name them.

use std::collections::{HashMap, HashSet};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use oci_types::Digest;
use oci_types::DigestReference;
use oci_types::{Descriptor, RawManifest};

use crate::error::{Error, ErrorKind};
use crate::read::Selector;
use crate::reader::Reader;

/// The maximum nesting depth of indexes.
pub const IMAGE_DEPTH_MAX: usize = 6;
/// The maximum number of manifests of one image.
pub const IMAGE_MANIFESTS_MAX: usize = 1_000;
/// The maximum size of all manifests of one image together, in bytes.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// How many manifests of one image are read concurrently.
const AT_ONCE: usize = 8;

/// A manifest of an image and its parts.
#[derive(Clone, Debug)]
pub struct Node {
    /// The digest by which it is referenced.
    pub digest: Digest,
    /// The manifest.
    pub manifest: RawManifest,
    /// The digests of the manifests that it lists.
    pub children: Vec<Digest>,
    /// The blobs that it names, except foreign layers, which clients do not push.
    pub blobs: Vec<Descriptor>,
}

/// All manifests of an image, without duplicates, parts before wholes. The last one is the image itself.
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
        let doing = || format!("reading all of {image}");
        let unreasonable = |what: String| Error::new(doing(), ErrorKind::Unreasonable(what));
        let mut levels: Vec<Vec<Node>> = Vec::new();
        let mut seen = HashSet::from([image.digest]);
        let mut next = vec![(image.digest, None)];
        let mut bytes = 0;
        while !next.is_empty() {
            if levels.len() == IMAGE_DEPTH_MAX {
                return Err(unreasonable(format!("its indexes are nested more than {IMAGE_DEPTH_MAX} deep")));
            }
            let level: Vec<(Node, Vec<Descriptor>)> = stream::iter(next.drain(..))
                .map(|(digest, size)| read_node(reader, image, digest, size))
                .buffered(AT_ONCE)
                .try_collect()
                .await?;
            for (node, children) in &level {
                bytes += node.manifest.bytes().len();
                next.extend(
                    children.iter().filter(|c| seen.insert(c.digest)).map(|c| (c.digest, Some(c.size))),
                );
            }
            if seen.len() > IMAGE_MANIFESTS_MAX || bytes > BYTES_MAX {
                return Err(unreasonable(format!(
                    "it has more than {IMAGE_MANIFESTS_MAX} manifests or {BYTES_MAX} bytes of them"
                )));
            }
            // The sizes in the descriptors are bounded before the next level is read. Reading then checks each manifest against
            // its size.
            let claimed =
                next.iter().fold(bytes as u64, |sum, (_, size)| sum.saturating_add(size.unwrap_or(0)));
            if claimed > BYTES_MAX as u64 {
                return Err(unreasonable(format!("its manifests have more than {BYTES_MAX} bytes")));
            }
            levels.push(level.into_iter().map(|(node, _)| node).collect());
        }
        Ok(Self { nodes: parts_first(levels.into_iter().flatten().collect()) })
    }

    /// Reads the image's own manifest alone. This suffices to tag an image that exists.
    ///
    /// # Errors
    /// Returns an error if the manifest is missing, wrong or unsupported.
    pub async fn read_root(reader: &Reader, image: &DigestReference) -> Result<Self, Error> {
        let (root, _) = read_node(reader, image, image.digest, None).await?;
        Ok(Self { nodes: vec![root] })
    }

    /// Returns the manifests, parts before wholes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Returns the manifest of the image itself.
    pub fn root(&self) -> &Node {
        #[expect(clippy::expect_used, reason = "a graph is only made with the image it was read for")]
        self.nodes.last().expect("a graph has a root")
    }

    /// Returns `true` if the graph contains all manifests that its manifests list, rather than the image's own manifest alone.
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

async fn read_node(
    reader: &Reader,
    image: &DigestReference,
    digest: Digest,
    size: Option<u64>,
) -> Result<(Node, Vec<Descriptor>), Error> {
    let manifest = reader.manifest(&image.repository, Selector::Digest(digest)).await?;
    let fail = |kind| Error::new(format!("reading {}@{digest}", image.repository), kind);
    let got = manifest.bytes().len() as u64;
    if let Some(expected) = size.filter(|size| *size != got) {
        return Err(fail(ErrorKind::WrongSize { expected, got }));
    }
    let parsed = manifest.parse().map_err(|error| fail(ErrorKind::Manifest(error)))?;
    let blobs = parsed.blobs.into_iter().filter(|blob| !blob.foreign).collect();
    let children = parsed.children.iter().map(|child| child.digest).collect();
    Ok((Node { digest, manifest, children, blobs }, parsed.children))
}

/// Orders manifests so that each one follows all its parts. A part may occur at several depths.
fn parts_first(nodes: Vec<Node>) -> Vec<Node> {
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
    use oci_types::MediaType;

    use super::*;

    fn node(name: u8, children: &[u8]) -> Node {
        let digest = |name: u8| Digest::of(&[name]);
        let manifest = RawManifest::new(MediaType::OciIndex, vec![name].into());
        let children = children.iter().map(|child| digest(*child)).collect();
        Node { digest: digest(name), manifest, children, blobs: Vec::new() }
    }

    #[test]
    fn parts_come_before_wholes_even_where_they_stand_at_two_depths() {
        // Manifest 1 lists 2 and 3; manifest 2 lists 3 and 4.
        let ordered = parts_first(vec![node(1, &[3, 2]), node(3, &[]), node(2, &[4, 3]), node(4, &[])]);
        let place = |name: u8| ordered.iter().position(|node| node.digest == Digest::of(&[name])).unwrap();
        assert_eq!(ordered.len(), 4);
        assert!(place(3) < place(2) && place(4) < place(2) && place(2) < place(1));
    }
}
