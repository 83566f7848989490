//! Slow or failing regions next to healthy ones: which hosts wait for others, and what is requested from staging.

use std::time::Duration;

use crate::support::{LATE_AFTER, World, door_to, google, path, tag};
use bytes::Bytes;
use http::StatusCode;
use promote::Job;
use registry::sample::Recipe;
use registry::{Effect, ErrorCode, Fault, Kind};
use transport::{Door, HostSettings, Retry, Settings};

/// More images than a region may have in progress.
const IMAGES: u64 = 120;

async fn world(regions: usize) -> World {
    let mut world = World::of(google(), regions).await;
    world.use_door(door_to(&parallel()));
    let base = Bytes::from(vec![7; 4096]);
    for seed in 0..IMAGES {
        let recipe = Recipe { seed, shared_layers: vec![base.clone()], ..Recipe::default() };
        world.stage(&format!("app-{seed}"), &recipe.image(), &["v1"]).await;
    }
    world
}

/// These tests need several requests in flight, whatever concurrency the tests are run with.
fn parallel() -> HostSettings {
    HostSettings { concurrency: 32, start_concurrency: 8, ..HostSettings::default() }
}

/// Returns the number of images that a region has.
fn complete(world: &World, region: usize) -> u64 {
    let store = world.production[region].store();
    let has = |seed: &u64| store.resolve(&path(&format!("prod/app-{seed}")), &tag("v1")).is_some();
    (0..IMAGES).filter(has).count() as u64
}

/// Waits until all regions except the first have everything.
async fn others_complete(world: &World) {
    while (1..world.production.len()).any(|region| complete(world, region) < IMAGES) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn refuse(world: &World, region: usize) {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let busy = Effect::Status { status, code: ErrorCode::TooManyRequests, retry_after: None };
    world.production[region].faults().add(Fault::new(busy));
}

/// The other regions are complete while the slow one still lacks most images. In the end it is complete too. The images that it
/// was too slow for are read again only for it.
#[tokio::test]
async fn a_slow_region_does_not_slow_others_and_gets_everything_in_the_end() {
    let world = world(3).await;
    let cleared = world.prepare().await.unwrap();
    world.reset_tallies();
    world.production[0].faults().set_latency(Duration::from_millis(400));
    let carrying_out = world.carry_out(cleared);
    let watching = async {
        others_complete(&world).await;
        complete(&world, 0)
    };
    let (attested, slow_had) = tokio::join!(carrying_out, watching);
    assert!(slow_had < IMAGES * 3 / 4, "{slow_had}");
    assert_eq!((attested.promoted().failed(), attested.promoted().not_begun()), (0, 0));
    world.assert_complete().await;
    // Each image has two blobs of its own and a configuration. The base layer is one more blob.
    let reads = world.staging.tally().snapshot().requests(Kind::BlobGet);
    // How often regions share a read depends on their speed. No region needs a blob to be read twice.
    let regions = world.production.len() as u64;
    assert!((3 * IMAGES + 1..=regions * (3 * IMAGES + 1)).contains(&reads), "{reads}");
    for region in &world.production {
        let tally = region.tally().snapshot();
        assert_eq!(tally.requests(Kind::UploadPut), 3 * IMAGES + 1, "each blob once, the base layer mounted");
        assert_eq!(tally.requests(Kind::Mount), 4 * IMAGES);
        assert_eq!(tally.requests(Kind::ManifestPut), IMAGES);
    }
}

/// Returns a door that never gives up, however slow the machine is.
fn patient() -> Door {
    let (soon, long) = (Duration::from_millis(50), Duration::from_secs(3600));
    let retry = Retry { attempts: u32::MAX, total: long, first_pause: soon, longest_pause: soon };
    let other_hosts = HostSettings { patience: long, ..parallel() };
    Door::open(Settings { retry, other_hosts, ..Settings::default() }).unwrap()
}

/// The other regions are complete before any image is given up for the region that refuses everything.
#[tokio::test]
async fn a_region_that_refuses_everything_does_not_slow_others() {
    let mut world = world(3).await;
    world.use_door(patient());
    let cleared = world.prepare().await.unwrap();
    refuse(&world, 0);
    let carrying_out = world.carry_out(cleared);
    tokio::select! {
        _ = carrying_out => panic!("it cannot be done"),
        () = others_complete(&world) => {}
        () = tokio::time::sleep(Duration::from_secs(240)) => panic!("the others wait for the one that refuses"),
    }
    assert_eq!(world.report.failures(), []);
    world.assert_whole().await;
}

/// If a region no longer accepts connections, each of its images fails once, and nothing else does.
#[tokio::test]
async fn every_image_of_an_unreachable_region_fails_once() {
    let mut world = world(2).await;
    let cleared = world.prepare().await.unwrap();
    let gone = world.production.remove(0);
    gone.stop().await;
    let attested = world.carry_out(cleared).await;
    assert_eq!(attested.promoted().failed() as u64, IMAGES);
    assert_eq!((world.report.failures().len() as u64, attested.promoted().not_begun()), (IMAGES, 0));
    assert_eq!(world.report.totals().promoted as u64, IMAGES);
    world.assert_complete().await;
}

/// The run is stopped while a region is behind. What has started is finished, and what the region has missed counts as not
/// started.
#[tokio::test]
async fn images_that_a_slow_region_has_missed_count_as_not_started_after_a_stop() {
    let world = world(2).await;
    let cleared = world.prepare().await.unwrap();
    world.production[0].faults().set_latency(Duration::from_millis(400));
    let carrying_out = world.carry_out(cleared);
    let stopping = async {
        others_complete(&world).await;
        world.stop.cancel();
    };
    let (attested, ()) = tokio::join!(carrying_out, stopping);
    assert_eq!(attested.promoted().failed(), 0);
    assert_eq!(attested.promoted().not_begun() as u64, IMAGES - complete(&world, 0));
    assert_eq!(complete(&world, 1), IMAGES);
    world.assert_whole().await;
}

/// A temporary failure is tried once more, and is reported only if it fails again.
#[tokio::test]
async fn a_target_that_fails_temporarily_is_retried_and_not_reported_as_failed() {
    let world = world(2).await;
    let cleared = world.prepare().await.unwrap();
    // One request more than the door attempts, for one image.
    let fault = Fault::new(Effect::Reset).on(Kind::ManifestPut).path("prod/app-7/").times(6);
    let struck = world.production[0].faults().add(fault);
    let attested = world.carry_out(cleared).await;
    assert_eq!((struck.struck(), attested.promoted().failed(), world.report.failures().len()), (6, 0, 0));
    assert_eq!(world.report.totals().promoted as u64, 2 * IMAGES);
    world.assert_complete().await;
}

/// Without `keep_going`, nothing starts after a failure in one region, even if another region is behind.
#[tokio::test]
async fn without_keep_going_nothing_starts_in_any_region_after_a_failure() {
    let world = world(2).await;
    let job = Job { keep_going: false, ..world.job() };
    let cleared = promote::prepare(&world.run(), &world.client, job, &world.trust_config).await.unwrap();
    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    world.production[0].faults().add(Fault::new(denied).on(Kind::ManifestPut));
    let attested = world.carry_out(cleared).await;
    let (failed, not_begun) = (attested.promoted().failed() as u64, attested.promoted().not_begun() as u64);
    assert!(failed > 0 && not_begun > 0);
    assert_eq!(failed, IMAGES - not_begun, "each image that has begun fails in the first region");
    // If the first region was behind, the other one also has images that the first one has missed, which count as not begun.
    let promoted = world.report.totals().promoted as u64;
    assert_eq!(promoted, complete(&world, 1));
    assert!(promoted >= failed, "each image that has begun is promoted to the other region");
}

/// A region does not even answer the listing, or only refuses it. The others are promoted in the meantime, and the region gets
/// everything in the same run once it recovers.
#[tokio::test]
async fn a_region_that_does_not_serve_the_plan_is_promoted_to_after_the_others() {
    let status = StatusCode::TOO_MANY_REQUESTS;
    let refuse = Effect::Status { status, code: ErrorCode::TooManyRequests, retry_after: None };
    for effect in [Effect::Hang, refuse] {
        is_promoted_to_after_the_others(effect).await;
    }
}

async fn is_promoted_to_after_the_others(effect: Effect) {
    let mut world = world(3).await;
    // The region is not given up, however long the others take on this machine.
    world.use_door(patient());
    let silent = world.production[0].faults().add(Fault::new(effect).on(Kind::TagList));
    let job = Job { late_after: LATE_AFTER, ..world.job() };
    let cleared = promote::prepare(&world.run(), &world.client, job, &world.trust_config).await.unwrap();
    assert!(silent.struck() > 0);
    let planned = cleared.plan().summary().total;
    assert_eq!((planned.late, planned.copy), (IMAGES as usize, 2 * IMAGES as usize));

    let carrying_out = world.carry_out(cleared);
    let watching = async {
        others_complete(&world).await;
        assert_eq!(complete(&world, 0), 0, "it has listed nothing yet");
        world.production[0].faults().clear();
    };
    let (attested, ()) = futures_util::future::join(carrying_out, watching).await;
    assert_eq!((attested.promoted().failed(), attested.promoted().not_begun()), (0, 0));
    assert_eq!(attested.promoted().plan().summary().total.late, 0);
    assert_eq!(complete(&world, 0), IMAGES);
    let manifests = world.staging.tally().snapshot().requests(Kind::ManifestGet);
    assert_eq!(manifests, IMAGES, "manifests read for the other regions are not read again");
}

/// The listings of a region take longer than `late_after` in total, but the region answers one after another.
#[tokio::test]
async fn a_region_that_is_slow_but_answers_the_plan_is_waited_for() {
    let world = world(2).await;
    world.production[0].faults().set_latency(Duration::from_millis(800));
    let job = Job { late_after: LATE_AFTER, ..world.job() };
    let cleared = promote::prepare(&world.run(), &world.client, job, &world.trust_config).await.unwrap();
    let planned = cleared.plan().summary().total;
    assert_eq!((planned.late, planned.copy), (0, 2 * IMAGES as usize));
    assert!(!world.report()["warnings"].to_string().contains("has served no request"));
}

/// The run is stopped while a late region is asked again and does not answer. It does not wait for the answer.
#[tokio::test]
async fn a_late_region_is_not_waited_for_after_a_stop() {
    let world = world(2).await;
    let silent = world.production[0].faults().add(Fault::new(Effect::Hang).on(Kind::TagList));
    let job = Job { late_after: LATE_AFTER, ..world.job() };
    let cleared = promote::prepare(&world.run(), &world.client, job, &world.trust_config).await.unwrap();
    let carrying_out = world.carry_out(cleared);
    let stopping = async {
        let before = silent.struck();
        others_complete(&world).await;
        while silent.struck() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.stop.cancel();
    };
    let (attested, ()) = futures_util::future::join(carrying_out, stopping).await;
    let promoted = attested.promoted();
    assert_eq!((promoted.failed(), promoted.not_begun() as u64), (0, IMAGES), "no request has ended");
    assert_eq!(world.production[0].tally().snapshot().writes(), 0);
    assert_eq!(complete(&world, 1), IMAGES);
}

/// If the region never answers, everything that it lacks fails, and nothing else.
#[tokio::test]
async fn a_region_that_never_answers_does_not_fail_others() {
    let world = world(3).await;
    refuse(&world, 0);
    let job = Job { late_after: LATE_AFTER, ..world.job() };
    let cleared = promote::prepare(&world.run(), &world.client, job, &world.trust_config).await.unwrap();
    // Listings in flight when the host is considered late fail on their own.
    let planned = cleared.plan().summary().total;
    assert_eq!(planned.late + planned.failed, IMAGES as usize);
    let attested = world.carry_out(cleared).await;
    assert_eq!(attested.promoted().failed(), IMAGES as usize);
    assert_eq!(attested.promoted().plan().summary().total.failed, IMAGES as usize);
    assert_eq!((complete(&world, 1), complete(&world, 2)), (IMAGES, IMAGES));
}

/// If a tag in the late region names another image, the second round is given up, just as the first would be: nothing of it is
/// written, and each of its images counts as failed, with the conflict as the reason.
#[tokio::test]
async fn a_conflict_in_a_late_region_gives_up_the_second_round() {
    let world = world(2).await;
    let other = Recipe { seed: 9_999, ..Recipe::default() }.image();
    other.put(world.production[0].store(), &path("prod/app-5"), &[tag("v1")]).await.unwrap();
    world.production[0].faults().add(Fault::new(Effect::Hang).on(Kind::TagList));
    let job = Job { late_after: LATE_AFTER, ..world.job() };
    let cleared = promote::prepare(&world.run(), &world.client, job, &world.trust_config).await.unwrap();
    world.production[0].faults().clear();
    let attested = world.carry_out(cleared).await;
    assert_eq!(attested.promoted().failed() as u64, IMAGES);
    let writes = world.production[0].tally().snapshot().writes();
    assert_eq!(writes, 0, "nothing of the second round is written");
    let reported = world.report()["failed"].to_string();
    assert!(
        reported.contains("/prod/app-5") && reported.contains("production tags never move"),
        "{reported}"
    );
    let held = world.production[0].store().resolve(&path("prod/app-5"), &tag("v1"));
    assert_eq!(held, Some(other.digest()), "production tags never move");
    assert_eq!((complete(&world, 0), complete(&world, 1)), (1, IMAGES));
}
