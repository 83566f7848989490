//! The gate: what is attached to images of staging, and whether it lets them pass. Each image is looked at once a run, for
//! Provenance, Validate, Promote, Sign and Attest alike; what passes is a value without which none of these does anything for it
//! (specification 02, *One gate*).

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use futures_util::future::BoxFuture;
use oci::{
    Descriptor, Digest, Graph, Host, IMAGE_DEPTH_MAX, IMAGE_MANIFESTS_MAX, RawManifest, Reader, Repository,
    Selector,
};
use serde_json::Value;
use sigstore::TrustError;

use crate::edge::{ImageId, SharedImages};
use crate::error::Blocked;
use crate::event::{Event, Examination};
use crate::evidence::{
    Claim, Evidence, EvidenceError, FoundAttestation, FoundSignature, Means, Rejected, Wanted, gather,
    is_about_content,
};
use crate::intern::Id;
use crate::notary::Notary;
use crate::phase::hosts::by_host;
use crate::phase::plan::Plan;
use crate::policy::{
    AttestationId, Image, Judgement, Platform, Policies, Policy, RejectedAttestation, VerifiedAttestation,
    claims_exemption, is_exempt, judge,
};
use crate::run::Run;
use crate::text::shown;

/// The most of a text from outside that a reason has, in characters.
const SHOWN_MAX: usize = 1_000;

/// What was found of an image, and what it amounts to. Of what is attached it keeps what later phases carry, and lets go of
/// what it was found by: statements alone can have megabytes an image.
#[derive(Clone, Debug)]
pub struct Assessment {
    /// The signatures that count, and the attestations that its policies accept.
    pub(super) evidence: Evidence,
    /// The attestations of platforms that the policies accept, where these were looked at.
    pub(super) platforms: BTreeMap<Digest, Evidence>,
    /// What became of it under its policy; under that of each staging repository, where several serve it. Never empty.
    judgements: Vec<Judgement>,
    /// Whether its signatures count.
    signatures: Signatures,
}

/// An image that has passed Provenance and Validate in this run. Only `Assessment::pass` makes one.
///
/// ```compile_fail,E0451
/// fn forge(assessment: promote::phase::Assessment) -> promote::phase::Passed {
///     promote::phase::Passed { assessment }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Passed {
    assessment: Assessment,
}

impl Passed {
    /// What was found of the image.
    pub(super) fn assessment(&self) -> &Assessment {
        &self.assessment
    }
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

impl Assessment {
    /// The signatures of the image by whom they should be.
    pub(super) fn accepted<'a>(&'a self, notary: &'a Notary) -> impl Iterator<Item = &'a FoundSignature> {
        self.evidence.signatures.iter().filter(|found| notary.verification.accepts(&found.signatory))
    }

    /// The attestations that a policy has accepted, of the image and of platforms that were judged by their own, with the
    /// digest that each is about.
    pub(super) fn counted(&self) -> Vec<(Digest, &FoundAttestation)> {
        let mut counted = Vec::new();
        self.judgements.iter().for_each(|judgement| self.collect(judgement, &mut counted));
        let mut seen = HashSet::new();
        counted.retain(|(about, found)| seen.insert((*about, found.origin.id())));
        counted
    }

    /// What became of the image: under the policy that it satisfies least, where there are several.
    pub(super) fn judgement(&self) -> &Judgement {
        #[expect(clippy::expect_used, reason = "an image is judged once without a policy")]
        self.judgements.iter().max_by_key(|judgement| rank(judgement)).expect("an image has a judgement")
    }

    /// What became of a manifest of the image. One that was not judged by itself has the verdict of the index that lists it.
    pub(super) fn judgement_of(&self, digest: &Digest) -> &Judgement {
        self.judgement().of_part(digest)
    }

    /// The proof that the image has passed.
    ///
    /// # Errors
    /// Why it has not.
    pub(super) fn pass(self) -> Result<Passed, String> {
        match self.refusal() {
            Some(why) => Err(why),
            None => Ok(Passed { assessment: self }),
        }
    }

    /// Why the image has not passed.
    pub(super) fn refusal(&self) -> Option<String> {
        self.unproven().or_else(|| self.invalid())
    }

    /// Lets go of what no later phase asks for.
    fn forget_the_rest(mut self, notary: &Notary) -> Self {
        let mut accepted: HashMap<Digest, HashSet<AttestationId>> = HashMap::new();
        // Nothing is carried that no policy asks for.
        for judgement in self.judgements.iter().filter(|judgement| judgement.mode.is_some()) {
            note_accepted(judgement, &mut accepted);
        }
        let image = self.judgement().digest;
        let mut retain = |digest: &Digest, evidence: &mut Evidence| {
            let accepted = accepted.remove(digest).unwrap_or_default();
            evidence.attestations.retain(|found| accepted.contains(&found.origin.id()));
            evidence.attestations.iter_mut().for_each(|found| found.statement.predicate = Value::Null);
            evidence.signatures.retain(|found| notary.verification.accepts(&found.signatory));
            (evidence.rejected, evidence.others) = (Vec::new(), Vec::new());
        };
        retain(&image, &mut self.evidence);
        self.platforms.iter_mut().for_each(|(digest, evidence)| retain(digest, evidence));
        self
    }

    fn collect<'a>(&'a self, judgement: &Judgement, counted: &mut Vec<(Digest, &'a FoundAttestation)>) {
        let evidence = if judgement.digest == self.judgement().digest {
            Some(&self.evidence)
        } else {
            self.platforms.get(&judgement.digest)
        };
        let ids: BTreeSet<AttestationId> = judgement.accepted().filter_map(|finding| finding.id).collect();
        let found = evidence.iter().flat_map(|evidence| &evidence.attestations);
        let accepted = found.filter(|found| ids.contains(&found.origin.id()));
        counted.extend(accepted.map(|found| (judgement.digest, found)));
        for (_, platform) in &judgement.platforms {
            self.collect(platform, counted);
        }
    }

    /// Why it must not be promoted for what is attested of it; none: it may.
    pub(super) fn unproven(&self) -> Option<String> {
        self.judgement().blocks().then(|| self.judgement().to_string())
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

/// How bad a verdict is: of several, the greatest holds. Where all pass, one of a policy says more than one without.
pub(super) fn rank(judgement: &Judgement) -> impl Ord + use<> {
    let has_policy = judgement.mode.is_some();
    (judgement.blocks(), !judgement.is_satisfied(), has_policy, Reverse(judgement.level))
}

/// Takes note of the attestations that count, by the digest that they are attached to.
fn note_accepted(judgement: &Judgement, accepted: &mut HashMap<Digest, HashSet<AttestationId>>) {
    let ids = judgement.accepted().filter_map(|finding| finding.id);
    accepted.entry(judgement.digest).or_default().extend(ids);
    judgement.platforms.iter().for_each(|(_, platform)| note_accepted(platform, accepted));
}

/// The images that must not be promoted, in order.
pub(super) fn blocked(
    plan: &Plan,
    assessed: &HashMap<ImageId, Assessment>,
    wrong: impl Fn(&ImageId, &Assessment) -> Option<String>,
) -> Vec<Blocked> {
    let edges = plan.edges();
    let blocked = assessed.iter().filter_map(|(id @ (source, digest), assessment)| {
        let image = edges.repository(*source).at(*edges.digest_name(*digest));
        Some(Blocked { image, reason: wrong(id, assessment)? })
    });
    let mut blocked: Vec<Blocked> = blocked.collect();
    blocked.sort_by_cached_key(|blocked| blocked.image.to_string());
    blocked
}

/// Looks at images.
#[derive(Clone, Copy)]
pub(super) struct Examiner<'a> {
    pub(super) run: &'a Run,
    pub(super) reader: &'a Reader,
    pub(super) notary: &'a Notary,
    pub(super) policies: &'a Policies,
    /// The images that several staging repositories may serve.
    pub(super) shared: &'a SharedImages,
}

/// What came of looking at images.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) assessed: HashMap<ImageId, Assessment>,
    /// Images whose registry did not answer.
    pub(super) unread: Vec<(ImageId, Arc<oci::Error>)>,
}

impl<'a> Examiner<'a> {
    /// Looks at images, each once, and tells what was found.
    ///
    /// # Errors
    /// When something is to be verified and nobody knows whom to trust.
    pub(super) async fn look_at(
        &self,
        plan: &'a Plan,
        images: BTreeSet<ImageId>,
    ) -> Result<Looked, TrustError> {
        self.run.tell(&Event::Work { units: "images", more: images.len() });
        // The first image of a host finds out whether the host lists referrers, so that not all of them ask.
        let mut hosts: HashSet<&Host> = HashSet::new();
        let is_first = |(source, _): &ImageId| hosts.insert(&plan.edges().repository(*source).host);
        let (first, rest): (Vec<ImageId>, Vec<ImageId>) = images.into_iter().partition(is_first);
        let mut found = self.look_at_each(plan, first).await;
        found.extend(self.look_at_each(plan, rest).await);
        let mut looked = Looked::default();
        for (image, examined) in found {
            match examined {
                Ok(examined) => drop(looked.assessed.insert(image, examined)),
                Err(EvidenceError::Registry(error)) => looked.unread.push((image, Arc::new(error))),
                Err(EvidenceError::Trust(error)) => return Err(error),
            }
        }
        Ok(looked)
    }

    async fn look_at_each(
        &self,
        plan: &'a Plan,
        images: Vec<ImageId>,
    ) -> Vec<(ImageId, Result<Assessment, EvidenceError>)> {
        let look = async |image| {
            let examined = self.examine(plan, image).await;
            if let Ok(examined) = &examined {
                self.tell(plan, image, examined);
            }
            self.run.tell(&Event::Worked);
            (image, examined.map(|examined| examined.forget_the_rest(self.notary)))
        };
        by_host(self.run, plan.edges(), images, |(source, _)| source, look).await
    }

    /// Looks at one image.
    async fn examine(&self, plan: &'a Plan, image_id: ImageId) -> Result<Assessment, EvidenceError> {
        let (source, digest) = image_id;
        let repository = plan.edges().repository(source);
        let digest = *plan.edges().digest_name(digest);
        let policies = self.policies_of(plan, image_id);
        let share = self.notary.verification.room.share();
        let means = self.notary.verification.means(self.reader, &share);
        let hints = plan.hints(source, &digest);
        let mut evidence = gather(means, repository, digest, hints, Wanted::All).await?;
        // Of an image that several staging repositories hold, what is attached in any of them counts.
        let others = self.shared.get(&image_id).into_iter().flatten().copied();
        // One that has lost the manifest may still have what was attached to it.
        let others: Vec<Id<Repository>> = others.filter(|other| *other != source).collect();
        for other in &others {
            let (repository, hints) = (plan.edges().repository(*other), plan.hints(*other, &digest));
            match gather(means, repository, digest, hints, Wanted::All).await {
                Ok(more) => evidence.extend(more),
                // Another one serves the image; a policy that needs what is attached here is not satisfied.
                Err(EvidenceError::Registry(error)) => {
                    self.run
                        .tell(&Event::Warned(format!("what {repository} has attached is left out: {error}")));
                }
                Err(error) => return Err(error),
            }
        }
        let mut platforms = BTreeMap::new();
        let mut judgements = Vec::new();
        for policy in policies {
            let mut image = image_of(digest, &evidence);
            // Where an index has no provenance of its own, its platforms have to have it.
            if let Some(policy) = policy.filter(|policy| !image.has_provenance(policy)) {
                let left = AtomicUsize::new(IMAGE_MANIFESTS_MAX);
                let graph = plan.graph(image_id);
                let sources = [source].iter().chain(&others).copied().collect();
                let place = Place { plan, policy, means, sources, repository, graph, left };
                image.platforms = place.platforms(digest, &mut platforms, 1).await?;
            }
            judgements.push(judge(policy, &image));
        }
        for absent in platforms.values().chain([&evidence]).flat_map(|evidence| &evidence.absent) {
            self.run.tell(&Event::Warned(format!(
                "{absent} is listed as attached to an image and is not there; it counts as not attached"
            )));
        }
        let signatures = self.weigh_signatures(&evidence);
        Ok(Assessment { evidence, platforms, judgements, signatures })
    }

    /// The policies that an image has to satisfy: those of all staging repositories that may serve one of its edges.
    fn policies_of(&self, plan: &'a Plan, (source, digest): ImageId) -> Vec<Option<&'a Policy>> {
        let sources = self.shared.get(&(source, digest)).into_iter().flatten().copied();
        let mut policies: Vec<Option<&Policy>> = Vec::new();
        for source in sources.chain([source]) {
            let policy = self.policies.of(plan.edges().repository(source));
            if !policies.contains(&policy) {
                policies.push(policy);
            }
        }
        policies
    }

    fn weigh_signatures(&self, evidence: &Evidence) -> Signatures {
        let verification = &self.notary.verification;
        if evidence.signatures.iter().any(|found| verification.accepts(&found.signatory)) {
            return Signatures::Accepted;
        }
        // Signatures by others are ignored: only what claims to be by staging's signer and does not hold is in the way.
        let rejected = evidence.rejected.iter().filter(|rejected| rejected.claim == Claim::Signature);
        let why: Vec<String> =
            rejected.map(|Rejected { place, reason, .. }| format!("{place}: {reason}")).collect();
        if why.is_empty() { Signatures::None } else { Signatures::Refused(why) }
    }

    /// The signatures that are someone else's: those by another identity, and those by keys and authorities that are not trusted.
    fn signed_by_others(&self, evidence: &Evidence) -> Vec<String> {
        let verification = &self.notary.verification;
        let verified = evidence.signatures.iter().map(|found| {
            let (signatory, staging) = (&found.signatory, &verification.staging);
            let why = format!("{}: it is by {signatory}, and {staging} was expected", found.origin);
            shown(&why, SHOWN_MAX)
        });
        let unknown = evidence.others.iter().filter(|other| other.claim == Claim::Signature);
        verified.chain(unknown.map(|Rejected { place, reason, .. }| format!("{place}: {reason}"))).collect()
    }

    fn tell(&self, plan: &Plan, (source, digest): ImageId, examined: &Assessment) {
        let image = plan.edges().repository(source).at(*plan.edges().digest_name(digest));
        let Assessment { signatures, evidence, .. } = examined;
        let judgement = examined.judgement();
        if !judgement.is_satisfied() && !judgement.blocks() {
            let judgement = judgement.to_string().replace('\n', "\n  ");
            self.run.tell(&Event::Warned(format!(
                "{image} does not satisfy its policy, which only warns: {judgement}"
            )));
        }
        let by_others = self.signed_by_others(evidence);
        if let (Signatures::None, [first, ..]) = (signatures, &by_others[..]) {
            let count = by_others.len();
            self.run.tell(&Event::Warned(format!(
                "{image} counts as unsigned: signatures by someone else are ignored ({count}), the first at {first}"
            )));
        }
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
    policy: &'a Policy,
    means: Means<'a>,
    /// The staging repositories that have the image, the one that serves it first.
    sources: Vec<Id<Repository>>,
    /// The one that serves it.
    repository: &'a Repository,
    graph: Option<&'a Graph>,
    /// How many platforms may still be looked at.
    left: AtomicUsize,
}

impl Place<'_> {
    /// Whether another platform may be looked at.
    fn has_room(&self) -> bool {
        self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// What is attested of what an index lists; none where it is no index.
    fn platforms<'b>(
        &'b self,
        digest: Digest,
        found: &'b mut BTreeMap<Digest, Evidence>,
        depth: usize,
    ) -> BoxFuture<'b, Result<Option<Vec<Platform>>, EvidenceError>> {
        Box::pin(async move {
            let Some(children) = self.children(digest).await? else { return Ok(None) };
            let mut platforms = Vec::new();
            for child in &children {
                // Where there are too many, one that nothing is known of does not pass, and stands for the rest.
                let is_too_much = !self.has_room();
                let mut platform = Platform {
                    name: child.platform.clone(),
                    is_exempt: !is_too_much && self.is_exempt(&children, child).await?,
                    image: image_of(child.digest, &Evidence::default()),
                };
                if !platform.is_exempt && depth < IMAGE_DEPTH_MAX && !is_too_much {
                    // An index may list the same twice.
                    if let Entry::Vacant(entry) = found.entry(child.digest) {
                        entry.insert(self.evidence(child.digest).await?);
                    }
                    platform.image = image_of(child.digest, &found[&child.digest]);
                    if child.media_type.is_index() && !platform.image.has_provenance(self.policy) {
                        platform.image.platforms = self.platforms(child.digest, found, depth + 1).await?;
                    }
                }
                platforms.push(platform);
                if is_too_much {
                    break;
                }
            }
            Ok(Some(platforms))
        })
    }

    /// What is attested of a platform, wherever the image is staged.
    async fn evidence(&self, digest: Digest) -> Result<Evidence, EvidenceError> {
        let mut evidence = Evidence::default();
        for source in &self.sources {
            let (repository, hints) =
                (self.plan.edges().repository(*source), self.plan.hints(*source, &digest));
            evidence.extend(gather(self.means, repository, digest, hints, Wanted::Attestations).await?);
        }
        Ok(evidence)
    }

    /// Whether an entry of an index is exempt. Only the manifest of one that claims it is looked at.
    async fn is_exempt(&self, siblings: &[Descriptor], child: &Descriptor) -> Result<bool, oci::Error> {
        if !claims_exemption(siblings, child) {
            return Ok(false);
        }
        match self.manifest(child.digest).await {
            Ok(manifest) => Ok(is_exempt(siblings, child, &manifest)),
            // What is not there, or is no manifest, is not exempt.
            Err(error) if is_about_content(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What an index lists; none where it is no index.
    async fn children(&self, digest: Digest) -> Result<Option<Vec<Descriptor>>, oci::Error> {
        let manifest = match self.manifest(digest).await {
            Ok(manifest) => manifest,
            // Staging has lost it, or it is broken: there are no platforms that could satisfy a policy.
            Err(error) if is_about_content(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        // What cannot be read as an index has no platforms; that it cannot be copied is told elsewhere.
        let parsed = manifest.media_type().is_index().then(|| manifest.parse().ok()).flatten();
        Ok(parsed.map(|parsed| parsed.children))
    }

    /// A manifest of the image. What the plan has not read is read.
    async fn manifest(&self, digest: Digest) -> Result<RawManifest, oci::Error> {
        let read = self.graph.and_then(|graph| graph.nodes().iter().find(|node| node.digest == digest));
        match read {
            Some(node) => Ok(node.manifest.clone()),
            None => self.means.reader.manifest(self.repository, Selector::Digest(digest)).await,
        }
    }
}

/// What is attested of an image, as policies judge it.
fn image_of(digest: Digest, evidence: &Evidence) -> Image {
    let verified = evidence.attestations.iter().map(|found| VerifiedAttestation {
        signatory: found.signatory.clone(),
        statement: found.statement.clone(),
        id: found.origin.id(),
        place: found.origin.to_string(),
    });
    let attestation = |rejected: &Rejected| match &rejected.claim {
        Claim::Signature => None,
        Claim::Attestation(predicate_type) => Some(RejectedAttestation {
            predicate_type: predicate_type.clone(),
            reason: rejected.reason.clone(),
            place: rejected.place.clone(),
        }),
    };
    Image {
        digest,
        verified: verified.collect(),
        rejected: evidence.rejected.iter().filter_map(attestation).collect(),
        others: evidence.others.iter().filter_map(attestation).collect(),
        platforms: None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use oci::NewLayer;
    use serde_json::json;
    use sigstore::{Signatory, Statement, Trust, TrustSettings};
    use transport::{Door, Settings};

    use super::*;
    use crate::evidence::{Origin, Room};
    use crate::notary::{Production, Verification};
    use crate::policy::{BuildLevel, BuilderDraft, Draft, Fault, Mode};

    const BUILDER: &str = "builder@example.com";

    fn notary() -> Notary {
        let door = Door::open(Settings::default()).unwrap();
        let trust = Trust::new(door, TrustSettings::default()).unwrap();
        let staging = "sigstore::https://i::staging@example.com".parse().unwrap();
        Notary {
            verification: Verification { trust, staging, room: Room::default() },
            signing: None,
            production: Production {
                canonical_host: "p.io".parse().unwrap(),
                path: "prod".parse().unwrap(),
                reference: "r.io".parse().unwrap(),
            },
        }
    }

    fn policy() -> Policy {
        let builder = BuilderDraft { id: "b".parse().unwrap(), level: BuildLevel::Two, signers: Vec::new() };
        let draft = Draft {
            mode: Some(Mode::Require),
            signers: vec![format!("sigstore::https://i::{BUILDER}").parse().unwrap()],
            builders: vec![builder],
            sources: vec!["github.com/o/r".parse().unwrap()],
            ..Draft::default()
        };
        draft.into_policy().unwrap().unwrap()
    }

    fn by(subject: &str) -> Signatory {
        Signatory::Certificate { issuer: "https://i".to_owned(), subject: subject.to_owned() }
    }

    fn origin(content: &'static str) -> Origin {
        let content = Bytes::from_static(content.as_bytes());
        let layer = NewLayer { media_type: "a/b".to_owned(), content, annotations: BTreeMap::new() };
        let (repository, tag) = ("s.io/app".parse().unwrap(), "t".parse().unwrap());
        // Places tell things apart.
        Origin::Layer { repository, tag, index: layer.content.len(), layer }
    }

    fn attestation(digest: Digest, signer: &str, content: &'static str) -> FoundAttestation {
        let predicate = json!({
            "buildDefinition": {
                "buildType": "https://actions.github.io/buildtypes/workflow/v1",
                "externalParameters": { "workflow": { "repository": "https://github.com/o/r" } },
            },
            "runDetails": { "builder": { "id": "b" } },
        });
        let statement = Statement::about("app", &digest.hex(), "https://slsa.dev/provenance/v1", predicate);
        FoundAttestation { signatory: by(signer), signed_at: None, statement, origin: origin(content) }
    }

    fn signature(signer: &str, content: &'static str) -> FoundSignature {
        FoundSignature { signatory: by(signer), signed_at: None, reference: None, origin: origin(content) }
    }

    fn evidence(attestations: Vec<FoundAttestation>) -> Evidence {
        let signatures = vec![signature("staging@example.com", "ours"), signature(BUILDER, "other")];
        let rejected =
            Rejected { claim: Claim::Signature, reason: "forged".to_owned(), place: "somewhere".to_owned() };
        Evidence { signatures, attestations, rejected: vec![rejected], ..Evidence::default() }
    }

    /// An index whose platform has provenance, as it is kept.
    fn kept(policy: Option<&Policy>) -> (Digest, Digest, Assessment) {
        let (index, platform) = (Digest::of(b"index"), Digest::of(b"platform"));
        let own = evidence(Vec::new());
        let of_platform = evidence(vec![
            attestation(platform, "stranger@example.com", "refused"),
            attestation(platform, BUILDER, "accepted"),
        ]);
        let mut image = image_of(index, &own);
        let name = Some("linux/amd64".to_owned());
        image.platforms =
            Some(vec![Platform { name, is_exempt: false, image: image_of(platform, &of_platform) }]);
        let examined = Assessment {
            judgements: vec![judge(policy, &image)],
            evidence: own,
            platforms: BTreeMap::from([(platform, of_platform)]),
            signatures: Signatures::Accepted,
        };
        (index, platform, examined.forget_the_rest(&notary()))
    }

    #[test]
    fn what_is_carried_is_kept_and_nothing_else() {
        let (_, platform, examined) = kept(Some(&policy()));
        let counted = examined.counted();
        let [(about, found)] = &counted[..] else { panic!("{counted:?}") };
        assert_eq!((*about, found.origin.digest()), (platform, Digest::of(b"accepted")));
        assert_eq!(found.statement.predicate, Value::Null);
        assert_eq!(examined.platforms[&platform].attestations.len(), 1);
        let signatures: Vec<Digest> =
            examined.accepted(&notary()).map(|found| found.origin.digest()).collect();
        assert_eq!((signatures, examined.evidence.signatures.len()), (vec![Digest::of(b"ours")], 1));
        assert!(examined.evidence.rejected.is_empty());
        assert!(examined.judgement().is_satisfied() && examined.invalid().is_none());
    }

    #[test]
    fn of_several_verdicts_the_worst_holds_and_one_of_a_policy_before_one_without() {
        let policy = policy();
        let judgement = |mode, level, faults: &[Fault]| {
            let (digest, findings, platforms) = (Digest::of(b"app"), Vec::new(), Vec::new());
            Judgement { digest, mode, level, findings, faults: faults.to_vec(), platforms }
        };
        let mode = Some(policy.mode());
        let from_best_to_worst = [
            judgement(None, None, &[]),
            judgement(mode, Some(BuildLevel::Two), &[]),
            judgement(mode, Some(BuildLevel::One), &[]),
            judgement(Some(Mode::Warn), None, &[Fault::NoProvenance]),
            judgement(mode, None, &[Fault::NoProvenance]),
        ];
        assert!(from_best_to_worst.windows(2).all(|pair| rank(&pair[0]) < rank(&pair[1])));
    }

    #[test]
    fn without_a_policy_nothing_that_is_attested_is_kept() {
        let (index, platform, examined) = kept(None);
        assert!(examined.counted().is_empty() && examined.platforms[&platform].attestations.is_empty());
        assert!(examined.judgement_of(&index).is_satisfied());
    }
}
