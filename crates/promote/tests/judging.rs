//! Which images pass under which policy: each rule with what it lets pass and what it does not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

use oci::Digest;
use promote::policy::{
    BuildLevel, BuilderDraft, Draft, Fault, Image, Judgement, Mode, Platform, Policy, Reason,
    RejectedAttestation, Verdict, VerifiedAttestation, judge,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use sigstore::{Signatory, SignerPattern, Statement};

const V0_2: &str = "https://slsa.dev/provenance/v0.2";
const V1: &str = "https://slsa.dev/provenance/v1";
const SPDX: &str = "https://spdx.dev/Document";
/// A builder whose provenance only its own signer may make.
const HOSTED: &str = "https://cloudbuild.googleapis.com/GoogleHostedWorker";
/// A builder that the other signers may claim, at any ref.
const WORKFLOW: &str = "https://github.com/org/repo/.github/workflows/release.yaml";
const SOURCE: &str = "git+https://github.com/org/repo@refs/heads/main";

fn google() -> Signatory {
    certificate("https://accounts.google.com", "builder@project.iam.gserviceaccount.com")
}

fn github() -> Signatory {
    certificate(
        "https://token.actions.githubusercontent.com",
        "https://github.com/org/repo/.github/workflows/release.yaml@refs/heads/main",
    )
}

fn stranger() -> Signatory {
    certificate("https://accounts.google.com", "builder@project.iam.gserviceaccount.com.evil.example")
}

fn certificate(issuer: &str, subject: &str) -> Signatory {
    Signatory::Certificate { issuer: issuer.to_owned(), subject: subject.to_owned() }
}

/// Google's builder reaches level 3, the workflow 2.
fn draft(mode: Mode) -> Draft {
    let signers: [SignerPattern; 2] = [
        "sigstore::https://accounts.google.com::builder@project.iam.gserviceaccount.com",
        r"sigstore(identityMatch=regex)::https://token\.actions\.githubusercontent\.com::https://github\.com/org/repo/.+",
    ]
    .map(|text| text.parse().unwrap());
    let hosted = BuilderDraft {
        id: HOSTED.parse().unwrap(),
        level: BuildLevel::Three,
        signers: vec![signers[0].clone()],
    };
    let workflow =
        BuilderDraft { id: WORKFLOW.parse().unwrap(), level: BuildLevel::Two, signers: Vec::new() };
    Draft {
        mode: Some(mode),
        signers: signers.to_vec(),
        builders: vec![hosted, workflow],
        sources: vec!["github.com/org/repo".parse().unwrap()],
        ..Draft::default()
    }
}

fn policy(change: impl FnOnce(&mut Draft)) -> Policy {
    let mut draft = draft(Mode::Require);
    change(&mut draft);
    draft.into_policy().unwrap().unwrap()
}

fn usual() -> Policy {
    policy(|_| {})
}

fn v0_2(builder: &str, source: &str) -> Value {
    json!({"builder": {"id": builder}, "invocation": {"configSource": {"uri": source}}})
}

fn v1(builder: &str, source: &str) -> Value {
    let definition = json!({"resolvedDependencies": [{"uri": source}]});
    json!({"buildDefinition": definition, "runDetails": {"builder": {"id": builder}}})
}

/// A digest by a name.
fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// An attestation about the image of a name.
fn attested(name: &str, signatory: Signatory, predicate_type: &str, predicate: Value) -> VerifiedAttestation {
    let statement = Statement::about(name, &digest(name).hex(), predicate_type, predicate);
    VerifiedAttestation { signatory, statement, place: format!("{name}.att") }
}

/// Provenance about the image of a name that satisfies the usual policy, at level 3.
fn good(name: &str) -> VerifiedAttestation {
    attested(name, google(), V1, v1(HOSTED, SOURCE))
}

/// The same at level 2.
fn fair(name: &str) -> VerifiedAttestation {
    attested(name, github(), V1, v1(WORKFLOW, SOURCE))
}

fn bad(name: &str) -> VerifiedAttestation {
    attested(name, google(), V1, v1("https://example.com/builder", SOURCE))
}

fn image(name: &str, verified: Vec<VerifiedAttestation>) -> Image {
    Image { digest: digest(name), verified, rejected: Vec::new(), platforms: None }
}

fn index(own: Vec<VerifiedAttestation>, platforms: Vec<(Option<&str>, Image)>) -> Image {
    let platform = |(name, image): (Option<&str>, Image)| Platform { name: name.map(str::to_owned), image };
    let platforms = platforms.into_iter().map(platform).collect();
    Image { platforms: Some(platforms), ..image("index", own) }
}

fn forged(predicate_type: Option<&str>) -> RejectedAttestation {
    let predicate_type = predicate_type.map(str::to_owned);
    RejectedAttestation {
        predicate_type,
        reason: "the signature does not verify".into(),
        place: "forged.att".into(),
    }
}

/// What one attestation of an image is worth under a policy.
fn verdict(policy: &Policy, attestation: VerifiedAttestation) -> Verdict {
    judge(Some(policy), &image("app", vec![attestation])).findings.remove(0).verdict
}

/// Why one attestation of an image does not count; none: it does.
fn reason(policy: &Policy, attestation: VerifiedAttestation) -> Option<Reason> {
    match verdict(policy, attestation) {
        Verdict::Accepted(_) => None,
        Verdict::Refused(reason) => Some(reason),
        Verdict::Ignored => panic!("under a policy nothing is ignored"),
    }
}

fn levels(judgement: &Judgement) -> Vec<Option<BuildLevel>> {
    judgement.platforms.iter().map(|(_, platform)| platform.level).collect()
}

#[test]
fn provenance_of_both_versions_satisfies() {
    for (predicate_type, predicate) in [(V0_2, v0_2(HOSTED, SOURCE)), (V1, v1(HOSTED, SOURCE))] {
        let judgement =
            judge(Some(&usual()), &image("app", vec![attested("app", google(), predicate_type, predicate)]));
        assert!(
            judgement.is_satisfied() && !judgement.blocks() && !judgement.is_by_platforms(),
            "{judgement}"
        );
        assert_eq!((judgement.level, judgement.accepted().count()), (Some(BuildLevel::Three), 1));
    }
}

#[test]
fn other_predicate_types_are_no_provenance() {
    for other in [
        "https://slsa.dev/provenance/v0.1",
        "https://slsa.dev/provenance/v1.0",
        "https://slsa.dev/provenance/v1/",
        SPDX,
    ] {
        let judgement =
            judge(Some(&usual()), &image("app", vec![attested("app", google(), other, v1(HOSTED, SOURCE))]));
        assert_eq!(judgement.faults, [Fault::NoProvenance], "{other}");
        assert_eq!(judgement.accepted().count(), 1, "and yet one of the signers says so");
    }
}

#[test]
fn an_image_without_provenance_satisfies_no_policy() {
    let judgement = judge(Some(&usual()), &image("app", Vec::new()));
    assert_eq!((&judgement.faults[..], judgement.level), (&[Fault::NoProvenance][..], None));
    assert!(judgement.blocks());
}

#[test]
fn a_statement_counts_for_the_digest_that_it_is_about_alone() {
    assert_eq!(reason(&usual(), good("other")), Some(Reason::OtherSubject));
    let mut both = good("other");
    both.statement.subject.extend(good("app").statement.subject);
    assert_eq!(reason(&usual(), both), None);
    let long = Digest::Sha512([7; 64]);
    let statement = Statement::about("app", &long.hex(), V1, v1(HOSTED, SOURCE));
    let of_sha512 =
        Image { digest: long, ..image("app", vec![VerifiedAttestation { statement, ..good("app") }]) };
    assert!(judge(Some(&usual()), &of_sha512).blocks(), "what is compared is SHA-256");
}

#[test]
fn only_the_policys_signers_count() {
    let key = Signatory::Key { fingerprint: "builder@project.iam.gserviceaccount.com".into() };
    for other in
        [stranger(), key, certificate("https://evil.example", "builder@project.iam.gserviceaccount.com")]
    {
        assert_eq!(
            reason(&usual(), attested("app", other.clone(), V1, v1(HOSTED, SOURCE))),
            Some(Reason::OtherSigner)
        );
        assert_eq!(reason(&usual(), attested("app", other, SPDX, json!({}))), Some(Reason::OtherSigner));
    }
}

#[test]
fn a_signer_claims_his_own_builders_alone() {
    let claims = |signatory, builder| reason(&usual(), attested("app", signatory, V1, v1(builder, SOURCE)));
    let at_ref = format!("{WORKFLOW}@refs/tags/v1");
    assert_eq!(claims(google(), HOSTED), None);
    assert_eq!(claims(github(), &at_ref), None);
    assert_eq!(claims(github(), HOSTED), Some(Reason::OthersBuilder(HOSTED.into())));
    assert_eq!(claims(google(), &at_ref), Some(Reason::OthersBuilder(at_ref.clone())));
    let longer = format!("{HOSTED}/evil");
    assert_eq!(claims(google(), &longer), Some(Reason::OtherBuilder(longer.clone())));
}

#[test]
fn a_source_of_others_does_not_count() {
    let from = |source| reason(&usual(), attested("app", google(), V0_2, v0_2(HOSTED, source)));
    assert_eq!(from("https://github.com/org/repo.git"), None);
    for other in ["https://github.com/org/repo2", "https://github.com/org", "https://github.com/fork/repo"] {
        assert_eq!(from(other), Some(Reason::OtherSource(other.into())));
    }
    assert_eq!(from(""), Some(Reason::NoSource));
}

#[test]
fn a_build_of_something_else_does_not_count_for_having_used_the_source() {
    let mut predicate = v1(HOSTED, SOURCE);
    let used = json!([{"uri": "https://example.com/base"}, {"uri": SOURCE}]);
    predicate["buildDefinition"]["resolvedDependencies"] = used;
    let attested = |predicate: &Value| attested("app", google(), V1, predicate.clone());
    assert_eq!(
        reason(&usual(), attested(&predicate)),
        None,
        "not told, so that one of what it used may be it"
    );
    let fork = "https://github.com/fork/repo";
    predicate["buildDefinition"]["externalParameters"] = json!({"workflow": {"repository": fork}});
    assert_eq!(reason(&usual(), attested(&predicate)), Some(Reason::OtherSource(fork.into())));
    predicate["buildDefinition"]["externalParameters"] =
        json!({"source": {"uri": SOURCE}, "workflow": {"repository": fork}});
    assert_eq!(reason(&usual(), attested(&predicate)), Some(Reason::OtherSource(fork.into())));
    predicate["buildDefinition"]["externalParameters"]["workflow"]["repository"] =
        json!("https://github.com/org/repo");
    assert_eq!(reason(&usual(), attested(&predicate)), None);
}

#[test]
fn a_predicate_that_says_nothing_does_not_count() {
    for predicate in
        [json!(null), json!({}), json!({"runDetails": {"builder": {"id": [HOSTED]}}}), v0_2(HOSTED, SOURCE)]
    {
        let reason = reason(&usual(), attested("app", google(), V1, predicate.clone()));
        assert!(matches!(reason, Some(Reason::Unusable(_))), "{predicate}: {reason:?}");
    }
}

#[test]
fn the_builder_must_reach_the_level() {
    let asks = |level| policy(|draft| draft.level = Some(level));
    assert_eq!(reason(&asks(BuildLevel::Two), fair("app")), None);
    assert_eq!(reason(&asks(BuildLevel::Three), good("app")), None);
    let too_low = Reason::Level { reached: BuildLevel::Two, asked: BuildLevel::Three };
    assert_eq!(reason(&asks(BuildLevel::Three), fair("app")), Some(too_low));
}

#[test]
fn of_several_the_best_that_counts_says_the_level_and_the_others_take_nothing_away() {
    let mut image = image("app", vec![bad("app"), fair("app"), good("app")]);
    image.rejected.push(forged(None));
    let judgement = judge(Some(&usual()), &image);
    assert_eq!((judgement.level, judgement.accepted().count()), (Some(BuildLevel::Three), 2));
    image.verified.truncate(1);
    assert_eq!(judge(Some(&usual()), &image).faults, [Fault::ProvenanceRefused]);
}

#[test]
fn what_must_be_attested_besides_must_be_by_one_of_the_signers_and_about_the_image() {
    let asks = policy(|draft| draft.predicate_types = vec![SPDX.parse().unwrap()]);
    let with = |other: Option<VerifiedAttestation>| {
        let verified = std::iter::once(good("app")).chain(other).collect();
        judge(Some(&asks), &image("app", verified))
    };
    let judgement = with(Some(attested("app", github(), SPDX, json!({}))));
    assert!(judgement.is_satisfied() && judgement.accepted().count() == 2, "{judgement}");
    let missing = [Fault::NotAttested(SPDX.into())];
    for other in [
        None,
        Some(attested("app", stranger(), SPDX, json!({}))),
        Some(attested("other", google(), SPDX, json!({}))),
        Some(attested("app", google(), "https://spdx.dev/Document/v2", json!({}))),
    ] {
        let judgement = with(other);
        assert_eq!((&judgement.faults[..], judgement.level), (&missing[..], None));
    }
    let alone = judge(Some(&asks), &image("app", vec![attested("app", github(), SPDX, json!({}))]));
    assert_eq!(alone.faults, [Fault::NoProvenance]);
}

#[test]
fn what_does_not_satisfy_blocks_where_the_policy_requires_and_is_told_where_it_warns() {
    let warns = draft(Mode::Warn).into_policy().unwrap().unwrap();
    let image = image("app", vec![bad("app")]);
    let (warned, required) = (judge(Some(&warns), &image), judge(Some(&usual()), &image));
    assert!(!warned.is_satisfied() && !warned.blocks() && required.blocks());
}

#[test]
fn provenance_about_an_index_says_what_it_is_worth_and_its_platforms_are_not_looked_at() {
    let platforms = vec![(Some("linux/amd64"), image("amd64", Vec::new()))];
    let judgement = judge(Some(&usual()), &index(vec![fair("index")], platforms));
    assert_eq!((judgement.level, judgement.platforms.len()), (Some(BuildLevel::Two), 0), "{judgement}");
}

#[test]
fn provenance_about_an_index_that_fails_is_not_outweighed_by_its_platforms() {
    let platforms = || vec![(Some("linux/amd64"), image("amd64", vec![good("amd64")]))];
    let by_stranger = attested("index", stranger(), V1, v1(HOSTED, SOURCE));
    for own in [bad("index"), by_stranger, good("amd64")] {
        let judgement = judge(Some(&usual()), &index(vec![own], platforms()));
        assert_eq!((&judgement.faults[..], judgement.platforms.len()), (&[Fault::ProvenanceRefused][..], 0));
    }
    for predicate_type in [None, Some(V1), Some(V0_2)] {
        let mut index = index(Vec::new(), platforms());
        index.rejected.push(forged(predicate_type));
        assert!(index.has_provenance() && judge(Some(&usual()), &index).blocks(), "{predicate_type:?}");
    }
    let mut with_sbom = index(vec![attested("index", google(), SPDX, json!({}))], platforms());
    with_sbom.rejected.push(forged(Some(SPDX)));
    let judgement = judge(Some(&usual()), &with_sbom);
    assert!(judgement.is_by_platforms() && judgement.accepted().count() == 1, "{judgement}");
}

#[test]
fn an_index_without_provenance_reaches_the_lowest_level_of_its_platforms() {
    let platforms = vec![
        (Some("linux/amd64"), image("amd64", vec![good("amd64")])),
        (Some("linux/arm64/v8"), image("arm64", vec![fair("arm64")])),
        (Some("unknown/unknown"), image("buildkit", Vec::new())),
    ];
    let judgement = judge(Some(&usual()), &index(Vec::new(), platforms));
    assert!(judgement.is_by_platforms() && !judgement.blocks(), "{judgement}");
    assert_eq!(judgement.level, Some(BuildLevel::Two));
    assert_eq!(levels(&judgement), [Some(BuildLevel::Three), Some(BuildLevel::Two)]);
}

#[test]
fn one_platform_that_fails_fails_the_index() {
    for (name, second) in [
        (Some("linux/arm64"), image("arm64", Vec::new())),
        (Some("linux/arm64"), image("arm64", vec![bad("arm64")])),
        (Some("linux/arm64"), image("arm64", vec![good("amd64")])),
        (Some("unknown/unknown/v1"), image("odd", Vec::new())),
        (None, image("nameless", Vec::new())),
    ] {
        let platforms = vec![(Some("linux/amd64"), image("amd64", vec![good("amd64")])), (name, second)];
        let judgement = judge(Some(&usual()), &index(Vec::new(), platforms));
        assert_eq!(judgement.faults, [Fault::Platforms { failed: 1, all: 2 }]);
        assert!(judgement.blocks() && judgement.level.is_none() && !judgement.is_by_platforms());
    }
}

#[test]
fn each_platform_must_have_what_must_be_attested_besides() {
    let asks = policy(|draft| draft.predicate_types = vec![SPDX.parse().unwrap()]);
    let sbom = |name| attested(name, google(), SPDX, json!({}));
    let with = |own, verified| {
        judge(Some(&asks), &index(own, vec![(Some("linux/amd64"), image("amd64", verified))]))
    };
    assert!(with(Vec::new(), vec![good("amd64"), sbom("amd64")]).is_satisfied());
    assert!(
        !with(vec![sbom("index")], vec![good("amd64")]).is_satisfied(),
        "what the index has is not the platform's"
    );
    assert!(!with(vec![good("index")], vec![sbom("amd64")]).is_satisfied(), "nor the other way round");
}

#[test]
fn an_index_of_nothing_that_runs_fails() {
    for platforms in [Vec::new(), vec![(Some("unknown/unknown"), image("buildkit", vec![good("buildkit")]))]]
    {
        assert_eq!(judge(Some(&usual()), &index(Vec::new(), platforms)).faults, [Fault::NoPlatform]);
    }
}

#[test]
fn an_index_within_an_index_is_judged_as_one() {
    let nested = |own, verified| {
        let inner = index(own, vec![(Some("linux/amd64"), image("amd64", verified))]);
        judge(Some(&usual()), &index(Vec::new(), vec![(None, inner)]))
    };
    let judgement = nested(Vec::new(), vec![fair("amd64")]);
    assert!(judgement.is_satisfied() && judgement.level == Some(BuildLevel::Two), "{judgement}");
    assert!(nested(Vec::new(), Vec::new()).blocks());
    assert!(nested(vec![bad("index")], vec![good("amd64")]).blocks());
}

#[test]
fn indexes_nested_without_end_fail() {
    let nested = |depth: usize| {
        let innermost = image("app", vec![good("app")]);
        (0..depth).fold(innermost, |inner, _| index(Vec::new(), vec![(None, inner)]))
    };
    assert!(judge(Some(&usual()), &nested(5)).is_satisfied());
    for policy in [Some(&usual()), None] {
        let judgement = judge(policy, &nested(6));
        assert!(judgement.blocks() && judgement.to_string().contains("nested too deep"), "{judgement}");
    }
}

#[test]
fn without_a_policy_what_verifies_passes_whoever_says_it() {
    for verified in [
        Vec::new(),
        vec![attested("app", stranger(), V1, v1("anybody", "anything"))],
        vec![attested("app", stranger(), SPDX, json!({}))],
        vec![attested("app", stranger(), V0_2, json!("nonsense, but signed"))],
    ] {
        let judgement = judge(None, &image("app", verified));
        assert!(judgement.is_satisfied() && !judgement.blocks() && judgement.level.is_none(), "{judgement}");
    }
    let other = judge(None, &image("app", vec![attested("app", google(), SPDX, json!({}))]));
    assert_eq!(other.findings[0].verdict, Verdict::Ignored);
}

#[test]
fn without_a_policy_what_is_forged_blocks() {
    for predicate_type in [None, Some(V1), Some(SPDX)] {
        let mut image = image("app", vec![good("app")]);
        image.rejected.push(forged(predicate_type));
        let judgement = judge(None, &image);
        assert!(judgement.blocks() && judgement.faults == [Fault::Forged], "{judgement}");
    }
    assert!(
        judge(None, &image("app", vec![good("other")])).blocks(),
        "and what was moved here from elsewhere"
    );
    let mut inner = image("amd64", Vec::new());
    inner.rejected.push(forged(None));
    for name in [Some("linux/amd64"), Some("unknown/unknown")] {
        let judgement = judge(None, &index(vec![good("index")], vec![(name, inner.clone())]));
        assert_eq!(judgement.faults, [Fault::Platforms { failed: 1, all: 1 }], "wherever it stands");
    }
    assert!(!judge(None, &index(Vec::new(), Vec::new())).blocks());
}

#[test]
fn a_judgement_says_what_was_found_and_obeys_nobody() {
    let mut arm64 = image("arm64", vec![attested("arm64", github(), V1, v1("\u{1b}[2Jevil", SOURCE))]);
    arm64.rejected.push(forged(None));
    let platforms =
        vec![(Some("linux/amd64"), image("amd64", vec![good("amd64")])), (Some("linux/arm64"), arm64)];
    let sbom = attested("index", stranger(), SPDX, json!({}));
    let judgement = judge(Some(&usual()), &index(vec![sbom], platforms));
    insta::assert_snapshot!(judgement.to_string(), @r"
    sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6: 1 of its 2 platforms do not pass
      https://spdx.dev/Document at index.att, signed by builder@project.iam.gserviceaccount.com.evil.example (https://accounts.google.com): refused, this is none of the policy's signers
      sha256:5861314d7fccb39c2192173240eab44fa35ca66426201ca2acd0630a6258dd51 (linux/amd64): passes, SLSA build level 3
        https://slsa.dev/provenance/v1 at amd64.att, signed by builder@project.iam.gserviceaccount.com (https://accounts.google.com): accepted, built by https://cloudbuild.googleapis.com/GoogleHostedWorker from git+https://github.com/org/repo@refs/heads/main, level 3
      sha256:f69162950f235e3cdbbad33f1f912d1a504be90d8a37d002c735d6f3e3882265 (linux/arm64): none of its SLSA provenance counts
        https://slsa.dev/provenance/v1 at arm64.att, signed by https://github.com/org/repo/.github/workflows/release.yaml@refs/heads/main (https://token.actions.githubusercontent.com): refused, the builder \u{1b}[2Jevil is none of the policy's
        an attestation of unknown type at forged.att: refused, it does not verify: the signature does not verify
    ");
    let many =
        judge(None, &image("app", vec![attested("app", google(), &"x".repeat(10_000), json!({})); 1_000]));
    assert!(many.to_string().len() < 20_000 && many.to_string().ends_with("and 980 more"));
}

proptest! {
    /// A policy lets nothing pass for who signs, builds or is built from but what it names, whatever the combination.
    #[test]
    fn an_image_passes_just_where_signer_builder_and_source_all_do(
        signer in 0_usize..3, builder in 0_usize..4, source in 0_usize..3, about in 0_usize..2, version in 0_usize..2,
    ) {
        let signatory = [google(), github(), stranger()][signer].clone();
        let builder_id = [HOSTED, WORKFLOW, "https://github.com/org/repo/.github/workflows/release.yaml@v1", "other"][builder];
        let uri = [SOURCE, "https://github.com/org/repo", "https://github.com/org/repo2"][source];
        let (predicate_type, predicate) = [(V1, v1(builder_id, uri)), (V0_2, v0_2(builder_id, uri))][version].clone();
        let name = ["app", "other"][about];
        let judgement = judge(Some(&usual()), &image("app", vec![attested(name, signatory, predicate_type, predicate)]));
        let may_claim = matches!((signer, builder), (0, 0) | (1, 1 | 2));
        prop_assert_eq!(judgement.is_satisfied(), may_claim && source < 2 && about == 0, "{}", judgement);
        prop_assert_eq!(judgement.level.is_some(), judgement.is_satisfied());
    }

    /// More attestations never make an image fail under a policy, and what is refused never makes one pass.
    #[test]
    fn attestations_that_do_not_count_change_nothing(extra in proptest::collection::vec(0_usize..4, 0..6), has_good in any::<bool>()) {
        let make = [bad("app"), good("other"), attested("app", stranger(), V1, v1(HOSTED, SOURCE)), attested("app", google(), SPDX, json!([]))];
        let verified: Vec<_> =
            extra.iter().map(|kind| make[*kind].clone()).chain(has_good.then(|| good("app"))).collect();
        prop_assert_eq!(judge(Some(&usual()), &image("app", verified)).is_satisfied(), has_good);
    }
}
