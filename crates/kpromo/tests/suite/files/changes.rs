//! Objects that others change, and buckets that cannot be used.

use std::fs;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use files::Attributes;
use testkit::{Asked, FakeGcs, Fault, Relay, VersityGw};

use super::stores::{REGION, command, content, manifests, put, runtime, sha256};
use crate::support::{Desk, run};

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn an_object_that_changes_while_it_is_read_is_not_promoted() {
    for source in ["gs://staging", "s3://staging"] {
        let (gcs, s3, desk) = (
            FakeGcs::start(&["staging", "prod"]),
            VersityGw::start(&["staging", "prod", "prod2"], REGION),
            Desk::new(),
        );
        let (large, other) = (content(20 << 20, 8), content(20 << 20, 9));
        let fill = |content: &[u8]| {
            if source.starts_with("gs://") {
                gcs.put("staging", "large", content, "");
            } else {
                runtime().block_on(put(&s3, "staging", "large", content, Attributes::default()));
            }
        };
        fill(&large);
        let first = Mutex::new(false);
        let cut = |asked: &Asked| {
            asked.method == "GET"
                && (asked.target.contains("/download/") || asked.target.contains("/staging/large"))
        };
        let decide = move |asked: &Asked| {
            let mut first = first.lock().unwrap();
            if cut(asked) && !*first {
                *first = true;
                return Fault::CutBody;
            }
            // What comes after the cut waits until the object has been changed.
            if cut(asked) { Fault::Status(503, String::new()) } else { Fault::None }
        };
        let upstream = if source.starts_with("gs://") { gcs.host() } else { s3.host() };
        let broken = Relay::like_google(upstream, decide);
        let (gcs_host, s3_host) = if source.starts_with("gs://") {
            (broken.host(), s3.host().to_owned())
        } else {
            (gcs.host().to_owned(), broken.host())
        };
        let flags = manifests(&desk, &[source, "s3://prod", "gs://prod"], &[("large", sha256(&large))]);
        let mut promote = command(&gcs_host, &s3_host);
        promote.args(&flags).arg("--confirm");
        let mut child = promote.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let reads = || {
            broken
                .asked()
                .iter()
                .filter(|asked| asked.method == "GET" && asked.headers.contains_key("range"))
                .count()
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while reads() == 0 {
            assert!(Instant::now() < deadline, "{source}: the rest is asked for");
            std::thread::sleep(Duration::from_millis(2));
        }
        let asked = broken.asked().into_iter().rfind(|asked| asked.headers.contains_key("range")).unwrap();
        let is_pinned = asked.target.contains("generation=") || asked.headers.contains_key("if-match");
        assert!(is_pinned, "{source}: the rest is of the same version: {asked:?}");
        let _ = child.kill();
        child.wait().unwrap();

        // What was killed may leave parts in `prod`, which no one sees.
        fill(&other);
        let flags = manifests(&desk, &[source, "s3://prod2", "gs://prod"], &[("large", sha256(&large))]);
        let mut promote = command(gcs.host(), s3.host());
        promote.args(&flags).arg("--confirm");
        let ran = run(promote);
        assert_eq!(ran.code, 30, "{source}: {}", ran.stderr);
        assert!(ran.stdout.contains(&sha256(&other)), "{source}: {}", ran.stdout);
        assert!(gcs.names("prod").is_empty() && s3.get("prod2", "large").is_none(), "{source}");
        assert_eq!(s3.parts("prod2"), 0, "{source}: the upload is aborted");
    }
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn an_object_that_appears_between_plan_and_write_is_not_overwritten() {
    let (gcs, s3, desk) =
        (FakeGcs::start(&["staging", "prod"]), VersityGw::start(&["prod"], REGION), Desk::new());
    gcs.put("staging", "a", b"alpha", "");
    gcs.put("staging", "b", b"beta", "");
    let files = [("a", sha256(b"alpha")), ("b", sha256(b"beta"))];
    let flags = manifests(&desk, &["gs://staging", "gs://prod", "s3://prod"], &files);
    let gcs = std::sync::Arc::new(gcs);
    let (seen, bucket) = (std::sync::Arc::clone(&gcs), s3.bucket("prod"));
    let relay = Relay::like_google(gcs.host(), move |asked| {
        // Another one writes when the source is read: the right content for `a`, and other content for `b`.
        if asked.target.contains("/download/storage/v1/b/staging/o/a") && seen.names("prod").is_empty() {
            seen.put("prod", "a", b"alpha", "");
            seen.put("prod", "b", b"other", "");
            fs::write(bucket.join("a"), b"alpha").unwrap();
        }
        Fault::None
    });
    let mut promote = command(&relay.host(), s3.host());
    // One after the other, so that `a` comes first.
    promote.args(&flags).arg("--confirm").env("KPROMO_TEST_CONCURRENCY", "1");
    let ran = run(promote);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("writing gs://prod/b: the object has changed since it was planned"),
        "{}",
        ran.stderr
    );
    assert_eq!(gcs.get("prod", "b").unwrap(), b"other");
    assert_eq!(
        (gcs.get("prod", "a").unwrap(), s3.get("prod", "a").unwrap()),
        (b"alpha".to_vec(), b"alpha".to_vec())
    );
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_listing_that_never_ends_is_left_and_files_are_asked_for_one_by_one() {
    let (gcs, s3, desk) =
        (FakeGcs::start(&["staging", "prod"]), VersityGw::start(&["prod"], REGION), Desk::new());
    gcs.put("staging", "zz", b"alpha", "");
    let pages = AtomicUsize::new(0);
    let relay = Relay::like_google(gcs.host(), move |asked| {
        if asked.method == "GET" && asked.target.contains("/b/staging/o?") {
            let page = pages.fetch_add(1, Ordering::SeqCst);
            return Fault::Status(
                200,
                format!(
                    r#"{{"kind":"storage#objects","items":[{{"name":"a{page:09}","size":"1"}}],"nextPageToken":"t{page}"}}"#
                ),
            );
        }
        Fault::None
    });
    let flags = manifests(&desk, &["gs://staging", "gs://prod", "s3://prod"], &[("zz", sha256(b"alpha"))]);
    let mut promote = command(&relay.host(), s3.host());
    promote.args(&flags).arg("--confirm");
    let ran = run(promote);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(gcs.get("prod", "zz").unwrap(), b"alpha");
    assert_eq!(relay.count("GET", "/b/staging/o?"), 1, "no more pages than the file is worth");
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn buckets_that_cannot_be_used_are_all_named_before_anything_is_read() {
    let (gcs, s3, desk) = (FakeGcs::start(&["staging"]), VersityGw::start(&["ours"], REGION), Desk::new());
    gcs.put("staging", "a", b"alpha", "");
    let relay = Relay::like_google(gcs.host(), |asked| {
        if asked.target.contains("/b/others/") {
            return Fault::Status(
                403,
                r#"{"error":{"code":403,"message":"nobody has storage.objects.list access"}}"#.to_owned(),
            );
        }
        Fault::None
    });
    let bases = ["gs://staging", "gs://absent", "gs://others", "s3://absent-bucket", "s3://ours"];
    let flags = manifests(&desk, &bases, &[("a", sha256(b"alpha"))]);
    let mut promote = command(&relay.host(), s3.host());
    promote.args(&flags).arg("--confirm");
    let ran = run(promote);
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    assert!(ran.stderr.contains("s3://absent-bucket: the bucket does not exist"), "{}", ran.stderr);
    let flags = manifests(
        &desk,
        &["gs://staging", "gs://absent", "gs://others", "s3://ours"],
        &[("a", sha256(b"alpha"))],
    );
    let mut promote = command(&relay.host(), s3.host());
    promote.args(&flags).arg("--confirm");
    let ran = run(promote);
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    for part in [
        "listing gs://absent: the bucket does not exist",
        "listing gs://others: the store refuses it: nobody has",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    assert_eq!(relay.count("GET", "/download/"), 0);
    assert!(s3.get("ours", "a").is_none());
}

/// A region that is not the default one is found out and signed for.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn the_region_of_a_bucket_is_asked_for_once() {
    let (s3, desk) = (VersityGw::start(&["staging", "prod"], "ap-southeast-4"), Desk::new());
    fs::write(s3.bucket("staging").join("a"), b"alpha").unwrap();
    let relay = Relay::start(s3.host(), |_| Fault::None);
    let flags = manifests(&desk, &["s3://staging", "s3://prod"], &[("a", sha256(b"alpha"))]);
    let mut promote = command("127.0.0.1:1", &relay.host());
    promote.args(&flags).arg("--confirm");
    let ran = run(promote);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let signed = relay.asked().into_iter().filter(|asked| asked.target.contains("ap-southeast-4")).count();
    assert_eq!(relay.asked().len() - signed, 2, "one request for the region of each bucket");
}
