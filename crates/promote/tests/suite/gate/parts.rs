//! Parts of indexes: inherited verdicts, own verdicts, and exempt parts.

use manifest::policy::Mode;
use registry::sample::Recipe;
use trust::SignatureFormat;

use crate::gate::scene::Scene;
use crate::support::beside::{attestations, beside, runnable};
use crate::support::{google, path, tag};

/// An index passes. A child of it without a tag has its own policy, which it does not satisfy.
#[tokio::test]
async fn a_tagless_child_that_its_policy_refuses_is_not_recorded() {
    let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
    let index = Recipe::default().index(2);
    scene.world.stage("app", &index, &["v1"]).await;
    scene.world.promote().await;
    // The child is requested from another directory, which has a policy.
    let child = index.manifests[0].clone();
    Recipe::default().index(2).put(scene.world.staging.store(), &path("strict/app"), &[]).await.unwrap();
    scene.demand("strict", Mode::Require);
    let mut job = scene.job();
    let mut manifest = job.manifests.manifests[0].clone();
    manifest.source = format!("{}/strict", scene.world.staging.host()).parse().unwrap();
    let image = &mut manifest.images[0];
    image.digests[0].digest = child.digest();
    image.digests[0].tags.clear();
    job.manifests.manifests = vec![manifest];
    let prepared = scene.prepare(job).await.unwrap();
    let done = scene.world.carry_out(prepared).await;
    assert_eq!((done.unsigned(), done.unrecorded()), (0, 1));
    assert_eq!(scene.attached(0, child.digest()).await.2, 0, "no record");
    assert_eq!(scene.attached(0, index.digest()).await.2, 1);
}

/// An entry of an index that is not a platform is treated like a platform, unless it is BuildKit's attestation manifest.
#[tokio::test]
async fn attestation_manifests_are_neither_signed_nor_summarised_and_entries_that_look_like_them_are() {
    for (other, is_exempt) in [(attestations(1), true), (runnable(1), false)] {
        let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
        scene.summarize();
        let platforms = Recipe::default().index(1);
        let about = platforms.manifests[0].digest();
        let index = beside(platforms, &other, Some(about));
        scene.world.stage("app", &index, &["v1"]).await;
        scene.world.promote().await;
        for digest in [about, other.digest(), index.digest()] {
            let expected = usize::from(!(is_exempt && digest == other.digest()));
            let (layers, _, _, summaries) = scene.attached(0, digest).await;
            assert_eq!((layers, summaries), (expected, expected), "{digest}, exempt: {is_exempt}");
        }
        scene.world.reset_tallies();
        scene.world.promote().await;
        assert_eq!(scene.world.writes(), 0, "exempt: {is_exempt}");
    }
}

/// A part is also requested as an image of its own, and a policy refuses it there. It gets nothing through its index either,
/// and the plan reports this.
#[tokio::test]
async fn a_part_that_its_own_policy_refuses_is_not_signed_through_its_index() {
    let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
    scene.summarize();
    let index = Recipe::default().index(2);
    scene.world.stage("app", &index, &["v1"]).await;
    index.put(scene.world.staging.store(), &path("strict/app"), &[]).await.unwrap();
    scene.promote_unsigned().await;
    scene.demand("strict", Mode::Require);
    let mut job = scene.job();
    let mut part = job.manifests.manifests[0].clone();
    part.source = format!("{}/strict", scene.world.staging.host()).parse().unwrap();
    part.images[0].digests[0].digest = index.manifests[0].digest();
    part.images[0].digests[0].tags.clear();
    job.manifests.manifests.push(part);
    let prepared = scene.prepare(job).await.unwrap();
    let planned = prepared.plan().summary().total;
    assert_eq!((planned.refused, planned.sign, planned.record, prepared.refused()), (2, 0, 0, 2));
    scene.world.reset_tallies();
    let done = scene.world.carry_out(prepared).await;
    assert_eq!((done.unrecorded(), scene.world.writes()), (2, 0));
}

/// An image is a part of an index that a policy refuses, and is also requested from another source. Whichever way it is
/// requested, the worst verdict about it applies to signatures and summaries.
#[tokio::test]
async fn a_part_of_a_refused_image_gets_nothing_and_no_better_summary_through_another_image() {
    for (mode, expected) in [(Mode::Require, None), (Mode::Warn, Some("FAILED"))] {
        let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
        scene.summarize();
        let index = Recipe::default().index(2);
        scene.world.stage("app", &index, &["v1"]).await;
        let staging = scene.world.staging.store();
        for directory in ["strict", "free"] {
            index.put(staging, &path(&format!("{directory}/app")), &[]).await.unwrap();
        }
        scene.promote_unsigned().await;
        scene.demand("strict", mode);
        let part = index.manifests[0].digest();
        let mut job = scene.job();
        let mut whole = job.manifests.manifests[0].clone();
        whole.source = format!("{}/strict", scene.world.staging.host()).parse().unwrap();
        let mut alone = whole.clone();
        alone.source = format!("{}/free", scene.world.staging.host()).parse().unwrap();
        alone.images[0].digests[0].digest = part;
        alone.images[0].digests[0].tags = vec![(tag("part"), alone.images[0].digests[0].position)];
        job.manifests.manifests = vec![alone, whole];
        let prepared = scene.prepare(job).await.unwrap();
        scene.world.carry_out(prepared).await;
        let count = usize::from(expected.is_some());
        for digest in [part, index.digest()] {
            assert_eq!(scene.attached(0, digest).await, (count, count, count, count), "{mode:?}");
            let summaries = scene.summaries(digest).await;
            let results: Vec<&str> = summaries.iter().map(|(result, _)| result.as_str()).collect();
            assert_eq!(results, expected.into_iter().collect::<Vec<_>>(), "{mode:?}");
            for (_, policy) in &summaries {
                assert!(
                    policy.ends_with("manifests/app/promoter-manifest.yaml"),
                    "unexpected policy file {policy}"
                );
            }
        }
    }
}

/// A part is also requested without a tag, by an entry before that of its index. It is still signed as a part.
#[tokio::test]
async fn a_part_that_is_listed_without_a_tag_is_signed_in_any_order_of_lines() {
    for format in [SignatureFormat::Auto, SignatureFormat::Tag, SignatureFormat::Both] {
        for summarizes in [false, true] {
            let mut scene = Scene::of(google(), 1, format).await;
            if summarizes {
                scene.summarize();
            }
            let index = Recipe::default().index(2);
            index.put(scene.world.staging.store(), &path("staging/app"), &[]).await.unwrap();
            scene.world.request("app", index.manifests[0].digest(), &[]);
            scene.world.request("app", index.digest(), &["v1"]);
            scene.world.promote().await;
            let (layers, _, records, _) = scene.attached(0, index.manifests[0].digest()).await;
            assert_eq!((layers, records), (1, 1), "{format:?}, summaries: {summarizes}");
            scene.world.reset_tallies();
            scene.world.promote().await;
            assert_eq!(scene.world.writes(), 0, "{format:?}, summaries: {summarizes}");
        }
    }
}

/// Parts that are also requested as images of their own, by tag or only by digest, get records, and therefore our signature as
/// a bundle.
#[tokio::test]
async fn a_part_that_is_an_image_of_its_own_gets_a_signature_bundle_beside_its_record() {
    for tags in [&["part"][..], &[]] {
        let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
        let index = Recipe::default().index(2);
        scene.world.stage("app", &index, &["v1"]).await;
        scene.world.request("app", index.manifests[0].digest(), tags);
        scene.world.promote().await;
        let [part, other, root] = &index.manifests[..] else { panic!("an index of two") };
        for (manifest, bundles) in [(part, 1), (other, 0), (root, 1)] {
            let expected = (1, bundles, bundles, 0);
            assert_eq!(scene.attached(0, manifest.digest()).await, expected, "{tags:?}");
        }
        scene.world.reset_tallies();
        scene.world.promote().await;
        assert_eq!(scene.world.writes(), 0, "{tags:?}");
    }
}
