//! The vulnerability gate within the phases: which manifests are scanned, how often, and what happens to images that do not pass.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use crate::support::beside::{attestations, beside, inner_index, runnable};
use crate::support::{LATE_AFTER, World, google, path, tag};
use futures_util::future::{BoxFuture, ready};
use oci::Digest;
use promote::phase::survey;
use promote::{Error, Job, Phase, prepare};
use registry::sample::{Recipe, Sample};
use registry::{Effect, Fault, Kind};
use trust::scan::{
    Finding, Fix, Part, PartScan, ScanError, ScanGate, ScanImage, ScanPolicy, ScanSource, ScannedHosts,
    Scanner, Severity, Sourced, Threshold,
};

/// A scanner with fixed results that records the manifests that it was asked to scan.
#[derive(Debug, Default)]
struct Known {
    vulnerable: Mutex<HashSet<Digest>>,
    unscanned: Mutex<HashSet<Digest>>,
    silent: Mutex<HashSet<Digest>>,
    asked: Mutex<Vec<Digest>>,
}

impl Known {
    /// Returns the manifests that were scanned since the last call.
    fn asked(&self) -> Vec<Digest> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort();
        asked
    }
}

impl Scanner for Known {
    fn scan<'a>(&'a self, _: ScanImage<'a>, part: &'a Part) -> BoxFuture<'a, Result<PartScan, ScanError>> {
        self.asked.lock().unwrap().push(part.digest);
        let mut scan = PartScan::default();
        if self.silent.lock().unwrap().contains(&part.digest) {
            let error = ScanError { problem: "it does not tell".to_owned(), advice: None };
            return Box::pin(ready(Err(error)));
        }
        match self.unscanned.lock().unwrap().contains(&part.digest) {
            true => scan.unscanned.push("not yet".to_owned()),
            false => scan.finished.push("by heart".to_owned()),
        }
        if self.vulnerable.lock().unwrap().contains(&part.digest) {
            let finding = Finding {
                id: "CVE-2024-1".to_owned(),
                aliases: Vec::new(),
                severity: Severity::High,
                package: "openssl".to_owned(),
                installed: "1".to_owned(),
                purl: None,
                fix: Fix::Available("2".to_owned()),
            };
            scan.findings.push(Sourced { source: "by heart".into(), content: finding });
        }
        Box::pin(ready(Ok(scan)))
    }
}

/// Adds a gate with the threshold `high`.
fn guard(world: &mut World) -> (Arc<Known>, ScanGate) {
    let known = Arc::new(Known::default());
    let scanner: Arc<dyn Scanner> = known.clone();
    let policy = ScanPolicy::new(Threshold::of_name("high").unwrap());
    let gate = ScanGate::new(policy, vec![ScanSource { hosts: ScannedHosts::All, scanner }]);
    world.trust_config.verification.scans = Some(gate.clone());
    (known, gate)
}

fn sorted(digests: impl IntoIterator<Item = Digest>) -> Vec<Digest> {
    let mut digests: Vec<Digest> = digests.into_iter().collect();
    digests.sort();
    digests
}

/// An index of two platforms with BuildKit's attestation manifest, a manifest that only looks like one, and a nested index.
fn deep_index() -> (Sample, Vec<Digest>) {
    let sample = Recipe { seed: 1, ..Recipe::default() }.index(2);
    let about = sample.manifests[0].digest();
    let (pretender, inner) = (runnable(1), inner_index(1));
    let images = sample.manifests[..2].iter().chain(&pretender.manifests).chain(&inner.manifests[..2]);
    let images = sorted(images.map(oci::RawManifest::digest));
    let sample = beside(sample, &attestations(1), Some(about));
    let sample = beside(sample, &pretender, Some(about));
    (beside(sample, &inner, None), images)
}

#[tokio::test]
async fn each_image_manifest_is_scanned_once_and_attestation_manifests_never() {
    let mut world = World::of(google(), 3).await;
    let (known, _) = guard(&mut world);
    let (sample, images) = deep_index();
    assert_eq!(images.len(), 5);
    world.stage("app", &sample, &["v1", "latest"]).await;
    let prepared = prepare(&world.run(), &world.client, world.job(), &world.trust_config).await.unwrap();
    assert_eq!(known.asked(), images, "three regions and two tags share one scan");
    world.carry_out(prepared).await;
    assert!(known.asked().is_empty());
    assert_eq!(world.report()["scanned"][0]["parts"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn any_image_manifest_of_an_index_that_does_not_pass_blocks_it() {
    let (sample, images) = deep_index();
    for image in images {
        let mut world = World::of(google(), 1).await;
        let (known, _) = guard(&mut world);
        world.stage("app", &sample, &["v1"]).await;
        for (set, code) in [(&known.vulnerable, "CVE-2024-1"), (&known.unscanned, "not yet")] {
            set.lock().unwrap().insert(image);
            let error = prepare(&world.run(), &world.fresh_client(), world.job(), &world.trust_config).await;
            let Err(Error::Blocked(Phase::Scan, blocked, _)) = error else { panic!("{error:?}") };
            assert!(blocked[0].reason.contains(&image.to_string()) && blocked[0].reason.contains(code));
            set.lock().unwrap().clear();
        }
        known.silent.lock().unwrap().insert(image);
        let error = prepare(&world.run(), &world.fresh_client(), world.job(), &world.trust_config).await;
        let Err(Error::ScansUnavailable(untold, _)) = error else { panic!("{error:?}") };
        assert!(untold[0].reason.contains("it does not tell"), "{untold:?}");
        assert_eq!(world.writes(), 0);
    }
}

#[tokio::test]
async fn a_violation_takes_precedence_over_an_unavailable_scanner() {
    let mut world = World::of(google(), 1).await;
    let (known, _) = guard(&mut world);
    for seed in 0..2 {
        let sample = Recipe { seed, ..Recipe::default() }.image();
        world.stage(&format!("app-{seed}"), &sample, &["v1"]).await;
        let set = if seed == 0 { &known.vulnerable } else { &known.silent };
        set.lock().unwrap().insert(sample.digest());
    }
    let error = prepare(&world.run(), &world.client, world.job(), &world.trust_config).await;
    let Err(Error::Blocked(Phase::Scan, blocked, _)) = error else { panic!("{error:?}") };
    assert_eq!(blocked.len(), 1);
}

/// A late region gets its images in a second round of the same phases, with the same gate.
#[tokio::test]
async fn the_second_round_uses_the_same_gate_and_scans_nothing_again() {
    let mut world = World::of(google(), 2).await;
    let (known, _) = guard(&mut world);
    let (both, late) = (Recipe::default().image(), Recipe { seed: 7, ..Recipe::default() }.image());
    world.stage("both", &both, &["v1"]).await;
    world.stage("late", &late, &["v1"]).await;
    late.put(world.production[1].store(), &path("prod/late"), &[tag("v1")]).await.unwrap();
    known.vulnerable.lock().unwrap().insert(late.digest());
    world.production[0].faults().add(Fault::new(Effect::Hang).on(Kind::TagList));
    let job = Job { late_after: LATE_AFTER, ..world.job() };
    let prepared = prepare(&world.run(), &world.client, job, &world.trust_config).await.unwrap();
    assert_eq!(known.asked(), [both.digest()]);
    world.production[0].faults().clear();
    world.carry_out(prepared).await;
    assert_eq!(known.asked(), [late.digest()], "an image that has passed is not scanned again");
    assert!(world.production[1].store().resolve(&path("prod/both"), &tag("v1")).is_some());
    assert!(world.production[0].store().resolve(&path("prod/late"), &tag("v1")).is_none());
}

#[tokio::test]
async fn a_run_that_only_scans_scans_each_digest_once_per_repository_and_sends_nothing_to_production() {
    let mut world = World::of(google(), 3).await;
    let (known, gate) = guard(&mut world);
    let (sample, images) = deep_index();
    // One digest under two names is one image. Its scans of both repositories count, as in the gate.
    world.stage("app", &sample, &["v1"]).await;
    world.stage("copy", &sample, &["v1"]).await;
    let vulnerable = images[3];
    known.vulnerable.lock().unwrap().insert(vulnerable);
    let reader = world.client.reader();
    let done = survey(&world.run(), &reader, world.job(), &gate, &world.trust_config).await.unwrap();
    assert_eq!((done.images.len(), done.refused(), done.failed.len()), (1, 1, 0));
    let twice: Vec<Digest> = images.iter().flat_map(|digest| [*digest; 2]).collect();
    assert_eq!(known.asked(), twice);
    assert!(world.production.iter().all(|region| region.tally().snapshot().total() == 0));
    known.vulnerable.lock().unwrap().clear();
    known.unscanned.lock().unwrap().insert(vulnerable);
    let done = survey(&world.run(), &reader, world.job(), &gate, &world.trust_config).await.unwrap();
    assert_eq!((done.refused(), known.asked().len()), (1, 10));
    known.silent.lock().unwrap().extend(images);
    let done = survey(&world.run(), &reader, world.job(), &gate, &world.trust_config).await.unwrap();
    assert_eq!((done.images.len(), done.failed.len()), (0, 1));
}

#[tokio::test]
async fn without_a_policy_nothing_is_scanned() {
    let mut world = World::of(google(), 1).await;
    let sample = Recipe::default().image();
    world.stage("app", &sample, &["v1"]).await;
    let prepared = prepare(&world.run(), &world.client, world.job(), &world.trust_config).await.unwrap();
    world.carry_out(prepared).await;
    let report = world.report();
    assert_eq!(report["scanTotals"]["images"], 0);
    assert!(report["phaseSeconds"].get("scan").is_none());
}
