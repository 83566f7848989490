//! Late hosts and stops.

use http::StatusCode;
use oci::AttachmentKind;
use promote::{Error, Job};
use registry::{Effect, ErrorCode, Fault, Kind};
use serde_json::Value;

use crate::provenance::scene::Scene;
use crate::support::hand::PROVENANCE;
use crate::support::{LATE_AFTER, google, path, tag};

/// Images for a region that did not answer the plan pass through the same gate: an image that does not pass ends the second
/// round.
#[tokio::test]
async fn a_late_image_that_does_not_pass_is_reported_and_nothing_late_is_promoted() {
    let (scene, samples) = Scene::with_images(google(), 2, 4).await;
    let hand = &scene.hand;
    // The punctual region has the first three images, so only the late one lacks them.
    for (number, sample) in samples.iter().enumerate().take(3) {
        let there = path(&format!("prod/app-{number}"));
        sample.put(scene.world.production[1].store(), &there, &[tag("v1")]).await.unwrap();
    }
    let bad = hand.attestation(samples[1].digest(), PROVENANCE).await;
    scene.append("app-0", &samples[0], AttachmentKind::Attestation, &[bad]).await;
    let other = hand.signature(samples[0].digest()).await;
    scene.append("app-1", &samples[1], AttachmentKind::Signature, &[other]).await;
    scene.world.production[0].faults().add(Fault::new(Effect::Hang).on(Kind::TagList));
    let cleared = scene.prepare_job(Job { late_after: LATE_AFTER, ..scene.job() }).await.unwrap();
    assert_eq!(cleared.plan().summary().total.late, 4);
    assert_eq!(scene.world.report()["examinedTotals"]["images"], 1, "only the images to promote");
    scene.world.production[0].faults().clear();
    let attested = scene.world.carry_out(cleared).await;
    assert_eq!(attested.promoted().failed(), 4);
    assert_eq!(scene.world.production[0].tally().snapshot().writes(), 0);
    let report = scene.world.report();
    let failed = report["failed"].as_array().unwrap();
    let reported = |number: usize| {
        (failed[number]["source"].as_str().unwrap(), failed[number]["error"].as_str().unwrap())
    };
    assert_eq!((failed.len(), &report["totals"]["failed"]), (4, &Value::from(4)), "{failed:#?}");
    let ((unproven, why), (other, because)) = (reported(0), reported(1));
    assert!(unproven.contains("/app-0@") && why.contains(".att, layer 1: "), "{unproven}: {why}");
    assert!(other.contains("/app-1@") && because.contains("/app-0@"), "{other}: {because}");
}

/// The same applies if staging does not answer for the attachments of the late images.
#[tokio::test]
async fn a_late_image_whose_registry_does_not_answer_is_not_promoted() {
    let (scene, samples) = Scene::with_images(google(), 2, 2).await;
    samples[0].put(scene.world.production[1].store(), &path("prod/app-0"), &[tag("v1")]).await.unwrap();
    scene.world.production[0].faults().add(Fault::new(Effect::Hang).on(Kind::TagList));
    let cleared = scene.prepare_job(Job { late_after: LATE_AFTER, ..scene.job() }).await.unwrap();
    scene.world.production[0].faults().clear();
    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    scene.world.staging.faults().add(Fault::new(denied).on(Kind::Referrers));
    let attested = scene.world.carry_out(cleared).await;
    assert_eq!(attested.promoted().failed(), 1);
    let store = scene.world.production[0].store();
    assert_eq!(store.resolve(&path("prod/app-0"), &tag("v1")), None);
    assert!(store.resolve(&path("prod/app-1"), &tag("v1")).is_some(), "it was examined before");
}

/// The run is stopped while the late images are examined: all of them count as not started.
#[tokio::test]
async fn late_images_that_were_not_examined_before_a_stop_count_as_not_started() {
    let (scene, samples) = Scene::with_images(google(), 2, 4).await;
    for (number, sample) in samples.iter().enumerate() {
        let there = path(&format!("prod/app-{number}"));
        sample.put(scene.world.production[1].store(), &there, &[tag("v1")]).await.unwrap();
    }
    scene.world.production[0].faults().add(Fault::new(Effect::Hang).on(Kind::TagList));
    let cleared = scene.prepare_job(Job { late_after: LATE_AFTER, ..scene.job() }).await.unwrap();
    scene.world.production[0].faults().clear();
    let stopping = scene.stop_while_examining();
    let (attested, ()) = tokio::join!(scene.world.carry_out(cleared), stopping);
    assert_eq!((attested.promoted().failed(), attested.promoted().not_begun()), (0, 4));
    assert_eq!(scene.world.production[0].tally().snapshot().writes(), 0);
}

/// The run is stopped while images are examined: none of them is cleared.
#[tokio::test]
async fn a_stopped_run_clears_nothing() {
    let (scene, _) = Scene::with_images(google(), 1, 3).await;
    let stopping = scene.stop_while_examining();
    let (prepared, ()) = tokio::join!(scene.prepare(), stopping);
    assert!(matches!(prepared, Err(Error::Interrupted)));
    assert!(scene.asked() < 3, "the others have not been started");
}
