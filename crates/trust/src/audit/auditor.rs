//! The audit of an image: its digest, the entries of its index, and the attachments of each part.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::{StreamExt, TryStreamExt, stream};
use oci::{Descriptor, Digest, Found, IMAGE_MANIFESTS_MAX, Reader, Repository, Selector};
use sigstore::TrustError;

use super::finding::Audited;
use super::image::ImageName;
use super::judge::{ImageFindings, Judge, unexamined};
use crate::config::Verification;
use crate::entries::ImageManifests;
use crate::evidence::{
    Absent, EvidenceClient, EvidenceError, EvidenceKinds, Failures, FoundAttestation, FoundSignature,
    ListedTags, Rejected, fetch,
};
use crate::problem::Problem;
use crate::production::Production;

/// The maximum number of an index's images that are audited concurrently.
const AT_ONCE: usize = 8;
/// The reason for an attachment that is listed but absent.
const ABSENT: &str = "the registry lists it but does not have it";

/// The reason why an image could not be audited.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The image cannot be read.
    #[error(transparent)]
    Registry(#[from] oci::Error),
    /// What is attached to an image cannot be read.
    #[error(transparent)]
    Attachments(oci::Error),
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
            EvidenceError::Registry(error) => Self::Attachments(error),
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
            Self::Registry(error) | Self::Attachments(error) => Problem::from(error).advice,
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
/// If the trusted root is not available, or if a registry does not answer, or its answers leave open what is attached, and no part
/// of the image is proven to be unsigned. An attachment that is proven to be invalid is a finding, not an error.
pub async fn audit(
    reader: &Reader,
    verification: &Verification,
    production: &Production,
    image: &ImageName,
) -> Result<Audited, AuditError> {
    let judge = Judge::new(verification, production, &image.repository);
    let share = verification.budget.share();
    let auditor = Auditor {
        client: EvidenceClient { failures: Failures::LeaveOpen, ..verification.client(reader, &share) },
        repository: &image.repository,
        canonical: canonical(production, &image.repository),
    };
    let tree = auditor.tree(image).await?;
    match auditor.audit_tree(&judge, tree).await {
        // An image that is proven to be unsigned is refused even if other parts could not be read.
        (audited, Some(error)) if !audited.is_refused() => Err(error),
        (audited, _) => Ok(audited),
    }
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
}

impl Auditor<'_> {
    /// Returns the images to audit. BuildKit's attestation manifests are left out, because policies do not cover them and they
    /// are never signed.
    async fn tree(&self, image: &ImageName) -> Result<Tree, AuditError> {
        let EvidenceClient { reader, .. } = self.client;
        let manifest = reader.manifest(self.repository, image.selector()).await?;
        // An image that was requested by a digest of another algorithm keeps that digest.
        let digest = image.digest().unwrap_or(manifest.digest());
        let outline = reader.outline_below(self.repository, digest, manifest).await?;
        let each = outline.indexes.into_iter().map(|(index, listed)| self.covered(index, listed));
        let indexes: Vec<_> = stream::iter(each).buffered(AT_ONCE).try_collect().await?;
        let indexes: BTreeMap<Digest, Vec<Descriptor>> = indexes.into_iter().collect();
        let listed: BTreeSet<Digest> = indexes.values().flatten().map(|entry| entry.digest).collect();
        let images = listed.into_iter().filter(|digest| !indexes.contains_key(digest));
        let each: Vec<_> = images.map(|image| self.check_type(digest, image)).collect();
        stream::iter(each).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        let mut left = IMAGE_MANIFESTS_MAX;
        tree(digest, None, &indexes, &mut left).ok_or_else(|| {
            let problem = format!("its indexes list more than {IMAGE_MANIFESTS_MAX} manifests");
            AuditError::Image(self.repository.clone(), digest, problem)
        })
    }

    /// Checks that a manifest which an index lists as an image is one. If it is an index, its platforms would not be audited.
    async fn check_type(&self, index: Digest, image: Digest) -> Result<(), AuditError> {
        let EvidenceClient { reader, .. } = self.client;
        let found = reader.find_manifest(self.repository, Selector::Digest(image)).await?;
        match found {
            Found::Present(manifest) if manifest.parse().is_ok_and(|parsed| !parsed.children.is_empty()) => {
                let problem = format!("it lists {image} as an image, which is an index");
                Err(AuditError::Image(self.repository.clone(), index, problem))
            }
            Found::Present(_) | Found::Absent(_) => Ok(()),
        }
    }

    /// Returns an index with its entries that are not exempt.
    async fn covered(
        &self,
        index: Digest,
        listed: Vec<Descriptor>,
    ) -> Result<(Digest, Vec<Descriptor>), oci::Error> {
        let EvidenceClient { reader, .. } = self.client;
        let manifests = ImageManifests { reader, repository: self.repository, graph: None };
        let each: Vec<_> = listed.iter().map(|entry| manifests.is_exempt(&listed, entry)).collect();
        let exempt: Vec<bool> = stream::iter(each).buffered(AT_ONCE).try_collect().await?;
        let covered = listed.into_iter().zip(exempt).filter(|(_, is_exempt)| !is_exempt);
        Ok((index, covered.map(|(entry, _)| entry).collect()))
    }

    /// Audits an image and the images that its index lists. Returns also the first error: what it concerns is not examined, and
    /// the rest is.
    fn audit_tree<'a>(
        &'a self,
        judge: &'a Judge<'a>,
        tree: Tree,
    ) -> BoxFuture<'a, (Audited, Option<AuditError>)> {
        async move {
            let Tree { digest, platform, children } = tree;
            let own = self.attachments(judge, digest, platform.as_deref()).await;
            let each = children.into_iter().map(|child| self.audit_tree(judge, child));
            let each: Vec<_> = stream::iter(each).buffered(AT_ONCE).collect().await;
            let (platforms, errors): (Vec<Audited>, Vec<Option<AuditError>>) = each.into_iter().unzip();
            let error_below = errors.into_iter().flatten().next();
            match own {
                Ok(findings) => (findings.finish(platforms), error_below),
                Err(error) => {
                    let audited = unexamined(digest, platform.as_deref(), &error.to_string());
                    (Audited { platforms, ..audited }, Some(error.into()))
                }
            }
        }
        .boxed()
    }

    /// Reads what is attached to an image itself.
    ///
    /// # Errors
    /// If the registry does not answer, or if no signature of the image counts and an answer leaves open what is attached.
    async fn attachments<'a>(
        &self,
        judge: &'a Judge<'a>,
        digest: Digest,
        platform: Option<&str>,
    ) -> Result<ImageFindings<'a>, EvidenceError> {
        let mut findings = judge.image(digest, platform);
        let mut unproven = None;
        for repository in std::iter::once(self.repository).chain(&self.canonical) {
            let (listed_tags, wanted) = (ListedTags::default(), EvidenceKinds::All);
            let evidence = fetch(self.client, repository, digest, listed_tags, wanted).await?;
            for FoundSignature { signatory, reference, signed_at, location } in evidence.signatures {
                findings.signature(&signatory, reference.as_deref(), signed_at, &location.to_string());
            }
            for FoundAttestation { signatory, statement, location, .. } in evidence.attestations {
                findings.statement(&signatory, &statement, &location.to_string());
            }
            for Rejected { claim, reason, place } in evidence.rejected.iter().chain(&evidence.others) {
                findings.refused(claim, reason, place);
            }
            for Absent { claim, place } in &evidence.absent {
                findings.refused(claim, ABSENT, place);
            }
            unproven = unproven.or(evidence.unproven);
        }
        match unproven {
            Some(error) if !findings.is_signed() => Err(error.into()),
            _ => Ok(findings),
        }
    }
}

/// Returns an image with the images that its index lists, or `None` if these are more than `left`. An image that is listed
/// several times occurs several times.
fn tree(
    digest: Digest,
    platform: Option<String>,
    indexes: &BTreeMap<Digest, Vec<Descriptor>>,
    left: &mut usize,
) -> Option<Tree> {
    *left = left.checked_sub(1)?;
    let entries = indexes.get(&digest).into_iter().flatten();
    let children: Option<Vec<_>> =
        entries.map(|entry| tree(entry.digest, entry.platform.clone(), indexes, left)).collect();
    Some(Tree { digest, platform, children: children? })
}
