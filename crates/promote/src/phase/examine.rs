//! What is attached to images of staging, and what it amounts to: read once an image, for Provenance, Validate, Sign and
//! Attest.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use oci::{Descriptor, Digest, Graph, RawManifest, Reader, Repository, Selector};
use sigstore::TrustError;

use crate::event::{Event, Examination};
use crate::evidence::{
    Claim, Evidence, EvidenceError, FoundAttestation, FoundSignature, Hints, Rejected, Wanted, gather,
};
use crate::intern::Id;
use crate::notary::Notary;
use crate::phase::plan::{ImageId, Plan, by_host};
use crate::policy::{Image, Judgement, Platform, Policies, RejectedAttestation, VerifiedAttestation, judge};
use crate::run::Run;

/// The deepest nesting of indexes whose platforms are looked at; what is nested deeper is judged to be so.
const DEPTH_MAX: usize = 6;

/// What was found of an image, and what it amounts to.
#[derive(Clone, Debug)]
pub struct Examined {
    /// What is attached to it.
    pub(super) evidence: Evidence,
    /// What is attached to the platforms of an index, where these were looked at.
    pub(super) platforms: BTreeMap<Digest, Evidence>,
    /// What became of it under its policy.
    pub(super) judgement: Judgement,
    /// Whether its signatures count.
    pub(super) signatures: Signatures,
}

/// What the signatures of an image amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signatures {
    /// There are none.
    None,
    /// At least one is by whom staging's should be.
    Accepted,
    /// There are some, and none counts: why each does not.
    Refused(Vec<String>),
}

impl Examined {
    /// The signatures of the image by whom they should be.
    pub(super) fn accepted<'a>(&'a self, notary: &'a Notary) -> impl Iterator<Item = &'a FoundSignature> {
        self.evidence.signatures.iter().filter(|found| notary.verification.accepts(&found.signatory))
    }

    /// The attestations that a policy has accepted, of the image and of platforms that were judged by their own, with the
    /// digest that each is about.
    pub(super) fn counted(&self) -> Vec<(Digest, &FoundAttestation)> {
        let mut counted = Vec::new();
        self.collect(&self.judgement, &mut counted);
        counted
    }

    /// What became of an image, or of a platform that was judged by itself.
    pub(super) fn judgement_of(&self, digest: &Digest) -> Option<&Judgement> {
        fn find<'a>(judgement: &'a Judgement, digest: &Digest) -> Option<&'a Judgement> {
            if judgement.digest == *digest {
                return Some(judgement);
            }
            judgement.platforms.iter().find_map(|(_, platform)| find(platform, digest))
        }
        find(&self.judgement, digest)
    }

    fn collect<'a>(&'a self, judgement: &Judgement, counted: &mut Vec<(Digest, &'a FoundAttestation)>) {
        let evidence = if judgement.digest == self.judgement.digest {
            Some(&self.evidence)
        } else {
            self.platforms.get(&judgement.digest)
        };
        let places: BTreeSet<&str> = judgement.accepted().map(|finding| finding.place.as_str()).collect();
        let found = evidence.iter().flat_map(|evidence| &evidence.attestations);
        let accepted = found.filter(|found| places.contains(found.origin.to_string().as_str()));
        counted.extend(accepted.map(|found| (judgement.digest, found)));
        for (_, platform) in &judgement.platforms {
            self.collect(platform, counted);
        }
    }

    /// Why it must not be promoted for what is attested of it; none: it may.
    pub(super) fn unproven(&self) -> Option<String> {
        self.judgement.blocks().then(|| self.judgement.to_string())
    }

    /// Why it must not be promoted for its signatures; none: it may.
    pub(super) fn invalid(&self) -> Option<String> {
        match &self.signatures {
            Signatures::Refused(why) => {
                Some(format!("none of its signatures counts\n  {}", why.join("\n  ")))
            }
            Signatures::None | Signatures::Accepted => None,
        }
    }
}

/// Looks at images.
#[derive(Clone, Copy)]
pub(super) struct Examiner<'a> {
    pub(super) run: &'a Run,
    pub(super) reader: &'a Reader,
    pub(super) notary: &'a Notary,
    pub(super) policies: &'a Policies,
}

/// What came of looking at images.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) examined: HashMap<ImageId, Examined>,
    /// Images whose registry did not answer.
    pub(super) unread: Vec<(ImageId, Arc<oci::Error>)>,
}

impl Examiner<'_> {
    /// Looks at images, each once, and tells what was found.
    ///
    /// # Errors
    /// When something is to be verified and nobody knows whom to trust.
    pub(super) async fn look_at(&self, plan: &Plan, images: BTreeSet<ImageId>) -> Result<Looked, TrustError> {
        self.run.tell(&Event::Work { units: "images", more: images.len() });
        let found = by_host(
            self.run,
            plan.edges(),
            images,
            |(source, _)| source,
            async |image| {
                let examined = self.examine(plan, image).await;
                self.run.tell(&Event::Worked);
                (image, examined)
            },
        )
        .await;
        let mut looked = Looked::default();
        for (image, examined) in found {
            match examined {
                Ok(examined) => {
                    self.tell(plan, image, &examined);
                    looked.examined.insert(image, examined);
                }
                Err(EvidenceError::Registry(error)) => looked.unread.push((image, Arc::new(error))),
                Err(EvidenceError::Trust(error)) => return Err(error),
            }
        }
        Ok(looked)
    }

    /// Looks at one image.
    pub(super) async fn examine(&self, plan: &Plan, image_id: ImageId) -> Result<Examined, EvidenceError> {
        let (source, digest) = image_id;
        let repository = plan.edges().repository(source);
        let digest = *plan.edges().digest_name(digest);
        let policy = self.policies.of(repository);
        let evidence = self.gather(plan, source, digest, Wanted::All).await?;
        let mut platforms = BTreeMap::new();
        let mut image = image_of(digest, &evidence);
        // Where an index has no provenance of its own, its platforms have to have it.
        if policy.is_some() && !image.has_provenance() {
            let place = Place { plan, source, repository, graph: plan.graph(image_id) };
            image.platforms = self.platforms(&place, digest, &mut platforms, 1).await?;
        }
        let judgement = judge(policy, &image);
        let signatures = self.weigh_signatures(&evidence);
        Ok(Examined { evidence, platforms, judgement, signatures })
    }

    async fn gather(
        &self,
        plan: &Plan,
        source: Id<Repository>,
        digest: Digest,
        wanted: Wanted,
    ) -> Result<Evidence, EvidenceError> {
        let Self { reader, notary, .. } = self;
        let (repository, hints) = (plan.edges().repository(source), plan.hints(source, &digest));
        gather(reader, &notary.verification.trust, repository, digest, hints, wanted).await
    }

    /// What is attested of what an index lists; none where it is no index.
    fn platforms<'b>(
        &'b self,
        place: &'b Place<'b>,
        digest: Digest,
        found: &'b mut BTreeMap<Digest, Evidence>,
        depth: usize,
    ) -> BoxFuture<'b, Result<Option<Vec<Platform>>, EvidenceError>> {
        Box::pin(async move {
            let Some(children) = place.children(self.reader, digest).await? else { return Ok(None) };
            let mut platforms = Vec::new();
            for child in children {
                let mut platform = Platform {
                    name: child.platform.clone(),
                    image: image_of(child.digest, &Evidence::default()),
                };
                if platform.is_one() && depth < DEPTH_MAX {
                    let evidence =
                        self.gather(place.plan, place.source, child.digest, Wanted::Attestations).await?;
                    platform.image = image_of(child.digest, &evidence);
                    if child.media_type.is_index() && !platform.image.has_provenance() {
                        platform.image.platforms =
                            self.platforms(place, child.digest, found, depth + 1).await?;
                    }
                    found.insert(child.digest, evidence);
                }
                platforms.push(platform);
            }
            Ok(Some(platforms))
        })
    }

    fn weigh_signatures(&self, evidence: &Evidence) -> Signatures {
        let verification = &self.notary.verification;
        if evidence.signatures.iter().any(|found| verification.accepts(&found.signatory)) {
            return Signatures::Accepted;
        }
        let by_others = evidence.signatures.iter().map(|found| {
            let (signatory, staging) = (&found.signatory, &verification.staging);
            format!("{}: it is by {signatory}, and {staging} was expected", found.origin)
        });
        let rejected = evidence.rejected.iter().filter(|rejected| rejected.claim == Claim::Signature);
        let rejected = rejected.map(|Rejected { place, reason, .. }| format!("{place}: {reason}"));
        let why: Vec<String> = by_others.chain(rejected).collect();
        if why.is_empty() { Signatures::None } else { Signatures::Refused(why) }
    }

    fn tell(&self, plan: &Plan, (source, digest): ImageId, examined: &Examined) {
        let image = plan.edges().repository(source).at(*plan.edges().digest_name(digest));
        let Examined { judgement, signatures, evidence, .. } = examined;
        let counted = self.notary.verification.accepts_of(&evidence.signatures);
        self.run.tell(&Event::Examined(Arc::new(Examination {
            image,
            judgement: judgement.clone(),
            signed_by: counted,
            refused: match signatures {
                Signatures::Refused(why) => why.clone(),
                _ => Vec::new(),
            },
        })));
    }
}

/// An image whose parts are looked at.
struct Place<'a> {
    plan: &'a Plan,
    source: Id<Repository>,
    repository: &'a Repository,
    graph: Option<&'a Graph>,
}

impl Place<'_> {
    /// What an index lists; none where it is no index. What the plan has not read is read.
    async fn children(&self, reader: &Reader, digest: Digest) -> Result<Option<Vec<Descriptor>>, oci::Error> {
        let read = self.graph.and_then(|graph| graph.nodes().iter().find(|node| node.digest == digest));
        let manifest: RawManifest = match read {
            Some(node) => node.manifest.clone(),
            None => reader.manifest(self.repository, Selector::Digest(digest)).await?,
        };
        // What cannot be read as an index has no platforms; that it cannot be copied is told elsewhere.
        let parsed = manifest.media_type().is_index().then(|| manifest.parse().ok()).flatten();
        Ok(parsed.map(|parsed| parsed.children))
    }
}

/// What is attested of an image, as policies judge it.
fn image_of(digest: Digest, evidence: &Evidence) -> Image {
    let verified = evidence.attestations.iter().map(|found| VerifiedAttestation {
        signatory: found.signatory.clone(),
        statement: found.statement.clone(),
        place: found.origin.to_string(),
    });
    let rejected = evidence.rejected.iter().filter_map(|rejected| match &rejected.claim {
        Claim::Signature => None,
        Claim::Attestation(predicate_type) => Some(RejectedAttestation {
            predicate_type: predicate_type.clone(),
            reason: rejected.reason.clone(),
            place: rejected.place.clone(),
        }),
    });
    Image { digest, verified: verified.collect(), rejected: rejected.collect(), platforms: None }
}

/// What a listing has shown of an image's evidence.
pub(super) fn hints(plan: &Plan, repository: Id<Repository>, digest: &Digest) -> Hints {
    use oci::AttachmentKind::{Attestation, Signature};
    Hints {
        signatures: plan.attached(repository, digest, Signature),
        attestations: plan.attached(repository, digest, Attestation),
        referrers: plan.fallback(repository, digest),
    }
}
