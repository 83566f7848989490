//! Snapshots of other projects' registries.

use oci::Host;
use registry::{Config, Server};
use testkit::{Auth, Crane, Distribution, DockerConfig, DockerRegistry, Olareg};

use crate::snapshot::scene::{Expected, expected, fill, image};
use crate::support::{Ran, kpromo, run};

fn snapshot(config: &DockerConfig, registry: &str) -> Ran {
    let mut command = kpromo(Some(config.directory()));
    command.args(["snapshot", registry]);
    run(command)
}

/// Copies what [`fill`] makes to a registry.
async fn copy_to(host: &Host, config: &DockerConfig) {
    let workshop = Server::start(Config::default()).await.unwrap();
    fill(&workshop).await;
    let crane = Crane::new(config);
    for repository in workshop.store().repositories() {
        for tag in workshop.store().tags(&repository).keys() {
            let image = format!("{repository}:{tag}");
            crane.copy(&format!("{}/{image}", workshop.host()), &format!("{host}/{image}"));
        }
    }
}

async fn check(what: &str, host: &Host) {
    let config = DockerConfig::new([(host, Distribution::ACCOUNT)]);
    copy_to(host, &config).await;
    let ran = snapshot(&config, &format!("{host}/prod"));
    assert_eq!((ran.code, ran.stdout), (0, expected(false).yaml()), "{what}: {}", ran.stderr);
    let ran = snapshot(&config, &format!("{host}/nothing"));
    assert_eq!((ran.code, ran.stdout.as_str()), (20, ""), "{what}: {}", ran.stderr);
    assert!(ran.stderr.contains("none of them there"), "{what}: {}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn registries_of_other_projects_are_read_by_their_catalogs() {
    check("docker-registry 2.8", DockerRegistry::start().host()).await;
    check("distribution v3", Distribution::start(Auth::None).host()).await;
    check("distribution v3 with htpasswd", Distribution::start(Auth::Htpasswd).host()).await;
}

/// olareg has no catalog.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_registry_without_a_catalog_is_read_repository_by_repository() {
    let olareg = Olareg::start();
    let (host, config) = (olareg.host(), DockerConfig::anonymous());
    copy_to(host, &config).await;
    let ran = snapshot(&config, &format!("{host}/prod/app/agent"));
    let mut alone = Expected::default();
    alone.add("", image(3).digest(), &["v1"]);
    assert_eq!((ran.code, ran.stdout), (0, alone.yaml()), "{}", ran.stderr);
    assert!(ran.stderr.contains("not what may be below it"), "{}", ran.stderr);
    let ran = snapshot(&config, host.as_str());
    assert_eq!((ran.code, ran.stdout.as_str()), (20, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("neither Google's child lists nor a catalog"), "{}", ran.stderr);
}
