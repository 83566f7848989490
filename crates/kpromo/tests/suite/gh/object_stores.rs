//! Google Cloud Storage and S3.

use testkit::{FakeGcs, Fault, GitHubAsset, Relay, VersityGw};

use super::scene::{Scene, asset, expected, old_asset, release};
use crate::files::stores::{REGION, sha256};
use crate::support::run;

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn both_stores_get_everything_and_a_second_run_reads_no_asset() {
    let text = GitHubAsset { content_type: "text/x".to_owned(), ..asset(3, "notes", 50) };
    let releases = vec![release(
        "v1",
        vec![
            asset(1, "tool.tar.gz", 20 << 20),
            old_asset(2, "old.json", 1_000),
            text,
            old_asset(4, "old-large", 9 << 20),
        ],
    )];
    let scene = Scene::new(releases.clone());
    let (gcs, s3) = (FakeGcs::start(&["releases"]), VersityGw::start(&["releases"], REGION));
    for (bucket, directory) in [("releases", "acme/tool"), ("s3://releases/sub", "sub/acme/tool")] {
        let flags = ["--org", "acme", "--repo", "tool", "--bucket", bucket];
        let gcs_relay = Relay::like_google(gcs.host(), |_| Fault::None);
        let run = || run(scene.command_at(&scene.github.api_url(), &gcs_relay.host(), s3.host(), &flags));
        let ran = run();
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        for (name, content) in expected(directory, &releases) {
            let found =
                if bucket == "releases" { gcs.get("releases", &name) } else { s3.get("releases", &name) };
            assert!(found == Some(content), "{bucket}: {name}");
        }
        scene.github.forget_requests();
        let ran = run();
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
        assert_eq!(scene.api_requests(), ["acme/tool/releases?per_page=100&limit=100&page=1 200"]);
        assert_eq!(scene.reads(), 0, "{bucket}: metadata tells that it is done");
    }
    let kind =
        |name: &str| gcs.resource("releases", name).unwrap()["contentType"].as_str().unwrap().to_owned();
    assert_eq!(kind("acme/tool/v1/tool.tar.gz"), "application/gzip");
    assert_eq!(kind("acme/tool/v1/old.json"), "application/json");
    assert_eq!(kind("acme/tool/v1/notes"), "text/x");
    assert_eq!(kind("acme/tool/v1/old-large"), "application/octet-stream");
    let hash = &gcs.resource("releases", "acme/tool/v1/old.json").unwrap()["metadata"]["content-hash-sha256"];
    assert_eq!(hash.as_str().unwrap(), sha256(&releases[0].assets[1].content));
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn what_others_have_put_there_is_compared_and_never_replaced() {
    let releases = vec![release(
        "v1",
        vec![asset(1, "same", 1_000), old_asset(2, "old", 1_000), asset(3, "other", 1_000)],
    )];
    let scene = Scene::new(releases.clone());
    let gcs = FakeGcs::start(&["releases"]);
    gcs.put("releases", "v1/same", &releases[0].assets[0].content, "");
    gcs.put("releases", "v1/old", &releases[0].assets[1].content, "");
    gcs.put("releases", "v1/other", &[b'x'; 1_000], "");
    scene.desk.write("c.yaml", "releaseConfigs:\n- {org: acme, repo: tool, gcsBucket: releases}\n");
    let ran =
        run(scene.command_at(&scene.github.api_url(), gcs.host(), "127.0.0.1:1", &["--config", "c.yaml"]));
    assert_eq!(ran.code, 11, "{}", ran.stderr);
    assert_eq!(scene.reads(), 1, "only the asset without a digest is read");
    assert_eq!(gcs.get("releases", "v1/other").unwrap(), [b'x'; 1_000]);
    assert!(ran.stderr.contains("already there 2, conflicts 1"), "{}", ran.stderr);
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn an_object_that_appears_meanwhile_is_looked_at() {
    for (content, code) in [(asset(1, "a", 100).content, 0), (b"other".to_vec(), 11)] {
        let scene = Scene::new(vec![release("v1", vec![asset(1, "a", 100)])]);
        let gcs = FakeGcs::start(&["releases"]);
        // The listing does not show what is there.
        gcs.put("releases", "acme/tool/v1/a", &content, "");
        let relay = Relay::like_google(gcs.host(), |asked| {
            if asked.target.contains("maxResults=1000") {
                Fault::Status(200, r#"{"kind":"storage#objects"}"#.to_owned())
            } else {
                Fault::None
            }
        });
        let flags = ["--org", "acme", "--repo", "tool", "--bucket", "releases"];
        let ran = run(scene.command_at(&scene.github.api_url(), &relay.host(), "127.0.0.1:1", &flags));
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert_eq!(gcs.get("releases", "acme/tool/v1/a").unwrap(), content, "nothing is replaced");
    }
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_bucket_that_is_not_there_ends_the_run_before_an_asset_is_read() {
    let scene = Scene::new(vec![release("v1", vec![asset(1, "a", 100)])]);
    let (gcs, s3) = (FakeGcs::start(&[]), VersityGw::start(&[], REGION));
    for bucket in ["releases", "s3://releases"] {
        let flags = ["--org", "acme", "--repo", "tool", "--bucket", bucket];
        let ran = run(scene.command_at(&scene.github.api_url(), gcs.host(), s3.host(), &flags));
        assert_eq!(ran.code, 20, "{bucket}: {}", ran.stderr);
        assert!(ran.stderr.contains("bucket does not exist"), "{bucket}: {}", ran.stderr);
    }
    assert_eq!(scene.reads(), 0);
}
