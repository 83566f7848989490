//! Single images.

use bytes::Bytes;
use http::StatusCode;
use manifest::policy::Mode;
use oci::AttachmentKind;
use promote::{Error, Job, Phase};
use registry::{Config, Effect, ErrorCode, Fault, Kind, Server};
use serde_json::Value;
use sigstore::TrustSettings;

use crate::provenance::scene::{ROOT, SBOM, Scene};
use crate::support::hand::{Hand, PROVENANCE, attach, broken, forged};
use crate::support::{door, google, path, tag};

#[tokio::test]
async fn an_image_with_nothing_attached_costs_one_request_or_none() {
    for config in [google(), Config::default()] {
        for (referrers_api, requests) in [(true, 20), (false, 2)] {
            let config = Config { referrers_api, ..config.clone() };
            let (scene, samples) = Scene::with_images(config, 5, 20).await;
            let cleared = scene.prepare().await.unwrap();
            let asked = scene.world.staging.tally().snapshot().requests(Kind::Referrers);
            assert_eq!(asked, requests, "with an API: {referrers_api}");
            let manifests = scene.world.staging.tally().snapshot().requests(Kind::ManifestGet);
            assert_eq!(
                manifests,
                samples.len() as u64,
                "the manifests of the images, and no tags of attachments"
            );
            assert_eq!(scene.world.staging.tally().snapshot().requests(Kind::BlobGet), 0);
            scene.world.carry_out(cleared).await;
            scene.world.assert_complete().await;
            let totals = &scene.world.report()["examinedTotals"];
            assert_eq!((&totals["images"], &totals["unsigned"]), (&20.into(), &20.into()));
            assert_eq!(scene.world.report()["examined"], Value::Array(Vec::new()), "they are counted");
        }
    }
}

/// Attachments are read once, however many regions the image is promoted to, and only those that the listing shows are
/// requested.
#[tokio::test]
async fn attachments_are_read_once_for_all_regions() {
    // The images, the referrers of each, and the tags: `.att` with its layer, `.sig` with its layer.
    let (images, lists, tags) = (4, 4, 2 + 2);
    for config in [google(), Config::default()] {
        let (scene, samples) = Scene::with_images(config, 5, 4).await;
        let hand = &scene.hand;
        let attestation = hand.attestation(samples[0].digest(), PROVENANCE).await;
        scene.append("app-0", &samples[0], AttachmentKind::Attestation, &[attestation]).await;
        let signature = hand.signature(samples[1].digest()).await;
        scene.append("app-1", &samples[1], AttachmentKind::Signature, &[signature]).await;
        scene.looked();
        scene.prepare().await.unwrap();
        let heads = scene.world.staging.tally().snapshot().requests(Kind::ManifestHead);
        assert_eq!(scene.looked() - heads, images + lists + tags);
    }
}

#[tokio::test]
async fn without_a_policy_valid_attachments_pass_and_the_report_names_their_signers() {
    for referrers_api in [true, false] {
        let (scene, samples) = Scene::with_images(Config { referrers_api, ..google() }, 1, 2).await;
        let hand = &scene.hand;
        let digest = samples[0].digest();
        let layers = [hand.attestation(digest, PROVENANCE).await, hand.attestation(digest, SBOM).await];
        scene.append("app-0", &samples[0], AttachmentKind::Attestation, &layers).await;
        attach(
            &scene.staging("app-1"),
            samples[1].root(),
            hand.bundle(samples[1].digest(), PROVENANCE).await,
        )
        .await;
        let cleared = scene.prepare().await.unwrap();
        scene.world.carry_out(cleared).await;
        scene.world.assert_complete().await;
        let report = scene.world.report();
        assert_eq!(report["examinedTotals"]["attested"], 2);
        let reported = report["examined"].as_array().unwrap();
        let of =
            |name: &str| reported.iter().find(|one| one["image"].as_str().unwrap().contains(name)).unwrap();
        assert_eq!(of("app-0")["attestations"][0]["verdict"], "accepted, it verifies");
        assert_eq!(of("app-0")["attestations"][1]["verdict"], "ignored, no policy requires it");
        assert!(of("app-1")["attestations"][0]["signedBy"].as_str().unwrap().starts_with("the key "));
        assert!(reported.iter().all(|one| one["passes"] == true));
    }
}

/// Forged or malformed evidence, or evidence about something else, blocks the image whatever else is attached to it. The error
/// names all such images.
#[tokio::test]
async fn without_a_policy_a_forged_attachment_blocks_the_image_at_any_position() {
    for referrers_api in [true, false] {
        let (scene, samples) = Scene::with_images(Config { referrers_api, ..google() }, 1, 6).await;
        let hand = &scene.hand;
        let digest = |number: usize| samples[number].digest();
        let good = async |number: usize| hand.attestation(digest(number), PROVENANCE).await;
        scene.append("app-0", &samples[0], AttachmentKind::Attestation, &[good(0).await]).await;
        let beside = broken(&hand.bundle(digest(0), SBOM).await);
        attach(&scene.staging("app-0"), samples[0].root(), beside).await;
        let about_another = [good(0).await];
        scene.append("app-1", &samples[1], AttachmentKind::Attestation, &about_another).await;
        let stranger = Hand::new();
        for (number, bundle) in [
            (2, broken(&hand.bundle(digest(2), PROVENANCE).await)),
            (3, stranger.bundle(digest(3), PROVENANCE).await),
            (4, Bytes::from_static(b"nothing that anybody could read")),
        ] {
            attach(&scene.staging(&format!("app-{number}")), samples[number].root(), bundle).await;
        }
        let blocked = scene.blocked(Phase::Provenance).await;
        assert_eq!(blocked.len(), 4, "attachments by other signers do not block: {blocked:#?}");
        for (number, message) in [0, 1, 2, 4].into_iter().zip(&blocked) {
            assert!(message.contains(&format!("app-{number}@{}", digest(number))), "{message}");
        }
        assert!(blocked[0].contains("accepted, it verifies") && blocked[0].contains("forged or broken"));
        assert!(blocked[1].contains("about something else"), "{}", blocked[1]);
        assert!(blocked[3].contains("malformed"), "{}", blocked[3]);
        assert_eq!(scene.world.report()["examinedTotals"]["blocked"], 4);
    }
}

#[tokio::test]
async fn images_that_a_policy_rejects_are_blocked_with_require_and_promoted_with_warn() {
    let (mut scene, samples) = Scene::with_images(google(), 1, 2).await;
    let layer = scene.hand.attestation(samples[1].digest(), PROVENANCE).await;
    scene.append("app-1", &samples[1], AttachmentKind::Attestation, &[layer]).await;
    scene.demand(Mode::Require);
    let blocked = scene.blocked(Phase::Provenance).await;
    assert_eq!(blocked.len(), 2);
    assert!(blocked[0].contains("it has no SLSA provenance"), "{}", blocked[0]);
    assert!(blocked[1].contains("this is not one of the policy's signers"), "{}", blocked[1]);

    scene.demand(Mode::Warn);
    let cleared = scene.prepare().await.unwrap();
    let report = scene.world.report();
    let warnings = report["warnings"].as_array().unwrap();
    for (number, why) in ["no SLSA provenance", "none of its SLSA provenance counts"].into_iter().enumerate()
    {
        let name = format!("app-{number}@");
        let reported =
            |text: &&Value| text.as_str().is_some_and(|text| text.contains(&name) && text.contains(why));
        assert_eq!(warnings.iter().filter(reported).count(), 1, "{warnings:#?}");
    }
    let reported: Vec<&Value> = report["examined"].as_array().unwrap().iter().collect();
    assert!(reported.iter().any(|one| one["policy"] == "warn" && one["passes"] == true), "{reported:#?}");
    scene.world.carry_out(cleared).await;
    scene.world.assert_complete().await;
}

/// A policy for other repositories has no effect.
#[tokio::test]
async fn a_policy_applies_only_to_its_source() {
    let (mut scene, _) = Scene::with_images(google(), 1, 1).await;
    scene.demand(Mode::Require);
    let mut job = scene.job();
    job.manifests.manifests[0].source = format!("{}/elsewhere", scene.world.staging.host()).parse().unwrap();
    assert!(!matches!(scene.prepare_job(job).await, Err(Error::Blocked(..))));
    scene.blocked(Phase::Provenance).await;
}

#[tokio::test]
async fn images_without_signatures_or_with_one_that_counts_pass_and_are_counted() {
    let (scene, samples) = Scene::with_images(google(), 1, 4).await;
    let (hand, stranger) = (&scene.hand, Hand::new());
    let digest = |number: usize| samples[number].digest();
    scene.append("app-1", &samples[1], AttachmentKind::Signature, &[hand.signature(digest(1)).await]).await;
    attach(&scene.staging("app-2"), samples[2].root(), hand.sign_bundle(digest(2)).await).await;
    let beside = [
        stranger.signature(digest(3)).await,
        forged(hand.signature(digest(3)).await),
        hand.signature(digest(0)).await,
        hand.signature(digest(3)).await,
    ];
    scene.append("app-3", &samples[3], AttachmentKind::Signature, &beside).await;
    let cleared = scene.prepare().await.unwrap();
    let report = scene.world.report();
    let totals = &report["examinedTotals"];
    assert_eq!(
        (&totals["signed"], &totals["unsigned"], &totals["blocked"]),
        (&3.into(), &1.into(), &0.into())
    );
    let reported = report["examined"].as_array().unwrap();
    assert_eq!(reported.len(), 3, "{reported:#?}");
    assert!(reported.iter().all(|one| one["signedBy"].as_array().unwrap().len() == 1), "{reported:#?}");
    scene.world.carry_out(cleared).await;
    scene.world.assert_complete().await;
}

#[tokio::test]
async fn an_image_without_a_signature_that_counts_is_blocked_unless_all_are_by_other_signers() {
    let (scene, samples) = Scene::with_images(google(), 1, 5).await;
    let (hand, stranger) = (&scene.hand, Hand::new());
    let digest = |number: usize| samples[number].digest();
    let layers = [
        stranger.signature(digest(0)).await,
        forged(hand.signature(digest(1)).await),
        hand.signature(digest(3)).await,
    ];
    for (number, layer) in layers.into_iter().enumerate() {
        let name = format!("app-{number}");
        scene.append(&name, &samples[number], AttachmentKind::Signature, &[layer]).await;
    }
    let bundles = [stranger.sign_bundle(digest(3)).await, broken(&hand.sign_bundle(digest(4)).await)];
    for (number, bundle) in (3..).zip(bundles) {
        attach(&scene.staging(&format!("app-{number}")), samples[number].root(), bundle).await;
    }
    let blocked = scene.blocked(Phase::Validate).await;
    assert_eq!(blocked.len(), 2, "{blocked:#?}");
    assert!(blocked.iter().all(|message| message.contains("none of its signatures counts")), "{blocked:#?}");
    assert!(blocked[0].contains("app-2@") && blocked[0].contains("about something else"), "{}", blocked[0]);
    assert!(blocked[1].contains("app-4@") && blocked[1].contains("forged or broken"), "{}", blocked[1]);
}

/// If a registry does not answer for the attachments of an image, the image is not promoted, and the others are.
#[tokio::test]
async fn an_image_whose_registry_does_not_answer_is_not_promoted_and_the_others_are() {
    let denied =
        || Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    let (mut scene, samples) = Scene::with_images(google(), 2, 3).await;
    let layer = scene.hand.attestation(samples[1].digest(), PROVENANCE).await;
    scene.append("app-1", &samples[1], AttachmentKind::Attestation, &[layer]).await;
    for path_part in [format!("/referrers/{}", samples[0].digest()), ".att".to_owned()] {
        scene.world.staging.faults().add(Fault::new(denied()).path(path_part));
    }
    // A policy with mode `warn` makes no difference: it is unknown what it would warn about.
    scene.demand(Mode::Warn);
    let cleared = scene.prepare().await.unwrap();
    let planned = cleared.plan().summary().total;
    assert_eq!((planned.failed, planned.copy), (4, 2));
    let attested = scene.world.carry_out(cleared).await;
    assert_eq!(attested.promoted().failed(), 4);
    for region in &scene.world.production {
        let has = |number: usize| {
            region.store().resolve(&path(&format!("prod/app-{number}")), &tag("v1")).is_some()
        };
        assert_eq!([has(0), has(1), has(2)], [false, false, true]);
    }

    let job = Job { keep_going: false, ..scene.job() };
    let cleared = scene.prepare_job(job).await.unwrap();
    scene.world.reset_tallies();
    scene.world.carry_out(cleared).await;
    assert_eq!(scene.world.writes(), 0, "without --keep-going, nothing starts");
}

/// The trusted root is requested once, however many images have attachments.
#[tokio::test]
async fn without_a_trusted_root_images_with_attachments_are_not_promoted() {
    let mirror = Server::start(Config::default()).await.unwrap();
    let mut asked = Vec::new();
    for attached in [0, 1, 8] {
        let (mut scene, samples) = Scene::with_images(google(), 1, 9).await;
        let settings = TrustSettings {
            mirror: Some(format!("http://{}/tuf", mirror.host()).parse().unwrap()),
            initial_root: Some(ROOT.to_vec()),
            ..TrustSettings::default()
        };
        scene.world.trust_config.verification.trust = sigstore::Trust::new(door(), settings).unwrap();
        for (number, sample) in samples.iter().enumerate().take(attached) {
            let bundle = scene.hand.sign_bundle(sample.digest()).await;
            attach(&scene.staging(&format!("app-{number}")), sample.root(), bundle).await;
        }
        mirror.tally().reset();
        match scene.prepare().await {
            Ok(_) => assert_eq!(attached, 0),
            Err(error) => assert!(matches!(error, Error::TrustUnavailable(..)) && attached > 0, "{error}"),
        }
        assert_eq!(scene.world.production[0].tally().snapshot().writes(), 0);
        asked.push(mirror.tally().snapshot().total());
    }
    assert!(asked[0] == 0 && asked[1] > 0 && asked[1] == asked[2], "{asked:?}");
}
