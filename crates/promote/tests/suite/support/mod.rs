//! Worlds for tests: a staging registry, production registries, and manifests between them.

pub(crate) mod beside;
pub(crate) mod hand;
pub(crate) mod process;
pub(crate) mod signer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use manifest::policy::{BuildLevel, BuilderSpec, Mode, Policy, PolicySpec};
use manifest::policy::{Pattern, SignerPattern};
use manifest::{Manifests, read_plain};
use oci::{Client, Repository, RepositoryPath, Tag};
use promote::phase::Attested;
use promote::{Confirmed, Copying, Ending, Error, Job, Prepared, ReportBuilder, Run, carry_out, prepare};
use registry::sample::Sample;
use registry::{Config, Server, Snapshot};
use serde_json::Value;
use sigstore::{Trust, TrustSettings};
use tokio_util::sync::CancellationToken;
use transport::{Door, HostSettings, Retry, Settings, Timeouts};
use trust::evidence::Budget;
use trust::{Production, TrustConfig, Verification};

/// One staging registry and several production registries, all embedded and accessed over HTTP.
pub(crate) struct World {
    pub(crate) staging: Server,
    pub(crate) production: Vec<Server>,
    pub(crate) client: Client,
    pub(crate) door: Door,
    pub(crate) report: Arc<ReportBuilder>,
    pub(crate) stop: CancellationToken,
    pub(crate) copying: Copying,
    pub(crate) trust_config: TrustConfig,
    images: Vec<(String, oci::Digest, Vec<String>)>,
}

/// The time limit for a run. Test runs take seconds, or minutes if the machine stalls. A run that takes longer counts as hung.
const RUN_LIMIT: Duration = Duration::from_secs(300);

/// Waits for a part of a run. Panics if it hangs.
pub(crate) async fn within_limit<T>(part: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(RUN_LIMIT, Box::pin(part)).await;
    ended.unwrap_or_else(|_| panic!("the run has not ended within {RUN_LIMIT:?}"))
}

/// Returns a configuration with Google's listing.
pub(crate) fn google() -> Config {
    Config { google_listing: true, ..Config::default() }
}

/// Returns a door with short pauses between attempts.
pub(crate) fn door() -> Door {
    door_to(&HostSettings::default())
}

/// Returns a door with short pauses between attempts, and these settings for every host, except for the patience.
pub(crate) fn door_to(hosts: &HostSettings) -> Door {
    let retry = Retry {
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(50),
        ..Retry::default()
    };
    // Longer than a busy machine delays an answer: a repeated request would change the counts of requests.
    let timeouts =
        Timeouts { answer: Duration::from_secs(20), idle: Duration::from_secs(20), ..Timeouts::default() };
    let other_hosts = HostSettings { patience: Duration::from_secs(5), ..hosts.clone() };
    Door::open(Settings { retry, timeouts, other_hosts, ..Settings::default() }).unwrap()
}

/// Returns a policy that signatures with a key never satisfy.
pub(crate) fn unsatisfied(mode: Mode) -> Arc<Policy> {
    let builder = BuilderSpec { id: "b".parse().unwrap(), level: BuildLevel::Two, signers: Vec::new() };
    let draft = PolicySpec {
        mode: Some(mode),
        signers: vec!["sigstore::https://i::a@b.c".parse().unwrap()],
        builders: vec![builder],
        sources: vec!["github.com/o/r".parse().unwrap()],
        ..PolicySpec::default()
    };
    Arc::new(draft.into_policy().unwrap().unwrap())
}

pub(crate) fn path(text: &str) -> RepositoryPath {
    text.parse().unwrap()
}

pub(crate) fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

/// Returns a configuration with the given trust settings that signs nothing and has the given canonical host.
pub(crate) fn trust_config(door: &Door, settings: TrustSettings, canonical_host: oci::Host) -> TrustConfig {
    TrustConfig {
        verification: Verification {
            trust: Trust::new(door.clone(), settings).unwrap(),
            staging: SignerPattern {
                issuer: Pattern::exact("https://issuer.example").unwrap(),
                subject: Pattern::exact("staging@example.org").unwrap(),
            },
            budget: Budget::default(),
            scans: None,
        },
        signing: None,
        production: Production {
            canonical_host,
            path: path("prod"),
            reference: "registry.example".parse().unwrap(),
        },
    }
}

/// The time after which tests treat a region as late. A region that does answer may need a large part of it on a busy machine.
pub(crate) const LATE_AFTER: Option<Duration> = Some(Duration::from_secs(2));

impl World {
    /// Creates a world whose registries are all configured the same.
    pub(crate) async fn of(config: Config, regions: usize) -> Self {
        Self::with(config.clone(), vec![config; regions], Arc::new(oci::Anonymous)).await
    }

    pub(crate) async fn with(
        staging: Config,
        production: Vec<Config>,
        credentials: Arc<dyn oci::CredentialSource>,
    ) -> Self {
        let staging = Server::start(staging).await.unwrap();
        let mut servers = Vec::new();
        for config in production {
            servers.push(Server::start(config).await.unwrap());
        }
        let door = door();
        let client = Client::new(door.clone(), credentials, HashMap::new());
        let first = servers.first().map_or_else(|| staging.host().clone(), |server| server.host().clone());
        let trust_config = trust_config(&door, TrustSettings::default(), first);
        Self {
            staging,
            production: servers,
            client,
            door,
            report: Arc::default(),
            stop: CancellationToken::new(),
            copying: Copying::default(),
            trust_config,
            images: Vec::new(),
        }
    }

    /// Sends all further requests through another door.
    pub(crate) fn use_door(&mut self, door: Door) {
        self.client = Client::new(door.clone(), Arc::new(oci::Anonymous), HashMap::new());
        self.door = door;
    }

    /// Puts an image into staging and requests it under tags.
    pub(crate) async fn stage(&mut self, name: &str, sample: &Sample, tags: &[&str]) {
        sample.put(self.staging.store(), &path(&format!("staging/{name}")), &[]).await.unwrap();
        self.request(name, sample.digest(), tags);
    }

    /// Returns the report of everything so far.
    pub(crate) fn report(&self) -> Value {
        let (error, registries, timeline) = Default::default();
        let (outcome, exit_code, confirmed, plan) = Default::default();
        let ending = Ending { outcome, exit_code, confirmed, plan, error, registries, timeline };
        serde_json::to_value(self.report.report(ending)).unwrap()
    }

    pub(crate) fn request(&mut self, name: &str, digest: oci::Digest, tags: &[&str]) {
        self.images.push((name.to_owned(), digest, tags.iter().map(|tag| (*tag).to_owned()).collect()));
    }

    pub(crate) fn manifests(&self) -> Manifests {
        let mut text = format!("registries:\n- name: {}/staging\n  src: true\n", self.staging.host());
        for region in &self.production {
            text.push_str(&format!("- name: {}/prod\n", region.host()));
        }
        text.push_str("images:\n");
        for (name, digest, tags) in &self.images {
            text.push_str(&format!("- name: {name}\n  dmap:\n    \"{digest}\": {tags:?}\n"));
        }
        // Read from memory rather than from a file, because two runs of one world may read the manifests at the same time.
        read_plain("manifest.yaml", text.into_bytes()).unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    pub(crate) fn job(&self) -> Job {
        Job {
            manifests: self.manifests(),
            strict: false,
            keep_going: true,
            late_after: None,
            writes: true,
            checks_attached: false,
            cache: None,
            completion: promote::Completion::Named,
            shard: None,
        }
    }

    pub(crate) fn run(&self) -> Run {
        Run::new(vec![Arc::<ReportBuilder>::clone(&self.report)], self.stop.clone())
    }

    pub(crate) async fn prepare(&self) -> Result<Prepared, Error> {
        within_limit(prepare(&self.run(), &self.client, self.job(), &self.trust_config)).await
    }

    /// Prepares and carries out a run.
    pub(crate) async fn promote(&self) -> Attested {
        let cleared = self.prepare().await.unwrap_or_else(|error| panic!("{error}"));
        self.carry_out(cleared).await
    }

    pub(crate) async fn carry_out(&self, prepared: Prepared) -> Attested {
        let confirmed = Confirmed::when(true, &self.client).unwrap();
        let run = self.run();
        let done =
            within_limit(carry_out(&run, &confirmed, prepared, &self.copying, &self.trust_config)).await;
        done.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns a client without any knowledge, like that of a new process.
    pub(crate) fn fresh_client(&self) -> Client {
        Client::new(door(), Arc::new(oci::Anonymous), HashMap::new())
    }

    pub(crate) fn reset_tallies(&self) {
        self.servers().for_each(|server| server.tally().reset());
    }

    pub(crate) fn servers(&self) -> impl Iterator<Item = &Server> {
        std::iter::once(&self.staging).chain(&self.production)
    }

    pub(crate) fn tallies(&self) -> Vec<Snapshot> {
        self.servers().map(|server| server.tally().snapshot()).collect()
    }

    /// Panics if a registry has received a request that the door has not counted: such a request has bypassed the limits,
    /// because the door counts every request that it admits.
    pub(crate) fn assert_all_passed_the_door(&self) {
        let tally = self.door.tally();
        for server in self.servers() {
            let (passed, arrived) =
                (tally[server.host().as_str()].total(), server.tally().snapshot().total());
            assert_eq!(passed, arrived, "{}", server.host());
        }
    }

    pub(crate) fn requests(&self) -> u64 {
        self.tallies().iter().map(Snapshot::total).sum()
    }

    pub(crate) fn writes(&self) -> u64 {
        self.tallies().iter().map(Snapshot::writes).sum()
    }

    /// Panics unless every region has every requested image, complete and under its tags.
    pub(crate) async fn assert_complete(&self) {
        for region in &self.production {
            for (name, digest, tags) in &self.images {
                let repository = path(&format!("prod/{name}"));
                assert!(
                    region.store().has_manifest(&repository, digest),
                    "{} lacks {name}@{digest}",
                    region.host()
                );
                for text in tags {
                    assert_eq!(
                        region.store().resolve(&repository, &tag(text)),
                        Some(*digest),
                        "{name}:{text}"
                    );
                }
            }
        }
        self.assert_whole().await;
    }

    /// Panics if any region has something whose parts are missing.
    pub(crate) async fn assert_whole(&self) {
        for region in &self.production {
            let missing = region.store().missing_parts().await.unwrap();
            assert!(missing.is_empty(), "{}: {missing:?}", region.host());
        }
    }

    pub(crate) fn repository(&self, region: usize, name: &str) -> Repository {
        Repository { host: self.production[region].host().clone(), path: path(&format!("prod/{name}")) }
    }
}
