//! What is copied, how often it is read, and what a second run does.

use std::fs;

use testkit::{GitHubAsset, GitHubRelease};

use super::scene::{Scene, TOKEN, asset, expected, files, old_asset, release};
use crate::files::stores::sha256;
use crate::support::{kpromo, run, schema};

fn releases() -> Vec<GitHubRelease> {
    vec![
        release("v1.0.0", vec![asset(11, "tool.tar.gz", 9 << 20), asset(12, "tool.tar.gz.sha256", 64)]),
        release(
            "release/v0.2.0",
            vec![old_asset(15, "a b.txt", 1000), old_asset(16, "large", (8 << 20) + 1)],
        ),
        release("v0.1.0", vec![]),
    ]
}

#[test]
fn assets_are_copied_byte_for_byte_and_a_second_run_copies_nothing() {
    let (scene, releases) = (Scene::new(releases()), releases());
    let ran = scene.run(&["--report", "report.json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(scene.files(), expected("acme/tool", &releases));
    let first = format!(
        "COPY \"https://github.com/acme/tool/releases/download/v1.0.0/tool.tar.gz\" to \"{}/acme/tool/v1.0.0/tool.tar.gz\"",
        scene.bucket()
    );
    assert_eq!(ran.stdout.lines().next(), Some(first.as_str()));
    assert_eq!(ran.stdout.lines().count(), 4);
    // A large asset whose hash nobody knows is read once for it, and once more for its content.
    assert_eq!(scene.reads(), 5);
    let report = scene.desk.json("report.json");
    schema::is_strict("releases-report", &report);
    assert_eq!(report["totals"]["copied"], 4);
    assert_eq!(report["outcome"], "done");
    assert_eq!(report["copied"].as_array().unwrap().len(), 4);

    scene.github.forget_requests();
    let ran = scene.run(&[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    assert_eq!(scene.files(), expected("acme/tool", &releases));
    // A directory keeps no metadata, so the assets without a digest are compared.
    assert_eq!(scene.reads(), 2);
    assert_eq!(scene.api_requests().iter().filter(|request| request.contains("/assets/1")).count(), 2);
}

#[test]
fn a_dry_run_tells_and_writes_nothing() {
    let scene = Scene::new(releases());
    let ran = scene.run(&["--dry-run", "--output-dir", "out", "--files-manifest", "files.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().count(), 8, "{}", ran.stdout);
    assert!(scene.files().is_empty());
    assert_eq!(scene.desk.names(), ["bucket"], "neither a directory nor a manifest is written");
    assert_eq!(scene.reads(), 0);
}

#[test]
fn an_asset_is_read_once_for_the_bucket_and_the_directory() {
    let releases = vec![release("v1", vec![asset(1, "a", 100), asset(2, "b", 20 << 20)])];
    let scene = Scene::new(releases.clone());
    let ran = scene.run(&["--output-dir", "out/there", "--release-dir", "some/dir/"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(scene.files(), expected("some/dir", &releases));
    assert_eq!(files(&scene.desk.path("out/there")), expected("acme/tool", &releases));
    assert_eq!(scene.reads(), 2);
}

#[test]
fn other_bytes_are_a_conflict_and_the_others_are_copied() {
    let releases = vec![release("v1", vec![asset(1, "a", 100), asset(2, "b", 100), old_asset(3, "c", 100)])];
    let scene = Scene::new(releases.clone());
    scene.desk.write("bucket/acme/tool/v1/a", "other");
    scene.desk.write("bucket/acme/tool/v1/c", &"x".repeat(100));
    let ran = scene.run(&["--files-manifest", "files.yaml", "--report", "report.json"]);
    assert_eq!(ran.code, 11, "{}", ran.stderr);
    assert!(ran.stderr.contains("v1/a: it has 5 bytes"), "{}", ran.stderr);
    assert!(ran.stderr.contains("v1/c: it has another SHA-256"), "{}", ran.stderr);
    let files = scene.files();
    assert_eq!(files["acme/tool/v1/a"], b"other");
    assert_eq!(files["acme/tool/v1/b"], releases[0].assets[1].content);
    assert_eq!(files["acme/tool/v1/c"], "x".repeat(100).into_bytes());
    assert!(!scene.desk.path("files.yaml").exists(), "a manifest that lacks files is not written");
    assert_eq!(scene.desk.json("report.json")["totals"]["conflicts"], 2);
}

#[test]
fn entries_that_want_one_object_to_be_two_things_are_a_conflict() {
    let scene = Scene::new(vec![release("v1", vec![asset(1, "a", 100)])]);
    scene.github.repository("acme/other", false, vec![release("v1", vec![asset(2, "a", 100)])]);
    let bucket = scene.bucket();
    let entry =
        |repo: &str| format!("- {{org: acme, repo: {repo}, gcsBucket: \"{bucket}\", releaseDir: x}}\n");
    let text = format!("releaseConfigs:\n{}{}{}", entry("tool"), entry("tool"), entry("other"));
    scene.desk.write("c.yaml", &text);
    let ran =
        run(scene.command_at(&scene.github.api_url(), "127.0.0.1:1", "127.0.0.1:1", &["--config", "c.yaml"]));
    assert_eq!(ran.code, 11, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("x/v1/a: it is also to have https://github.com/acme/tool/"),
        "{}",
        ran.stderr
    );
    assert_eq!(scene.files().len(), 1);
    let lists = scene.api_requests().iter().filter(|request| request.contains("releases?")).count();
    assert_eq!(lists, 2, "nothing is asked twice");
}

#[test]
fn the_manifest_is_what_run_files_promotes() {
    let (scene, releases) = (Scene::new(releases()), releases());
    for _ in 0..2 {
        let ran = scene.run(&["--files-manifest", "files.yaml"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let manifest = fs::read_to_string(scene.desk.path("files.yaml")).unwrap();
        let content = &releases[0].assets[1].content;
        let entry = format!("- name: acme/tool/v1.0.0/tool.tar.gz.sha256\n  sha256: {}\n", sha256(content));
        assert!(manifest.replace('"', "").contains(&entry), "{manifest}");
        fs::rename(scene.desk.path("files.yaml"), scene.desk.path("files-1.yaml")).unwrap();
    }
    fs::create_dir(scene.desk.path("mirror")).unwrap();
    let mirror = format!("file://{}", scene.desk.path("mirror").display());
    let stores = format!("filestores:\n- base: {}\n  src: true\n- base: {mirror}\n", scene.bucket());
    scene.desk.write("filestores.yaml", &stores);
    let mut command = kpromo(None);
    command.current_dir(scene.desk.path("."));
    command.args(["run", "files", "--filestores", "filestores.yaml", "--files", "files-1.yaml", "--confirm"]);
    let ran = run(command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(files(&scene.desk.path("mirror")), expected("acme/tool", &releases));
}

#[test]
fn a_manifest_is_about_one_bucket() {
    let scene = Scene::new(vec![]);
    let text = "releaseConfigs:\n- {org: a, repo: b, gcsBucket: one}\n- {org: a, repo: b, gcsBucket: two}\n";
    scene.desk.write("c.yaml", text);
    let flags = ["--config", "c.yaml", "--files-manifest", "files.yaml"];
    let ran = run(scene.command_at(&scene.github.api_url(), "127.0.0.1:1", "127.0.0.1:1", &flags));
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    assert!(ran.stderr.contains("gs://one, gs://two"), "{}", ran.stderr);
    assert!(scene.github.requests().is_empty());
}

#[test]
fn the_token_goes_to_the_api_alone() {
    let releases = vec![release("v1", vec![asset(1, "a", 100)])];
    let scene = Scene::new(vec![]);
    scene.github.repository("acme/tool", true, releases.clone());
    for variable in ["GITHUB_TOKEN", "GH_TOKEN"] {
        let mut command = scene.command(&scene.github.api_url(), &["--release-dir", variable]);
        command.env(variable, TOKEN).arg("--log-level=trace");
        let ran = run(command);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(!ran.stderr.contains(TOKEN) && !ran.stderr.contains("hush"), "{}", ran.stderr);
        assert_eq!(scene.files()[&format!("{variable}/v1/a")], releases[0].assets[0].content);
    }
    let requests = scene.github.requests();
    assert!(requests.iter().any(|request| !request.is_api));
    for request in requests {
        let expected = request.is_api.then(|| format!("Bearer {TOKEN}"));
        assert_eq!(request.authorization, expected, "{request:?}");
        let is_asset = request.path.contains("assets/") || !request.is_api;
        let accept = if is_asset { "application/octet-stream" } else { "application/vnd.github+json" };
        assert_eq!(request.accept.as_deref(), Some(accept), "{request:?}");
    }
}

#[test]
fn an_empty_asset_is_a_file() {
    let empty = GitHubAsset { content: Vec::new(), ..old_asset(1, "empty", 0) };
    let scene = Scene::new(vec![release("v1", vec![empty])]);
    let ran = scene.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(scene.files()["acme/tool/v1/empty"], b"");
}
