//! A policy, and images that pass or fail under it.

use manifest::policy::SignerPattern;
use manifest::policy::{BuildLevel, BuilderSpec, Mode, Policy, PolicySpec};
use oci::Digest;
use serde_json::{Value, json};
use sigstore::{Signatory, Statement};
use trust::policy::{
    AttestationId, Image, Judgement, Platform, Reason, RejectedAttestation, Verdict, VerifiedAttestation,
    judge,
};

pub(crate) const V0_2: &str = "https://slsa.dev/provenance/v0.2";
pub(crate) const V1: &str = "https://slsa.dev/provenance/v1";
pub(crate) const SPDX: &str = "https://spdx.dev/Document";
/// A builder that only its own signer may claim.
pub(crate) const HOSTED: &str = "https://cloudbuild.googleapis.com/GoogleHostedWorker";
/// A builder that the other signers may claim, at any ref.
pub(crate) const WORKFLOW: &str = "https://github.com/org/repo/.github/workflows/release.yaml";
pub(crate) const SOURCE: &str = "git+https://github.com/org/repo@refs/heads/main";

pub(crate) fn google() -> Signatory {
    certificate("https://accounts.google.com", "builder@project.iam.gserviceaccount.com")
}

pub(crate) fn github() -> Signatory {
    certificate(
        "https://token.actions.githubusercontent.com",
        "https://github.com/org/repo/.github/workflows/release.yaml@refs/heads/main",
    )
}

pub(crate) fn stranger() -> Signatory {
    certificate("https://accounts.google.com", "builder@project.iam.gserviceaccount.com.evil.example")
}

pub(crate) fn certificate(issuer: &str, subject: &str) -> Signatory {
    Signatory::Certificate { issuer: issuer.to_owned(), subject: subject.to_owned() }
}

/// The builder of Google reaches level 3, and the workflow reaches level 2.
pub(crate) fn draft(mode: Mode) -> PolicySpec {
    let signers: [SignerPattern; 2] = [
        "sigstore::https://accounts.google.com::builder@project.iam.gserviceaccount.com",
        r"sigstore(identityMatch=regex)::https://token\.actions\.githubusercontent\.com::https://github\.com/org/repo/.+",
    ]
    .map(|text| text.parse().unwrap());
    let hosted = BuilderSpec {
        id: HOSTED.parse().unwrap(),
        level: BuildLevel::Three,
        signers: vec![signers[0].clone()],
    };
    let workflow = BuilderSpec { id: WORKFLOW.parse().unwrap(), level: BuildLevel::Two, signers: Vec::new() };
    PolicySpec {
        mode: Some(mode),
        signers: signers.to_vec(),
        builders: vec![hosted, workflow],
        sources: vec!["github.com/org/repo".parse().unwrap()],
        ..PolicySpec::default()
    }
}

pub(crate) fn policy(change: impl FnOnce(&mut PolicySpec)) -> Policy {
    let mut draft = draft(Mode::Require);
    change(&mut draft);
    draft.into_policy().unwrap().unwrap()
}

pub(crate) fn usual() -> Policy {
    policy(|_| {})
}

pub(crate) fn v0_2(builder: &str, source: &str) -> Value {
    json!({"builder": {"id": builder}, "invocation": {"configSource": {"uri": source}}})
}

pub(crate) fn v1(builder: &str, source: &str) -> Value {
    let definition = json!({
        "buildType": "https://actions.github.io/buildtypes/workflow/v1",
        "externalParameters": {"workflow": {"repository": source}},
        "resolvedDependencies": [{"uri": "https://example.com/dependency"}],
    });
    json!({"buildDefinition": definition, "runDetails": {"builder": {"id": builder}}})
}

/// Returns the digest for a name.
pub(crate) fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// Creates an attestation about the image of this name.
pub(crate) fn attested(
    name: &str,
    signatory: Signatory,
    predicate_type: &str,
    predicate: Value,
) -> VerifiedAttestation {
    let statement = Statement::about(name, &digest(name).hex(), predicate_type, predicate);
    let id = AttestationId { digest: digest(&format!("{signatory}: {statement:?}")), layer: Some(0) };
    VerifiedAttestation { signatory, statement, id, place: format!("{name}.att") }
}

/// Creates provenance about the image of this name that satisfies the usual policy at level 3.
pub(crate) fn good(name: &str) -> VerifiedAttestation {
    attested(name, google(), V1, v1(HOSTED, SOURCE))
}

/// Creates provenance like that of [`good`], at level 2.
pub(crate) fn fair(name: &str) -> VerifiedAttestation {
    attested(name, github(), V1, v1(WORKFLOW, SOURCE))
}

pub(crate) fn bad(name: &str) -> VerifiedAttestation {
    attested(name, google(), V1, v1("https://example.com/builder", SOURCE))
}

pub(crate) fn image(name: &str, verified: Vec<VerifiedAttestation>) -> Image {
    Image { digest: digest(name), verified, rejected: Vec::new(), others: Vec::new(), platforms: None }
}

pub(crate) fn index(own: Vec<VerifiedAttestation>, platforms: Vec<(Option<&str>, Image)>) -> Image {
    let platforms = platforms.into_iter().map(|(name, image)| listed(name, image)).collect();
    Image { platforms: Some(platforms), ..image("index", own) }
}

/// Creates an entry of an index that is not exempt.
pub(crate) fn listed(name: Option<&str>, image: Image) -> Platform {
    Platform { name: name.map(str::to_owned), is_exempt: false, image }
}

/// Creates BuildKit's attestation manifest in an index.
pub(crate) fn exempt(image: Image) -> Platform {
    Platform { is_exempt: true, ..listed(Some("unknown/unknown"), image) }
}

/// Creates an attestation with an unknown key.
pub(crate) fn unknown(predicate_type: Option<&str>) -> RejectedAttestation {
    let predicate_type = predicate_type.map(str::to_owned);
    RejectedAttestation { predicate_type, reason: "another key".into(), place: "other.att".into() }
}

pub(crate) fn forged(predicate_type: Option<&str>) -> RejectedAttestation {
    let predicate_type = predicate_type.map(str::to_owned);
    RejectedAttestation {
        predicate_type,
        reason: "the signature does not verify".into(),
        place: "forged.att".into(),
    }
}

/// Returns the verdict about one attestation of an image under a policy.
pub(crate) fn verdict(policy: &Policy, attestation: VerifiedAttestation) -> Verdict {
    judge(Some(policy), &image("app", vec![attestation])).findings.remove(0).verdict
}

/// Returns why one attestation of an image does not count, or `None` if it counts.
pub(crate) fn reason(policy: &Policy, attestation: VerifiedAttestation) -> Option<Reason> {
    match verdict(policy, attestation) {
        Verdict::Accepted(_) => None,
        Verdict::Refused(reason) => Some(reason),
        other => panic!("neither accepted nor refused: {other}"),
    }
}

pub(crate) fn levels(judgement: &Judgement) -> Vec<Option<BuildLevel>> {
    judgement.platforms.iter().map(|(_, platform)| platform.level).collect()
}
