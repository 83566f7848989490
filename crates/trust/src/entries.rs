//! The entries of an image's indexes, and which of them are exempt from policies.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use oci::{Descriptor, Digest, Graph, Outline, RawManifest, Reader, Repository, Selector};

use crate::evidence::is_about_content;
use crate::policy::{claims_exemption, exempt_parts, is_exempt};

/// The manifests of an image in a repository.
pub struct ImageManifests<'a> {
    /// Fetches manifests that have not been read.
    pub reader: &'a Reader,
    /// The repository that has the image.
    pub repository: &'a Repository,
    /// The manifests that have already been read.
    pub graph: Option<&'a Graph>,
}

impl ImageManifests<'_> {
    /// Returns a manifest of the image. Sends a request if it has not been read.
    ///
    /// # Errors
    /// Returns an error if the manifest cannot be read.
    pub async fn manifest(&self, digest: Digest) -> Result<RawManifest, oci::Error> {
        let read = self.graph.and_then(|graph| graph.nodes().iter().find(|node| node.digest == digest));
        match read {
            Some(node) => Ok(node.manifest.clone()),
            None => self.reader.manifest(self.repository, Selector::Digest(digest)).await,
        }
    }

    /// Returns a manifest of the image, or `None` if it is missing or broken.
    async fn readable(&self, digest: Digest) -> Result<Option<RawManifest>, oci::Error> {
        match self.manifest(digest).await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(error) if is_about_content(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the entries of an index, or `None` if the manifest is not an index or cannot be interpreted.
    ///
    /// # Errors
    /// Returns an error if the registry does not answer.
    pub async fn entries(&self, index: Digest) -> Result<Option<Vec<Descriptor>>, oci::Error> {
        let index = self.readable(index).await?.filter(|manifest| manifest.media_type().is_index());
        Ok(index.and_then(|manifest| manifest.parse().ok()).map(|parsed| parsed.children))
    }

    /// Whether an entry of an index is exempt (see [`is_exempt`]). The manifest is read only if the entry claims to be exempt;
    /// one that cannot be read is not exempt.
    ///
    /// # Errors
    /// Returns an error if the registry does not answer.
    pub async fn is_exempt(&self, siblings: &[Descriptor], entry: &Descriptor) -> Result<bool, oci::Error> {
        if !claims_exemption(siblings, entry) {
            return Ok(false);
        }
        let manifest = self.readable(entry.digest).await?;
        Ok(manifest.is_some_and(|manifest| is_exempt(siblings, entry, &manifest)))
    }

    /// Returns the digests of the entries that are exempt in every index of the image that lists them (see [`exempt_parts`]).
    ///
    /// Sends one request for each entry that claims to be exempt and has not been read.
    ///
    /// # Errors
    /// Returns an error if the registry does not answer.
    pub async fn exempt(&self, outline: &Outline) -> Result<HashSet<Digest>, oci::Error> {
        let claims = outline.indexes.values().flat_map(|siblings| {
            siblings.iter().filter(move |entry| claims_exemption(siblings, entry)).map(|entry| entry.digest)
        });
        let mut manifests = BTreeMap::new();
        for digest in claims.collect::<BTreeSet<Digest>>() {
            if let Some(manifest) = self.readable(digest).await? {
                manifests.insert(digest, manifest);
            }
        }
        let indexes = outline.indexes.values().map(Vec::as_slice);
        Ok(exempt_parts(indexes, |digest| manifests.get(digest)))
    }
}
