//! Provenance and Validate between embedded registries: what is attached to staging images decides whether they are promoted,
//! and looking costs the expected number of requests. These tests sign with keys. The rights of certificate identities are
//! covered by `judging.rs`, and signatures by real services by the outside tests of kpromo.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use manifest::policy::{Mode, Policies};
use oci::{AttachmentKind, MediaType, NewLayer, RawManifest, RegistryRoot, Repository};
use promote::{Error, Job, Phase, Prepared, prepare};
use registry::sample::{Recipe, Sample};
use registry::{Config, Effect, ErrorCode, Fault, Kind, Server};
use serde_json::Value;
use sigstore::TrustSettings;
use support::beside::{attestations, beside};
use support::hand::{Hand, PROVENANCE, append, attach, broken, forged};
use support::{LATE_AFTER, World, door, google, path, tag, unsatisfied};

/// An initial TUF root, so that its repository is asked for the following ones.
const ROOT: &[u8] = include_bytes!("../../sigstore/src/trust/public_good_root.json");
const SBOM: &str = "https://spdx.dev/Document";

/// A world that trusts a key.
struct Scene {
    world: World,
    hand: Hand,
    policies: Policies,
}

impl Scene {
    async fn of(config: Config, regions: usize) -> Self {
        let (mut world, hand) = (World::of(config, regions).await, Hand::new());
        world.trust_config.verification.trust = hand.trust();
        Self { world, hand, policies: Policies::default() }
    }

    /// Creates a scene with images of one platform, `app-0` to `app-<count - 1>`.
    async fn with_images(config: Config, regions: usize, count: u64) -> (Self, Vec<Sample>) {
        let mut scene = Self::of(config, regions).await;
        let mut samples = Vec::new();
        for seed in 0..count {
            let sample = Recipe { seed, ..Recipe::default() }.image();
            scene.world.stage(&format!("app-{seed}"), &sample, &["v1"]).await;
            samples.push(sample);
        }
        (scene, samples)
    }

    fn staging(&self, name: &str) -> Repository {
        Repository { host: self.world.staging.host().clone(), path: path(&format!("staging/{name}")) }
    }

    async fn append(&self, name: &str, sample: &Sample, kind: AttachmentKind, layers: &[NewLayer]) {
        append(&self.staging(name), sample.digest(), kind, layers).await;
    }

    /// Applies a policy to all of staging that signatures with a key never satisfy.
    fn demand(&mut self, mode: Mode) {
        let source: RegistryRoot = format!("{}/staging", self.world.staging.host()).parse().unwrap();
        let policy = Some(unsatisfied(mode));
        self.policies = Policies::new(&[(&source, policy)]).unwrap();
    }

    fn job(&self) -> Job {
        let mut job = self.world.job();
        job.manifests.policies = self.policies.clone();
        job
    }

    /// Prepares a run with a new client.
    async fn prepare(&self) -> Result<Prepared, Error> {
        self.prepare_job(self.job()).await
    }

    async fn prepare_job(&self, job: Job) -> Result<Prepared, Error> {
        prepare(&self.world.run(), &self.world.fresh_client(), job, &self.world.trust_config).await
    }

    /// Panics unless the run is given up in this phase before it writes anything. Returns the message for each image.
    async fn blocked(&self, expected: Phase) -> Vec<String> {
        let writes = self.world.writes();
        match self.prepare().await {
            Err(Error::Blocked(phase, blocked, _)) => {
                assert_eq!(phase, expected);
                assert_eq!(self.world.writes(), writes, "nothing is written");
                blocked.iter().map(ToString::to_string).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Returns the number of requests to staging, except tag listings, since the last call.
    fn looked(&self) -> u64 {
        let tally = self.world.staging.tally().snapshot();
        self.world.staging.tally().reset();
        tally.total() - tally.requests(Kind::TagList)
    }
}

#[tokio::test]
async fn an_image_with_nothing_attached_costs_one_request_or_none() {
    for config in [google(), Config::default()] {
        for (referrers_api, requests) in [(true, 20), (false, 1)] {
            let config = Config { referrers_api, ..config.clone() };
            let (scene, samples) = Scene::with_images(config, 5, 20).await;
            let cleared = scene.prepare().await.unwrap();
            let asked = scene.world.staging.tally().snapshot().requests(Kind::Referrers);
            assert_eq!(asked, requests, "with an API: {referrers_api}");
            let manifests = scene.world.staging.tally().snapshot().requests(Kind::ManifestGet);
            assert_eq!(manifests, samples.len() as u64, "the images, and no tags");
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
async fn what_is_attached_is_read_once_for_all_regions() {
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
async fn without_a_policy_what_verifies_passes_and_the_report_says_by_whom() {
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
        assert_eq!(of("app-0")["attestations"][1]["verdict"], "ignored, no policy asks for it");
        assert!(of("app-1")["attestations"][0]["signedBy"].as_str().unwrap().starts_with("the key "));
        assert!(reported.iter().all(|one| one["passes"] == true));
    }
}

/// Forged or malformed evidence, or evidence about something else, blocks the image whatever else is attached to it. The error
/// names all such images.
#[tokio::test]
async fn without_a_policy_what_is_forged_blocks_wherever_it_stands() {
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
        assert_eq!(blocked.len(), 4, "what a stranger has signed is the stranger's: {blocked:#?}");
        for (number, said) in [0, 1, 2, 4].into_iter().zip(&blocked) {
            assert!(said.contains(&format!("app-{number}@{}", digest(number))), "{said}");
        }
        assert!(blocked[0].contains("accepted, it verifies") && blocked[0].contains("forged or broken"));
        assert!(blocked[1].contains("about something else"), "{}", blocked[1]);
        assert!(blocked[3].contains("malformed"), "{}", blocked[3]);
        assert_eq!(scene.world.report()["examinedTotals"]["blocked"], 4);
    }
}

#[tokio::test]
async fn what_a_policy_does_not_accept_is_blocked_where_it_requires_and_promoted_where_it_warns() {
    let (mut scene, samples) = Scene::with_images(google(), 1, 2).await;
    let layer = scene.hand.attestation(samples[1].digest(), PROVENANCE).await;
    scene.append("app-1", &samples[1], AttachmentKind::Attestation, &[layer]).await;
    scene.demand(Mode::Require);
    let blocked = scene.blocked(Phase::Provenance).await;
    assert_eq!(blocked.len(), 2);
    assert!(blocked[0].contains("it has no SLSA provenance"), "{}", blocked[0]);
    assert!(blocked[1].contains("this is none of the policy's signers"), "{}", blocked[1]);

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
async fn a_policy_holds_for_its_source_alone() {
    let (mut scene, _) = Scene::with_images(google(), 1, 1).await;
    scene.demand(Mode::Require);
    let mut job = scene.job();
    job.manifests.manifests[0].source = format!("{}/elsewhere", scene.world.staging.host()).parse().unwrap();
    assert!(!matches!(scene.prepare_job(job).await, Err(Error::Blocked(..))));
    scene.blocked(Phase::Provenance).await;
}

/// Creates an index of two platforms, with the attestation manifest that BuildKit adds to them.
fn index(seed: u64) -> Sample {
    let sample = Recipe { seed, ..Recipe::default() }.index(2);
    let about = sample.manifests[0].digest();
    beside(sample, &attestations(seed), Some(about))
}

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
    let [attested_said, bare_said] = &blocked[..] else { panic!("{blocked:#?}") };
    assert!(!attested_said.contains("linux/amd64"), "{attested_said}");
    assert!(bare_said.contains("2 of its 2 platforms do not pass"), "{bare_said}");
    assert!(bare_said.contains("(linux/amd64): none of its SLSA provenance counts"), "{bare_said}");
    assert!(bare_said.contains("(linux/arm64): it has no SLSA provenance"), "{bare_said}");
    let lists = scene.world.staging.tally().snapshot().requests(Kind::Referrers);
    assert_eq!(lists, 2 + 2, "two indexes, two platforms of one; what runs nowhere is not looked at");
}

/// An image that only gets a tag has been read in part. Its platforms are found nevertheless.
#[tokio::test]
async fn the_platforms_of_an_index_that_only_gets_a_tag_are_looked_at() {
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

/// An index that lists the same entries repeatedly, many levels deep, is not followed forever, and does not pass.
#[tokio::test]
async fn an_index_of_indexes_of_indexes_is_followed_so_far() {
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
    assert_eq!(lists, 5, "each manifest is looked at once");
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
async fn an_image_whose_signatures_all_do_not_count_is_blocked_unless_they_are_someone_elses() {
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
    assert!(blocked.iter().all(|said| said.contains("none of its signatures counts")), "{blocked:#?}");
    assert!(blocked[0].contains("app-2@") && blocked[0].contains("about something else"), "{}", blocked[0]);
    assert!(blocked[1].contains("app-4@") && blocked[1].contains("forged or broken"), "{}", blocked[1]);
}

/// If a registry does not answer for the attachments of an image, the image is not promoted, and the others are.
#[tokio::test]
async fn an_image_whose_registry_does_not_tell_is_not_promoted_and_the_others_are() {
    let denied =
        || Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    let (mut scene, samples) = Scene::with_images(google(), 2, 3).await;
    let layer = scene.hand.attestation(samples[1].digest(), PROVENANCE).await;
    scene.append("app-1", &samples[1], AttachmentKind::Attestation, &[layer]).await;
    for path_part in [format!("/referrers/{}", samples[0].digest()), ".att".to_owned()] {
        scene.world.staging.faults().add(Fault::new(denied()).path(path_part));
    }
    // A policy that only warns makes no difference: it is unknown what it would warn about.
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
    assert_eq!(scene.world.writes(), 0, "without --keep-going nothing is begun");
}

/// The trusted root is requested once, however many images have attachments.
#[tokio::test]
async fn where_nobody_is_to_be_trusted_and_something_is_attached_nothing_is_promoted() {
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

/// What is missing in a region that did not answer the plan passes the same gate: an image that does not pass gives up the
/// second round.
#[tokio::test]
async fn a_late_image_that_does_not_pass_is_told_and_nothing_late_is_promoted() {
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
    assert_eq!(scene.world.report()["examinedTotals"]["images"], 1, "only what is to be promoted");
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
async fn a_late_image_whose_registry_does_not_tell_is_not_promoted() {
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
    assert!(store.resolve(&path("prod/app-1"), &tag("v1")).is_some(), "looked at before");
}

/// The run is stopped while the late images are examined: all of them count as not started.
#[tokio::test]
async fn late_images_that_nobody_has_looked_at_before_a_stop_count_as_not_begun() {
    let (scene, samples) = Scene::with_images(google(), 2, 4).await;
    for (number, sample) in samples.iter().enumerate() {
        let there = path(&format!("prod/app-{number}"));
        sample.put(scene.world.production[1].store(), &there, &[tag("v1")]).await.unwrap();
    }
    scene.world.production[0].faults().add(Fault::new(Effect::Hang).on(Kind::TagList));
    let cleared = scene.prepare_job(Job { late_after: LATE_AFTER, ..scene.job() }).await.unwrap();
    scene.world.production[0].faults().clear();
    scene.world.staging.faults().set_latency(Duration::from_millis(50));
    let asked = || scene.world.staging.tally().snapshot().requests(Kind::Referrers);
    let stopping = async {
        while asked() == 0 {
            tokio::task::yield_now().await;
        }
        scene.world.stop.cancel();
    };
    let (attested, ()) = tokio::join!(scene.world.carry_out(cleared), stopping);
    assert_eq!((attested.promoted().failed(), attested.promoted().not_begun()), (0, 4));
    assert_eq!(scene.world.production[0].tally().snapshot().writes(), 0);
}

/// The run is stopped while images are examined: none of them is cleared.
#[tokio::test]
async fn a_run_that_is_told_to_stop_clears_nothing() {
    let (scene, _) = Scene::with_images(google(), 1, 3).await;
    scene.world.staging.faults().set_latency(Duration::from_millis(50));
    let asked = || scene.world.staging.tally().snapshot().requests(Kind::Referrers);
    let stopping = async {
        while asked() == 0 {
            tokio::task::yield_now().await;
        }
        scene.world.stop.cancel();
    };
    let (prepared, ()) = tokio::join!(scene.prepare(), stopping);
    assert!(matches!(prepared, Err(Error::Interrupted)));
    assert!(asked() < 3, "the others have not been begun");
}
