//! The cost of a promotion, in requests and in reads of staging.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use oci::Digest;
use promote::Verdict;
use registry::sample::Recipe;
use registry::{Config, Effect, ErrorCode, Fault, Kind};

use crate::promotion::worlds::{SMALL_WORLD, base_layer, configurations, small_world};
use crate::support::{World, google, path, tag};

#[tokio::test]
async fn ten_new_images_to_five_regions_cost_1790_requests_and_staging_is_read_once() {
    assert_eq!(SMALL_WORLD, 1740 + 5 * 10);
    let world = small_world(google()).await;
    for region in &world.production {
        for seed in 0..10 {
            region.store().put_blob(&path(&format!("prod/image-{seed}")), base_layer()).await.unwrap();
        }
    }
    world.promote().await;
    world.assert_complete().await;
    assert_eq!(world.requests(), SMALL_WORLD, "{:#?}", world.tallies());
    world.assert_all_passed_the_door();
    let unique: u64 = 10 * 4 * 2 * 1024 + configurations(&world).await;
    assert_eq!(
        world.staging.tally().snapshot().blob_bytes_out,
        unique,
        "each blob is read once, and the base layer never"
    );
}

/// If production does not have the base layer either, each region receives it once and mounts it for the other nine images.
/// Compared to a base layer that is already there, this costs one more read in staging and one more upload per region.
#[tokio::test]
async fn a_shared_layer_is_uploaded_once_to_each_host_and_mounted_afterwards() {
    let world = small_world(google()).await;
    world.promote().await;
    world.assert_complete().await;
    let uploads: u64 = world.production.iter().map(|r| r.tally().snapshot().requests(Kind::UploadPut)).sum();
    assert_eq!(uploads, 5 * (10 * 12 + 1));
    assert_eq!(world.requests(), SMALL_WORLD + 5 + 1, "{:#?}", world.tallies());
}

/// A layer is read from staging once, however many images share it and however many regions need it.
#[tokio::test]
async fn shared_blobs_are_read_once_for_all_regions() {
    let mut world = World::of(google(), 22).await;
    for seed in 0..16 {
        let shared_layers = vec![base_layer(), Bytes::from(vec![8; 4096])];
        let recipe = Recipe { seed, shared_layers, ..Recipe::default() };
        world.stage(&format!("image-{seed}"), &recipe.index(4), &["v1"]).await;
    }
    world.servers().for_each(|server| server.faults().set_latency(Duration::from_millis(20)));
    world.promote().await;
    let read = world.staging.tally().snapshot().requests(Kind::BlobGet);
    assert_eq!(read, 16 * 4 * 3 + 2, "a configuration and two layers each, and the shared blobs");
}

#[tokio::test]
async fn a_dry_run_and_a_second_run_write_nothing() {
    let world = small_world(google()).await;
    let cleared = world.prepare().await.unwrap();
    assert_eq!(cleared.plan().summary().total.copy, 50);
    assert_eq!(world.writes(), 0, "a dry run");
    world.promote().await;
    world.reset_tallies();
    let again = world.prepare().await.unwrap();
    assert!(again.plan().is_empty());
    assert_eq!(again.plan().summary().total.done, 50);
    assert_eq!(
        (world.writes(), world.requests()),
        (0, 60),
        "one listing for each repository, and nothing else"
    );
}

#[tokio::test]
async fn an_existing_image_gets_its_tag_with_one_request_and_no_blob_is_transferred() {
    for config in [google(), Config::default()] {
        let mut world = World::of(config, 1).await;
        let sample = Recipe::default().index(2);
        world.stage("app", &sample, &["v2"]).await;
        sample.put(world.production[0].store(), &path("prod/app"), &[tag("v1")]).await.unwrap();
        let attested = world.promote().await;
        assert!(attested.promoted().plan().decisions().all(|(_, verdict)| *verdict == Verdict::Tag));
        assert_eq!(world.writes(), 1);
        let staging = world.staging.tally().snapshot();
        assert_eq!((staging.requests(Kind::ManifestGet), staging.requests(Kind::BlobGet)), (1, 0));
        world.assert_complete().await;
    }
}

/// Large layers stream to all regions from one read. A region that accepts nothing does not block the others forever.
#[tokio::test]
async fn large_layers_are_read_once_for_all_regions() {
    let mut world = World::of(google(), 4).await;
    let size = 9 * 1024 * 1024;
    let sample = Recipe { layer_size: size, layers: 2, ..Recipe::default() }.image();
    world.stage("large", &sample, &["v1"]).await;
    world.promote().await;
    world.assert_complete().await;
    assert_eq!(world.staging.tally().snapshot().blob_bytes_out, sample.blob_bytes());
}

/// If staging is on the same host as production, blobs are mounted and no bytes are transferred.
#[tokio::test]
async fn blobs_are_mounted_from_staging_on_the_host_of_production() {
    let mut world = World::of(google(), 1).await;
    let sample = Recipe::default().index(2);
    sample.put(world.production[0].store(), &path("staging/app"), &[]).await.unwrap();
    world.request("app", sample.digest(), &["v1"]);
    let host = world.production[0].host().clone();
    let mut manifests = world.manifests();
    manifests.manifests[0].source.host = host;
    let job = promote::Job { manifests, ..world.job() };
    let cleared = promote::prepare(&world.run(), &world.client, job, &world.trust_config).await.unwrap();
    world.carry_out(cleared).await;
    world.assert_complete().await;
    let tally = world.production[0].tally().snapshot();
    assert_eq!((tally.requests(Kind::UploadPut), tally.blob_bytes_out), (0, 0));
}

/// A registry may forbid mounting from another repository but allow uploading. The layer is uploaded then.
#[tokio::test]
async fn a_refused_mount_becomes_an_upload() {
    let mut world = World::of(google(), 1).await;
    for seed in 0..2 {
        let recipe = Recipe { seed, shared_layers: vec![base_layer()], ..Recipe::default() };
        world.stage(&format!("image-{seed}"), &recipe.image(), &["v1"]).await;
    }
    let base = Digest::of(&base_layer());
    let mut refusals = Vec::new();
    for (to, from) in [(0, 1), (1, 0)] {
        let denied =
            Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
        let asked = format!("prod/image-{to}/blobs/uploads/?mount={base}&from=prod/image-{from}");
        refusals.push(world.production[0].faults().add(Fault::new(denied).path(asked)));
    }
    assert_eq!(world.promote().await.promoted().failed(), 0, "{:?}", world.report.failures());
    assert_eq!(refusals.iter().map(registry::Watch::struck).sum::<u64>(), 1, "a mount was attempted");
    world.assert_complete().await;
}
