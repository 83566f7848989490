//! What a run writes where, and what it completes and corrects.

use std::time::Duration;

use manifest::policy::{Mode, Policies};
use oci::{AttachmentKind, Known, Repository};
use promote::Job;
use registry::sample::Recipe;
use registry::{Effect, Fault, Kind};
use trust::SignatureFormat;

use crate::gate::scene::{RECORD, SIGN, Scene};
use crate::support::hand::{Hand, PROVENANCE, append, attach, malformed};
use crate::support::signer::Identity;
use crate::support::{LATE_AFTER, google, path};

/// Summaries follow the verdict: a failure is stated, and replaced once the policy is removed.
#[tokio::test]
async fn an_outdated_summary_is_followed_by_a_correct_one() {
    let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
    scene.summarize();
    let index = Recipe::default().index(1);
    scene.world.stage("app", &index, &["v1"]).await;
    let mut expected = Vec::new();
    for (mode, result) in [(None, "PASSED"), (Some(Mode::Warn), "FAILED"), (None, "PASSED")] {
        // Summaries have a resolution of one second, which decides which of two is the later one.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        scene.policies = Policies::default();
        if let Some(mode) = mode {
            scene.demand("staging", mode);
        }
        let prepared = scene.prepare(scene.job()).await.unwrap();
        scene.world.carry_out(prepared).await;
        expected.push(result.to_owned());
        expected.sort();
        for manifest in &index.manifests {
            let mut results: Vec<String> =
                scene.summaries(manifest.digest()).await.into_iter().map(|(result, _)| result).collect();
            results.sort();
            assert_eq!(results, expected, "{mode:?}");
        }
        scene.world.reset_tallies();
        let prepared = scene.prepare(scene.job()).await.unwrap();
        assert!(prepared.plan().missing().is_empty(), "{mode:?}");
        scene.world.carry_out(prepared).await;
        assert_eq!(scene.world.writes(), 0, "{mode:?}");
    }
}

/// If any of our attachments is deleted in production, on an image or a part, the next run finds it missing and writes it again.
#[tokio::test]
async fn each_attachment_that_is_deleted_in_production_is_written_again() {
    let mut scene = Scene::of(google(), 1, SignatureFormat::Both).await;
    scene.summarize();
    let index = Recipe::default().index(1);
    scene.world.stage("app", &index, &["v1"]).await;
    scene.world.promote().await;
    let (reader, canonical) = (scene.world.fresh_client().reader(), scene.canonical(0));
    let store = scene.world.production[0].store();
    for manifest in &index.manifests {
        let digest = manifest.digest();
        let before = scene.attached(0, digest).await;
        for referrer in reader.referrers(&canonical, digest, None, Known::Unknown).await.unwrap() {
            store.delete_manifest(&path("prod/app"), referrer.digest).await.unwrap();
            assert_ne!(scene.attached(0, digest).await, before);
            let prepared = scene.prepare(scene.job()).await.unwrap();
            assert_eq!(prepared.plan().missing().len(), 1, "{:?}", referrer.annotations);
            scene.world.carry_out(prepared).await;
            assert_eq!(scene.attached(0, digest).await, before, "{:?}", referrer.annotations);
        }
    }
}

/// Outside the production path, each destination has its own name, and its own signature and record.
#[tokio::test]
async fn every_destination_outside_of_production_is_signed_and_recorded_in_its_own_repository() {
    let mut scene = Scene::of(google(), 2, SignatureFormat::Auto).await;
    scene.world.trust_config.production.path = path("elsewhere");
    let index = Recipe::default().index(2);
    scene.world.stage("app", &index, &["v1"]).await;
    scene.world.promote().await;
    for region in 0..2 {
        for manifest in &index.manifests {
            assert_eq!(scene.attached(region, manifest.digest()).await.0, 1, "signed in region {region}");
        }
        let reader = scene.world.fresh_client().reader();
        let statements = scene.identity.statements(&reader, &scene.canonical(region), index.digest()).await;
        let record = statements.iter().find(|it| it.predicate_type == RECORD).unwrap();
        assert_eq!(record.subject[0].name, scene.canonical(region).to_string());
    }
    scene.world.reset_tallies();
    scene.world.promote().await;
    assert_eq!(scene.world.writes(), 0);
}

/// The canonical region answers only after the others are done. Its images are then signed and recorded there, once.
#[tokio::test]
async fn images_with_a_late_canonical_region_are_signed_in_the_second_round() {
    let mut scene = Scene::of(google(), 3, SignatureFormat::Auto).await;
    let index = Recipe::default().index(2);
    scene.world.stage("app", &index, &["v1"]).await;
    scene.world.production[0].faults().add(Fault::new(Effect::Hang).on(Kind::TagList));
    let prepared = scene.prepare(Job { late_after: LATE_AFTER, ..scene.job() }).await.unwrap();
    scene.world.production[0].faults().clear();
    let lists = || scene.world.staging.tally().snapshot().requests(Kind::Referrers);
    let looked = lists();
    let done = scene.world.carry_out(prepared).await;
    assert_eq!((done.unsigned(), done.unrecorded(), done.promoted().failed()), (0, 0, 0));
    assert_eq!(lists(), looked, "an image is checked once per run");
    scene.world.assert_complete().await;
    for manifest in &index.manifests {
        assert_eq!(scene.attached(0, manifest.digest()).await.0, 1);
        assert_eq!(scene.attached(1, manifest.digest()).await, (0, 0, 0, 0));
    }
    assert_eq!(scene.attached(0, index.digest()).await, (1, 1, 1, 0));
    let again = scene.prepare(scene.job()).await.unwrap();
    assert!(again.plan().is_empty());
}

/// If a manifest has any bundles, cosign 2.6 and 3 look only at bundles. Such a manifest also gets our signature as a bundle;
/// others do not.
#[tokio::test]
async fn a_manifest_with_another_bundle_gets_our_signature_as_a_bundle_too() {
    let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
    let index = Recipe::default().index(3);
    scene.world.stage("app", &index, &["v1"]).await;
    scene.promote_unsigned().await;
    // Someone has attached a bundle to one part in production.
    let stranger = Hand::new();
    let part = &index.manifests[1];
    attach(&scene.canonical(0), part, stranger.bundle(part.digest(), PROVENANCE).await).await;
    scene.world.promote().await;
    let bundles = async |manifest: &oci::RawManifest| {
        let (reader, canonical) = (scene.world.fresh_client().reader(), scene.canonical(0));
        let all = reader.referrers(&canonical, manifest.digest(), None, Known::Unknown).await.unwrap();
        let mut ours = 0;
        for listed in &all {
            let kind = listed.annotations.get("dev.sigstore.bundle.predicateType");
            ours += usize::from(kind.is_some_and(|kind| kind == SIGN));
        }
        ours
    };
    let [first, second, third, root] = &index.manifests[..] else { panic!("an index of three") };
    assert_eq!(bundles(root).await, 1, "it has a record");
    assert_eq!(bundles(second).await, 1, "it has another signer's bundle");
    assert_eq!((bundles(first).await, bundles(third).await), (0, 0));
    scene.world.reset_tallies();
    scene.world.promote().await;
    assert_eq!(scene.world.writes(), 0);
    // A bundle that is attached later is found too.
    attach(&scene.canonical(0), first, stranger.bundle(first.digest(), PROVENANCE).await).await;
    scene.world.promote().await;
    assert_eq!(bundles(first).await, 1);
}

/// Two promoters with two keys promote to the same world. Each adds its own signatures and records, and keeps those of the
/// other.
#[tokio::test]
async fn two_promoters_with_two_keys_keep_the_signatures_of_each_other() {
    let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
    let index = Recipe::default().index(2);
    scene.world.stage("app", &index, &["v1"]).await;
    scene.world.promote().await;
    let first = std::mem::replace(&mut scene.identity, Identity::new(SignatureFormat::Auto));
    let canonical = scene.world.trust_config.production.canonical_host.clone();
    scene.world.trust_config = scene.identity.trust_config(&scene.world.door, canonical);
    scene.world.promote().await;
    for identity in [&first, &scene.identity] {
        let (reader, canonical) = (scene.world.fresh_client().reader(), scene.canonical(0));
        for manifest in &index.manifests {
            assert_eq!(identity.layers(&reader, &canonical, manifest.digest()).await, 1);
        }
        let statements = identity.statements(&reader, &canonical, index.digest()).await;
        let of = |kind: &str| statements.iter().filter(|it| it.predicate_type == kind).count();
        assert_eq!((of(SIGN), of(RECORD)), (1, 1));
    }
    scene.world.reset_tallies();
    scene.world.promote().await;
    assert_eq!(scene.world.writes(), 0);
}

/// A dry run reports what `--confirm` would write, as far as it knows, and how many images it has not checked.
#[tokio::test]
async fn a_dry_run_reports_what_is_owed_and_what_it_has_not_checked() {
    let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
    let [signed, unsigned, new] = [1, 2, 3].map(|seed| Recipe { seed, ..Recipe::default() }.image());
    scene.world.stage("app", &signed, &["v1"]).await;
    scene.world.promote().await;
    scene.world.stage("app", &unsigned, &["v2"]).await;
    scene.promote_unsigned().await;
    scene.world.stage("app", &new, &["v3"]).await;
    let dry = |checks_attached| Job { writes: false, checks_attached, ..scene.job() };
    let summary = scene.prepare(dry(false)).await.unwrap().plan().summary();
    assert_eq!((summary.total.copy, summary.total.sign, summary.total.record), (1, 2, 1));
    assert_eq!(summary.not_looked_at, 1, "the image with a signature, which may be another signer's");
    let prepared = scene.prepare(dry(true)).await.unwrap();
    let summary = prepared.plan().summary();
    assert_eq!((summary.total.sign, summary.total.record, summary.not_looked_at), (2, 2, 0));
    let prepared = scene.prepare(scene.job()).await.unwrap();
    assert_eq!(prepared.plan().summary(), summary, "--confirm has the same plan");
    scene.world.reset_tallies();
    let totals = scene.world.report.totals();
    scene.world.carry_out(prepared).await;
    let done = scene.world.report.totals();
    assert_eq!(
        (done.signed - totals.signed, done.recorded - totals.recorded),
        (2, 2),
        "--confirm carries out the plan"
    );
    let summary = scene.prepare(dry(true)).await.unwrap().plan().summary();
    assert_eq!((summary.total.sign, summary.total.record), (0, 0));
}

/// A run is interrupted after copying. The evidence in staging has become invalid by the time the next run signs.
#[tokio::test]
async fn an_image_that_no_longer_passes_after_the_copy_is_not_signed() {
    let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
    let hand = Hand::new();
    scene.world.trust_config.verification.trust = hand.trust();
    let image = Recipe::default().image();
    scene.world.stage("app", &image, &["v1"]).await;
    scene.promote_unsigned().await;
    let staging: Repository = format!("{}/staging/app", scene.world.staging.host()).parse().unwrap();
    let bad = malformed();
    append(&staging, image.digest(), AttachmentKind::Attestation, &[bad]).await;
    let done = scene.world.promote().await;
    assert_eq!((done.promoted().failed(), done.unsigned()), (0, 1));
    assert_eq!(scene.attached(0, image.digest()).await, (0, 0, 0, 0));
    let reported = scene.world.report.unsigned();
    assert!(reported[0].error.contains("it did not pass"), "{reported:?}");
}
