//! Staging, production, and a Sigstore that both trust.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use oci::{Digest, Host};
use registry::sample::{Recipe, Sample};
use registry::{Config, Server};
use serde_json::json;
use testkit::{Auth, Cosign, Distribution, DockerConfig, Expected, Issuer, Rekor, Sigstore};

use crate::support::{Desk, Ran, kpromo, put, run};

pub(crate) const PROMOTER: &str = "promoter@example.org";
pub(crate) const BUILDER: &str = "builder@example.org";
pub(crate) const STAGING: &str = "staging@example.org";
/// The identity of a workload that signs verification summaries.
pub(crate) const SUMMARIES: &str = "spiffe://kpromo.test/summaries";
/// An identity that signs nothing.
pub(crate) const STRANGER: &str = "stranger@example.org";
pub(crate) const RECORD: &str = "https://k8s.io/promo-tools/promotion/v1";
pub(crate) const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
pub(crate) const SUMMARY: &str = "https://slsa.dev/verification_summary/v1";

/// A production registry.
pub(crate) enum Production {
    /// With a referrers API.
    Embedded(Server),
    /// Without a referrers API: lists of referrers are stored under fallback tags.
    Distribution(Distribution),
}

impl Production {
    pub(crate) async fn embedded() -> Self {
        Self::Embedded(Server::start(Config { google_listing: true, ..Config::default() }).await.unwrap())
    }

    pub(crate) fn distribution() -> Self {
        Self::Distribution(Distribution::start(Auth::None))
    }

    pub(crate) fn host(&self) -> &Host {
        match self {
            Self::Embedded(server) => server.host(),
            Self::Distribution(registry) => registry.host(),
        }
    }
}

/// Staging, production, and a Sigstore that kpromo and cosign trust.
pub(crate) struct World {
    pub(crate) desk: Desk,
    pub(crate) staging: Server,
    pub(crate) production: Production,
    pub(crate) sigstore: &'static Sigstore,
    pub(crate) docker: DockerConfig,
    pub(crate) images: Vec<(String, Sample, Vec<String>)>,
    pub(crate) policy: String,
}

impl World {
    pub(crate) async fn with(production: Production) -> Self {
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

    pub(crate) async fn stage(&mut self, name: &str, sample: Sample, tags: &[&str]) -> Digest {
        put(&self.staging, &format!("staging/{name}"), &sample, &[]).await;
        let digest = sample.digest();
        self.images.push((name.to_owned(), sample, tags.iter().map(ToString::to_string).collect()));
        digest
    }

    pub(crate) fn manifest(&self) -> PathBuf {
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
    pub(crate) fn command(&self, flags: &[&str]) -> Command {
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
    pub(crate) fn keyed(&self) -> Command {
        let mut command = kpromo(None);
        command.args(["cip", "--confirm", "--registry-config"]).arg(self.config());
        command.arg("--manifest").arg(self.manifest());
        command.arg("--trusted-root").arg(self.sigstore.trusted_root());
        command.arg("--signing-config").arg(self.sigstore.signing_config(Rekor::V1));
        command
    }

    pub(crate) fn config(&self) -> PathBuf {
        let host = self.production.host();
        let text =
            format!("production: {{ canonicalHost: '{host}', path: prod, reference: registry.example }}\n");
        self.desk.write("config.yaml", &text)
    }

    /// Promotes without signing, as a run that is killed before it signs.
    pub(crate) fn promote_unsigned(&self) {
        let mut command = kpromo(None);
        command.args(["cip", "--confirm", "--sign=false", "--config"]).arg(self.config());
        command.arg("--manifest").arg(self.manifest());
        let ran = run(command);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }

    pub(crate) fn promote(&self, flags: &[&str]) -> Ran {
        let ran = run(self.command(flags));
        assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
        ran
    }

    /// Returns the references of all images and their parts in production.
    pub(crate) fn parts(&self) -> Vec<String> {
        let name = |name: &String, digest| format!("{}/prod/{name}@{digest}", self.production.host());
        self.images
            .iter()
            .flat_map(|(image, sample, _)| {
                sample.manifests.iter().map(move |manifest| name(image, manifest.digest()))
            })
            .collect()
    }

    pub(crate) fn v2(&self) -> Cosign<'_> {
        Cosign::v2(self.sigstore, &self.docker)
    }

    pub(crate) fn v3(&self) -> Cosign<'_> {
        Cosign::v3(self.sigstore, &self.docker)
    }

    pub(crate) fn by(&self, identity: &'static str) -> Expected<'static> {
        Expected::identity(identity, self.sigstore.issuer(Issuer::Usual))
    }

    /// Returns the reference of an image in staging, for signing with cosign.
    pub(crate) fn staged(&self, name: &str, digest: Digest) -> String {
        format!("{}/staging/{name}@{digest}", self.staging.host())
    }
}

/// Returns provenance that satisfies the policy of these tests.
pub(crate) fn provenance() -> serde_json::Value {
    json!({
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": { "workflow": { "repository": "https://github.com/org/repo" } },
            "resolvedDependencies": [{ "uri": "git+https://github.com/org/repo@refs/heads/main" }],
        },
        "runDetails": { "builder": { "id": "https://builder.example/builder" } },
    })
}

pub(crate) fn index(seed: u64) -> Sample {
    Recipe { seed, ..Recipe::default() }.index(2)
}

impl World {
    /// Requires provenance by the builder from now on.
    pub(crate) fn require_provenance(&mut self) {
        self.policy = format!(
            "provenance:\n  mode: require\n  signers: ['sigstore::{}::{BUILDER}']\n  builders:\n  \
             - {{ id: https://builder.example/builder, level: 2 }}\n  sources: [github.com/org/repo]\n  level: 2\n",
            self.sigstore.issuer(Issuer::Usual)
        );
    }

    /// Panics unless both versions of cosign, without flags for forms, accept a manifest as signed by the promoter and do not
    /// accept it as signed by another identity.
    pub(crate) fn assert_accepted(&self, reference: &str) {
        for cosign in [self.v2(), self.v3()] {
            cosign.verify(reference, &self.by(PROMOTER).any_form()).unwrap();
            cosign.verify(reference, &self.by(STRANGER).any_form()).unwrap_err();
        }
    }

    pub(crate) fn is_distribution(&self) -> bool {
        matches!(self.production, Production::Distribution(_))
    }
}

/// Starts a server that issues this ID token as GitHub Actions does, until the test ends. Returns its URL.
pub(crate) fn github(token: String) -> String {
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
