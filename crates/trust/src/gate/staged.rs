//! An image in the staging repositories that have it.

use oci::{Digest, Graph, Repository};

use crate::evidence::{Evidence, EvidenceClient, EvidenceError, EvidenceKinds, ListedTags, fetch};

/// A staging repository, with what a listing has shown of it.
pub struct Source<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// What a listing has shown of the tags of a manifest's evidence.
    pub listed: Box<dyn Fn(&Digest) -> ListedTags + Send + Sync + 'a>,
}

/// An image in the staging repositories that have it.
pub struct Staged<'a> {
    /// What evidence is fetched with.
    pub client: EvidenceClient<'a>,
    /// The repository that serves it.
    pub source: Source<'a>,
    /// The others that may serve it.
    pub others: Vec<Source<'a>>,
    /// What has been read of the image before.
    pub graph: Option<&'a Graph>,
    /// Takes warnings.
    pub warn: &'a (dyn Fn(String) + Send + Sync),
}

impl Staged<'_> {
    /// What is attached to a manifest of the image in any of the repositories. Of the others, one that does not answer is left
    /// out, with a warning.
    ///
    /// # Errors
    /// When the repository that serves the image does not answer, and when the trusted root is not available.
    pub(super) async fn evidence(
        &self,
        digest: Digest,
        kinds: EvidenceKinds,
    ) -> Result<Evidence, EvidenceError> {
        let mut evidence = self.evidence_at(&self.source, digest, kinds).await?;
        for other in &self.others {
            match self.evidence_at(other, digest, kinds).await {
                Ok(more) => evidence.extend(more),
                // A policy that needs what is attached there is not satisfied.
                Err(EvidenceError::Registry(error)) => {
                    let repository = other.repository;
                    (self.warn)(format!("what {repository} has attached to {digest} is left out: {error}"));
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
