//! An index: its own attestations, and those of its entries.

use manifest::policy::BuildLevel;
use serde_json::json;
use trust::policy::{Violation, judge};

use crate::support::*;

#[test]
fn provenance_of_an_index_decides_and_its_platforms_are_not_judged() {
    let platforms = vec![(Some("linux/amd64"), image("amd64", Vec::new()))];
    let judgement = judge(Some(&usual()), &index(vec![fair("index")], platforms));
    assert_eq!((judgement.level, judgement.platforms.len()), (Some(BuildLevel::Two), 0), "{judgement}");
}

#[test]
fn refused_provenance_of_an_index_is_not_outweighed_by_its_platforms() {
    let platforms = || vec![(Some("linux/amd64"), image("amd64", vec![good("amd64")]))];
    for own in [bad("index"), good("amd64")] {
        let judgement = judge(Some(&usual()), &index(vec![own], platforms()));
        assert_eq!(
            (&judgement.violations[..], judgement.platforms.len()),
            (&[Violation::ProvenanceRefused][..], 0)
        );
    }
    for predicate_type in [None, Some(V1), Some(V0_2)] {
        let mut index = index(Vec::new(), platforms());
        index.rejected.push(forged(predicate_type));
        assert!(
            index.has_provenance(&usual()) && judge(Some(&usual()), &index).blocks(),
            "{predicate_type:?}"
        );
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
    ];
    let mut index = index(Vec::new(), platforms);
    index.platforms.as_mut().unwrap().push(exempt(image("buildkit", Vec::new())));
    let judgement = judge(Some(&usual()), &index);
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
        (Some("unknown/unknown"), image("unknown", Vec::new())),
        (Some("unknown/unknown"), index(Vec::new(), vec![(Some("linux/arm64"), image("arm64", Vec::new()))])),
        (Some("unknown/unknown/v1"), image("odd", Vec::new())),
        (None, image("nameless", Vec::new())),
    ] {
        let platforms = vec![(Some("linux/amd64"), image("amd64", vec![good("amd64")])), (name, second)];
        let judgement = judge(Some(&usual()), &index(Vec::new(), platforms));
        assert_eq!(judgement.violations, [Violation::Platforms { failed: 1, all: 2 }]);
        assert!(judgement.blocks() && judgement.level.is_none() && !judgement.is_by_platforms());
    }
}

#[test]
fn each_platform_needs_the_additional_attestations() {
    let asks = policy(|draft| draft.predicate_types = vec![SPDX.parse().unwrap()]);
    let sbom = |name| attested(name, google(), SPDX, json!({}));
    let with = |own, verified| {
        judge(Some(&asks), &index(own, vec![(Some("linux/amd64"), image("amd64", verified))]))
    };
    assert!(with(Vec::new(), vec![good("amd64"), sbom("amd64")]).is_satisfied());
    assert!(
        !with(vec![sbom("index")], vec![good("amd64")]).is_satisfied(),
        "an attestation of the index does not count for its platform"
    );
    assert!(
        !with(vec![good("index")], vec![sbom("amd64")]).is_satisfied(),
        "an attestation of a platform does not count for its index"
    );
}

#[test]
fn an_index_without_images_fails() {
    let mut attestations_alone = index(Vec::new(), Vec::new());
    attestations_alone.platforms = Some(vec![exempt(image("buildkit", vec![good("buildkit")]))]);
    for index in [index(Vec::new(), Vec::new()), attestations_alone] {
        assert_eq!(judge(Some(&usual()), &index).violations, [Violation::NoPlatform]);
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
fn indexes_that_are_nested_too_deep_fail() {
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
