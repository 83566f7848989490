//! Snapshots of other projects' registries.

use oci::Host;
use registry::{Config, Server};
use testkit::{Auth, Crane, Distribution, DockerConfig, DockerRegistry, Olareg};

use crate::scene::{expected, fill};
use crate::support::{Said, kpromo, run};

fn snapshot(config: &DockerConfig, registry: &str) -> Said {
    let mut command = kpromo(Some(config.folder()));
    command.args(["snapshot", registry]);
    run(command)
}

/// Copies what [`fill`] makes, and compares the snapshot of the copy.
async fn check(what: &str, host: &Host) {
    let workshop = Server::start(Config::default()).await.unwrap();
    fill(&workshop).await;
    let config = DockerConfig::new([(host, Distribution::ACCOUNT)]);
    let crane = Crane::new(&config);
    for repository in workshop.store().repositories() {
        for tag in workshop.store().tags(&repository).keys() {
            let (from, to) =
                (format!("{}/{repository}:{tag}", workshop.host()), format!("{host}/{repository}:{tag}"));
            crane.copy(&from, &to);
        }
    }
    let said = snapshot(&config, &format!("{host}/prod"));
    assert_eq!((said.code, said.stdout), (0, expected(false).yaml()), "{what}: {}", said.stderr);
    let said = snapshot(&config, &format!("{host}/nothing"));
    assert_eq!((said.code, said.stdout.as_str()), (20, ""), "{what}: {}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an outside part, run by `cargo xtask test`"]
async fn registries_of_other_projects_are_read_by_their_catalogs() {
    check("docker-registry 2.8", DockerRegistry::start().host()).await;
    check("distribution v3", Distribution::start(Auth::None).host()).await;
    check("distribution v3 with htpasswd", Distribution::start(Auth::Htpasswd).host()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an outside part, run by `cargo xtask test`"]
async fn olareg_is_read_by_its_catalog() {
    check("olareg", Olareg::start().host()).await;
}
