//! The outside parts themselves: each is started and used, so that a test that uses them can rely on them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests: a panic is how they report")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;

use oci::Host;
use testkit::{Auth, Crane, CraneRegistry, Distribution, DockerConfig, DockerRegistry, Olareg, Skopeo, tool};

/// A tar file with one small file in it, which says `content`.
fn layer(directory: &tempfile::TempDir, content: &str) -> PathBuf {
    let tar = directory.path().join(format!("{content}.tar"));
    fs::write(directory.path().join(content), content).unwrap();
    let status = Command::new(tool("tar"))
        .args(["--create", "--file"])
        .arg(&tar)
        .arg("--directory")
        .args([directory.path(), content.as_ref()])
        .status()
        .unwrap();
    assert!(status.success());
    tar
}

/// Pushes two images and an index of both, and gives the reference of the index.
fn push_index(crane: &Crane<'_>, host: &Host) -> String {
    let directory = tempfile::tempdir().unwrap();
    let images = ["one", "two"].map(|name| (name, format!("{host}/team/app:{name}")));
    for (name, image) in &images {
        crane.append(&layer(&directory, name), image);
    }
    let index = format!("{host}/team/app:both");
    crane.index(&images.each_ref().map(|(_, image)| image.as_str()), &index);
    index
}

/// The messages of a panic.
fn complaint(action: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(action)).expect_err("this has to fail");
    *panic.downcast::<String>().expect("panics here have formatted messages")
}

#[test]
#[ignore = "needs an outside part, run by `cargo xtask test`"]
fn what_crane_pushes_to_docker_registry_both_clients_read_alike() {
    let (registry, config) = (DockerRegistry::start(), DockerConfig::anonymous());
    let (crane, skopeo) = (Crane::new(&config), Skopeo::new(&config));
    let index = push_index(&crane, registry.host());
    crane.validate(&index);
    assert_eq!(crane.manifest(&index), skopeo.manifest(&index));
    assert_eq!(crane.digest(&index), skopeo.digest(&index));
    assert!(registry.storage().join("docker/registry/v2/repositories/team/app").is_dir());
}

#[test]
#[ignore = "needs an outside part, run by `cargo xtask test`"]
fn what_crane_pushes_to_its_own_registry_both_clients_read_alike() {
    let (registry, config) = (CraneRegistry::start(), DockerConfig::anonymous());
    let (crane, skopeo) = (Crane::new(&config), Skopeo::new(&config));
    let index = push_index(&crane, registry.host());
    crane.validate(&index);
    assert_eq!(crane.manifest(&index), skopeo.manifest(&index));
    assert_eq!(crane.digest(&index), skopeo.digest(&index));
    assert!(registry.log().contains("PUT /v2/team/app/manifests/both"), "{}", registry.log());
}

#[test]
#[ignore = "needs an outside part, run by `cargo xtask test`"]
fn what_crane_pushes_to_olareg_both_clients_read_alike() {
    let (registry, config) = (Olareg::start(), DockerConfig::anonymous());
    let (crane, skopeo) = (Crane::new(&config), Skopeo::new(&config));
    let index = push_index(&crane, registry.host());
    crane.validate(&index);
    assert_eq!(crane.manifest(&index), skopeo.manifest(&index));
    assert_eq!(crane.digest(&index), skopeo.digest(&index));
    assert!(registry.storage().join("team/app/index.json").is_file(), "{}", registry.log());
}

#[test]
#[ignore = "needs an outside part, run by `cargo xtask test`"]
fn both_clients_copy_whole_indexes_between_the_registries() {
    let (old, new) = (DockerRegistry::start(), Distribution::start(Auth::None));
    let config = DockerConfig::anonymous();
    let (crane, skopeo) = (Crane::new(&config), Skopeo::new(&config));
    let index = push_index(&crane, old.host());
    let copies = ["crane", "skopeo"].map(|client| format!("{}/copied/by:{client}", new.host()));
    crane.copy(&index, &copies[0]);
    skopeo.copy(&index, &copies[1]);
    for copy in &copies {
        crane.validate(copy);
        assert_eq!(crane.digest(copy), crane.digest(&index));
    }
    assert!(new.storage().join("docker/registry/v2/repositories/copied/by").is_dir());
}

#[test]
#[ignore = "needs an outside part, run by `cargo xtask test`"]
fn a_registry_with_accounts_lets_in_whoever_has_the_credentials_and_nobody_else() {
    let registry = Distribution::start(Auth::Htpasswd);
    let (known, unknown) = (DockerConfig::new(registry.credential()), DockerConfig::anonymous());
    let index = push_index(&Crane::new(&known), registry.host());
    assert_eq!(Crane::new(&known).digest(&index), Skopeo::new(&known).digest(&index));
    let copy = format!("{index}-copy");
    let refused = complaint(|| Crane::new(&unknown).copy(&index, &copy));
    assert!(refused.contains("UNAUTHORIZED"), "{refused}");
    let refused = complaint(|| Skopeo::new(&unknown).copy(&index, &copy));
    assert!(refused.contains("authentication required"), "{refused}");
}

#[test]
#[ignore = "needs an outside part, run by `cargo xtask test`"]
fn a_client_that_fails_says_what_it_was_asked_and_why_it_failed() {
    let (registry, config) = (DockerRegistry::start(), DockerConfig::anonymous());
    let absent = format!("{}/no/such:tag", registry.host());
    let complaint = complaint(|| Crane::new(&config).validate(&absent));
    assert!(complaint.contains(&format!("validate --remote {absent}")), "{complaint}");
    assert!(complaint.contains("NAME_UNKNOWN") || complaint.contains("MANIFEST_UNKNOWN"), "{complaint}");
}

/// The first line of the answer to a request of the API's root.
fn ask(host: &Host) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(host.as_str())?;
    write!(stream, "GET /v2/ HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

#[test]
#[ignore = "needs an outside part, run by `cargo xtask test`"]
fn many_registries_start_at_once_each_on_a_port_of_its_own() {
    let registries: Vec<DockerRegistry> = std::thread::scope(|scope| {
        let starting: Vec<_> = (0..8).map(|_| scope.spawn(DockerRegistry::start)).collect();
        starting.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let hosts: std::collections::BTreeSet<_> = registries.iter().map(DockerRegistry::host).collect();
    assert_eq!(hosts.len(), registries.len());
    for host in hosts {
        assert!(ask(host).unwrap().ends_with("200 OK"));
    }
}

#[test]
#[ignore = "needs an outside part, run by `cargo xtask test`"]
fn a_dropped_registry_is_gone_with_its_data() {
    let registry = Distribution::start(Auth::None);
    let (host, storage) = (registry.host().clone(), registry.storage());
    push_index(&Crane::new(&DockerConfig::anonymous()), &host);
    assert!(storage.is_dir());
    drop(registry);
    assert!(ask(&host).is_err());
    assert!(!storage.exists());
}
