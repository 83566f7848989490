//! Looking at an image: which it is, what it lists, and what is attached to each part.

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

/// How many images of an index are looked at at once.
const AT_ONCE: usize = 8;
/// Why something that is listed and not there proves nothing.
const ABSENT: &str = "the registry lists it and does not have it";

/// Why an image could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The registry, or its credentials.
    #[error(transparent)]
    Registry(#[from] oci::Error),
    /// Nobody knows whom to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// What is there is no image.
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
    /// What the person who reads the error could do.
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

/// Looks at an image and at all that it lists: what is attached to them, who has signed it, and whether that counts.
///
/// What is attached is read from the image's own repository; below the production path also from the canonical region,
/// which holds the signatures and records of all regions.
///
/// # Errors
/// When a registry or trust cannot be had. What is attached and makes no sense is a finding.
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

/// Where a production region's signatures are, if not with its images.
fn canonical(production: &Production, repository: &Repository) -> Option<Repository> {
    let is_production = production.reference(repository) != repository.to_string();
    let is_elsewhere = repository.host != production.canonical_host;
    let host = production.canonical_host.clone();
    (is_production && is_elsewhere).then(|| Repository { host, path: repository.path.clone() })
}

/// An image, and those that it lists.
struct Tree {
    digest: Digest,
    platform: Option<String>,
    children: Vec<Tree>,
}

struct Auditor<'a> {
    client: EvidenceClient<'a>,
    repository: &'a Repository,
    canonical: Option<Repository>,
    /// How many images may yet be listed.
    left: usize,
}

impl Auditor<'_> {
    /// Which images there are to look at.
    async fn tree(&mut self, image: &ImageName) -> Result<Tree, AuditError> {
        let manifest = self.client.reader.manifest(self.repository, image.selector()).await?;
        // What is asked for by a digest of another algorithm is known by that.
        let digest = image.digest().unwrap_or(manifest.digest());
        let parsed = manifest.parse().map_err(|error| self.fail(digest, &error))?;
        let children = self.children(digest, &parsed.children, 1).await?;
        Ok(Tree { digest, platform: None, children })
    }

    /// The images that an index lists, without BuildKit's attestation manifests: what is exempt from policies and never signed.
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

    /// Which entries of an index are exempt.
    async fn exempt(&self, listed: &[Descriptor]) -> Result<Vec<bool>, AuditError> {
        let each: Vec<_> = listed.iter().map(|child| self.is_exempt(listed, child)).collect();
        stream::iter(each).buffered(AT_ONCE).try_collect().await
    }

    /// Whether an entry of an index is exempt. Only the manifest of one that claims it is read.
    async fn is_exempt(&self, listed: &[Descriptor], child: &Descriptor) -> Result<bool, AuditError> {
        if !claims_exemption(listed, child) {
            return Ok(false);
        }
        match self.client.reader.manifest(self.repository, Selector::Digest(child.digest)).await {
            Ok(manifest) => Ok(is_exempt(listed, child, &manifest)),
            // What is not there, or is no manifest, is not exempt.
            Err(error) if is_about_content(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What is found of an image and of those that it lists.
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
