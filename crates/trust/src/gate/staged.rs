//! An image in the staging repositories that have it.

use oci::{Digest, Graph, Repository};

use crate::entries::ImageManifests;
use crate::evidence::{Evidence, EvidenceClient, EvidenceError, EvidenceKinds, ListedTags, fetch};

/// A staging repository, with the tags that a listing has shown.
pub struct Source<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// Returns what a listing has shown about the evidence tags of a manifest.
    pub listed: Box<dyn Fn(&Digest) -> ListedTags + Send + Sync + 'a>,
}

/// An image in the staging repositories that have it.
pub struct Staged<'a> {
    /// Fetches the evidence.
    pub client: EvidenceClient<'a>,
    /// The repository that serves the image.
    pub source: Source<'a>,
    /// The other repositories that may serve the image.
    pub others: Vec<Source<'a>>,
    /// The manifests of the image that have already been read.
    pub graph: Option<&'a Graph>,
    /// Receives warnings.
    pub warn: &'a (dyn Fn(String) + Send + Sync),
}

impl Staged<'_> {
    /// Returns the manifests of the image.
    pub(super) fn manifests(&self) -> ImageManifests<'_> {
        let Self { client, source, graph, .. } = self;
        ImageManifests { reader: client.reader, repository: source.repository, graph: *graph }
    }

    /// Fetches the evidence of a manifest of the image from all repositories. If one of the other repositories does not
    /// answer, it is left out with a warning.
    ///
    /// # Errors
    /// If the repository that serves the image does not answer, or if the trusted root is not available.
    pub(crate) async fn evidence(
        &self,
        digest: Digest,
        kinds: EvidenceKinds,
    ) -> Result<Evidence, EvidenceError> {
        let mut evidence = self.evidence_at(&self.source, digest, kinds).await?;
        for other in &self.others {
            match self.evidence_at(other, digest, kinds).await {
                Ok(more) => evidence.extend(more),
                // If a policy needs evidence from this repository, the image does not satisfy it.
                Err(EvidenceError::Registry(error)) => {
                    let repository = other.repository;
                    (self.warn)(format!("the attachments of {digest} in {repository} are left out: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(evidence)
    }

    async fn evidence_at(
        &self,
        source: &Source<'_>,
        digest: Digest,
        kinds: EvidenceKinds,
    ) -> Result<Evidence, EvidenceError> {
        fetch(self.client, source.repository, digest, (source.listed)(&digest), kinds).await
    }
}
