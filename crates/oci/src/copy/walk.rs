//! Reads the manifests of an image level by level, within the limits on images. This is the only walk of an image.

use std::collections::HashSet;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use oci_types::{Descriptor, Digest, RawManifest, Repository};

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

/// A manifest that was read, with its entries if it is an index.
pub(super) struct Visited {
    pub(super) node: Node,
    pub(super) entries: Vec<Descriptor>,
}

/// Reads the manifests of an image, those of each level before those below it. Reads each manifest once.
///
/// `root` is the image's own manifest, and the digest by which it is referenced. `reads` selects the entries of indexes that
/// are read; all others count towards the limits.
///
/// # Errors
/// Returns an error if a manifest is missing, wrong or unsupported, or if the image exceeds the limits on manifests.
pub(super) async fn walk(
    reader: &Reader,
    repository: &Repository,
    (image, root): (Digest, RawManifest),
    reads: impl Fn(&Descriptor) -> bool,
) -> Result<Vec<Visited>, Error> {
    let unreasonable = |what: String| {
        Error::new(format!("reading all of {repository}@{image}"), ErrorKind::Unreasonable(what))
    };
    let mut visited = Vec::new();
    let mut seen = HashSet::from([image]);
    let mut level = vec![visit(repository, image, root)?];
    let mut bytes = 0;
    for depth in 1.. {
        let mut next = Vec::new();
        for Visited { node, entries } in &level {
            bytes += node.manifest.bytes().len();
            let new = entries.iter().filter(|entry| seen.insert(entry.digest));
            next.extend(new.filter(|entry| reads(entry)).map(|entry| (entry.digest, entry.size)));
        }
        visited.append(&mut level);
        // The sizes in the descriptors are bounded before the next level is read. Reading then checks each manifest against its
        // size.
        let claimed = next.iter().fold(bytes as u64, |sum, (_, size)| sum.saturating_add(*size));
        if seen.len() > IMAGE_MANIFESTS_MAX || claimed > BYTES_MAX as u64 {
            return Err(unreasonable(format!(
                "it has more than {IMAGE_MANIFESTS_MAX} manifests or {BYTES_MAX} bytes of them"
            )));
        }
        if next.is_empty() {
            break;
        }
        if depth == IMAGE_DEPTH_MAX {
            return Err(unreasonable(format!("its indexes are nested more than {IMAGE_DEPTH_MAX} deep")));
        }
        let reading = next.into_iter().map(|(digest, size)| read(reader, repository, digest, size));
        level = stream::iter(reading).buffered(AT_ONCE).try_collect().await?;
    }
    Ok(visited)
}

async fn read(
    reader: &Reader,
    repository: &Repository,
    digest: Digest,
    expected: u64,
) -> Result<Visited, Error> {
    let manifest = reader.manifest(repository, Selector::Digest(digest)).await?;
    let got = manifest.bytes().len() as u64;
    if expected != got {
        return Err(fail(repository, digest, ErrorKind::WrongSize { expected, got }));
    }
    visit(repository, digest, manifest)
}

/// Parses a manifest that is referenced by a digest.
///
/// # Errors
/// Returns an error if the manifest is invalid or unsupported.
pub(super) fn visit(
    repository: &Repository,
    digest: Digest,
    manifest: RawManifest,
) -> Result<Visited, Error> {
    let parsed = manifest.parse().map_err(|error| fail(repository, digest, ErrorKind::Manifest(error)))?;
    let blobs = parsed.blobs.into_iter().filter(|blob| !blob.foreign).collect();
    let children = parsed.children.iter().map(|child| child.digest).collect();
    Ok(Visited { node: Node { digest, manifest, children, blobs }, entries: parsed.children })
}

fn fail(repository: &Repository, digest: Digest, kind: ErrorKind) -> Error {
    Error::new(format!("reading {repository}@{digest}"), kind)
}
