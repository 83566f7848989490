//! The audit of an image: its digest, the entries of its index, and the attachments of each part.

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::{StreamExt, TryStreamExt, stream};
use oci::{Descriptor, Digest, IMAGE_DEPTH_MAX, IMAGE_MANIFESTS_MAX, Reader, Repository, Selector};
use sigstore::TrustError;

use super::finding::Audited;
use super::image::ImageName;
use super::judge::Judge;
use crate::config::Verification;
use crate::evidence::{
    Absent, EvidenceClient, EvidenceError, EvidenceKinds, FoundAttestation, FoundSignature, ListedTags,
    Rejected, fetch, is_about_content,
};
use crate::policy::{claims_exemption, is_exempt};
use crate::problem::Problem;
use crate::production::Production;

/// The maximum number of an index's images that are audited concurrently.
const AT_ONCE: usize = 8;
/// The reason for an attachment that is listed but absent.
const ABSENT: &str = "the registry lists it and does not have it";

/// The reason why an image could not be audited.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A request to the registry failed, or its credentials are missing.
    #[error(transparent)]
    Registry(#[from] oci::Error),
    /// The trusted root is not available.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The manifest is not that of an image.
    #[error("{0}@{1}: {2}")]
    Image(Repository, Digest, String),
}

impl From<EvidenceError> for AuditError {
    fn from(error: EvidenceError) -> Self {
        match error {
            EvidenceError::Registry(error) => Self::Registry(error),
            EvidenceError::Trust(error) => Self::Trust(error),
        }
    }
}

impl AuditError {
    /// Returns advice on how to resolve the error.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Registry(error) if error.status().is_some_and(|status| status.as_u16() == 404) => {
                let text =
                    "check the name: the registry does not have this image, or does not show it to you";
                Some(text.to_owned())
            }
            Self::Registry(error) => Problem::from(error).advice,
            Self::Trust(_) | Self::Image(..) => None,
        }
    }
}

/// Audits an image and all images that its index lists: their attachments, who has signed these, and whether they count.
///
/// Attachments are read from the image's own repository. For images below the production path, they are also read from the
/// canonical region, which holds the signatures and records of all regions.
///
/// # Errors
/// If a registry does not answer, or if the trusted root is not available. An invalid attachment is a finding, not an error.
pub async fn audit(
    reader: &Reader,
    verification: &Verification,
    production: &Production,
    image: &ImageName,
) -> Result<Audited, AuditError> {
    let judge = Judge::new(verification, production, &image.repository);
    let share = verification.budget.share();
    let mut auditor = Auditor {
        client: verification.client(reader, &share),
        repository: &image.repository,
        canonical: canonical(production, &image.repository),
        left: IMAGE_MANIFESTS_MAX,
    };
    let tree = auditor.tree(image).await?;
    auditor.look(&judge, tree).await
}

/// Returns the canonical repository of a production repository in another region.
fn canonical(production: &Production, repository: &Repository) -> Option<Repository> {
    let is_production = production.reference(repository) != repository.to_string();
    let is_elsewhere = repository.host != production.canonical_host;
    let host = production.canonical_host.clone();
    (is_production && is_elsewhere).then(|| Repository { host, path: repository.path.clone() })
}

/// An image with the images that its index lists.
struct Tree {
    digest: Digest,
    platform: Option<String>,
    children: Vec<Tree>,
}

struct Auditor<'a> {
    client: EvidenceClient<'a>,
    repository: &'a Repository,
    canonical: Option<Repository>,
    /// The number of images that may still be listed.
    left: usize,
}

impl Auditor<'_> {
    /// Returns the images to audit.
    async fn tree(&mut self, image: &ImageName) -> Result<Tree, AuditError> {
        let manifest = self.client.reader.manifest(self.repository, image.selector()).await?;
        // An image that was requested by a digest of another algorithm keeps that digest.
        let digest = image.digest().unwrap_or(manifest.digest());
        let parsed = manifest.parse().map_err(|error| self.fail(digest, &error))?;
        let children = self.children(digest, &parsed.children, 1).await?;
        Ok(Tree { digest, platform: None, children })
    }

    /// Returns the images that an index lists. BuildKit's attestation manifests are left out, because policies do not cover
    /// them and they are never signed.
    fn children<'a>(
        &'a mut self,
        index: Digest,
        listed: &'a [Descriptor],
        depth: usize,
    ) -> BoxFuture<'a, Result<Vec<Tree>, AuditError>> {
        async move {
            self.left = self.left.checked_sub(listed.len()).ok_or_else(|| {
                self.fail(index, &format!("it lists more than {IMAGE_MANIFESTS_MAX} manifests"))
            })?;
            let exempt = self.exempt(listed).await?;
            let mut children = Vec::new();
            for (child, is_exempt) in listed.iter().zip(exempt) {
                if is_exempt {
                    continue;
                }
                let mut deeper = Vec::new();
                if child.media_type.is_index() {
                    if depth == IMAGE_DEPTH_MAX {
                        return Err(
                            self.fail(index, &format!("indexes lie in it more than {IMAGE_DEPTH_MAX} deep"))
                        );
                    }
                    let manifest =
                        self.client.reader.manifest(self.repository, Selector::Digest(child.digest)).await?;
                    let parsed = manifest.parse().map_err(|error| self.fail(child.digest, &error))?;
                    deeper = self.children(child.digest, &parsed.children, depth + 1).await?;
                }
                children.push(Tree {
                    digest: child.digest,
                    platform: child.platform.clone(),
                    children: deeper,
                });
            }
            Ok(children)
        }
        .boxed()
    }

    /// Determines for each entry of an index whether it is exempt.
    async fn exempt(&self, listed: &[Descriptor]) -> Result<Vec<bool>, AuditError> {
        let each: Vec<_> = listed.iter().map(|child| self.is_exempt(listed, child)).collect();
        stream::iter(each).buffered(AT_ONCE).try_collect().await
    }

    /// Whether an entry of an index is exempt. The manifest is read only if the entry claims to be exempt.
    async fn is_exempt(&self, listed: &[Descriptor], child: &Descriptor) -> Result<bool, AuditError> {
        if !claims_exemption(listed, child) {
            return Ok(false);
        }
        match self.client.reader.manifest(self.repository, Selector::Digest(child.digest)).await {
            Ok(manifest) => Ok(is_exempt(listed, child, &manifest)),
            // A missing or invalid manifest is not exempt.
            Err(error) if is_about_content(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Audits an image and the images that its index lists.
    fn look<'a>(&'a self, judge: &'a Judge<'a>, tree: Tree) -> BoxFuture<'a, Result<Audited, AuditError>> {
        async move {
            let mut draft = judge.image(tree.digest, tree.platform.as_deref());
            for repository in std::iter::once(self.repository).chain(&self.canonical) {
                let (listed_tags, wanted) = (ListedTags::default(), EvidenceKinds::All);
                let evidence = fetch(self.client, repository, tree.digest, listed_tags, wanted).await?;
                for FoundSignature { signatory, reference, signed_at, location } in evidence.signatures {
                    draft.signature(&signatory, reference.as_deref(), signed_at, &location.to_string());
                }
                for FoundAttestation { signatory, statement, location, .. } in evidence.attestations {
                    draft.statement(&signatory, &statement, &location.to_string());
                }
                for Rejected { claim, reason, place } in evidence.rejected.iter().chain(&evidence.others) {
                    draft.refused(claim, reason, place);
                }
                for Absent { claim, place } in &evidence.absent {
                    draft.refused(claim, ABSENT, place);
                }
            }
            let each = tree.children.into_iter().map(|child| self.look(judge, child));
            let platforms = stream::iter(each).buffered(AT_ONCE).try_collect().await?;
            Ok(draft.finish(platforms))
        }
        .boxed()
    }

    fn fail(&self, digest: Digest, problem: &dyn std::fmt::Display) -> AuditError {
        AuditError::Image(self.repository.clone(), digest, problem.to_string())
    }
}
