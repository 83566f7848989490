//! Assets that are not what GitHub says, and entries that cannot be meant.

use std::collections::BTreeMap;

use testkit::GitHubAsset;

use super::scene::{Scene, asset, old_asset, release};
use crate::support::{run, schema};

#[test]
fn an_asset_of_the_wrong_size_or_content_is_not_written_and_the_others_are() {
    let sized = |id, name: &str, size| GitHubAsset { size: Some(size), ..asset(id, name, 1000) };
    let other = format!("sha256:{}", "a".repeat(64));
    let digest = |id, name: &str, size| GitHubAsset { digest: Some(other.clone()), ..asset(id, name, size) };
    let assets = vec![
        asset(1, "good", 1000),
        sized(2, "longer", 999),
        sized(3, "shorter", 1001),
        GitHubAsset { size: Some(1), ..old_asset(4, "old", 1000) },
        digest(5, "forged", 1000),
        digest(6, "forged-large", 17 << 20),
        GitHubAsset { digest: Some("sha256:12".to_owned()), ..asset(7, "odd-digest", 10) },
        GitHubAsset { digest: Some("sha512:12".to_owned()), ..asset(8, "sha512", 10) },
        GitHubAsset { is_incomplete: true, ..asset(9, "uploading", 10) },
        GitHubAsset { name: "../escape".to_owned(), ..asset(10, "", 10) },
        GitHubAsset { name: "..".to_owned(), ..asset(11, "", 10) },
        GitHubAsset { name: "a\u{1b}[31m\nb".to_owned(), ..asset(12, "", 10) },
    ];
    let reversed = GitHubAsset { name: "a\u{202e}gpj.exe".to_owned(), ..asset(14, "", 10) };
    let assets = assets.into_iter().chain([reversed]).collect();
    let scene = Scene::new(vec![release("v1", assets), release("a/../b", vec![asset(13, "f", 10)])]);
    let ran = scene.run(&["--report", "report.json"]);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    let files: Vec<String> = scene.files().into_keys().collect();
    assert_eq!(files, ["acme/tool/v1/good"]);
    for (name, why) in [
        ("longer", "it has 1000 bytes, and GitHub says 999"),
        ("shorter", "it has 1000 bytes, and GitHub says 1001"),
        ("old", "it has 1000 bytes, and GitHub says 1"),
        ("forged", &format!("GitHub says {}", "a".repeat(64))),
        ("forged-large", &format!("GitHub says {}", "a".repeat(64))),
        ("odd-digest", "its digest is wrong"),
        ("sha512", "its digest is not one of SHA-256: sha512:12"),
        ("uploading", "its upload to GitHub is not complete"),
        ("escape", "cannot be that of a file"),
        ("f", "not a tag of a release"),
    ] {
        let is_told = ran.stderr.lines().any(|line| line.contains(&format!("/{name}")) && line.contains(why));
        assert!(is_told, "{name}: {why} is missing in\n{}", ran.stderr);
    }
    assert!(!ran.stderr.contains(['\u{1b}', '\u{202e}']), "{}", ran.stderr);
    let report = scene.desk.json("report.json");
    schema::is_strict("releases-report", &report);
    assert_eq!(report["totals"]["failed"], 13);
    assert_eq!(report["exitCode"], 30);
    let left: Vec<String> = scene.desk.names();
    assert_eq!(left, ["bucket", "report.json"], "nothing was written elsewhere");
}

#[test]
fn all_faults_of_all_entries_are_told_before_the_first_request() {
    let scene = Scene::new(vec![]);
    scene.desk.write(
        "c.yaml",
        "releaseConfigs:\n- org: acme\n  repos: tool\n- {org: a/b, repo: r, gcsBucket: b}\n",
    );
    let ran =
        run(scene.command_at(&scene.github.api_url(), "127.0.0.1:1", "127.0.0.1:1", &["--config", "c.yaml"]));
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    for expected in ["c.yaml:3:3", "unknown field `repos`", "no `gcsBucket`", "c.yaml:4", "name of an owner"]
    {
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
    }
    let ran = scene.run(&["--config", "nowhere.yaml"]);
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    let ran = scene.run(&["--report", "no/such/directory/report.json"]);
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    assert!(scene.github.requests().is_empty());
}

/// An output there would be published with the assets, or replace one.
#[test]
fn an_output_file_in_a_directory_that_gets_assets_is_refused() {
    let scene = Scene::new(vec![release("v1", vec![asset(1, "a", 10)])]);
    for flags in [
        ["--files-manifest", "bucket/acme/tool/v1/a"],
        ["--files-manifest", "bucket/files.yaml"],
        ["--report", "bucket/../bucket/report.json"],
        ["--output-dir=bucket/out", "--report=bucket/out/report.json"],
    ] {
        std::fs::create_dir_all(scene.desk.path("bucket/acme/tool/v1")).unwrap();
        std::fs::create_dir_all(scene.desk.path("bucket/out")).unwrap();
        let ran = scene.run(&flags);
        assert_eq!(ran.code, 10, "{flags:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("the file is in the store file://"), "{flags:?}: {}", ran.stderr);
    }
    assert!(scene.github.requests().is_empty() && scene.files().is_empty());
}

#[test]
fn assets_with_the_same_content_and_destination_are_one() {
    let both = [asset(1, "a", 10), GitHubAsset { id: 2, ..asset(1, "a", 10) }];
    for forgets in [[false, false], [true, false], [false, true], [true, true]] {
        let scene = Scene::new(vec![]);
        for ((slug, asset), forgets) in ["acme/one", "acme/two"].into_iter().zip(both.clone()).zip(forgets) {
            let digest = asset.digest.clone().filter(|_| !forgets);
            scene.github.repository(slug, false, vec![release("v1", vec![GitHubAsset { digest, ..asset }])]);
        }
        let entry =
            |name: &str| format!("- {{org: acme, repo: {name}, gcsBucket: \"{}\"}}\n", scene.bucket());
        scene.desk.write("c.yaml", &format!("releaseConfigs:\n{}{}", entry("one"), entry("two")));
        let flags = ["--config", "c.yaml", "--files-manifest", "files.yaml"];
        let gh = || run(scene.command_at(&scene.github.api_url(), "127.0.0.1:1", "127.0.0.1:1", &flags));
        for _ in 0..2 {
            let ran = gh();
            assert_eq!(ran.code, 0, "{forgets:?}: {}", ran.stderr);
            let whole = BTreeMap::from([("v1/a".to_owned(), both[0].content.clone())]);
            assert_eq!(scene.files(), whole);
            assert!(std::fs::read_to_string(scene.desk.path("files.yaml")).unwrap().contains("v1/a"));
        }
        let other = GitHubAsset { digest: None, ..asset(3, "a", 10) };
        scene.github.repository("acme/two", false, vec![release("v1", vec![other])]);
        let ran = gh();
        assert_eq!(ran.code, 11, "{forgets:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("it is also to have"), "{}", ran.stderr);
    }
}
