//! The repository of manifests in promotion records. The tests use real git repositories.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use manifest::Checkout;
use manifest::checkout;
use tempfile::TempDir;

use crate::diff::Repository;

#[test]
fn the_checkout_is_that_of_the_repository_wherever_the_manifests_are_in_it() {
    let repository = Repository::new();
    let root = repository.directory.path().canonicalize().unwrap();
    let manifest = root.join("a b/manifest.yaml");
    fs::create_dir(root.join("a b")).unwrap();
    fs::write(&manifest, "images: []\n").unwrap();
    assert_eq!(checkout(&manifest), None, "there is no commit yet");

    let commit = repository.commit();
    let expected = Checkout { root: root.clone(), uri: None, commit };
    assert_eq!(checkout(&manifest).as_ref(), Some(&expected));
    repository.git(&["remote", "add", "upstream", "https://github.com/other/repository"]);
    assert_eq!(checkout(&root).as_ref(), Some(&expected), "a remote with another name is not the origin");
    repository.git(&["remote", "add", "origin", "https://me:hush@github.com/org/repository.git"]);
    let uri = Some("git+https://github.com/org/repository".to_owned());
    let expected = Checkout { uri, ..expected };
    assert_eq!(checkout(&root.join("a b")).as_ref(), Some(&expected));

    let elsewhere = TempDir::new().unwrap();
    let link = elsewhere.path().join("link.yaml");
    symlink(&manifest, &link).unwrap();
    assert_eq!(checkout(&link), Some(expected), "links are resolved");
}

#[test]
fn a_remote_repository_that_is_a_directory_has_no_uri() {
    let repository = Repository::new();
    repository.commit();
    repository.git(&["remote", "add", "origin", "/srv/git/repository.git"]);
    assert_eq!(checkout(repository.directory.path()).unwrap().uri, None);
}

#[test]
fn paths_outside_of_a_repository_have_no_checkout() {
    let directory = TempDir::new().unwrap();
    assert_eq!(checkout(directory.path()), None);
    assert_eq!(checkout(&directory.path().join("absent.yaml")), None);
}

#[test]
fn no_command_of_the_repository_configuration_is_run() {
    let repository = Repository::new();
    repository.commit();
    let root = repository.directory.path();
    let (trap, trace) = (root.join("trap.sh"), root.join("sprung"));
    fs::write(&trap, format!("#!/bin/sh\ntouch '{}'\n", trace.display())).unwrap();
    fs::set_permissions(&trap, fs::Permissions::from_mode(0o755)).unwrap();
    let trap = trap.to_str().unwrap();
    for key in ["core.fsmonitor", "core.sshCommand", "core.pager", "core.askPass"] {
        repository.git(&["config", key, trap]);
    }
    repository.git(&["remote", "add", "origin", &format!("ext::{trap}")]);
    assert_eq!(checkout(root).unwrap().uri, None);
    assert!(!trace.exists());
}
