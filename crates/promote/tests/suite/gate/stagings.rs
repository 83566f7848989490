//! Edges that two staging registries may serve.

use http::StatusCode;
use manifest::Manifests;
use manifest::policy::Mode;
use oci::AttachmentKind;
use promote::{Error, Job};
use registry::sample::Recipe;
use registry::{Canned, Config, Effect, Fault};
use trust::SignatureFormat;

use crate::gate::scene::Scene;
use crate::support::hand::{Hand, append, malformed};
use crate::support::{google, path};

/// Returns the manifests of a world, with the images requested from two directories of staging.
fn from_both(scene: &Scene, directories: [&str; 2]) -> Manifests {
    let mut manifests = scene.job().manifests;
    let of = |directory: &str| {
        let mut manifest = manifests.manifests[0].clone();
        manifest.source = format!("{}/{directory}", scene.world.staging.host()).parse().unwrap();
        manifest
    };
    manifests.manifests = directories.map(of).into();
    manifests
}

/// Two manifests request the same image from two staging repositories. It is not lost if only one of them has lost it.
#[tokio::test]
async fn an_image_that_one_of_two_staging_repositories_has_lost_is_promoted_from_the_other() {
    for holder in ["a", "b"] {
        for config in [google(), Config::default()] {
            let scene = Scene::of(config, 2, SignatureFormat::Auto).await;
            let mut scene = scene;
            let image = Recipe::default().image();
            image.put(scene.world.staging.store(), &path(&format!("{holder}/app")), &[]).await.unwrap();
            scene.world.request("app", image.digest(), &["v1"]);
            let job = Job { manifests: from_both(&scene, ["a", "b"]), ..scene.job() };
            let prepared = scene.prepare(job).await.unwrap();
            let planned = prepared.plan().summary().total;
            assert_eq!((planned.copy, planned.lost), (2, 0), "{holder}");
            scene.world.carry_out(prepared).await;
            scene.world.assert_complete().await;
            assert_eq!(scene.attached(0, image.digest()).await.2, 1);
        }
    }
}

/// The policies of both apply, whichever repository serves the image.
#[tokio::test]
async fn the_policies_of_both_staging_repositories_of_an_image_apply() {
    for strict in ["a", "b"] {
        for holder in ["a", "b"] {
            let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
            let image = Recipe::default().image();
            image.put(scene.world.staging.store(), &path(&format!("{holder}/app")), &[]).await.unwrap();
            scene.world.request("app", image.digest(), &["v1"]);
            scene.demand(strict, Mode::Require);
            let job = Job { manifests: from_both(&scene, ["a", "b"]), ..scene.job() };
            let prepared = scene.prepare(job).await;
            assert!(matches!(prepared, Err(Error::Blocked(..))), "policy for {strict}, image in {holder}");
        }
    }
}

/// Attachments count in both staging repositories, whatever their order, and even in the one that has lost the manifest.
#[tokio::test]
async fn attachments_in_a_staging_repository_that_lost_the_image_count_too() {
    for holder in ["a", "b"] {
        for attacher in ["a", "b"] {
            let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
            scene.world.trust_config.verification.trust = Hand::new().trust();
            let image = Recipe::default().image();
            image.put(scene.world.staging.store(), &path(&format!("{holder}/app")), &[]).await.unwrap();
            let there = format!("{}/{attacher}/app", scene.world.staging.host()).parse().unwrap();
            append(&there, image.digest(), AttachmentKind::Attestation, &[malformed()]).await;
            scene.world.request("app", image.digest(), &["v1"]);
            let job = Job { manifests: from_both(&scene, ["a", "b"]), ..scene.job() };
            let prepared = scene.prepare(job).await;
            assert!(
                matches!(prepared, Err(Error::Blocked(..))),
                "image in {holder}, attachment in {attacher}"
            );
        }
    }
}

/// If a staging repository does not answer for the attachments of an image or its parts, it is left out as long as another one
/// serves the image.
#[tokio::test]
async fn a_staging_repository_that_does_not_list_attachments_is_left_out_if_another_serves_the_image() {
    for silent in ["a", "b"] {
        for number in 0..2 {
            let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
            let index = Recipe::default().index(1);
            for directory in ["a", "b"] {
                index
                    .put(scene.world.staging.store(), &path(&format!("{directory}/app")), &[])
                    .await
                    .unwrap();
            }
            scene.world.request("app", index.digest(), &["v1"]);
            scene.demand("a", Mode::Warn);
            let list = format!("/{silent}/app/referrers/{}", index.manifests[number].digest());
            let refusal = Effect::Canned(Canned::new(StatusCode::FORBIDDEN));
            let watch = scene.world.staging.faults().add(Fault::new(refusal).path(list));
            let job = Job { manifests: from_both(&scene, ["a", "b"]), ..scene.job() };
            let prepared = scene.prepare(job).await;
            assert!(watch.struck() > 0);
            // The repository that serves the image has to answer.
            let is_promoted = prepared.is_ok_and(|prepared| prepared.plan().summary().total.copy == 1);
            assert_eq!(is_promoted, silent == "b", "{silent} does not answer for manifest {number}");
        }
    }
}
