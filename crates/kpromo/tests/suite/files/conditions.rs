//! Conditions of writes.

use testkit::{Fault, Relay, VersityGw};

use super::answers::{COMPLETE, LARGE, PUT, Scene, is};
use super::stores::REGION;

/// A 412 proves no other writer if the object is as it was when the copy was planned.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_refused_condition_that_holds_is_not_blamed_on_another_writer() {
    let (s3, scene) = (VersityGw::start(&["prod"], REGION), Scene::new(5, "s3://prod"));
    for is_replaced in [false, true] {
        if is_replaced {
            assert_eq!(Scene::new(6, "s3://prod").run("127.0.0.1:1", s3.host()).code, 0);
        }
        let relay = Relay::start(s3.host(), |asked| match is(asked, PUT) {
            true => Fault::Status(412, String::new()),
            false => Fault::None,
        });
        let ran = scene.run("127.0.0.1:1", &relay.host());
        assert_eq!(ran.code, 30, "{is_replaced}: {}\n{}", ran.stdout, ran.stderr);
        let words =
            "writing s3://prod/a: the store answered 412 Precondition Failed, and the object is as it was";
        assert!(ran.stderr.contains(words), "{is_replaced}: {}", ran.stderr);
        assert!(!ran.stderr.contains("something else has written"), "{is_replaced}: {}", ran.stderr);
    }
}

/// S3 answers 409 if another write to the object has begun, which is another writer.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_concurrent_write_that_the_store_names_is_another_writer() {
    let (s3, scene) = (VersityGw::start(&["prod"], REGION), Scene::new(LARGE, "s3://prod"));
    let conflict = "<Error><Code>ConditionalRequestConflict</Code></Error>";
    let relay = Relay::start(s3.host(), move |asked| match is(asked, COMPLETE) {
        true => Fault::Status(409, conflict.to_owned()),
        false => Fault::None,
    });
    let ran = scene.run("127.0.0.1:1", &relay.host());
    assert_eq!(ran.code, 30, "{}\n{}", ran.stdout, ran.stderr);
    assert!(
        ran.stderr.contains("writing s3://prod/a: the object has changed since it was planned"),
        "{}",
        ran.stderr
    );
}

/// An empty `If-Match` guards nothing, and neither does `If-Match: *`.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn an_object_without_a_version_is_not_replaced() {
    let (s3, scene) = (VersityGw::start(&["prod"], REGION), Scene::new(5, "s3://prod"));
    let before = Scene::new(6, "s3://prod");
    assert_eq!(before.run("127.0.0.1:1", s3.host()).code, 0);
    for etag in ["", "*"] {
        let headers = if etag.is_empty() { "X-Test: no tag" } else { "ETag: *" };
        let relay = Relay::start(s3.host(), move |asked| match is(asked, ("GET", "list-type=2")) {
            true => Fault::Rewrite(Box::new(move |listing| with_etag(&listing, etag))),
            false if is(asked, ("HEAD", "/prod/a?")) => {
                Fault::Answer(200, headers.to_owned(), "6bytes".to_owned())
            }
            false => Fault::None,
        });
        let ran = scene.run("127.0.0.1:1", &relay.host());
        assert_eq!(ran.code, 30, "{etag}: {}\n{}", ran.stdout, ran.stderr);
        let words = "replacing s3://prod/a: the store returns no version of the object";
        assert!(ran.stderr.contains(words), "{etag}: {}", ran.stderr);
        assert_eq!(relay.count("PUT", "/prod/a"), 0, "{etag}");
        assert_eq!(s3.get("prod", "a").unwrap(), before.content(), "{etag}");
    }
}

/// Returns a listing with this entity tag for each object, or with none.
fn with_etag(listing: &str, etag: &str) -> String {
    let (mut kept, mut rest) = (String::new(), listing);
    while let Some((before, after)) = rest.split_once("<ETag>") {
        kept.push_str(before);
        if !etag.is_empty() {
            kept.push_str(&format!("<ETag>{etag}</ETag>"));
        }
        rest = after.split_once("</ETag>").map_or("", |(_, after)| after);
    }
    kept + rest
}
