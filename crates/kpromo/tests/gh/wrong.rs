//! Assets that are not what GitHub says, and entries that cannot be meant.

use testkit::GitHubAsset;

use super::scene::{Scene, asset, old_asset, release};
use super::support::{run, schema};

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
    let ran = scene.run(&["--report", "no/such/folder/report.json"]);
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    assert!(scene.github.requests().is_empty());
}
