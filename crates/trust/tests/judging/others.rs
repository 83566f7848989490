//! Images without a policy, attestations by others, and the messages about them.

use serde_json::json;
use trust::policy::{Outsider, Verdict, Violation, judge};

use crate::support::*;

#[test]
fn without_a_policy_valid_attestations_by_any_signer_pass() {
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
fn without_a_policy_forged_attestations_block() {
    for predicate_type in [None, Some(V1), Some(SPDX)] {
        let mut image = image("app", vec![good("app")]);
        image.rejected.push(forged(predicate_type));
        let judgement = judge(None, &image);
        assert!(judgement.blocks() && judgement.violations == [Violation::Forged], "{judgement}");
    }
    assert!(
        judge(None, &image("app", vec![good("other")])).blocks(),
        "an attestation about another image also blocks"
    );
    let mut inner = image("amd64", Vec::new());
    inner.rejected.push(forged(None));
    for name in [Some("linux/amd64"), Some("unknown/unknown")] {
        let judgement = judge(None, &index(vec![good("index")], vec![(name, inner.clone())]));
        assert_eq!(
            judgement.violations,
            [Violation::Platforms { failed: 1, all: 1 }],
            "a forged attestation of any entry blocks"
        );
    }
    assert!(!judge(None, &index(Vec::new(), Vec::new())).blocks());
}

/// Otherwise anyone with a key could block an image without a policy.
#[test]
fn attestations_by_others_do_not_block_an_image_without_a_policy() {
    for predicate_type in [None, Some(V1), Some(SPDX)] {
        let mut image = image("app", Vec::new());
        image.others.push(unknown(predicate_type));
        let judgement = judge(None, &image);
        assert!(judgement.is_satisfied() && !judgement.blocks(), "{judgement}");
        let expected = Verdict::SomeoneElses(Outsider::Unknown("another key".into()));
        assert_eq!(judgement.findings[0].verdict, expected);
        assert!(judgement.to_string().contains("ignored, it is someone else's: another key"), "{judgement}");
        image.rejected.push(forged(predicate_type));
        assert!(judge(None, &image).blocks(), "a forged attestation still blocks");
    }
}

#[test]
fn attestations_by_others_neither_satisfy_nor_break_a_policy() {
    let by_stranger = || attested("app", stranger(), V1, v1(HOSTED, SOURCE));
    for predicate_type in [None, Some(V1), Some(SPDX)] {
        let mut satisfied = image("app", vec![by_stranger(), good("app")]);
        satisfied.others.push(unknown(predicate_type));
        assert!(judge(Some(&usual()), &satisfied).is_satisfied());
        let mut alone = image("app", vec![by_stranger()]);
        alone.others.push(unknown(predicate_type));
        let judgement = judge(Some(&usual()), &alone);
        assert!(judgement.blocks() && judgement.accepted().count() == 0, "{judgement}");
        assert_eq!(judgement.violations, [Violation::ProvenanceRefused]);
    }
    let asks = policy(|draft| draft.predicate_types = vec![SPDX.parse().unwrap()]);
    let mut with_sbom = image("app", vec![good("app")]);
    with_sbom.others.push(unknown(Some(SPDX)));
    assert_eq!(judge(Some(&asks), &with_sbom).violations, [Violation::NotAttested(SPDX.into())]);
}

/// Otherwise anyone with push access could fail an index whose platforms all pass.
#[test]
fn attestations_by_others_about_an_index_do_not_cover_its_platforms() {
    let about_another = attested("other", stranger(), V1, v1(HOSTED, SOURCE));
    for own in [attested("index", stranger(), V1, v1(HOSTED, SOURCE)), about_another] {
        for (verified, passes) in [(vec![good("amd64")], true), (Vec::new(), false)] {
            let platforms = vec![(Some("linux/amd64"), image("amd64", verified))];
            let mut index = index(vec![own.clone()], platforms);
            index.others.push(unknown(Some(V1)));
            assert!(!index.has_provenance(&usual()));
            let judgement = judge(Some(&usual()), &index);
            assert_eq!((judgement.is_by_platforms(), judgement.blocks()), (passes, !passes), "{judgement}");
        }
    }
}

#[test]
fn a_judgement_shows_the_findings_without_control_characters() {
    let mut arm64 = image("arm64", vec![attested("arm64", github(), V1, v1("\u{1b}[2Jevil", SOURCE))]);
    arm64.rejected.push(forged(None));
    let platforms =
        vec![(Some("linux/amd64"), image("amd64", vec![good("amd64")])), (Some("linux/arm64"), arm64)];
    let sbom = attested("index", stranger(), SPDX, json!({}));
    let judgement = judge(Some(&usual()), &index(vec![sbom], platforms));
    insta::assert_snapshot!(judgement.to_string(), @r"
    1 of its 2 platforms does not pass
      https://spdx.dev/Document at index.att, signed by builder@project.iam.gserviceaccount.com.evil.example (https://accounts.google.com): ignored, this is not one of the policy's signers
      sha256:5861314d7fccb39c2192173240eab44fa35ca66426201ca2acd0630a6258dd51 (linux/amd64): passes, SLSA build level 3
        https://slsa.dev/provenance/v1 at amd64.att, signed by builder@project.iam.gserviceaccount.com (https://accounts.google.com): accepted, built by https://cloudbuild.googleapis.com/GoogleHostedWorker from git+https://github.com/org/repo@refs/heads/main, level 3
      sha256:f69162950f235e3cdbbad33f1f912d1a504be90d8a37d002c735d6f3e3882265 (linux/arm64): none of its SLSA provenance counts
        https://slsa.dev/provenance/v1 at arm64.att, signed by https://github.com/org/repo/.github/workflows/release.yaml@refs/heads/main (https://token.actions.githubusercontent.com): refused, the builder \u{1b}[2Jevil is not one of the policy's
        an attestation of unknown type at forged.att: refused, it does not verify: the signature does not verify
    ");
    let many =
        judge(None, &image("app", vec![attested("app", google(), &"x".repeat(10_000), json!({})); 1_000]));
    assert!(many.to_string().len() < 20_000 && many.to_string().ends_with("and 980 more"));
}
