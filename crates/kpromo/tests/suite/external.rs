//! Promotions between the registries of other projects and the embedded one, checked with the clients of other projects.

use std::path::Path;
use std::sync::Arc;

use crate::support::{Desk, kpromo, put, run};
use oci::{Digest, Host};
use registry::sample::{Format, Recipe, Sample};
use registry::{Config, Server, Storage};
use testkit::{
    Account, Auth, Crane, CraneRegistry, Distribution, DockerConfig, DockerRegistry, Olareg, Skopeo,
};
use tokio::runtime::Handle;

/// A registry of any kind.
enum Any {
    Embedded(Server),
    Docker(DockerRegistry),
    Distribution(Distribution),
    Crane(CraneRegistry),
    Olareg(Olareg),
}

impl Any {
    async fn start(kind: &str) -> Self {
        match kind {
            "embedded" => Self::Embedded(Server::start(Config::default()).await.unwrap()),
            "embedded with tokens" => Self::Embedded(Server::start(with_tokens()).await.unwrap()),
            "docker-registry 2.8" => Self::Docker(DockerRegistry::start()),
            "distribution v3" => Self::Distribution(Distribution::start(Auth::None)),
            "distribution v3 with htpasswd" => Self::Distribution(Distribution::start(Auth::Htpasswd)),
            "crane registry serve" => Self::Crane(CraneRegistry::start()),
            "olareg" => Self::Olareg(Olareg::start()),
            other => panic!("what is `{other}`?"),
        }
    }

    fn host(&self) -> &Host {
        match self {
            Self::Embedded(server) => server.host(),
            Self::Docker(registry) => registry.host(),
            Self::Distribution(registry) => registry.host(),
            Self::Crane(registry) => registry.host(),
            Self::Olareg(registry) => registry.host(),
        }
    }
}

const KINDS: [&str; 7] = [
    "embedded",
    "embedded with tokens",
    "docker-registry 2.8",
    "distribution v3",
    "distribution v3 with htpasswd",
    "crane registry serve",
    "olareg",
];

/// The user of every registry that requires credentials.
const USER: Account = Distribution::ACCOUNT;

fn with_tokens() -> Config {
    let account = registry::Account {
        name: USER.user.to_owned(),
        password: USER.password.to_owned(),
        access: registry::Access::Full,
    };
    let tokens = registry::Tokens {
        accounts: vec![account],
        anonymous_pull: false,
        lifetime: std::time::Duration::from_secs(300),
        service: "test".to_owned(),
    };
    Config {
        authentication: registry::Authentication::Token(tokens),
        page_size: 2.try_into().unwrap(),
        ..Config::default()
    }
}

/// Returns the images that every pair of registries promotes, with their names.
fn samples() -> Vec<(&'static str, Sample)> {
    let docker = Recipe { seed: 1, format: Format::Docker, layer_size: 50_000, ..Recipe::default() };
    let oci = Recipe { seed: 2, layer_size: 6_000_000, layers: 1, ..Recipe::default() };
    vec![
        ("docker-list", docker.index(3)),
        ("oci-index", oci.index(2)),
        (
            "chart",
            Recipe { seed: 3, ..Recipe::default() }.artifact("application/vnd.cncf.helm.config.v1+json"),
        ),
    ]
}

/// Every registry promotes to every other one and to itself.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn every_pair_of_registries_promotes_byte_for_byte_and_a_second_run_has_nothing_to_do() {
    let workshop = Arc::new(Server::start(Config::default()).await.unwrap());
    for (name, sample) in samples() {
        put(&workshop, &format!("made/{name}"), &sample, &["v1"]).await;
    }
    let mut failed = Vec::new();
    for (from, to) in KINDS.iter().flat_map(|from| KINDS.map(|to| (*from, to))) {
        // On a separate thread: if a pair fails, the others are still tried, and while it waits for a client, the embedded
        // registries still respond.
        let promotion = promote(Arc::clone(&workshop), from, to);
        let runtime = Handle::current();
        if tokio::task::spawn_blocking(move || runtime.block_on(promotion)).await.is_err() {
            failed.push(format!("{from} -> {to}"));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}; each has said above why");
}

async fn promote(workshop: Arc<Server>, from: &'static str, to: &'static str) {
    let pair = format!("{from} -> {to}");
    let (source, destination) = (Any::start(from).await, Any::start(to).await);
    let config = DockerConfig::new([(source.host(), USER), (destination.host(), USER)]);
    let crane = Crane::new(&config);
    let staging = format!("{}/staging", source.host());
    for (name, _) in samples() {
        crane.copy(&format!("{}/made/{name}:v1", workshop.host()), &format!("{staging}/{name}:built"));
    }
    let samples = samples();
    let images: Vec<(&str, Digest, &[&str])> =
        samples.iter().map(|(name, sample)| (*name, sample.digest(), ["v1.0", "v1"].as_slice())).collect();
    let desk = Desk::new();
    let manifest = desk.manifest(&staging, &[format!("{}/prod", destination.host())], &images);
    let flags = ["cip", "--confirm", "--sign=false", "--manifest", manifest.to_str().unwrap()];

    let ran = cip(config.directory(), &flags);
    assert_eq!(ran.code, 0, "{pair}: {}\n{}", ran.stdout, ran.stderr);
    assert!(!ran.stderr.contains("lost"), "{pair}: {}", ran.stderr);
    for (name, digest, tags) in &images {
        for tag in *tags {
            let reference = format!("{}/prod/{name}:{tag}", destination.host());
            assert_eq!(crane.digest(&reference), *digest, "{pair}");
        }
        if *name != "chart" {
            assert_eq!(
                Skopeo::new(&config).digest(&format!("{}/prod/{name}:v1", destination.host())),
                *digest
            );
        }
    }
    let again = cip(config.directory(), &flags);
    assert!(
        again.code == 0 && again.stdout.contains("Nothing to do"),
        "{pair}: {}{}",
        again.stdout,
        again.stderr
    );
}

fn cip(docker_config: &Path, flags: &[&str]) -> crate::support::Ran {
    let mut command = kpromo(Some(docker_config));
    command.args(flags);
    run(command)
}

/// crane builds an image from a real layer, and finds the promoted image valid.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn crane_validates_promoted_images_that_crane_built() {
    let (staging, desk) = (Distribution::start(Auth::None), Desk::new());
    let storage = Storage::Directory(desk.path("storage"));
    let production = Server::start(Config { storage, ..Config::default() }).await.unwrap();
    let config = DockerConfig::anonymous();
    let crane = Crane::new(&config);
    let layer = desk.path("layer.tar");
    let content = desk.write("etc/motd", "hello\n");
    let tar = std::process::Command::new("tar")
        .arg("-cf")
        .arg(&layer)
        .arg("-C")
        .arg(desk.path(""))
        .arg("etc")
        .status();
    assert!(tar.unwrap().success(), "{}", content.display());
    let built = format!("{}/staging/app", staging.host());
    crane.append(&layer, &format!("{built}:amd64"));
    crane.index(&[&format!("{built}:amd64")], &format!("{built}:all"));
    let digest = crane.digest(&format!("{built}:all"));
    let (source, destination) =
        (format!("{}/staging", staging.host()), format!("{}/prod", production.host()));
    let manifest = desk.manifest(&source, &[destination], &[("app", digest, &["v1"])]);
    let ran = cip(
        config.directory(),
        &["cip", "--confirm", "--sign=false", "--manifest", manifest.to_str().unwrap()],
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let promoted = format!("{}/prod/app:v1", production.host());
    crane.validate(&promoted);
    assert_eq!(crane.digest(&promoted), digest);
}

/// Only the configuration makes the TLS certificate trusted. Without it, nothing is read and nothing is written.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_registry_is_spoken_with_over_tls_where_its_authority_is_trusted() {
    let (production, certificate) = Distribution::start_with_tls();
    let (staging, desk) = (Server::start(Config::default()).await.unwrap(), Desk::new());
    let image = Recipe::default().index(2);
    put(&staging, "staging/app", &image, &[]).await;
    let (source, destination) =
        (format!("{}/staging", staging.host()), format!("{}/prod", production.host()));
    let manifest = desk.manifest(&source, &[destination], &[("app", image.digest(), &["v1"])]);
    let host = production.host();
    let trusting = format!(
        "hosts: {{ '{host}': {{ plainHttp: false }} }}\ncertificateAuthorities: ['{}']\n",
        certificate.display()
    );
    let distrusting = format!("hosts: {{ '{host}': {{ plainHttp: false }} }}\n");
    for (config, code) in [(distrusting, 20), (trusting, 0)] {
        let config = desk.write("config.yaml", &config);
        let flags = ["--registry-config", config.to_str().unwrap(), "--manifest", manifest.to_str().unwrap()];
        let ran = crate::support::cip(&[flags.as_slice(), &["--confirm", "--sign=false"]].concat());
        assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
    }
}
