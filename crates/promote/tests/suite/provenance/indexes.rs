//! Indexes and their platforms.

use manifest::policy::Mode;
use oci::{MediaType, RawManifest};
use promote::Phase;
use registry::Kind;
use registry::sample::Recipe;

use crate::provenance::scene::{Scene, index};
use crate::support::hand::{PROVENANCE, attach, broken};
use crate::support::{google, path};

#[tokio::test]
async fn an_index_without_provenance_is_judged_by_its_platforms_and_one_with_it_is_not() {
    let mut scene = Scene::of(google(), 1).await;
    let (bare, attested) = (index(1), index(2));
    scene.world.stage("bare", &bare, &["v1"]).await;
    scene.world.stage("attested", &attested, &["v1"]).await;
    let hand = &scene.hand;
    // Policies never accept keys, so the only finding about the index itself is the forged bundle.
    let bundle = broken(&hand.bundle(attested.digest(), PROVENANCE).await);
    attach(&scene.staging("attested"), attested.root(), bundle).await;
    let platform = &bare.manifests[0];
    attach(&scene.staging("bare"), platform, hand.bundle(platform.digest(), PROVENANCE).await).await;
    scene.demand(Mode::Require);
    scene.world.reset_tallies();
    let blocked = scene.blocked(Phase::Provenance).await;
    let [of_attested, of_bare] = &blocked[..] else { panic!("{blocked:#?}") };
    assert!(!of_attested.contains("linux/amd64"), "{of_attested}");
    assert!(of_bare.contains("2 of its 2 platforms do not pass"), "{of_bare}");
    assert!(of_bare.contains("(linux/amd64): none of its SLSA provenance counts"), "{of_bare}");
    assert!(of_bare.contains("(linux/arm64): it has no SLSA provenance"), "{of_bare}");
    let lists = scene.world.staging.tally().snapshot().requests(Kind::Referrers);
    assert_eq!(
        lists,
        2 + 2,
        "two indexes, and the two platforms of one; attestation manifests are not checked"
    );
}

/// An image that only gets a tag has been read in part. Its platforms are found nevertheless.
#[tokio::test]
async fn the_platforms_of_an_index_that_only_gets_a_tag_are_examined() {
    let mut scene = Scene::of(google(), 1).await;
    let sample = Recipe::default().nested_index();
    sample.put(scene.world.production[0].store(), &path("prod/app"), &[]).await.unwrap();
    scene.world.stage("app", &sample, &["v1"]).await;
    scene.demand(Mode::Require);
    let blocked = scene.blocked(Phase::Provenance).await;
    assert!(blocked[0].contains("2 of its 2 platforms do not pass"), "{}", blocked[0]);
    assert!(blocked[0].contains("(linux/arm64): it has no SLSA provenance"), "{}", blocked[0]);
    // The outer index, the inner one, and three platforms.
    assert_eq!(scene.world.staging.tally().snapshot().requests(Kind::Referrers), 5);
}

/// An index that lists the same entries repeatedly, many levels deep, is followed only to a limited depth, and does not pass.
#[tokio::test]
async fn deeply_nested_indexes_are_followed_to_a_limit() {
    let mut scene = Scene::of(google(), 1).await;
    let mut sample = Recipe::default().image();
    for _ in 0..4 {
        let child = sample.root();
        let entry = serde_json::json!({
            "mediaType": child.media_type().as_str(),
            "digest": child.digest().to_string(),
            "size": child.bytes().len(),
        });
        let index = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OciIndex.as_str(),
            "manifests": vec![entry; 300],
        });
        let bytes = serde_json::to_vec(&index).unwrap();
        sample.manifests.push(RawManifest::new(MediaType::OciIndex, bytes.into()));
    }
    scene.world.stage("app", &sample, &["v1"]).await;
    scene.demand(Mode::Require);
    let blocked = scene.blocked(Phase::Provenance).await;
    assert_eq!(blocked.len(), 1);
    let lists = scene.world.staging.tally().snapshot().requests(Kind::Referrers);
    assert_eq!(lists, 5, "each manifest is examined once");
}
