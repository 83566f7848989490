//! The forge: git clones from it and pushes to it.

#![allow(clippy::unwrap_used, reason = "tests report failures by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use testkit::Forge;

fn git(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("git");
    command
        .current_dir(directory)
        .env("HOME", directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0");
    command.args(arguments).output().unwrap()
}

#[test]
fn git_clones_without_the_token_and_pushes_with_it() {
    let (forge, directory) = (Forge::start("hush"), tempfile::tempdir().unwrap());
    forge.create("org/app", &[("directory/file", "one\n")]);
    forge.fork("org/app", "me/app", Some("org/app"));
    let url = format!("{}/me/app", forge.url());
    assert!(git(directory.path(), &["clone", "--quiet", &url, "clone"]).status.success());
    let clone = directory.path().join("clone");
    assert_eq!(std::fs::read_to_string(clone.join("directory/file")).unwrap(), "one\n");
    assert!(!git(&clone, &["push", "--quiet", &url, "HEAD:refs/heads/x"]).status.success());
    let with_token = url.replace("http://", "http://x-access-token:hush@");
    assert!(git(&clone, &["push", "--quiet", &with_token, "HEAD:refs/heads/x"]).status.success());
    assert_eq!(forge.branches("me/app"), ["main", "x"]);
    assert_eq!(forge.file("me/app", "x", "directory/file"), "one\n");
    forge.refuse_pushes("me/app", "closed");
    let refused = git(&clone, &["push", "--quiet", &with_token, "HEAD:refs/heads/y"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("closed"));
    let requests = forge.requests();
    assert!(requests.iter().any(|request| request.status == 401));
    assert!(
        requests.iter().any(|request| request.path == "/me/app/git-receive-pack" && request.status == 200)
    );
}
