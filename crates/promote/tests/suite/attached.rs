//! Attachments in staging that do not count, on embedded registries: index entries that are only labelled as not being a
//! platform, attachments by other signers, and attachments that are listed but absent.

use crate::support::beside::{attestations, beside, inner_index, runnable};
use crate::support::hand::{Hand, PROVENANCE, attach};
use crate::support::{World, google, path, unsatisfied};
use http::StatusCode;
use manifest::policy::{Mode, Policies};
use oci::{Digest, RegistryRoot, Repository};
use promote::{Error, prepare};
use registry::sample::{Recipe, Sample};
use registry::{Effect, ErrorCode, Fault, Kind};

/// A world that trusts a key, with one image.
struct Scene {
    world: World,
    hand: Hand,
    sample: Sample,
    policies: Policies,
}

impl Scene {
    async fn of(sample: Sample) -> Self {
        let (mut world, hand) = (World::of(google(), 1).await, Hand::new());
        world.trust_config.verification.trust = hand.trust();
        world.stage("app", &sample, &["v1"]).await;
        Self { world, hand, sample, policies: Policies::default() }
    }

    /// Creates a scene with an image that has no policy.
    async fn plain() -> Self {
        Self::of(Recipe::default().image()).await
    }

    fn staging(&self) -> Repository {
        Repository { host: self.world.staging.host().clone(), path: path("staging/app") }
    }

    /// Applies a policy to all of staging that signatures with a key never satisfy.
    fn require(&mut self) {
        let source: RegistryRoot = format!("{}/staging", self.world.staging.host()).parse().unwrap();
        let policy = Some(unsatisfied(Mode::Require));
        self.policies = Policies::new(&[(&source, policy)]).unwrap();
    }

    /// Returns why the image is not promoted, or `None` if it may be.
    async fn blocked(&self) -> Option<String> {
        let mut job = self.world.job();
        job.manifests.policies = self.policies.clone();
        match prepare(&self.world.run(), &self.world.fresh_client(), job, &self.world.trust_config).await {
            Ok(_) => None,
            Err(Error::Blocked(_, blocked, _)) => Some(blocked[0].to_string()),
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn platforms(seed: u64) -> (Sample, Digest) {
    let index = Recipe { seed, ..Recipe::default() }.index(2);
    let first = index.manifests[0].digest();
    (index, first)
}

/// An attacker who can push controls the platform and the annotations. Neither of them exempts a runnable image.
#[tokio::test]
async fn unknown_platforms_of_an_index_are_checked_unless_they_hold_only_attestations() {
    let (index, first) = platforms(1);
    let elsewhere = Digest::of(b"in another index");
    for (other, attests, asked) in [
        (attestations(1), Some(first), 2),
        (attestations(1), None, 3),
        (attestations(1), Some(elsewhere), 3),
        (runnable(1), None, 3),
        (runnable(1), Some(first), 3),
        (inner_index(1), None, 3),
        (inner_index(1), Some(first), 3),
    ] {
        let mut scene = Scene::of(beside(index.clone(), &other, attests)).await;
        scene.require();
        let message = scene.blocked().await.unwrap();
        let expected = format!("{asked} of its {asked} platforms do not pass");
        assert!(message.contains(&expected), "{attests:?}: {message}");
        let is_named = message.contains(&format!("{} (unknown/unknown)", other.digest()));
        assert_eq!(is_named, asked == 3, "{message}");
    }
}

/// For an image that only gets a tag, the plan has read no parts.
#[tokio::test]
async fn only_manifests_that_claim_to_hold_attestations_are_read() {
    let (index, first) = platforms(1);
    let with_buildkit = beside(index.clone(), &attestations(1), Some(first));
    let with_unknown = beside(index.clone(), &runnable(1), None);
    for (sample, more) in [(index, 0), (with_buildkit, 1), (with_unknown, 0)] {
        let mut scene = Scene::of(sample).await;
        scene.sample.put(scene.world.production[0].store(), &path("prod/app"), &[]).await.unwrap();
        scene.require();
        scene.world.reset_tallies();
        scene.blocked().await.unwrap();
        let read = scene.world.staging.tally().snapshot().requests(Kind::ManifestGet);
        // No tag of signatures or attestations is listed, so none is read.
        assert_eq!(read, 1 + more, "the index, and the manifests that claim to be exempt");
    }
}

#[tokio::test]
async fn attestations_by_unknown_keys_block_nothing_and_are_reported() {
    let scene = Scene::plain().await;
    let (stranger, digest) = (Hand::new(), scene.sample.digest());
    for bundle in [stranger.bundle(digest, PROVENANCE).await, stranger.sign_bundle(digest).await] {
        attach(&scene.staging(), scene.sample.root(), bundle).await;
    }
    attach(&scene.staging(), scene.sample.root(), scene.hand.bundle(digest, PROVENANCE).await).await;
    assert_eq!(scene.blocked().await, None);
    let report = scene.world.report();
    assert_eq!(
        (&report["examinedTotals"]["blocked"], &report["examinedTotals"]["unsigned"]),
        (&0.into(), &1.into())
    );
    let warnings = report["warnings"].as_array().unwrap();
    let reported =
        warnings.iter().filter(|reported| reported.as_str().unwrap().contains("counts as unsigned"));
    assert_eq!(reported.count(), 1, "{warnings:#?}");
    let reported = report["examined"][0]["attestations"].as_array().unwrap();
    let verdicts: Vec<&str> = reported.iter().map(|one| one["verdict"].as_str().unwrap()).collect();
    let others = verdicts.iter().filter(|verdict| verdict.starts_with("ignored, it is someone else's"));
    assert_eq!((verdicts.len(), others.count()), (2, 1), "{verdicts:#?}");
}

/// Lag of a registry causes a warning if no policy requires what is missing, and a violation if one does.
#[tokio::test]
async fn a_listed_but_absent_referrer_is_a_warning_and_not_a_forgery() {
    for code in [ErrorCode::ManifestUnknown, ErrorCode::Denied] {
        let mut scene = Scene::plain().await;
        let bundle = scene.hand.bundle(scene.sample.digest(), PROVENANCE).await;
        let referrer = attach(&scene.staging(), scene.sample.root(), bundle).await;
        let gone = Effect::Status { status: StatusCode::NOT_FOUND, code, retry_after: None };
        scene.world.staging.faults().add(Fault::new(gone).path(format!("/manifests/{referrer}")));
        assert_eq!(scene.blocked().await, None);
        let report = scene.world.report();
        let warnings = report["warnings"].as_array().unwrap();
        let reported =
            warnings.iter().filter(|reported| reported.as_str().unwrap().contains(&referrer.to_string()));
        assert_eq!(reported.count(), 1, "{warnings:#?}");
        scene.require();
        let message = scene.blocked().await.unwrap();
        assert!(message.contains("it has no SLSA provenance"), "{message}");
    }
}
