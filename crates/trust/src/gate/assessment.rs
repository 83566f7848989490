//! The gate: what was found of an image, and whether it passes. What passes is a value without which no later phase does
//! anything for the image (specification 02, *One gate*).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use oci::Digest;
use serde_json::Value;

use crate::config::Verification;
use crate::evidence::{Evidence, FoundAttestation, FoundSignature};
use crate::policy::{AttestationId, Judgement};

/// What was found of an image, and what it amounts to. Of what is attached it keeps what later phases carry, and lets go of
/// what it was found by: statements alone can have megabytes an image.
#[derive(Clone, Debug)]
pub struct Assessment {
    /// The signatures that count, and the attestations that its policies accept.
    pub(super) evidence: Evidence,
    /// The attestations of platforms that the policies accept, where these were looked at.
    platforms: BTreeMap<Digest, Evidence>,
    /// What became of it under its policy; under that of each staging repository, where several serve it. Never empty.
    judgements: Vec<Judgement>,
    /// Whether its signatures count.
    signatures: Signatures,
}

/// An image that has passed Provenance and Validate in this run. Only `Assessment::pass` makes one.
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
    /// Why it has not.
    pub why: String,
    /// What was found of it.
    pub assessment: Assessment,
}

impl Passed {
    /// What was found of the image.
    pub fn assessment(&self) -> &Assessment {
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
    /// What the verdicts of `judgements` and the weight of `signatures` make of an image. There is a verdict for each policy,
    /// and one where there is none.
    pub(super) fn new(
        evidence: Evidence,
        platforms: BTreeMap<Digest, Evidence>,
        judgements: Vec<Judgement>,
        signatures: Signatures,
    ) -> Self {
        Self { evidence, platforms, judgements, signatures }
    }

    /// What its signatures amount to.
    pub fn signatures(&self) -> &Signatures {
        &self.signatures
    }

    /// The signatures of the image by whom they should be.
    pub fn accepted<'a>(
        &'a self,
        verification: &'a Verification,
    ) -> impl Iterator<Item = &'a FoundSignature> {
        self.evidence.signatures.iter().filter(|found| verification.accepts(&found.signatory))
    }

    /// The attestations that a policy has accepted, of the image and of platforms that were judged by their own, with the
    /// digest that each is about.
    pub fn counted(&self) -> Vec<(Digest, &FoundAttestation)> {
        let mut counted = Vec::new();
        self.judgements.iter().for_each(|judgement| self.collect(judgement, &mut counted));
        let mut seen = HashSet::new();
        counted.retain(|(about, found)| seen.insert((*about, found.location.id())));
        counted
    }

    /// What became of the image: under the policy that it satisfies least, where there are several.
    pub fn judgement(&self) -> &Judgement {
        #[expect(clippy::expect_used, reason = "an image is judged once without a policy")]
        self.judgements.iter().max_by_key(|judgement| rank(judgement)).expect("an image has a judgement")
    }

    /// What became of a manifest of the image. One that was not judged by itself has the verdict of the index that lists it.
    pub fn judgement_of(&self, digest: &Digest) -> &Judgement {
        self.judgement().of_part(digest)
    }

    /// The proof that the image has passed.
    ///
    /// # Errors
    /// Why it has not, with what was found of it.
    pub fn pass(self) -> Result<Passed, Box<Refused>> {
        match self.refusal() {
            Some(why) => Err(Box::new(Refused { why, assessment: self })),
            None => Ok(Passed { assessment: self }),
        }
    }

    /// Why the image has not passed.
    pub fn refusal(&self) -> Option<String> {
        self.unproven().or_else(|| self.invalid())
    }

    /// Lets go of what no later phase asks for.
    pub fn forget_the_rest(mut self, verification: &Verification) -> Self {
        let mut accepted: HashMap<Digest, HashSet<AttestationId>> = HashMap::new();
        // Nothing is carried that no policy asks for.
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

    /// Why it must not be promoted for what is attested of it; none: it may.
    pub fn unproven(&self) -> Option<String> {
        self.judgement().blocks().then(|| self.judgement().to_string())
    }

    /// Why it must not be promoted for its signatures; none: it may.
    pub fn invalid(&self) -> Option<String> {
        match &self.signatures {
            Signatures::Refused(why) => {
                Some(format!("none of its signatures counts\n  {}", why.join("\n  ")))
            }
            Signatures::None | Signatures::Accepted => None,
        }
    }
}

/// How bad a verdict is: of several, the greatest holds. Where all pass, one of a policy says more than one without.
pub fn rank(judgement: &Judgement) -> impl Ord + use<> {
    let has_policy = judgement.mode.is_some();
    (judgement.blocks(), !judgement.is_satisfied(), has_policy, Reverse(judgement.level))
}

/// Takes note of the attestations that count, by the digest that they are attached to.
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
        Verification { trust, staging, budget: Budget::default() }
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
        // Places tell things apart.
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
        (index, platform, examined.forget_the_rest(&verification()))
    }

    #[test]
    fn what_is_carried_is_kept_and_nothing_else() {
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
    fn of_several_verdicts_the_worst_holds_and_one_of_a_policy_before_one_without() {
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
    fn without_a_policy_nothing_that_is_attested_is_kept() {
        let (index, platform, examined) = kept(None);
        assert!(examined.counted().is_empty() && examined.platforms[&platform].attestations.is_empty());
        assert!(examined.judgement_of(&index).is_satisfied());
    }
}
