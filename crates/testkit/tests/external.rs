//! The external programs themselves: each is started and used, so that other tests can rely on them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test helpers report failures by panicking")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;

use oci::Host;
use testkit::{Auth, Crane, CraneRegistry, Distribution, DockerConfig, DockerRegistry, Olareg, Skopeo, tool};

/// Returns a tar file with one small file, whose name and content are `content`.
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

/// Pushes two images and an index of both, and returns the reference of the index.
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

/// Returns the message of a panic.
fn panic_message(action: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(action)).expect_err("the action must fail");
    *panic.downcast::<String>().expect("panics here have formatted messages")
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn both_clients_read_the_same_manifest_from_docker_registry() {
    let (registry, config) = (DockerRegistry::start(), DockerConfig::anonymous());
    let (crane, skopeo) = (Crane::new(&config), Skopeo::new(&config));
    let index = push_index(&crane, registry.host());
    crane.validate(&index);
    assert_eq!(crane.manifest(&index), skopeo.manifest(&index));
    assert_eq!(crane.digest(&index), skopeo.digest(&index));
    assert!(registry.storage().join("docker/registry/v2/repositories/team/app").is_dir());
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn both_clients_read_the_same_manifest_from_the_registry_of_crane() {
    let (registry, config) = (CraneRegistry::start(), DockerConfig::anonymous());
    let (crane, skopeo) = (Crane::new(&config), Skopeo::new(&config));
    let index = push_index(&crane, registry.host());
    crane.validate(&index);
    assert_eq!(crane.manifest(&index), skopeo.manifest(&index));
    assert_eq!(crane.digest(&index), skopeo.digest(&index));
    assert!(registry.log().contains("PUT /v2/team/app/manifests/both"), "{}", registry.log());
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn both_clients_read_the_same_manifest_from_olareg() {
    let (registry, config) = (Olareg::start(), DockerConfig::anonymous());
    let (crane, skopeo) = (Crane::new(&config), Skopeo::new(&config));
    let index = push_index(&crane, registry.host());
    crane.validate(&index);
    assert_eq!(crane.manifest(&index), skopeo.manifest(&index));
    assert_eq!(crane.digest(&index), skopeo.digest(&index));
    assert!(registry.storage().join("team/app/index.json").is_file(), "{}", registry.log());
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
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
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_registry_with_accounts_requires_credentials() {
    let registry = Distribution::start(Auth::Htpasswd);
    let (known, unknown) = (DockerConfig::new(registry.credential()), DockerConfig::anonymous());
    let index = push_index(&Crane::new(&known), registry.host());
    assert_eq!(Crane::new(&known).digest(&index), Skopeo::new(&known).digest(&index));
    let copy = format!("{index}-copy");
    let refused = panic_message(|| Crane::new(&unknown).copy(&index, &copy));
    assert!(refused.contains("UNAUTHORIZED"), "{refused}");
    let refused = panic_message(|| Skopeo::new(&unknown).copy(&index, &copy));
    assert!(refused.contains("authentication required"), "{refused}");
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn the_error_of_a_client_has_its_command_and_its_error_output() {
    let (registry, config) = (DockerRegistry::start(), DockerConfig::anonymous());
    let absent = format!("{}/no/such:tag", registry.host());
    let message = panic_message(|| Crane::new(&config).validate(&absent));
    assert!(message.contains(&format!("validate --remote {absent}")), "{message}");
    assert!(message.contains("NAME_UNKNOWN") || message.contains("MANIFEST_UNKNOWN"), "{message}");
}

/// Returns the status line of the response to a request for the API root.
fn ask(host: &Host) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(host.as_str())?;
    write!(stream, "GET /v2/ HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn many_registries_start_at_once_on_different_ports() {
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
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_dropped_registry_stops_and_its_data_is_removed() {
    let registry = Distribution::start(Auth::None);
    let (host, storage) = (registry.host().clone(), registry.storage());
    push_index(&Crane::new(&DockerConfig::anonymous()), &host);
    assert!(storage.is_dir());
    drop(registry);
    assert!(ask(&host).is_err());
    assert!(!storage.exists());
}
