//! What is copied, with how many requests.

use files::Attributes;
use testkit::{FakeGcs, Fault, Relay, VersityGw};

use super::scene::Scene;
use super::stores::{REGION, command, content, custom, manifests, put, runtime, sha256};
use crate::support::{Desk, run};

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_source_object_is_read_once_for_all_destinations_and_nothing_is_asked_twice() {
    let scene = Scene::new("gs://staging");
    let gcs = Relay::like_google(scene.gcs.host(), |_| Fault::None);
    let s3 = Relay::start(scene.s3.host(), |_| Fault::None);
    let ran = run(scene.command(&gcs.host(), &s3.host()));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    scene.check_complete();
    let (number, large) = (scene.samples.len(), 2);
    assert_eq!(gcs.count("GET", "/download/storage/v1/b/staging/"), number, "each is read once");
    assert_eq!(gcs.count("GET", "/storage/v1/b/staging/o?"), 1, "one page of the source");
    assert_eq!(gcs.count("GET", "/storage/v1/b/prod/o?"), 1, "one page of the destination");
    assert_eq!(gcs.count("POST", "uploadType=multipart"), number - large, "a small file is one request");
    assert_eq!(gcs.count("POST", "uploadType=resumable"), large);
    assert_eq!(gcs.count("PUT", "upload_id="), 2 + 4, "parts of 8 MiB");
    assert_eq!(gcs.asked().len(), number + 2 + number + 2 + 4);
    assert_eq!((s3.count("HEAD", "/prod"), s3.count("GET", "list-type=2")), (1, 1), "the region and a page");
    assert_eq!(s3.count("PUT", "/prod/sub/") - s3.count("PUT", "partNumber="), number - large);
    assert_eq!((s3.count("POST", "uploads="), s3.count("PUT", "partNumber=")), (large, 6));
    assert_eq!(s3.asked().len(), 2 + number - large + large + 6 + large);
    assert!(
        s3.asked().iter().chain(&gcs.asked()).all(|asked| asked.method != "DELETE"),
        "nothing is deleted"
    );

    // A second run reads nothing.
    let before = (gcs.asked().len(), s3.asked().len());
    let again = run(scene.command(&gcs.host(), &s3.host()));
    assert_eq!((again.code, again.stdout.lines().count()), (0, 2), "{}", again.stderr);
    assert_eq!(gcs.asked().len() - before.0, 2);
    assert_eq!(s3.asked().len() - before.1, 2 + number, "the hashes of S3 are not in its listing");
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn metadata_travels_between_all_kinds_of_stores() {
    let (gcs, s3, desk) =
        (FakeGcs::start(&["staging", "prod"]), VersityGw::start(&["staging", "prod"], REGION), Desk::new());
    gcs.put(
        "staging",
        "a",
        b"alpha",
        r#""contentType":"text/x","cacheControl":"no-cache","metadata":{"K":"v"}"#,
    );
    let flags = manifests(&desk, &["gs://staging", "s3://staging", "gs://prod"], &[("a", sha256(b"alpha"))]);
    let promote = |flags: &[String]| {
        let mut command = command(gcs.host(), s3.host());
        command.args(flags).arg("--confirm");
        let ran = run(command);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    };
    promote(&flags);
    promote(&manifests(&desk, &["s3://staging", "gs://prod/again"], &[("a", sha256(b"alpha"))]));
    for name in ["a", "again/a"] {
        let resource = gcs.resource("prod", name).unwrap();
        assert_eq!(
            (resource["contentType"].as_str(), resource["cacheControl"].as_str()),
            (Some("text/x"), Some("no-cache"))
        );
        assert_eq!(resource["metadata"]["k"].as_str(), Some("v"), "{resource}");
        assert_eq!(resource["metadata"]["content-hash-sha256"].as_str(), Some(sha256(b"alpha").as_str()));
    }
}

/// Objects as gsutil and the AWS command line make them.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn composite_multipart_and_compressed_objects_are_objects_like_others() {
    let (gcs, s3, desk) =
        (FakeGcs::start(&["staging", "prod"]), VersityGw::start(&["staging", "prod"], REGION), Desk::new());
    gcs.put("staging", "part1", b"alp", "");
    gcs.put("staging", "part2", b"ha", "");
    gcs.compose("staging", "composite", &["part1", "part2"]);
    gcs.put("prod", "composite", b"alpha", "");
    // What is stored is not the format that its encoding says: nothing is unpacked.
    let gz = [
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b, 0xcc, 0x29, 0xc8, 0x48, 4, 0, 0x5d, 0x34, 0x8e, 0x4c, 5, 0,
        0, 0,
    ];
    gcs.put("staging", "packed", &gz, r#""contentType":"text/plain","contentEncoding":"gzip""#);
    let large = content(12 << 20, 5);
    runtime().block_on(put(&s3, "prod", "large", &large, Attributes::default()));
    gcs.put("staging", "large", &large, "");
    // The composite object at the destination has no MD5: the relay takes it away.
    let relay = Relay::like_google(gcs.host(), |asked| {
        if !asked.target.contains("/storage/v1/b/")
            || asked.target.contains("/download/")
            || asked.method != "GET"
        {
            return Fault::None;
        }
        Fault::Rewrite(Box::new(|body| {
            let mut parts = body.split("\"md5Hash\":\"");
            let first = parts.next().unwrap_or_default().to_owned();
            parts.fold(first, |text, part| text + part.split_once("\",").map_or("", |(_, rest)| rest))
        }))
    });
    let files = [("composite", sha256(b"alpha")), ("packed", sha256(&gz)), ("large", sha256(&large))];
    let flags = manifests(&desk, &["gs://staging", "gs://prod", "s3://prod"], &files);
    for copies in [4, 0] {
        let mut command = command(&relay.host(), s3.host());
        command.args(&flags).arg("--confirm");
        let ran = run(command);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(ran.stdout.matches("COPY").count(), copies, "{}", ran.stdout);
    }
    assert_eq!(gcs.get("prod", "packed").unwrap(), gz);
    assert_eq!(gcs.resource("prod", "packed").unwrap()["contentEncoding"], "gzip");
    assert_eq!(s3.get("prod", "packed").unwrap(), gz);
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn custom_metadata_of_s3_is_kept_by_its_name() {
    let (s3, desk) = (VersityGw::start(&["staging", "prod"], REGION), Desk::new());
    let attributes = Attributes { custom: custom(&[("team", "release")]), ..Attributes::default() };
    runtime().block_on(put(&s3, "staging", "a", b"alpha", attributes));
    let flags = manifests(&desk, &["s3://staging", "s3://prod"], &[("a", sha256(b"alpha"))]);
    let mut promote = command("127.0.0.1:1", s3.host());
    promote.args(&flags).arg("--confirm");
    assert_eq!(run(promote).code, 0);
    let store = runtime().block_on(super::stores::open("s3://prod", None, Some(&s3)));
    let object = runtime().block_on(store.reader().find("a")).unwrap().unwrap();
    assert_eq!(object.attributes.unwrap().custom["team"], "release");
}
