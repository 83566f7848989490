//! Promotions with signatures and attestations on a real Sigstore, checked with cosign; and cosign's signatures, checked with
//! kpromo.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use oci::{Digest, Host};
use registry::sample::{Recipe, Sample};
use registry::{Config, Server};
use serde_json::json;
use support::{Desk, Said, kpromo, put, run};
use testkit::{
    Auth, Cosign, Distribution, DockerConfig, Expected, Issuer, KeyPair, Rekor, Signing, Sigstore,
    TokenRequest,
};

const PROMOTER: &str = "promoter@example.org";
const BUILDER: &str = "builder@example.org";
const STAGING: &str = "staging@example.org";
/// The identity of a workload that signs verification summaries.
const SUMMARIES: &str = "spiffe://kpromo.test/summaries";
/// An identity that signs nothing.
const STRANGER: &str = "stranger@example.org";
const RECORD: &str = "https://k8s.io/promo-tools/promotion/v1";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const SUMMARY: &str = "https://slsa.dev/verification_summary/v1";

/// A production registry.
enum Production {
    /// With a referrers API.
    Embedded(Server),
    /// Without a referrers API: lists of referrers are stored under fallback tags.
    Distribution(Distribution),
}

impl Production {
    async fn embedded() -> Self {
        Self::Embedded(Server::start(Config { google_listing: true, ..Config::default() }).await.unwrap())
    }

    fn distribution() -> Self {
        Self::Distribution(Distribution::start(Auth::None))
    }

    fn host(&self) -> &Host {
        match self {
            Self::Embedded(server) => server.host(),
            Self::Distribution(registry) => registry.host(),
        }
    }
}

/// Staging, production, and a Sigstore that kpromo and cosign trust.
struct World {
    desk: Desk,
    staging: Server,
    production: Production,
    sigstore: &'static Sigstore,
    docker: DockerConfig,
    images: Vec<(String, Sample, Vec<String>)>,
    policy: String,
}

impl World {
    async fn with(production: Production) -> Self {
        Self {
            desk: Desk::new(),
            staging: Server::start(Config { google_listing: true, ..Config::default() }).await.unwrap(),
            production,
            sigstore: Sigstore::shared(),
            docker: DockerConfig::anonymous(),
            images: Vec::new(),
            policy: String::new(),
        }
    }

    async fn stage(&mut self, name: &str, sample: Sample, tags: &[&str]) -> Digest {
        put(&self.staging, &format!("staging/{name}"), &sample, &[]).await;
        let digest = sample.digest();
        self.images.push((name.to_owned(), sample, tags.iter().map(ToString::to_string).collect()));
        digest
    }

    fn manifest(&self) -> PathBuf {
        let mut text = format!(
            "registries:\n- name: {}/staging\n  src: true\n- name: {}/prod\n{}images:\n",
            self.staging.host(),
            self.production.host(),
            self.policy
        );
        for (name, sample, tags) in &self.images {
            text.push_str(&format!("- name: {name}\n  dmap:\n    \"{}\": {tags:?}\n", sample.digest()));
        }
        self.desk.write("manifest.yaml", &text)
    }

    /// Returns `kpromo cip --confirm` with the promoter's identity.
    fn command(&self, flags: &[&str]) -> Command {
        let token = self.desk.write("token", &self.sigstore.token(PROMOTER));
        let mut command = kpromo(None);
        command.args(["cip", "--confirm", "--signer-account", PROMOTER, "--certificate-identity", STAGING]);
        command.args(["--certificate-oidc-issuer", self.sigstore.issuer(Issuer::Usual)]);
        command.arg("--registry-config").arg(self.config()).arg("--manifest").arg(self.manifest());
        command.arg("--identity-token").arg(token);
        command.arg("--trusted-root").arg(self.sigstore.trusted_root());
        command.arg("--signing-config").arg(self.sigstore.signing_config(Rekor::V1));
        command.arg("--report").arg(self.desk.path("report.json")).args(flags);
        command
    }

    /// Returns `kpromo cip --confirm` without an identity, for signing with a key.
    fn keyed(&self) -> Command {
        let mut command = kpromo(None);
        command.args(["cip", "--confirm", "--registry-config"]).arg(self.config());
        command.arg("--manifest").arg(self.manifest());
        command.arg("--trusted-root").arg(self.sigstore.trusted_root());
        command.arg("--signing-config").arg(self.sigstore.signing_config(Rekor::V1));
        command
    }

    fn config(&self) -> PathBuf {
        let host = self.production.host();
        let text =
            format!("production: {{ canonicalHost: '{host}', path: prod, reference: registry.example }}\n");
        self.desk.write("config.yaml", &text)
    }

    fn promote(&self, flags: &[&str]) -> Said {
        let said = run(self.command(flags));
        assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
        said
    }

    /// Returns the references of all images and their parts in production.
    fn parts(&self) -> Vec<String> {
        let name = |name: &String, digest| format!("{}/prod/{name}@{digest}", self.production.host());
        self.images
            .iter()
            .flat_map(|(image, sample, _)| {
                sample.manifests.iter().map(move |manifest| name(image, manifest.digest()))
            })
            .collect()
    }

    fn v2(&self) -> Cosign<'_> {
        Cosign::v2(self.sigstore, &self.docker)
    }

    fn v3(&self) -> Cosign<'_> {
        Cosign::v3(self.sigstore, &self.docker)
    }

    fn by(&self, identity: &'static str) -> Expected<'static> {
        Expected::identity(identity, self.sigstore.issuer(Issuer::Usual))
    }

    /// Returns the reference of an image in staging, for signing with cosign.
    fn staged(&self, name: &str, digest: Digest) -> String {
        format!("{}/staging/{name}@{digest}", self.staging.host())
    }
}

/// Returns provenance that satisfies the policy of these tests.
fn provenance() -> serde_json::Value {
    json!({
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": { "workflow": { "repository": "https://github.com/org/repo" } },
            "resolvedDependencies": [{ "uri": "git+https://github.com/org/repo@refs/heads/main" }],
        },
        "runDetails": { "builder": { "id": "https://builder.example/builder" } },
    })
}

fn index(seed: u64) -> Sample {
    Recipe { seed, ..Recipe::default() }.index(2)
}

/// Both versions of cosign accept the promoter's signatures and records, for every image and every part, in both kinds of
/// registries. A second run writes nothing.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn cosign_accepts_everything_that_is_promoted_and_a_second_run_writes_nothing() {
    for production in [Production::embedded().await, Production::distribution()] {
        let mut world = World::with(production).await;
        world.stage("index", index(1), &["v1", "latest"]).await;
        world.stage("deep/image", Recipe { seed: 2, ..Recipe::default() }.image(), &["v2"]).await;
        world.promote(&[]);
        for reference in world.parts() {
            world.assert_accepted(&reference);
            let said = world.v3().verify(&reference, &world.by(PROMOTER)).unwrap();
            assert!(said.contains("registry.example/"), "{said}");
        }
        for (name, sample, _) in &world.images {
            let reference = format!("{}/prod/{name}@{}", world.production.host(), sample.digest());
            for cosign in [world.v2(), world.v3()] {
                cosign.verify_attestation(&reference, RECORD, &world.by(PROMOTER).bundle()).unwrap();
                cosign.verify_attestation(&reference, RECORD, &world.by(BUILDER).bundle()).unwrap_err();
            }
        }
        if let Production::Embedded(server) = &world.production {
            server.tally().reset();
            let said = world.promote(&[]);
            assert_eq!(server.tally().snapshot().writes(), 0, "{}", said.stdout);
        }
        let report = world.desk.json("report.json");
        assert_eq!(report["totals"]["signed"], if world.is_distribution() { 4 } else { 0 });
    }
}

impl World {
    /// Requires provenance by the builder from now on.
    fn require_provenance(&mut self) {
        self.policy = format!(
            "provenance:\n  mode: require\n  signers: ['sigstore::{}::{BUILDER}']\n  builders:\n  \
             - {{ id: https://builder.example/builder, level: 2 }}\n  sources: [github.com/org/repo]\n  level: 2\n",
            self.sigstore.issuer(Issuer::Usual)
        );
    }

    /// Panics unless both versions of cosign, without flags for forms, accept a manifest as signed by the promoter and do not
    /// accept it as signed by another identity.
    fn assert_accepted(&self, reference: &str) {
        for cosign in [self.v2(), self.v3()] {
            cosign.verify(reference, &self.by(PROMOTER).any_form()).unwrap();
            cosign.verify(reference, &self.by(STRANGER).any_form()).unwrap_err();
        }
    }

    fn is_distribution(&self) -> bool {
        matches!(self.production, Production::Distribution(_))
    }
}

/// Version 3 finds and accepts bundles with either log.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn cosign_accepts_bundles_of_either_log() {
    for rekor in [Rekor::V1, Rekor::V2] {
        let mut world = World::with(Production::embedded().await).await;
        world.stage("index", index(1), &["v1"]).await;
        let config = world.sigstore.signing_config(rekor);
        world.promote(&["--signature-format=bundle", "--signing-config", config.to_str().unwrap()]);
        for reference in world.parts() {
            world.v3().verify(&reference, &world.by(PROMOTER).bundle()).unwrap();
            world.v3().verify(&reference, &world.by(BUILDER).bundle()).unwrap_err();
        }
    }
}

/// kpromo signs with an encrypted key of cosign, and cosign accepts the signature by that key, with its log entry. Signatures
/// of staging may also be by a key.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn keys_of_cosign_sign_and_are_believed() {
    let mut world = World::with(Production::embedded().await).await;
    let mut strange = World::with(Production::embedded().await).await;
    let digest = world.stage("app", index(1), &["v1"]).await;
    strange.stage("app", index(1), &["v1"]).await;
    let (staging, ours) = (world.v2().generate_key_pair(), world.v3().generate_key_pair());
    for world in [&world, &strange] {
        world.v2().sign(&world.staged("app", digest), &Signing::by_key(&staging));
    }
    let promote = |world: &World, verification_key: PathBuf| {
        let mut command = world.keyed();
        command.arg("--signing-key").arg(ours.private()).env("COSIGN_PASSWORD", KeyPair::PASSWORD);
        run({
            command.arg("--verification-key").arg(verification_key);
            command
        })
    };
    let said = promote(&strange, ours.public());
    assert_eq!(said.code, 0, "what another key has signed is someone else's: {}", said.stderr);
    assert!(said.stderr.contains("counts as unsigned"), "{}", said.stderr);
    let said = promote(&world, staging.public());
    assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
    for reference in world.parts() {
        world.v3().verify(&reference, &Expected::key(&ours.public())).unwrap();
        world.v3().verify(&reference, &Expected::key(&world.v2().generate_key_pair().public())).unwrap_err();
    }
    let promoted = format!("{}/prod/app@{digest}", world.production.host());
    world.v3().verify(&promoted, &Expected::key(&staging.public())).unwrap();
    world.v3().verify_attestation(&promoted, RECORD, &Expected::key(&ours.public()).bundle()).unwrap();
}

/// kpromo verifies cosign's signatures in staging and carries them to production before its own. cosign then accepts
/// both identities.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn signatures_of_staging_are_verified_and_carried() {
    let mut world = World::with(Production::embedded().await).await;
    let digest = world.stage("app", index(1), &["v1"]).await;
    let token = world.sigstore.token(STAGING);
    world.v2().sign(&world.staged("app", digest), &Signing::keyless(token).recursive());
    world.promote(&[]);
    for reference in world.parts() {
        world.v3().verify(&reference, &world.by(STAGING)).unwrap();
        world.assert_accepted(&reference);
    }
}

/// If a signature in staging is by an identity that is not staging's signer, the run reports and ignores it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn a_signature_of_someone_else_is_told_and_not_carried() {
    for bundle in [false, true] {
        let mut world = World::with(Production::embedded().await).await;
        let digest = world.stage("app", index(1), &["v1"]).await;
        let signing = Signing::keyless(world.sigstore.token(BUILDER));
        let signing = if bundle { signing.bundle(Rekor::V2) } else { signing };
        world.v3().sign(&world.staged("app", digest), &signing);
        let said = world.promote(&[]);
        assert!(
            said.stderr.contains("counts as unsigned") && said.stderr.contains(BUILDER),
            "{}",
            said.stderr
        );
        for reference in world.parts() {
            world.assert_accepted(&reference);
            world.v3().verify(&reference, &world.by(BUILDER).any_form()).unwrap_err();
        }
    }
}

/// An attestation by cosign, in either form, satisfies a policy. It is carried, and a summary states the level. Provenance by
/// another identity blocks the promotion.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn provenance_by_cosign_satisfies_a_policy_and_is_carried() {
    let provenance = provenance();
    for bundle in [false, true] {
        let mut world = World::with(Production::embedded().await).await;
        world.require_provenance();
        let digest = world.stage("app", index(1), &["v1"]).await;
        let staged = world.staged("app", digest);
        let attest = |identity: &str| {
            let signing = Signing::keyless(world.sigstore.token(identity));
            let signing = if bundle { signing.bundle(Rekor::V1) } else { signing };
            world.v3().attest(&staged, PROVENANCE, &provenance, &signing);
        };
        assert_eq!(run(world.command(&[])).code, 12, "there is no provenance");
        attest(PROMOTER);
        let said = run(world.command(&[]));
        assert_eq!(said.code, 12, "it is by somebody else");
        assert!(said.stderr.contains("none of the policy's signers"), "{}", said.stderr);
        attest(BUILDER);
        world.promote(&["--verification-summaries"]);
        world.parts().iter().for_each(|reference| world.assert_accepted(reference));
        let promoted = format!("{}/prod/app@{digest}", world.production.host());
        let form = |expected: Expected<'static>| if bundle { expected.bundle() } else { expected };
        world.v3().verify_attestation(&promoted, PROVENANCE, &form(world.by(BUILDER))).unwrap();
        let summary =
            world.v3().verify_attestation(&promoted, SUMMARY, &world.by(PROMOTER).bundle()).unwrap();
        let envelope: serde_json::Value = serde_json::from_str(summary.lines().next().unwrap()).unwrap();
        let payload = support::base64(envelope["payload"].as_str().unwrap());
        assert!(payload.contains("SLSA_BUILD_LEVEL_2"), "{payload}");
        let Production::Embedded(server) = &world.production else { unreachable!("it is embedded") };
        server.tally().reset();
        world.promote(&["--verification-summaries"]);
        assert_eq!(server.tally().snapshot().writes(), 0, "all of it is there");
    }
}

/// Another identity, from the environment, signs the summaries. Both versions of cosign still find the promoter's signature on
/// every image, every part and a digest without a tag, beside carried attestations and these bundles. The summaries are signed
/// by the other identity.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn summaries_by_another_signer_do_not_hide_our_signature() {
    for bundle in [false, true] {
        let mut world = World::with(Production::embedded().await).await;
        world.require_provenance();
        let digest = world.stage("app", index(1), &["v1"]).await;
        let tagless = world.stage("tagless", Recipe { seed: 3, ..Recipe::default() }.image(), &[]).await;
        for (name, digest) in [("app", digest), ("tagless", tagless)] {
            let signing = Signing::keyless(world.sigstore.token(BUILDER));
            let signing = if bundle { signing.bundle(Rekor::V1) } else { signing };
            world.v3().attest(&world.staged(name, digest), PROVENANCE, &provenance(), &signing);
        }
        let tokens = github(world.sigstore.token_of(&TokenRequest::workload("summaries")));
        let summaries = ["--verification-summaries", "--summary-signer-account", SUMMARIES];
        let promote = || {
            let mut command = world.command(&summaries);
            command
                .env("ACTIONS_ID_TOKEN_REQUEST_URL", &tokens)
                .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "proof");
            let said = run(command);
            assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
        };
        promote();
        let by_workload = Expected::identity(SUMMARIES, world.sigstore.issuer(Issuer::Workload)).bundle();
        let tagless = format!("{}/prod/tagless@{tagless}", world.production.host());
        for reference in world.parts() {
            if reference != tagless {
                world.assert_accepted(&reference);
            }
            world.v3().verify_attestation(&reference, SUMMARY, &by_workload).unwrap();
            world.v3().verify_attestation(&reference, SUMMARY, &world.by(PROMOTER).bundle()).unwrap_err();
        }
        for reference in [tagless, format!("{}/prod/app@{digest}", world.production.host())] {
            for cosign in [world.v2(), world.v3()] {
                cosign.verify_attestation(&reference, RECORD, &world.by(PROMOTER).bundle()).unwrap();
            }
        }
        let Production::Embedded(server) = &world.production else { unreachable!("it is embedded") };
        server.tally().reset();
        promote();
        assert_eq!(server.tally().snapshot().writes(), 0, "all of it is there");
    }
}

/// Starts a server that issues this ID token as GitHub Actions does, until the test ends. Returns its URL.
fn github(token: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token?api-version=2.0", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let body = json!({ "value": token }).to_string();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close", body.len());
            // A client may disconnect at any time; the server goes on.
            let _ = write!(stream, "{head}\r\n\r\n{body}");
        }
    });
    url
}

/// Attestations that the policy accepts are owed if the policy is newer than the promotion, or if production has lost them. A
/// dry run reports them, and the next run carries them.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn attestations_that_are_not_carried_yet_are_owed() {
    for bundle in [false, true] {
        let mut world = World::with(Production::embedded().await).await;
        let digest = world.stage("app", index(1), &["v1"]).await;
        let signing = Signing::keyless(world.sigstore.token(BUILDER));
        let signing = if bundle { signing.bundle(Rekor::V1) } else { signing };
        world.v3().attest(&world.staged("app", digest), PROVENANCE, &provenance(), &signing);
        world.promote(&[]);
        let promoted = format!("{}/prod/app@{digest}", world.production.host());
        let form = |by: Expected<'static>| if bundle { by.bundle() } else { by };
        world.v3().verify_attestation(&promoted, PROVENANCE, &form(world.by(BUILDER))).unwrap_err();
        world.require_provenance();
        let is_carried =
            || world.v3().verify_attestation(&promoted, PROVENANCE, &form(world.by(BUILDER))).is_ok();
        let said = world.promote(&["--confirm=false", "--check-signatures"]);
        assert!(!said.stdout.contains("Nothing to do") && !is_carried(), "{}", said.stdout);
        world.promote(&[]);
        assert!(is_carried());
        world.parts().iter().for_each(|reference| world.assert_accepted(reference));
        let Production::Embedded(server) = &world.production else { unreachable!("it is embedded") };
        let repository = "prod/app".parse().unwrap();
        let tag = digest.to_string().replace(':', "-") + ".att";
        if server.store().delete_tag(&repository, &tag.parse().unwrap()).await.unwrap() {
            world.promote(&[]);
            assert!(!bundle && is_carried());
        }
        server.tally().reset();
        let said = world.promote(&["--confirm=false", "--check-signatures"]);
        assert!(said.stdout.contains("Nothing to do"), "{}", said.stdout);
        world.promote(&[]);
        assert_eq!(server.tally().snapshot().writes(), 0, "all of it is there");
    }
}

/// Another identity attests parts in production. cosign then considers only bundles there, and finds kpromo's after the next run.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn a_bundle_of_somebody_else_does_not_hide_our_signature() {
    let mut world = World::with(Production::embedded().await).await;
    world.stage("app", index(1), &["v1"]).await;
    world.promote(&[]);
    for reference in world.parts() {
        let signing = Signing::keyless(world.sigstore.token(BUILDER)).bundle(Rekor::V1);
        world.v3().attest(&reference, "https://spdx.dev/Document", &json!({}), &signing);
    }
    world.promote(&[]);
    world.parts().iter().for_each(|reference| world.assert_accepted(reference));
    let Production::Embedded(server) = &world.production else { unreachable!("it is embedded") };
    server.tally().reset();
    world.promote(&[]);
    assert_eq!(server.tally().snapshot().writes(), 0, "all of it is there");
}

/// An image that another tool has put into production is not signed only because it is there: the policy requires provenance
/// that it lacks.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn what_a_policy_requires_is_required_of_what_is_there_already_too() {
    let mut world = World::with(Production::embedded().await).await;
    world.policy = format!(
        "provenance:\n  mode: require\n  signers: ['sigstore::{}::{BUILDER}']\n  builders:\n  \
         - {{ id: https://builder.example/builder, level: 2 }}\n  sources: [github.com/org/repo]\n",
        world.sigstore.issuer(Issuer::Usual)
    );
    world.stage("app", index(1), &["v1"]).await;
    let Production::Embedded(server) = &world.production else { unreachable!("it is embedded") };
    put(server, "prod/app", &index(1), &["v1"]).await;
    server.tally().reset();
    let said = run(world.command(&[]));
    assert_eq!((said.code, server.tally().snapshot().writes()), (31, 0), "{}", said.stderr);
    assert!(said.stdout.contains("it has not passed"), "{}", said.stdout);
}

/// However often and wherever a run is killed, in the end every image is signed and recorded exactly once.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn a_run_that_is_killed_is_completed_by_the_next() {
    let mut world = World::with(Production::embedded().await).await;
    for seed in 0..12 {
        world.stage(&format!("app-{seed}"), index(seed), &["v1"]).await;
    }
    let Production::Embedded(server) = &world.production else { unreachable!("it is embedded") };
    let mut killed = 0;
    // The kill comes a little later in each step, between the first copy and the last record.
    for step in 0_u64.. {
        let mut child = world.command(&["--max-signature-ops=4"]).spawn().unwrap();
        let writes = step * 12 + 1;
        let done = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status.success();
            }
            if server.tally().snapshot().writes() >= writes {
                child.kill().unwrap();
                child.wait().unwrap();
                killed += 1;
                break false;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        if done {
            break;
        }
        server.tally().reset();
        assert!(step < 100, "it gets somewhere each time");
    }
    assert!(killed >= 3, "{killed}");
    for reference in world.parts() {
        let said = world.v3().verify(&reference, &world.by(PROMOTER)).unwrap();
        let payloads: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
        assert_eq!(payloads.len(), 1, "{reference} is signed once");
    }
    for (name, sample, _) in &world.images {
        let reference = format!("{}/prod/{name}@{}", world.production.host(), sample.digest());
        let said = world.v3().verify_attestation(&reference, RECORD, &world.by(PROMOTER).bundle()).unwrap();
        assert_eq!(said.lines().count(), 1, "{reference} is recorded once");
    }
}

/// With the wrong identity, nothing is signed, and nothing is promoted that would remain unsigned.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn the_wrong_identity_promotes_nothing() {
    let mut world = World::with(Production::embedded().await).await;
    world.stage("app", index(1), &["v1"]).await;
    let said = run(world.command(&["--signer-account", BUILDER]));
    assert_eq!(said.code, 20, "{}", said.stderr);
    assert!(said.stderr.contains(PROMOTER) && said.stderr.contains(BUILDER), "{}", said.stderr);
    let Production::Embedded(server) = &world.production else { unreachable!("it is embedded") };
    assert_eq!(server.tally().snapshot().writes(), 0);
}
