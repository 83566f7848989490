//! A world that signs with a key.

use std::sync::Arc;

use manifest::policy::{Mode, Policies};
use oci::{Digest, RegistryRoot, Repository};
use promote::{Error, Job, Prepared, prepare};
use registry::Config;
use trust::{SignatureFormat, SummarySigner};

use crate::support::signer::Identity;
use crate::support::{World, unsatisfied, within_limit};

pub(crate) const SUMMARY: &str = "https://slsa.dev/verification_summary/v1";
pub(crate) const RECORD: &str = crate::support::signer::RECORD;
pub(crate) const SIGN: &str = trust::evidence::SIGN_TYPE;

/// A world that signs with a key. Keys never satisfy its policies, if it has any.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) identity: Identity,
    pub(crate) policies: Policies,
}

impl Scene {
    pub(crate) async fn of(config: Config, regions: usize, format: SignatureFormat) -> Self {
        let mut world = World::of(config, regions).await;
        let identity = Identity::new(format);
        let canonical = world.trust_config.production.canonical_host.clone();
        world.trust_config = identity.trust_config(&world.door, canonical);
        Self { world, identity, policies: Policies::default() }
    }

    /// Applies a policy to a whole directory of staging.
    pub(crate) fn demand(&mut self, directory: &str, mode: Mode) {
        let source: RegistryRoot = format!("{}/{directory}", self.world.staging.host()).parse().unwrap();
        let policy = Some(unsatisfied(mode));
        let file = Arc::from("manifests/app/promoter-manifest.yaml");
        self.policies = Policies::new(&[(&source, policy)]).unwrap().with_files([(&source, file)]);
    }

    pub(crate) fn summarize(&mut self) {
        if let Some(signing) = &mut self.world.trust_config.signing {
            signing.summaries = Some(SummarySigner::Same);
        }
    }

    pub(crate) fn job(&self) -> Job {
        let mut job = self.world.job();
        job.manifests.policies = self.policies.clone();
        job
    }

    pub(crate) async fn prepare(&self, job: Job) -> Result<Prepared, Error> {
        within_limit(prepare(&self.world.run(), &self.world.fresh_client(), job, &self.world.trust_config))
            .await
    }

    /// Promotes without signing, like a run that is killed before it signs.
    pub(crate) async fn promote_unsigned(&mut self) {
        let signing = self.world.trust_config.signing.take();
        let prepared = self.world.prepare().await.unwrap_or_else(|error| panic!("{error}"));
        self.world.carry_out(prepared).await;
        self.world.trust_config.signing = signing;
    }

    pub(crate) fn canonical(&self, region: usize) -> Repository {
        self.world.repository(region, "app")
    }

    /// Returns the numbers of our signatures in tags, signatures in bundles, records and summaries on a manifest.
    pub(crate) async fn attached(&self, region: usize, digest: Digest) -> (usize, usize, usize, usize) {
        let (reader, canonical) = (self.world.fresh_client().reader(), self.canonical(region));
        let statements = self.identity.statements(&reader, &canonical, digest).await;
        let of = |kind: &str| statements.iter().filter(|it| it.predicate_type == kind).count();
        let layers = self.identity.layers(&reader, &canonical, digest).await;
        (layers, of(SIGN), of(RECORD), of(SUMMARY))
    }

    /// Returns the results and policies of the summaries of a manifest.
    pub(crate) async fn summaries(&self, digest: Digest) -> Vec<(String, String)> {
        let (reader, canonical) = (self.world.fresh_client().reader(), self.canonical(0));
        let statements = self.identity.statements(&reader, &canonical, digest).await;
        let summaries = statements.into_iter().filter(|it| it.predicate_type == SUMMARY);
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        summaries
            .map(|it| (text(&it.predicate["verificationResult"]), text(&it.predicate["policy"]["uri"])))
            .collect()
    }
}
