//! The gate: the assessment of an image, and whether the image passes. No later phase does anything for an image without a
//! value of [`Passed`] (specification 02, *One gate*).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use oci::Digest;
use serde_json::Value;

use super::parts::image_of;
use crate::config::Verification;
use crate::evidence::{Evidence, FoundAttestation, FoundSignature};
use crate::policy::{AttestationId, Judgement, judge};
use crate::scan::Scans;

/// The evidence of an image and its evaluation. [`Assessment::forget_the_rest`] drops everything that later phases do not copy,
/// because statements alone can have megabytes per image.
#[derive(Clone, Debug)]
pub struct Assessment {
    /// The signatures that count, and the attestations that the policies accept.
    pub(super) evidence: Evidence,
    /// The attestations of platforms that the policies accept, if the platforms were examined.
    platforms: BTreeMap<Digest, Evidence>,
    /// The judgements of the image, one for the policy of each staging repository that may serve it. Never empty.
    judgements: Vec<Judgement>,
    /// Whether the signatures count.
    signatures: Signatures,
    /// The result of the vulnerability gate.
    scans: Scans,
}

/// An image that has passed Provenance and Validate in this run. Only `Assessment::pass` creates one.
///
/// ```compile_fail,E0451
/// fn forge(assessment: trust::gate::Assessment) -> trust::gate::Passed {
///     trust::gate::Passed { assessment }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Passed {
    assessment: Assessment,
}

/// An image that has not passed.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The reason.
    pub why: String,
    /// The assessment of the image.
    pub assessment: Assessment,
}

impl Passed {
    /// Returns the assessment of the image.
    pub fn assessment(&self) -> &Assessment {
        &self.assessment
    }
}

/// The evaluation of an image's signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signatures {
    /// The image has no signatures, or only signatures by others.
    None,
    /// At least one signature is by the signer of staging.
    Accepted,
    /// The image has signatures that claim to be by the required signer, and none of them verifies. Holds the reason for each.
    Refused(Vec<String>),
}

impl Assessment {
    /// Creates the assessment of an image. There is one judgement for each policy, or a single one if there is no policy.
    pub(super) fn new(
        evidence: Evidence,
        platforms: BTreeMap<Digest, Evidence>,
        judgements: Vec<Judgement>,
        signatures: Signatures,
        scans: Scans,
    ) -> Self {
        Self { evidence, platforms, judgements, signatures, scans }
    }

    /// Creates the assessment of an image in production whose staging repository is unknown, so that there is no evidence and
    /// no policy to judge it by. It passes.
    ///
    /// This is a statement of the user, not a finding: `kpromo sigcheck --confirm` without manifests signs what its canonical
    /// repository holds, and warns about it. No promotion may use it.
    pub fn without_staging(digest: Digest) -> Self {
        let evidence = Evidence::default();
        let judgement = judge(None, &image_of(digest, &evidence));
        Self::new(evidence, BTreeMap::new(), vec![judgement], Signatures::None, Scans::NotAsked)
    }

    /// Returns the evaluation of the signatures.
    pub fn signatures(&self) -> &Signatures {
        &self.signatures
    }

    /// Returns the result of the vulnerability gate.
    pub fn scans(&self) -> &Scans {
        &self.scans
    }

    /// Returns the signatures by the expected signer.
    pub fn accepted<'a>(
        &'a self,
        verification: &'a Verification,
    ) -> impl Iterator<Item = &'a FoundSignature> {
        self.evidence.signatures.iter().filter(|found| verification.accepts(&found.signatory))
    }

    /// Returns the attestations that a policy has accepted: those of the image, and those of platforms that were judged by
    /// their own attestations. Each has the digest of its subject.
    pub fn counted(&self) -> Vec<(Digest, &FoundAttestation)> {
        let mut counted = Vec::new();
        self.judgements.iter().for_each(|judgement| self.collect(judgement, &mut counted));
        let mut seen = HashSet::new();
        counted.retain(|(about, found)| seen.insert((*about, found.location.id())));
        counted
    }

    /// Returns the judgement of the image. If there are several, returns that of the policy that the image satisfies least.
    pub fn judgement(&self) -> &Judgement {
        #[expect(clippy::expect_used, reason = "there is at least one judgement, even without a policy")]
        self.judgements.iter().max_by_key(|judgement| rank(judgement)).expect("an image has a judgement")
    }

    /// Returns the judgement of a manifest of the image. A manifest without its own judgement has that of the index that
    /// lists it.
    pub fn judgement_of(&self, digest: &Digest) -> &Judgement {
        self.judgement().of_part(digest)
    }

    /// Returns the proof that the image has passed.
    ///
    /// # Errors
    /// If the image has not passed: returns the reason with the assessment.
    pub fn pass(self) -> Result<Passed, Box<Refused>> {
        match self.refusal() {
            Some(why) => Err(Box::new(Refused { why, assessment: self })),
            None => Ok(Passed { assessment: self }),
        }
    }

    /// Returns why the image has not passed, or `None` if it passes.
    pub fn refusal(&self) -> Option<String> {
        self.unproven().or_else(|| self.invalid()).or_else(|| self.scans.refusal())
    }

    /// Drops all evidence that no later phase needs.
    pub fn forget_the_rest(mut self, verification: &Verification) -> Self {
        let mut accepted: HashMap<Digest, HashSet<AttestationId>> = HashMap::new();
        // Attestations that no policy requires are not copied.
        for judgement in self.judgements.iter().filter(|judgement| judgement.mode.is_some()) {
            note_accepted(judgement, &mut accepted);
        }
        let image = self.judgement().digest;
        let mut retain = |digest: &Digest, evidence: &mut Evidence| {
            let accepted = accepted.remove(digest).unwrap_or_default();
            evidence.attestations.retain(|found| accepted.contains(&found.location.id()));
            evidence.attestations.iter_mut().for_each(|found| found.statement.predicate = Value::Null);
            evidence.signatures.retain(|found| verification.accepts(&found.signatory));
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
        let accepted = found.filter(|found| ids.contains(&found.location.id()));
        counted.extend(accepted.map(|found| (judgement.digest, found)));
        for (_, platform) in &judgement.platforms {
            self.collect(platform, counted);
        }
    }

    /// Returns why the attestations of the image forbid its promotion, or `None` if they do not.
    pub fn unproven(&self) -> Option<String> {
        self.judgement().blocks().then(|| self.judgement().to_string())
    }

    /// Returns why the signatures of the image forbid its promotion, or `None` if they do not.
    pub fn invalid(&self) -> Option<String> {
        match &self.signatures {
            Signatures::Refused(why) => {
                Some(format!("none of its signatures counts\n  {}", why.join("\n  ")))
            }
            Signatures::None | Signatures::Accepted => None,
        }
    }
}

/// Ranks a judgement by severity. Of several judgements, the greatest one holds. If all pass, a judgement by a policy is
/// greater than one without a policy.
pub fn rank(judgement: &Judgement) -> impl Ord + use<> {
    let has_policy = judgement.mode.is_some();
    (judgement.blocks(), !judgement.is_satisfied(), has_policy, Reverse(judgement.level))
}

/// Collects the accepted attestations by the digest that they are attached to.
fn note_accepted(judgement: &Judgement, accepted: &mut HashMap<Digest, HashSet<AttestationId>>) {
    let ids = judgement.accepted().filter_map(|finding| finding.id);
    accepted.entry(judgement.digest).or_default().extend(ids);
    judgement.platforms.iter().for_each(|(_, platform)| note_accepted(platform, accepted));
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use manifest::policy::{BuildLevel, BuilderSpec, Mode, Policy, PolicySpec};
    use oci::NewLayer;
    use serde_json::json;
    use sigstore::{Signatory, Statement, Trust, TrustSettings};
    use transport::{Door, Settings};

    use super::*;
    use crate::evidence::{Budget, Claim, Location, Rejected};
    use crate::gate::parts::image_of;
    use crate::policy::{Platform, Violation, judge};

    const BUILDER: &str = "builder@example.com";

    fn verification() -> Verification {
        let door = Door::open(Settings::default()).unwrap();
        let trust = Trust::new(door, TrustSettings::default()).unwrap();
        let staging = "sigstore::https://i::staging@example.com".parse().unwrap();
        Verification { trust, staging, budget: Budget::default(), scans: None }
    }

    fn policy() -> Policy {
        let builder = BuilderSpec { id: "b".parse().unwrap(), level: BuildLevel::Two, signers: Vec::new() };
        let draft = PolicySpec {
            mode: Some(Mode::Require),
            signers: vec![format!("sigstore::https://i::{BUILDER}").parse().unwrap()],
            builders: vec![builder],
            sources: vec!["github.com/o/r".parse().unwrap()],
            ..PolicySpec::default()
        };
        draft.into_policy().unwrap().unwrap()
    }

    fn by(subject: &str) -> Signatory {
        Signatory::Certificate { issuer: "https://i".to_owned(), subject: subject.to_owned() }
    }

    fn location(content: &'static str) -> Location {
        let content = Bytes::from_static(content.as_bytes());
        let layer = NewLayer { media_type: "a/b".to_owned(), content, annotations: BTreeMap::new() };
        let (repository, tag) = ("s.io/app".parse().unwrap(), "t".parse().unwrap());
        // The locations must differ, so the index depends on the content.
        Location::Layer { repository, tag, index: layer.content.len(), layer }
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
        FoundAttestation { signatory: by(signer), signed_at: None, statement, location: location(content) }
    }

    fn signature(signer: &str, content: &'static str) -> FoundSignature {
        FoundSignature {
            signatory: by(signer),
            signed_at: None,
            reference: None,
            location: location(content),
        }
    }

    fn evidence(attestations: Vec<FoundAttestation>) -> Evidence {
        let signatures = vec![signature("staging@example.com", "ours"), signature(BUILDER, "other")];
        let rejected =
            Rejected { claim: Claim::Signature, reason: "forged".to_owned(), place: "somewhere".to_owned() };
        Evidence { signatures, attestations, rejected: vec![rejected], ..Evidence::default() }
    }

    /// Returns the kept assessment of an index whose platform has provenance.
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
            scans: Scans::NotAsked,
        };
        (index, platform, examined.forget_the_rest(&verification()))
    }

    #[test]
    fn only_evidence_that_is_copied_is_kept() {
        let (_, platform, examined) = kept(Some(&policy()));
        let counted = examined.counted();
        let [(about, found)] = &counted[..] else { panic!("{counted:?}") };
        assert_eq!((*about, found.location.digest()), (platform, Digest::of(b"accepted")));
        assert_eq!(found.statement.predicate, Value::Null);
        assert_eq!(examined.platforms[&platform].attestations.len(), 1);
        let signatures: Vec<Digest> =
            examined.accepted(&verification()).map(|found| found.location.digest()).collect();
        assert_eq!((signatures, examined.evidence.signatures.len()), (vec![Digest::of(b"ours")], 1));
        assert!(examined.evidence.rejected.is_empty());
        assert!(examined.judgement().is_satisfied() && examined.invalid().is_none());
    }

    #[test]
    fn judgements_are_ranked_by_severity_and_then_by_policy() {
        let policy = policy();
        let judgement = |mode, level, violations: &[Violation]| {
            let (digest, findings, platforms) = (Digest::of(b"app"), Vec::new(), Vec::new());
            Judgement { digest, mode, level, findings, violations: violations.to_vec(), platforms }
        };
        let mode = Some(policy.mode());
        let from_best_to_worst = [
            judgement(None, None, &[]),
            judgement(mode, Some(BuildLevel::Two), &[]),
            judgement(mode, Some(BuildLevel::One), &[]),
            judgement(Some(Mode::Warn), None, &[Violation::NoProvenance]),
            judgement(mode, None, &[Violation::NoProvenance]),
        ];
        assert!(from_best_to_worst.windows(2).all(|pair| rank(&pair[0]) < rank(&pair[1])));
    }

    #[test]
    fn without_a_policy_no_attestation_is_kept() {
        let (index, platform, examined) = kept(None);
        assert!(examined.counted().is_empty() && examined.platforms[&platform].attestations.is_empty());
        assert!(examined.judgement_of(&index).is_satisfied());
    }
}
