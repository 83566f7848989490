//! A world that trusts a key.

use std::time::Duration;

use manifest::policy::{Mode, Policies};
use oci::{AttachmentKind, NewLayer, RegistryRoot, Repository};
use promote::{Error, Job, Phase, Prepared, prepare};
use registry::sample::{Recipe, Sample};
use registry::{Config, Kind};

use crate::support::beside::{attestations, beside};
use crate::support::hand::{Hand, append};
use crate::support::{World, path, unsatisfied};

/// An initial TUF root, so that its repository is asked for the following ones.
pub(crate) const ROOT: &[u8] = include_bytes!("../../../../sigstore/src/trust/public_good_root.json");
pub(crate) const SBOM: &str = "https://spdx.dev/Document";

/// A world that trusts a key.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) hand: Hand,
    pub(crate) policies: Policies,
}

impl Scene {
    pub(crate) async fn of(config: Config, regions: usize) -> Self {
        let (mut world, hand) = (World::of(config, regions).await, Hand::new());
        world.trust_config.verification.trust = hand.trust();
        Self { world, hand, policies: Policies::default() }
    }

    /// Creates a scene with images of one platform, `app-0` to `app-<count - 1>`.
    pub(crate) async fn with_images(config: Config, regions: usize, count: u64) -> (Self, Vec<Sample>) {
        let mut scene = Self::of(config, regions).await;
        let mut samples = Vec::new();
        for seed in 0..count {
            let sample = Recipe { seed, ..Recipe::default() }.image();
            scene.world.stage(&format!("app-{seed}"), &sample, &["v1"]).await;
            samples.push(sample);
        }
        (scene, samples)
    }

    pub(crate) fn staging(&self, name: &str) -> Repository {
        Repository { host: self.world.staging.host().clone(), path: path(&format!("staging/{name}")) }
    }

    pub(crate) async fn append(
        &self,
        name: &str,
        sample: &Sample,
        kind: AttachmentKind,
        layers: &[NewLayer],
    ) {
        append(&self.staging(name), sample.digest(), kind, layers).await;
    }

    /// Applies a policy to all of staging that signatures with a key never satisfy.
    pub(crate) fn demand(&mut self, mode: Mode) {
        let source: RegistryRoot = format!("{}/staging", self.world.staging.host()).parse().unwrap();
        let policy = Some(unsatisfied(mode));
        self.policies = Policies::new(&[(&source, policy)]).unwrap();
    }

    pub(crate) fn job(&self) -> Job {
        let mut job = self.world.job();
        job.manifests.policies = self.policies.clone();
        job
    }

    /// Prepares a run with a new client.
    pub(crate) async fn prepare(&self) -> Result<Prepared, Error> {
        self.prepare_job(self.job()).await
    }

    pub(crate) async fn prepare_job(&self, job: Job) -> Result<Prepared, Error> {
        prepare(&self.world.run(), &self.world.fresh_client(), job, &self.world.trust_config).await
    }

    /// Panics unless the run is given up in this phase before it writes anything. Returns the message for each image.
    pub(crate) async fn blocked(&self, expected: Phase) -> Vec<String> {
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

    /// Returns the number of requests to staging for referrers.
    pub(crate) fn asked(&self) -> u64 {
        self.world.staging.tally().snapshot().requests(Kind::Referrers)
    }

    /// Stops the run once the first image is examined. The others wait, since staging is slow.
    pub(crate) async fn stop_while_examining(&self) {
        self.world.staging.faults().set_latency(Duration::from_millis(50));
        while self.asked() == 0 {
            tokio::task::yield_now().await;
        }
        self.world.stop.cancel();
    }

    /// Returns the number of requests to staging, except tag listings, since the last call.
    pub(crate) fn looked(&self) -> u64 {
        let tally = self.world.staging.tally().snapshot();
        self.world.staging.tally().reset();
        tally.total() - tally.requests(Kind::TagList)
    }
}

/// Creates an index of two platforms, with the attestation manifest that BuildKit adds to them.
pub(crate) fn index(seed: u64) -> Sample {
    let sample = Recipe { seed, ..Recipe::default() }.index(2);
    let about = sample.manifests[0].digest();
    beside(sample, &attestations(seed), Some(about))
}
