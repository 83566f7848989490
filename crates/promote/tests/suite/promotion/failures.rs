//! A failure does not affect other images, and the next run completes the promotion.

use std::time::Duration;

use http::StatusCode;
use oci::Digest;
use promote::Error;
use registry::sample::Recipe;
use registry::{Allowance, Config, Effect, ErrorCode, Fault, Kind, Quota};

use crate::promotion::worlds::{base_layer, small_world};
use crate::support::{World, google, path, tag};

/// If a registry does not answer one lookup, only the edge that needs it fails, and no other edge of the repository.
#[tokio::test]
async fn an_unanswered_lookup_fails_one_edge_and_not_its_repository() {
    let mut world = World::of(Config::default(), 1).await;
    let sample = Recipe::default().image();
    sample.put(world.production[0].store(), &path("prod/app"), &[tag("v1")]).await.unwrap();
    world.stage("app", &sample, &["v1"]).await;
    world.stage("app", &Recipe { seed: 2, ..Recipe::default() }.image(), &["v2"]).await;
    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    world.production[0]
        .faults()
        .add(Fault::new(denied).on(Kind::ManifestHead).on(Kind::ManifestGet).path("manifests/v1"));
    assert_eq!(world.promote().await.promoted().failed(), 1);
    assert!(world.production[0].store().resolve(&path("prod/app"), &tag("v2")).is_some());
}

/// One region refuses all writes. The other regions are unaffected, and the report names the failing one.
#[tokio::test]
async fn a_region_that_fails_does_not_affect_others() {
    let mut world = World::of(google(), 3).await;
    for seed in 0..4 {
        world.stage(&format!("app-{seed}"), &Recipe { seed, ..Recipe::default() }.index(2), &["v1"]).await;
    }
    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    world.production[1].faults().add(Fault::new(denied).on(Kind::ManifestPut));
    let attested = world.promote().await;
    assert_eq!(attested.promoted().failed(), 4);
    let failures = world.report.failures();
    assert!(failures.iter().all(|(promotion, _)| promotion.destination.host == *world.production[1].host()));
    assert!(failures[0].1.error.contains("403"), "{}", failures[0].1);
    assert_eq!(world.report.totals().promoted, 8);
    world.assert_whole().await;

    world.production[1].faults().clear();
    assert_eq!(world.promote().await.promoted().failed(), 0, "the next run completes");
    world.assert_complete().await;
}

/// If a region cannot be read, only its edges fail. If no region can be read, the run is given up.
#[tokio::test]
async fn a_region_that_cannot_be_read_fails_only_its_own_edges() {
    let mut world = World::of(google(), 2).await;
    world.stage("app", &Recipe::default().index(2), &["v1"]).await;
    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    world.production[1].faults().add(Fault::new(denied.clone()));
    let attested = world.promote().await;
    assert_eq!(attested.promoted().failed(), 1);
    assert!(world.production[0].store().resolve(&path("prod/app"), &tag("v1")).is_some());

    world.staging.faults().add(Fault::new(denied));
    world.request("other", Digest::of(b"other"), &["v1"]);
    let again = world.prepare().await.unwrap();
    assert_eq!(again.plan().summary().total.done, 1, "an image that is done needs no staging");
    world.production[0].faults().add(Fault::new(Effect::Reset));
    assert!(matches!(world.prepare().await, Err(Error::Unavailable(..))));
}

/// Without `keep_going`, nothing starts after the first failure.
#[tokio::test]
async fn without_keep_going_nothing_starts_after_a_failure() {
    let mut world = World::of(google(), 1).await;
    for seed in 0..60 {
        world.stage(&format!("app-{seed}"), &Recipe { seed, ..Recipe::default() }.image(), &["v1"]).await;
    }
    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    world.production[0].faults().add(Fault::new(denied).on(Kind::Mount).on(Kind::UploadOpen));
    let job = promote::Job { keep_going: false, ..world.job() };
    let cleared = promote::prepare(&world.run(), &world.client, job, &world.trust_config).await.unwrap();
    let attested = world.carry_out(cleared).await;
    assert!(attested.promoted().not_begun() > 0);
    assert!(attested.promoted().failed() < 60, "{} of 60 failed", attested.promoted().failed());
}

/// 429 with `Retry-After`, 5xx, resets, lost answers and cut bodies only cost time.
#[tokio::test]
async fn faults_and_quotas_lose_nothing() {
    let mut world = World::of(google(), 2).await;
    for seed in 0..3 {
        let recipe = Recipe { seed, layer_size: 200_000, ..Recipe::default() };
        world.stage(&format!("app-{seed}"), &recipe.index(2), &["v1", "v1.0"]).await;
    }
    let busy = Effect::Status {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: ErrorCode::Unsupported,
        retry_after: None,
    };
    world.staging.faults().add(Fault::new(Effect::Cut { after: 100_000 }).on(Kind::BlobGet).times(3));
    world.staging.faults().add(Fault::new(Effect::Reset).on(Kind::ManifestGet).times(2));
    for region in &world.production {
        let faults = region.faults();
        faults.set_quota(Quota::Shared(Allowance { per_second: 200.0, burst: 20, retry_after: None }));
        faults.add(Fault::new(busy.clone()).on(Kind::Mount).times(2));
        faults.add(Fault::new(Effect::Reset).on(Kind::UploadPut).skip(1).times(2));
        faults.add(Fault::new(Effect::LostAnswer).on(Kind::UploadPut).skip(6).times(2));
        faults.add(Fault::new(Effect::LostAnswer).on(Kind::ManifestPut).times(2));
    }
    let attested = world.promote().await;
    assert_eq!(attested.promoted().failed(), 0, "{:?}", world.report.failures());
    world.assert_complete().await;
}

/// The registries do not announce their quota. It is determined separately for each host, and almost no request is refused.
#[tokio::test]
async fn an_unpublished_quota_is_respected() {
    let world = small_world(google()).await;
    for server in world.servers() {
        server.faults().set_latency(Duration::from_millis(20));
        let allowance = Allowance { per_second: 83.0, burst: 100, retry_after: None };
        server.faults().set_quota(Quota::Shared(allowance));
    }
    let attested = world.promote().await;
    assert_eq!(attested.promoted().failed(), 0, "{:?}", world.report.failures());
    world.assert_complete().await;
    for (host, tally) in world.tallies().iter().enumerate() {
        let (refused, all) = (tally.total_refused(), tally.total());
        assert!(refused <= 15, "{refused} of {all} requests were refused by host {host}");
    }
}

/// Wrong content in staging fails immediately, is never tagged, and does not affect the other images.
#[tokio::test]
async fn wrong_content_is_neither_retried_nor_tagged() {
    // A small layer is held in memory, a large one is streamed.
    for layer_size in [1024, 6 * 1024 * 1024] {
        let mut world = World::of(google(), 2).await;
        let bad = Recipe { seed: 1, layer_size, layers: 1, ..Recipe::default() }.image();
        world.stage("bad", &bad, &["v1"]).await;
        world.stage("good", &Recipe { seed: 2, ..Recipe::default() }.image(), &["v1"]).await;
        let layer = bad.blobs.iter().find(|blob| blob.len() == layer_size).unwrap();
        let fault = Fault::new(Effect::Corrupt).on(Kind::BlobGet).path(Digest::of(layer).to_string());
        let watch = world.staging.faults().add(fault);
        let attested = world.promote().await;
        assert_eq!(attested.promoted().failed(), 2, "in both regions");
        assert_eq!(watch.struck(), 1, "requested once");
        assert!(world.report.failures().iter().all(|(_, problem)| problem.error.contains("wrong content")));
        for region in &world.production {
            assert!(region.store().tags(&path("prod/bad")).is_empty());
            assert!(region.store().manifests(&path("prod/bad")).is_empty());
            assert!(!region.store().has_blob(&path("prod/bad"), &Digest::of(layer)));
            assert!(region.store().resolve(&path("prod/good"), &tag("v1")).is_some());
        }
    }
}

/// A run may end after any number of requests: no region has anything whose parts are missing, and the next run completes it.
#[tokio::test]
async fn a_run_that_ends_at_any_request_leaves_nothing_incomplete_and_the_next_run_completes_it() {
    // A complete run writes 37 times to each region.
    for survived in (0..37).step_by(3) {
        let mut world = World::of(google(), 2).await;
        for seed in 0..2 {
            let recipe = Recipe { seed, layers: 1, shared_layers: vec![base_layer()], ..Recipe::default() };
            world.stage(&format!("app-{seed}"), &recipe.index(3), &["v1", "latest"]).await;
        }
        for region in &world.production {
            let write = [Kind::Mount, Kind::UploadPut, Kind::ManifestPut];
            let fault = write.into_iter().fold(Fault::new(Effect::Hang), Fault::on).skip(survived);
            region.faults().add(fault);
        }
        let dying = tokio::time::timeout(Duration::from_millis(400), world.promote()).await;
        assert!(dying.is_err(), "after {survived} writes, no request is answered");
        world.assert_whole().await;
        world.servers().for_each(|server| server.faults().clear());
        world.client = world.fresh_client();
        assert_eq!(world.promote().await.promoted().failed(), 0);
        world.assert_complete().await;
    }
}

/// A stop ends planning at once, and lets Promote finish what is in progress.
#[tokio::test]
async fn a_stopped_run_starts_nothing_new() {
    let mut world = World::of(google(), 1).await;
    for seed in 0..80 {
        world.stage(&format!("app-{seed}"), &Recipe { seed, ..Recipe::default() }.image(), &["v1"]).await;
    }
    let cleared = world.prepare().await.unwrap();
    world.production[0].faults().set_latency(Duration::from_millis(20));
    let stop = world.stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(60)).await;
        stop.cancel();
    });
    let attested = world.carry_out(cleared).await;
    assert!(attested.promoted().not_begun() > 0);
    assert_eq!(attested.promoted().failed(), 0, "what was started is finished");
    let promoted = world.report.totals().promoted;
    assert!(promoted > 0 && promoted < 80, "{promoted} of 80");
    world.assert_whole().await;
    assert!(matches!(world.prepare().await, Err(Error::Interrupted)));
}
