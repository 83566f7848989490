//! The judgements of an image's parts, and the attestations that it was judged by.

use std::collections::HashSet;

use manifest::policy::{BuildLevel, Mode};
use trust::policy::{AttestationId, Image, Judgement, judge};

use crate::support::*;

/// Creates an index of other images, with its own name.
fn index_of(name: &str, platforms: Vec<Image>) -> Image {
    let platforms = platforms.into_iter().map(|image| (None, image)).collect();
    Image { digest: digest(name), ..index(Vec::new(), platforms) }
}

/// Whether a part passes, and at which level.
fn of(judgement: &Judgement, part: &str) -> (bool, Option<BuildLevel>) {
    let part = judgement.of_part(&digest(part));
    (part.is_satisfied(), part.level)
}

const LEVEL_2: (bool, Option<BuildLevel>) = (true, Some(BuildLevel::Two));
const LEVEL_3: (bool, Option<BuildLevel>) = (true, Some(BuildLevel::Three));
const FAILED: (bool, Option<BuildLevel>) = (false, None);

#[test]
fn a_part_that_was_judged_has_its_own_judgement_at_any_depth() {
    let inner = index_of("inner", vec![image("arm64", vec![fair("arm64")]), image("arm", Vec::new())]);
    let judgement =
        judge(Some(&usual()), &index_of("outer", vec![image("amd64", vec![good("amd64")]), inner]));
    for (part, expected) in
        [("outer", FAILED), ("amd64", LEVEL_3), ("inner", FAILED), ("arm64", LEVEL_2), ("arm", FAILED)]
    {
        assert_eq!(of(&judgement, part), expected, "{part}");
    }
    assert_eq!(judgement.of_part(&digest("arm")).digest, digest("arm"));
}

/// In warn mode, an earlier version reported that such an index had failed and that its parts had passed.
#[test]
fn a_part_that_was_not_judged_inherits_the_judgement_of_the_image() {
    let warns = draft(Mode::Warn).into_policy().unwrap().unwrap();
    for policy in [&usual(), &warns] {
        for (own, expected) in [(bad("index"), FAILED), (fair("index"), LEVEL_2)] {
            let platforms = vec![(Some("linux/amd64"), image("amd64", vec![good("amd64")]))];
            let judgement = judge(Some(policy), &index(vec![own], platforms));
            assert_eq!(of(&judgement, "index"), expected);
            assert_eq!(of(&judgement, "amd64"), expected, "the platform was not judged");
        }
    }
    let without = judge(None, &index(Vec::new(), Vec::new()));
    assert_eq!(of(&without, "amd64"), (true, None));
}

/// The inner index has provenance of its own, so its parts are not examined. They inherit the judgement of the whole image,
/// which is never better.
#[test]
fn a_part_of_an_inner_index_inherits_no_better_judgement_than_that_of_the_index() {
    let inner = |own| Image { digest: digest("inner"), ..index(vec![own], Vec::new()) };
    let own = |make: fn(&str) -> _| inner(make("inner"));
    let other = |verified| image("amd64", verified);
    for (inner, verified, expected_inner, expected_part) in [
        (own(good), vec![fair("amd64")], LEVEL_3, LEVEL_2),
        (own(fair), vec![good("amd64")], LEVEL_2, LEVEL_2),
        (own(good), Vec::new(), LEVEL_3, FAILED),
        (own(bad), vec![good("amd64")], FAILED, FAILED),
    ] {
        let judgement = judge(Some(&usual()), &index_of("outer", vec![inner, other(verified)]));
        assert_eq!(of(&judgement, "inner"), expected_inner);
        assert_eq!(of(&judgement, "part of inner"), expected_part);
    }
}

#[test]
fn a_part_in_two_indexes_has_the_worse_judgement() {
    let deep = |depth: usize, innermost: Image| {
        (0..depth).fold(innermost, |inner, number| index_of(&format!("level {number}"), vec![inner]))
    };
    let shared = || index_of("shared", vec![image("amd64", vec![good("amd64")])]);
    for order in [[1, 4], [4, 1]] {
        let lists = order.map(|depth| deep(depth, shared())).to_vec();
        let judgement = judge(Some(&usual()), &index_of("outer", lists));
        assert_eq!(of(&judgement, "shared"), FAILED, "the occurrence that is nested too deep was not judged");
    }
    for order in [[good, fair], [fair, good]] {
        let parts =
            order.map(|make: fn(&str) -> _| index_of("inner", vec![image("amd64", vec![make("amd64")])]));
        let judgement = judge(Some(&usual()), &index_of("outer", parts.to_vec()));
        assert_eq!(of(&judgement, "amd64"), LEVEL_2);
    }
}

/// Two attestations may have the same location in messages, so locations cannot identify them.
#[test]
fn findings_name_the_attestation_that_they_are_about() {
    let (first, second, third) = (good("app"), bad("app"), fair("app"));
    let mut image = image("app", vec![first.clone(), second.clone(), third.clone()]);
    image.rejected.push(forged(None));
    let judgement = judge(Some(&usual()), &image);
    let ids: Vec<Option<AttestationId>> = judgement.findings.iter().map(|finding| finding.id).collect();
    assert_eq!(ids, [Some(first.id), Some(second.id), Some(third.id), None]);
    let accepted: HashSet<AttestationId> = judgement.accepted().filter_map(|finding| finding.id).collect();
    assert_eq!(accepted, HashSet::from([first.id, third.id]));
    assert!(judgement.findings[..3].iter().all(|finding| finding.place == "app.att"));
}
