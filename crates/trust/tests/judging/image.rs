//! One image: the signers that count for it, and the statements that it needs.

use manifest::policy::{BuildLevel, Mode};
use oci::Digest;
use proptest::prelude::*;
use serde_json::json;
use sigstore::{Signatory, Statement};
use trust::policy::{Image, Outsider, Reason, Verdict, VerifiedAttestation, Violation, judge};

use crate::support::*;

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
fn other_predicate_types_are_not_provenance() {
    for other in [
        "https://slsa.dev/provenance/v0.1",
        "https://slsa.dev/provenance/v1.0",
        "https://slsa.dev/provenance/v1/",
        SPDX,
    ] {
        let judgement =
            judge(Some(&usual()), &image("app", vec![attested("app", google(), other, v1(HOSTED, SOURCE))]));
        assert_eq!(judgement.violations, [Violation::NoProvenance], "{other}");
        assert_eq!(
            judgement.accepted().count(),
            1,
            "attestations of other types by a signer of the policy are accepted"
        );
    }
}

#[test]
fn an_image_without_provenance_satisfies_no_policy() {
    let judgement = judge(Some(&usual()), &image("app", Vec::new()));
    assert_eq!((&judgement.violations[..], judgement.level), (&[Violation::NoProvenance][..], None));
    assert!(judgement.blocks());
}

#[test]
fn a_statement_counts_only_for_its_subjects() {
    assert_eq!(reason(&usual(), good("other")), Some(Reason::OtherSubject));
    let mut both = good("other");
    both.statement.subject.extend(good("app").statement.subject);
    assert_eq!(reason(&usual(), both), None);
    let long = Digest::Sha512([7; 64]);
    let statement = Statement::about("app", &long.hex(), V1, v1(HOSTED, SOURCE));
    let of_sha512 =
        Image { digest: long, ..image("app", vec![VerifiedAttestation { statement, ..good("app") }]) };
    assert!(judge(Some(&usual()), &of_sha512).blocks(), "only SHA-256 digests are compared");
}

#[test]
fn only_the_policys_signers_count() {
    let key = Signatory::Key { fingerprint: "builder@project.iam.gserviceaccount.com".into() };
    for other in
        [stranger(), key, certificate("https://evil.example", "builder@project.iam.gserviceaccount.com")]
    {
        for (predicate_type, predicate) in [(V1, v1(HOSTED, SOURCE)), (SPDX, json!({}))] {
            let attestation = attested("app", other.clone(), predicate_type, predicate);
            let judgement = judge(Some(&usual()), &image("app", vec![attestation]));
            assert_eq!(judgement.findings[0].verdict, Verdict::SomeoneElses(Outsider::Identity));
            assert!(judgement.blocks() && judgement.level.is_none());
        }
    }
}

#[test]
fn a_signer_may_claim_only_its_own_builders() {
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
fn another_source_does_not_count() {
    let from = |source| reason(&usual(), attested("app", google(), V0_2, v0_2(HOSTED, source)));
    assert_eq!(from("https://github.com/org/repo.git"), None);
    for other in ["https://github.com/org/repo2", "https://github.com/org", "https://github.com/fork/repo"] {
        assert_eq!(from(other), Some(Reason::OtherSource(other.into())));
    }
    assert_eq!(from(""), Some(Reason::NoSource));
}

/// An earlier version gave level 2 if the repository was only a dependency, or a parameter of an unknown build type.
#[test]
fn a_build_that_only_uses_the_source_does_not_count() {
    let used = json!([{"uri": SOURCE}]);
    let known = "https://actions.github.io/buildtypes/workflow/v1";
    for (build_type, parameters, expected) in [
        (known, json!({}), Reason::NoSource),
        (known, json!({"repository": SOURCE, "source": SOURCE}), Reason::NoSource),
        ("https://example.com/type", json!({"repository": "https://github.com/fork/repo"}), Reason::NoSource),
        ("https://example.com/type", json!({"source": SOURCE}), Reason::NoSource),
        (
            known,
            json!({"source": {"uri": SOURCE}, "workflow": {"repository": "https://github.com/fork/repo"}}),
            Reason::OtherSource("https://github.com/fork/repo".into()),
        ),
    ] {
        let mut predicate = v1(HOSTED, SOURCE);
        predicate["buildDefinition"] = json!({
            "buildType": build_type, "externalParameters": parameters, "resolvedDependencies": used,
        });
        let attestation = attested("app", google(), V1, predicate);
        assert_eq!(reason(&usual(), attestation), Some(expected), "{build_type}: {parameters}");
    }
    let mut materials = v0_2(HOSTED, "");
    materials["materials"] = used;
    assert_eq!(reason(&usual(), attested("app", google(), V0_2, materials)), Some(Reason::NoSource));
}

/// The policy must allow each repository that the parameters of the build name.
#[test]
fn a_build_of_two_sources_counts_only_if_the_policy_allows_both() {
    let reported = |config: &str, built: &str| {
        let mut predicate = v1(HOSTED, SOURCE);
        predicate["buildDefinition"] = json!({
            "buildType": "https://cloud.google.com/build/gcb-buildtypes/google-worker/v1",
            "externalParameters": {
                "buildConfigSource": {"repository": config}, "sourceToBuild": {"repository": built},
            },
        });
        reason(&usual(), attested("app", google(), V1, predicate))
    };
    let fork = "https://github.com/fork/repo";
    assert_eq!(reported(SOURCE, SOURCE), None);
    for other in [reported(fork, SOURCE), reported(SOURCE, fork)] {
        assert_eq!(other, Some(Reason::OtherSource(fork.into())));
    }
}

#[test]
fn an_unusable_predicate_does_not_count() {
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
fn the_best_of_several_attestations_determines_the_level() {
    let mut image = image("app", vec![bad("app"), fair("app"), good("app")]);
    image.rejected.push(forged(None));
    let judgement = judge(Some(&usual()), &image);
    assert_eq!((judgement.level, judgement.accepted().count()), (Some(BuildLevel::Three), 2));
    image.verified.truncate(1);
    assert_eq!(judge(Some(&usual()), &image).violations, [Violation::ProvenanceRefused]);
}

#[test]
fn additional_attestations_must_be_by_one_of_the_signers_and_about_the_image() {
    let asks = policy(|draft| draft.predicate_types = vec![SPDX.parse().unwrap()]);
    let with = |other: Option<VerifiedAttestation>| {
        let verified = std::iter::once(good("app")).chain(other).collect();
        judge(Some(&asks), &image("app", verified))
    };
    let judgement = with(Some(attested("app", github(), SPDX, json!({}))));
    assert!(judgement.is_satisfied() && judgement.accepted().count() == 2, "{judgement}");
    let missing = [Violation::NotAttested(SPDX.into())];
    for other in [
        None,
        Some(attested("app", stranger(), SPDX, json!({}))),
        Some(attested("other", google(), SPDX, json!({}))),
        Some(attested("app", google(), "https://spdx.dev/Document/v2", json!({}))),
    ] {
        let judgement = with(other);
        assert_eq!((&judgement.violations[..], judgement.level), (&missing[..], None));
    }
    let alone = judge(Some(&asks), &image("app", vec![attested("app", github(), SPDX, json!({}))]));
    assert_eq!(alone.violations, [Violation::NoProvenance]);
}

#[test]
fn images_that_do_not_satisfy_a_policy_are_blocked_with_require_and_reported_with_warn() {
    let warns = draft(Mode::Warn).into_policy().unwrap().unwrap();
    let image = image("app", vec![bad("app")]);
    let (warned, required) = (judge(Some(&warns), &image), judge(Some(&usual()), &image));
    assert!(!warned.is_satisfied() && !warned.blocks() && required.blocks());
}

proptest! {
    /// An image passes only with a signer, a builder and a source of the policy, in every combination.
    #[test]
    fn an_image_passes_only_if_signer_builder_and_source_all_match(
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

    /// Additional attestations never make an image fail under a policy, and refused ones never make it pass.
    #[test]
    fn attestations_that_do_not_count_change_nothing(extra in proptest::collection::vec(0_usize..4, 0..6), has_good in any::<bool>()) {
        let make = [bad("app"), good("other"), attested("app", stranger(), V1, v1(HOSTED, SOURCE)), attested("app", google(), SPDX, json!([]))];
        let verified: Vec<_> =
            extra.iter().map(|kind| make[*kind].clone()).chain(has_good.then(|| good("app"))).collect();
        prop_assert_eq!(judge(Some(&usual()), &image("app", verified)).is_satisfied(), has_good);
    }
}
