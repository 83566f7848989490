//! What is promoted, skipped and refused.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use oci::{Digest, MediaType, RawManifest};
use promote::{Error, Verdict};
use registry::sample::{Format, Recipe};
use registry::{Canned, Config, Effect, ErrorCode, Fault, Kind};

use crate::support::{World, google, path, tag};

/// Every kind of image is copied under its digest, and therefore byte for byte, with all its parts.
#[tokio::test]
async fn every_kind_of_image_is_copied_byte_for_byte() {
    for config in [google(), Config::default()] {
        let mut world = World::of(config, 2).await;
        let docker = Recipe { seed: 2, format: Format::Docker, ..Recipe::default() };
        let oci = Recipe { seed: 3, ..Recipe::default() };
        world.stage("docker-list", &docker.index(3), &["v1"]).await;
        world.stage("docker-image", &docker.image(), &["v1"]).await;
        world.stage("oci-image", &oci.image(), &["v1"]).await;
        world.stage("nested", &oci.nested_index(), &["v1"]).await;
        world.stage("chart", &oci.artifact("application/vnd.cncf.helm.config.v1+json"), &["0.1.0"]).await;
        world.stage("foreign", &oci.image_with_foreign_layer(), &["v1"]).await;
        world.stage("tagless", &Recipe { seed: 4, ..Recipe::default() }.index(2), &[]).await;
        let attested = world.promote().await;
        assert_eq!(attested.promoted().failed(), 0, "{:?}", world.report.failures());
        world.assert_complete().await;
        assert!(world.production[0].store().tags(&path("prod/tagless")).is_empty());
        world.reset_tallies();
        assert!(world.prepare().await.unwrap().plan().is_empty(), "a second run has nothing to do");
    }
}

#[tokio::test]
async fn a_tag_that_would_move_stops_the_run_before_anything_is_written_and_all_are_listed() {
    for config in [google(), Config::default()] {
        let mut world = World::of(config, 2).await;
        let other = Recipe { seed: 99, ..Recipe::default() }.image();
        for seed in 0..2 {
            let name = format!("app-{seed}");
            world.stage(&name, &Recipe { seed, ..Recipe::default() }.image(), &["v1"]).await;
            other
                .put(world.production[1].store(), &path(&format!("prod/{name}")), &[tag("v1")])
                .await
                .unwrap();
        }
        let Err(Error::Conflicts(conflicts, _)) = world.prepare().await else {
            panic!("a conflict is expected")
        };
        assert_eq!(conflicts.len(), 2);
        let text = conflicts[0].to_string();
        assert!(text.contains("prod/app-0:v1") && text.contains(&other.digest().to_string()), "{text}");
        assert!(text.contains("manifest.yaml:"), "it has the position of the entry: {text}");
        assert_eq!(world.writes(), 0);
    }
}

#[tokio::test]
async fn lost_images_are_skipped_and_counted_and_stop_a_strict_run() {
    for config in [google(), Config::default()] {
        let mut world = World::of(config, 2).await;
        world.stage("here", &Recipe::default().image(), &["v1"]).await;
        world.request("gone", Digest::of(b"gone"), &["v1"]);
        let attested = world.promote().await;
        let plan = attested.promoted().plan();
        assert_eq!((plan.summary().total.lost, plan.summary().total.copy), (2, 2));
        assert!(world.production[0].store().resolve(&path("prod/here"), &tag("v1")).is_some());
        let production = world.production[0].tally().snapshot();
        assert_eq!(
            production.requests(Kind::ManifestGet),
            1,
            "images that staging lacks are not looked up in production; only the written tag is"
        );

        let job = promote::Job { strict: true, ..world.job() };
        let refused = promote::prepare(&world.run(), &world.client, job, &world.trust_config).await;
        assert!(matches!(refused, Err(Error::Conflicts(lost, _)) if lost.len() == 2));
    }
}

/// The tag is not listed, and `HEAD` answers that it does not exist. The `GET` right before the write finds it.
#[tokio::test]
async fn a_tag_that_only_get_shows_is_not_overwritten() {
    let mut world = World::of(Config::default(), 1).await;
    world.stage("app", &Recipe::default().image(), &["v1"]).await;
    let other = Recipe { seed: 9, ..Recipe::default() }.image();
    other.put(world.production[0].store(), &path("prod/app"), &[tag("v1")]).await.unwrap();
    let status = StatusCode::NOT_FOUND;
    let unknown = Effect::Status { status, code: ErrorCode::NameUnknown, retry_after: None };
    let faults = world.production[0].faults();
    faults.add(Fault::new(unknown).on(Kind::TagList).path("prod/app"));
    faults.add(Fault::new(Effect::Canned(Canned::new(status))).on(Kind::ManifestHead).path("manifests/v1"));
    assert_eq!(world.promote().await.promoted().failed(), 1);
    let found = world.production[0].store().resolve(&path("prod/app"), &tag("v1"));
    assert_eq!(found, Some(other.digest()));
}

/// Another client writes the tag while the write waits after a rate limit response.
#[tokio::test]
async fn a_tag_that_appears_while_its_write_waits_is_not_overwritten() {
    let mut world = World::of(Config::default(), 1).await;
    world.stage("app", &Recipe::default().image(), &["v1"]).await;
    let refusal = Effect::Status {
        status: StatusCode::TOO_MANY_REQUESTS,
        code: ErrorCode::TooManyRequests,
        retry_after: Some(Duration::from_secs(1)),
    };
    let refused = Fault::new(refusal).on(Kind::ManifestPut).path("manifests/v1").times(1);
    let watch = world.production[0].faults().add(refused);
    let other = Recipe { seed: 9, ..Recipe::default() }.image();
    let other_client = async {
        while watch.struck() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        other.put(world.production[0].store(), &path("prod/app"), &[tag("v1")]).await.unwrap();
    };
    let (attested, ()) = tokio::join!(world.promote(), other_client);
    assert_eq!(attested.promoted().failed(), 1);
    let found = world.production[0].store().resolve(&path("prod/app"), &tag("v1"));
    assert_eq!(found, Some(other.digest()));
}

#[tokio::test]
async fn each_attempt_to_write_a_tag_is_preceded_by_a_lookup() {
    for (status, code) in [
        (StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized),
        (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::TooManyRequests),
    ] {
        let mut world = World::of(Config::default(), 1).await;
        world.stage("app", &Recipe::default().image(), &["v1"]).await;
        let refusal = Effect::Status { status, code, retry_after: None };
        world.production[0].faults().add(Fault::new(refusal).on(Kind::ManifestPut).times(1));
        world.promote().await;
        world.assert_complete().await;
        let production = world.production[0].tally().snapshot();
        assert_eq!((production.requests(Kind::ManifestGet), production.requests(Kind::ManifestPut)), (2, 2));
    }
}

/// Production has the image, and staging no longer does. This only causes a warning.
#[tokio::test]
async fn a_tagless_image_that_only_production_has_is_done_with_a_warning() {
    let mut world = World::of(Config::default(), 1).await;
    let sample = Recipe::default().image();
    sample.put(world.production[0].store(), &path("prod/app"), &[]).await.unwrap();
    world.request("app", sample.digest(), &[]);
    let cleared = world.prepare().await.unwrap();
    assert!(cleared.plan().decisions().all(|(_, verdict)| *verdict == Verdict::DoneWithoutSource));
}

#[tokio::test]
async fn kinds_that_cannot_be_copied_are_refused_in_the_plan() {
    for config in [google(), Config::default()] {
        let mut world = World::of(config, 1).await;
        let old = RawManifest::new(MediaType::OciArtifact, Bytes::from_static(br#"{"schemaVersion":1}"#));
        world.staging.store().put_manifest(&path("staging/old"), None, &old).await.unwrap();
        world.request("old", old.digest(), &["v1"]);
        let Err(Error::Conflicts(conflicts, _)) = world.prepare().await else {
            panic!("a conflict is expected")
        };
        assert!(conflicts[0].to_string().contains("oci.artifact.manifest"), "{}", conflicts[0]);
        assert_eq!(world.writes(), 0);
    }
}
