//! What belongs to the owner of a host alone.

use http::StatusCode;
use registry::sample::Recipe;
use registry::{Effect, ErrorCode, Fault};

use crate::shards::scene::{REGIONS, SHARDS, Scene, succeeded};
use crate::support::{put, run};

/// The shard of the canonical region signs for all regions. The others sign nothing, and need no identity to sign with.
#[tokio::test(flavor = "multi_thread")]
async fn the_shard_of_the_canonical_region_signs_for_all() {
    let scene = Scene::new().await;
    let signing = scene.owner_of(0);
    for index in 0..SHARDS {
        let mut command = scene.unsigned(&["--confirm", "--signer-account="]);
        command.args(["--shard", &format!("{index}/{SHARDS}")]);
        let ran = run(command);
        assert_eq!(ran.code, if index == signing { 20 } else { 0 }, "{}\n{}", ran.stdout, ran.stderr);
    }
    for (region, server) in scene.regions.iter().enumerate() {
        let (is_promoted, is_own) =
            (!server.store().repositories().is_empty(), scene.owner_of(region) == signing);
        assert_eq!(is_promoted, !is_own, "the signer is known before the first copy");
        assert!(scene.tag_writes(region).keys().all(|tag| !tag.ends_with(".sig")));
    }
    // Later the shard signs also what it finds in its region alone.
    let mut command = scene.command(&["--confirm"]);
    command.args(["--shard", &format!("{signing}/{SHARDS}")]);
    succeeded(run(command));
    scene.assert_signed();
    assert_eq!(scene.tag_writes(0).keys().filter(|tag| tag.ends_with(".sig")).count(), 9);
}

/// A tag that would move refuses the shard of its host. The other shards do not see it.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_refuses_the_shard_of_its_host_alone() {
    let scene = Scene::new().await;
    let region = REGIONS - 1;
    put(&scene.regions[region], "prod/one", &Recipe { seed: 9, ..Recipe::default() }.image(), &["v1"]).await;
    let owner = scene.owner_of(region);
    for index in 0..SHARDS {
        let ran = run(scene.shard(index));
        assert_eq!(ran.code, if index == owner { 11 } else { 0 }, "{}", ran.stderr);
    }
    for other in scene.regions_of(owner) {
        assert_eq!(scene.regions[other].tally().snapshot().writes(), 0, "region {other}");
    }
}

/// A region without access concerns its shard alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_fails_fails_its_shard_alone() {
    let scene = Scene::new().await;
    let region = REGIONS - 1;
    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    scene.regions[region].faults().add(Fault::new(denied));
    let owner = scene.owner_of(region);
    let is_alone = scene.regions_of(owner).len() == 1;
    for index in 0..SHARDS {
        let ran = run(scene.shard(index));
        let failed = if is_alone { 20 } else { 30 };
        assert_eq!(ran.code, if index == owner { failed } else { 0 }, "{}", ran.stderr);
    }
    scene.regions[region].faults().clear();
    succeeded(run(scene.shard(owner)));
    let [last, other] = [region, region - 1].map(|region| scene.content(region));
    assert_eq!(last.await, other.await);
}

/// All shards read all manifests, so that each refuses manifests that contradict each other: also one without hosts.
#[tokio::test(flavor = "multi_thread")]
async fn manifests_that_overlap_refuse_every_shard() {
    let scene = Scene::new().await;
    let text = std::fs::read_to_string(scene.desk.path("manifest.yaml")).unwrap();
    let (registries, images) = text.split_once("images:\n").unwrap();
    let thin = |project: &str, images: &str| {
        scene.desk.write(&format!("thin/manifests/{project}/promoter-manifest.yaml"), registries);
        scene.desk.write(&format!("thin/images/{project}/images.yaml"), images);
    };
    thin("a", images);
    thin(
        "b",
        "- name: one\n  dmap:\n    \"sha256:00000000000000000000000000000000000000000000000000000000000000ff\": [v1]\n",
    );
    let directory = scene.desk.path("thin");
    for shard in ["0/4", "3/4", "99/100"] {
        let flags = ["--manifest=", "--thin-manifest-dir", directory.to_str().unwrap(), "--shard", shard];
        let ran = run(scene.command(&[&flags[..], &["--confirm"]].concat()));
        assert_eq!(ran.code, 11, "{shard}: {}", ran.stderr);
    }
    assert!(scene.regions.iter().all(|region| region.tally().snapshot().total() == 0));
}
