//! The files that a run writes: they are checked before any request to a registry, and written completely or not at all.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod support;

use support::{cip, scene, schema};

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_cannot_be_written_fails_the_run_before_any_request() {
    let (staging, production, desk) = scene().await;
    let manifest = desk.path("manifest.yaml");
    let (file, folder) = (desk.path("no/such/folder/file"), desk.path("no/such/folder"));
    let asked = || staging.tally().snapshot().total() + production.tally().snapshot().total();
    for (flag, path) in [
        ("--report", &file),
        ("--output-plan", &file),
        ("--inventory-cache", &file),
        ("--spool-dir", &folder),
    ] {
        for confirm in ["--confirm", "--confirm=false"] {
            let path = path.to_str().unwrap();
            let ran = cip(&["--manifest", manifest.to_str().unwrap(), confirm, flag, path]);
            assert_eq!((ran.code, asked()), (10, 0), "{flag}: {}", ran.stderr);
            assert!(ran.stderr.contains(path), "{flag}: {}", ran.stderr);
        }
    }
    assert_eq!(desk.names(), ["manifest.yaml"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_appear_as_a_whole_and_nothing_is_left_beside_them() {
    let (_staging, _production, desk) = scene().await;
    let (plan, report, cache) = (desk.path("plan.json"), desk.path("report.json"), desk.path("cache"));
    desk.write("report.json", &"x".repeat(1 << 20));
    let ran = cip(&[
        "--manifest",
        desk.path("manifest.yaml").to_str().unwrap(),
        "--output-plan",
        plan.to_str().unwrap(),
        "--report",
        report.to_str().unwrap(),
        "--inventory-cache",
        cache.to_str().unwrap(),
        "--spool-dir",
        desk.path("").to_str().unwrap(),
    ]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(desk.names(), ["cache", "manifest.yaml", "plan.json", "report.json"]);
    assert_eq!(desk.json("report.json")["outcome"], "dry-run");
    schema::is_strict("plan", &desk.json("plan.json"));
}

/// A mistyped path must neither change the file at that path nor replace it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_an_inventory_cache_is_refused_and_left_as_it_is() {
    let (staging, production, desk) = scene().await;
    let manifest = desk.path("manifest.yaml");
    let before = std::fs::read(&manifest).unwrap();
    let manifest = manifest.to_str().unwrap();
    let ran = cip(&["--manifest", manifest, "--inventory-cache", manifest, "--confirm"]);
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    assert!(ran.stderr.contains("manifest.yaml is not an inventory cache"), "{}", ran.stderr);
    assert!(std::fs::read(manifest).unwrap() == before && desk.names() == ["manifest.yaml"]);
    assert_eq!(staging.tally().snapshot().total() + production.tally().snapshot().total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_inventory_cache_is_moved_aside() {
    let (_staging, _production, desk) = scene().await;
    let (manifest, cache) = (desk.path("manifest.yaml"), desk.path("cache"));
    let flags = ["--manifest", manifest.to_str().unwrap(), "--inventory-cache", cache.to_str().unwrap()];
    assert_eq!(cip(&flags).code, 0);
    let mut bytes = std::fs::read(&cache).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&cache, &bytes).unwrap();
    let ran = cip(&flags);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("cache.refused"), "{}", ran.stderr);
    assert!(std::fs::read(desk.path("cache.refused")).unwrap() == bytes);
}
