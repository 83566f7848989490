//! Answers that do not mean what their status says.

use std::fs;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use testkit::{Asked, FakeGcs, Fault, Relay, VersityGw};

use super::stores::{REGION, command, content, manifests, sha256};
use crate::support::{Desk, Ran, run};

const HTML: &str = "<html>Please log in</html>";
const XML: &str = "Content-Type: application/xml";

/// A directory with a file, which goes to `prod` in one of two stores behind relays.
pub(super) struct Scene {
    desk: Desk,
    flags: Vec<String>,
}

impl Scene {
    pub(super) fn new(size: usize, destination: &str) -> Self {
        let (desk, content) = (Desk::new(), content(size, 5));
        fs::create_dir(desk.path("staging")).unwrap();
        fs::write(desk.path("staging/a"), &content).unwrap();
        let base = format!("file://{}", desk.path("staging").display());
        let flags = manifests(&desk, &[&base, destination], &[("a", sha256(&content))]);
        Self { desk, flags }
    }

    pub(super) fn run(&self, gcs: &str, s3: &str) -> Ran {
        let mut command = command(gcs, s3);
        command.args(&self.flags).arg("--confirm");
        run(command)
    }

    /// Starts the promotion to Google.
    pub(super) fn start(&self, gcs: &str) -> Child {
        let mut command = command(gcs, "127.0.0.1:1");
        command.args(&self.flags).arg("--confirm").stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    pub(super) fn content(&self) -> Vec<u8> {
        fs::read(self.desk.path("staging/a")).unwrap()
    }
}

/// A request of a kind, by its method and a part of its target.
pub(super) type Kind = (&'static str, &'static str);

pub(super) fn is(asked: &Asked, (method, part): Kind) -> bool {
    asked.method == method && asked.target.contains(part)
}

pub(super) const PUT: Kind = ("PUT", "/prod/a?");
const PART: Kind = ("PUT", "partNumber=1");
pub(super) const COMPLETE: Kind = ("POST", "uploadId=");
pub(super) const LARGE: usize = (9 << 20) + 1;

fn result_for(key: &str) -> String {
    format!(
        "<CompleteMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>prod</Bucket>\
         <Key>{key}</Key><ETag>\"x-2\"</ETag></CompleteMultipartUploadResult>"
    )
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn an_answer_that_is_not_that_of_a_write_proves_nothing_at_s3() {
    let error = "<Error><Code>InternalError</Code><Message>try again</Message></Error>";
    for (kind, size, status, header, body) in [
        (PUT, 5, 200, XML, HTML.to_owned()),
        (PUT, 5, 200, XML, error.to_owned()),
        (PUT, 5, 200, XML, String::new()),
        // Neither the SHA-256 nor the MD5.
        (PUT, 5, 200, "ETag: \"zz\"", String::new()),
        (PART, LARGE, 200, XML, HTML.to_owned()),
        (COMPLETE, LARGE, 200, XML, HTML.to_owned()),
        (COMPLETE, LARGE, 200, XML, String::new()),
        (COMPLETE, LARGE, 200, XML, format!("    \n{error}")),
        (COMPLETE, LARGE, 204, XML, String::new()),
        (COMPLETE, LARGE, 200, XML, result_for("evil")),
        // No checksum.
        (COMPLETE, LARGE, 200, XML, result_for("a")),
    ] {
        let (s3, scene) = (VersityGw::start(&["prod"], REGION), Scene::new(size, "s3://prod"));
        let told = format!("{kind:?} {status} {header} {body}");
        // Nothing comes to the store.
        let answer = body.clone();
        let relay = Relay::start(s3.host(), move |asked| match is(asked, kind) {
            true => Fault::Answer(status, header.to_owned(), answer.clone()),
            false => Fault::None,
        });
        let ran = scene.run("127.0.0.1:1", &relay.host());
        assert_eq!(ran.code, 30, "{told}: {}\n{}", ran.stdout, ran.stderr);
        assert!(s3.get("prod", "a").is_none(), "{told}");
        assert_eq!(s3.parts("prod"), 0, "{told}: the upload is aborted");
        // The second attempt comes to the store.
        let (first, answer) = (AtomicUsize::new(0), body.clone());
        let relay = Relay::start(s3.host(), move |asked| {
            match is(asked, kind) && first.fetch_add(1, Ordering::SeqCst) == 0 {
                true => Fault::Answer(status, header.to_owned(), answer.clone()),
                false => Fault::None,
            }
        });
        let ran = scene.run("127.0.0.1:1", &relay.host());
        assert_eq!(ran.code, 0, "{told}: {}\n{}", ran.stdout, ran.stderr);
        assert!(s3.get("prod", "a").unwrap() == scene.content(), "{told}");
    }
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_write_with_an_answer_of_no_store_is_done_if_the_object_is_there() {
    for (kind, size) in [(PUT, 5), (COMPLETE, LARGE)] {
        let (s3, scene) = (VersityGw::start(&["prod"], REGION), Scene::new(size, "s3://prod"));
        let relay = Relay::start(s3.host(), move |asked| match is(asked, kind) {
            true => Fault::Rewrite(Box::new(|_| HTML.to_owned())),
            false => Fault::None,
        });
        let ran = scene.run("127.0.0.1:1", &relay.host());
        assert_eq!(ran.code, 0, "{kind:?}: {}\n{}", ran.stdout, ran.stderr);
        assert_eq!(relay.count(kind.0, kind.1), 1, "{kind:?}: the object was looked at");
        assert!(s3.get("prod", "a").unwrap() == scene.content());
    }
}

/// kpromo sends the hash as metadata before the content, so the metadata does not prove what is stored.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn metadata_proves_no_write() {
    for (kind, size, body) in [(PUT, 5, String::new()), (COMPLETE, LARGE, result_for("a"))] {
        let (s3, scene) = (VersityGw::start(&["prod"], REGION), Scene::new(size, "s3://prod"));
        let headers = format!("ETag: \"zz\"\r\nx-amz-meta-content-hash-sha256: {}", sha256(&scene.content()));
        let (is_written, stored) = (AtomicBool::new(false), "x".repeat(size));
        let relay = Relay::start(s3.host(), move |asked| {
            if is(asked, kind) {
                is_written.store(true, Ordering::SeqCst);
                return Fault::Answer(200, "ETag: \"zz\"".to_owned(), body.clone());
            }
            let is_object = ["HEAD", "GET"].iter().any(|method| is(asked, (method, "/prod/a?")))
                && !asked.target.contains("uploadId=");
            match is_object && is_written.load(Ordering::SeqCst) {
                true => Fault::Answer(200, headers.clone(), stored.clone()),
                false => Fault::None,
            }
        });
        let ran = scene.run("127.0.0.1:1", &relay.host());
        assert_eq!(ran.code, 30, "{kind:?}: {}\n{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("does not prove the write"), "{kind:?}: {}", ran.stdout);
        let reads = relay.count("GET", "/prod/a?") - relay.count("GET", "uploadId=");
        assert_eq!(reads, relay.count(kind.0, kind.1), "{kind:?}: the content is read after each write");
    }
}

/// A request with an empty ID would be about the object, not about an upload.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn an_upload_without_an_id_is_an_error() {
    let (s3, scene) = (VersityGw::start(&["prod"], REGION), Scene::new(LARGE, "s3://prod"));
    let relay = Relay::start(s3.host(), |asked| match is(asked, ("POST", "uploads=")) {
        true => Fault::Answer(
            200,
            XML.to_owned(),
            "<InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <Bucket>prod</Bucket><Key>a</Key><UploadId></UploadId>\
             </InitiateMultipartUploadResult>"
                .to_owned(),
        ),
        false => Fault::None,
    });
    let ran = scene.run("127.0.0.1:1", &relay.host());
    assert_eq!(ran.code, 30, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("an upload without an ID"), "{}", ran.stdout);
    assert_eq!(relay.count("DELETE", "/prod/a") + relay.count("PUT", "/prod/a"), 0);
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_checksum_that_contradicts_what_was_sent_is_an_error() {
    for (kind, size) in [(PUT, 5), (PART, LARGE)] {
        let (s3, scene) = (VersityGw::start(&["prod"], REGION), Scene::new(size, "s3://prod"));
        let relay = Relay::start(s3.host(), move |asked| {
            let headers = format!("ETag: \"x\"\r\nx-amz-checksum-sha256: {}=", "A".repeat(43));
            if is(asked, kind) { Fault::Answer(200, headers, String::new()) } else { Fault::None }
        });
        let ran = scene.run("127.0.0.1:1", &relay.host());
        assert_eq!(ran.code, 30, "{kind:?}: {}", ran.stderr);
        assert!(ran.stdout.contains("does not fit what was sent"), "{kind:?}: {}", ran.stdout);
        assert_eq!(s3.parts("prod"), 0);
    }
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn an_answer_that_is_not_about_the_object_proves_nothing_at_google() {
    let resource =
        |name: &str, more: &str| format!("{{\"name\":\"{name}\",\"size\":\"5\",\"generation\":\"1\"{more}}}");
    let wrong = ",\"md5Hash\":\"AAAAAAAAAAAAAAAAAAAAAA==\"";
    for (body, expected) in [
        (HTML.to_owned(), "does not prove the write"),
        ("{}".to_owned(), "does not prove the write"),
        (resource("other", wrong), "does not prove the write"),
        (resource("a", ""), "does not prove the write"),
        (resource("a", wrong), "does not fit what was sent"),
    ] {
        let (gcs, scene) = (FakeGcs::start(&["prod"]), Scene::new(5, "gs://prod"));
        let answer = body.clone();
        let relay = Relay::like_google(gcs.host(), move |asked| match is(asked, ("POST", "/upload/")) {
            true => Fault::Status(200, answer.clone()),
            false => Fault::None,
        });
        let ran = scene.run(&relay.host(), "127.0.0.1:1");
        assert_eq!(ran.code, 30, "{body}: {}\n{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(expected), "{body}: {}", ran.stdout);
        assert!(gcs.names("prod").is_empty());
    }
}

/// The advice about a connection is about the URL of the store, since the configuration has no scheme for it.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_store_without_tls_at_an_https_url_gets_advice() {
    let (s3, scene) = (VersityGw::start(&["prod"], REGION), Scene::new(5, "s3://prod"));
    let mut command = command("127.0.0.1:1", s3.host());
    command.args(&scene.flags).env("AWS_ENDPOINT_URL", format!("https://{}", s3.host()));
    let ran = run(command);
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    let help = "\nhelp: if the store speaks plain HTTP, begin its URL with `http://` (AWS_ENDPOINT_URL";
    assert!(ran.stderr.contains("does not speak TLS") && ran.stderr.contains(help), "{}", ran.stderr);
}

/// What a listing lacks is absent only if the answer is a complete page of the listing of this bucket.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn an_answer_that_is_no_whole_listing_proves_no_absence() {
    let list = |bucket: &str, end: &str| {
        format!(
            "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <Name>{bucket}</Name><Prefix></Prefix>{end}"
        )
    };
    let s3 = VersityGw::start(&["prod"], REGION);
    for body in [
        list("prod", ""),
        list("prod", "<IsTruncated>false</IsTruncated>"),
        list("prod", "</ListBucketResult>"),
        list("prod", "<IsTruncated>true</IsTruncated></ListBucketResult>"),
        list("other", "<IsTruncated>false</IsTruncated></ListBucketResult>"),
    ] {
        let scene = Scene::new(5, "s3://prod");
        let answer = body.clone();
        let relay = Relay::start(s3.host(), move |asked| match is(asked, ("GET", "list-type=2")) {
            true => Fault::Answer(200, XML.to_owned(), answer.clone()),
            false => Fault::None,
        });
        let ran = scene.run("127.0.0.1:1", &relay.host());
        assert_eq!(ran.code, 20, "{body}: {}\n{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("a page of a listing: "), "{body}: {}", ran.stderr);
        assert!(s3.get("prod", "a").is_none(), "{body}");
    }
    let gcs = FakeGcs::start(&["prod"]);
    for body in ["{}", "{\"error\":{\"code\":403}}", "{\"kind\":\"storage#bucket\"}"] {
        let scene = Scene::new(5, "gs://prod");
        let relay = Relay::like_google(gcs.host(), move |asked| match is(asked, ("GET", "/b/prod/o?")) {
            true => Fault::Status(200, body.to_owned()),
            false => Fault::None,
        });
        let ran = scene.run(&relay.host(), "127.0.0.1:1");
        assert_eq!(ran.code, 20, "{body}: {}\n{}", ran.stdout, ran.stderr);
        assert!(gcs.names("prod").is_empty(), "{body}");
    }
}

/// Only the store's own words prove that an object or a bucket is absent.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_404_of_something_in_between_proves_no_absence() {
    let gcs = FakeGcs::start(&["staging", "prod"]);
    for body in ["", HTML, r#"{"message":"route not found"}"#, r#"{"error":{"code":404}}"#] {
        for (target, code) in [("/b/staging/o/a", 30), ("/b/staging/o?", 20), ("/b/prod/o?", 20)] {
            let desk = Desk::new();
            let relay = Relay::like_google(gcs.host(), move |asked| match is(asked, ("GET", target)) {
                true => Fault::Status(404, body.to_owned()),
                false => Fault::None,
            });
            let flags = manifests(&desk, &["gs://staging", "gs://prod"], &[("a", sha256(b"alpha"))]);
            let mut dry = command(&relay.host(), "127.0.0.1:1");
            dry.args(&flags);
            let ran = run(dry);
            assert_eq!(ran.code, code, "{target} {body}: {}", ran.stderr);
            assert!(!ran.stderr.contains("does not exist"), "{target} {body}: {}", ran.stderr);
            assert!(!ran.stderr.contains("not found in the source"), "{target} {body}: {}", ran.stderr);
        }
    }
}

/// The answer to a `HEAD` of a bucket has no body, so the bucket is listed before it is called absent.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_head_404_proves_no_missing_bucket() {
    let (s3, scene) = (VersityGw::start(&["prod"], "us-east-1"), Scene::new(5, "s3://prod"));
    let relay =
        Relay::start(s3.host(), |asked| match asked.method == "HEAD" && !asked.target.contains("/a") {
            true => Fault::Status(404, String::new()),
            false => Fault::None,
        });
    let ran = scene.run("127.0.0.1:1", &relay.host());
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let relay = Relay::start(s3.host(), |_| Fault::Status(404, HTML.to_owned()));
    let ran = scene.run("127.0.0.1:1", &relay.host());
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    assert!(!ran.stderr.contains("does not exist"), "{}", ran.stderr);
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_size_that_no_object_has_is_an_error_of_that_object() {
    let (gcs, desk) = (FakeGcs::start(&["staging", "prod"]), Desk::new());
    gcs.put("staging", "a", b"alpha", "");
    gcs.put("staging", "b", b"beta!!", "");
    let relay = Relay::like_google(gcs.host(), |asked| match is(asked, ("GET", "/b/staging/o?")) {
        true => Fault::Rewrite(Box::new(|body| {
            body.replace("\"size\":\"5\"", "\"size\":\"18446744073709551615\"")
        })),
        false => Fault::None,
    });
    let files = [("a", sha256(b"alpha")), ("b", sha256(b"beta!!"))];
    let flags = manifests(&desk, &["gs://staging", "gs://prod"], &files);
    let mut promote = command(&relay.host(), "127.0.0.1:1");
    promote.args(&flags).arg("--confirm");
    let ran = run(promote);
    assert_eq!(ran.code, 30, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("18446744073709551615"), "{}", ran.stdout);
    assert_eq!(gcs.names("prod"), ["b"]);
}

/// The metadata says that it is the content, and the size says that it is not.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn metadata_of_a_destination_is_not_believed_against_its_size() {
    let (gcs, scene) = (FakeGcs::start(&["prod"]), Scene::new(5, "gs://prod"));
    let metadata = format!("\"metadata\":{{\"content-hash-sha256\":\"{}\"}}", sha256(&scene.content()));
    gcs.put("prod", "a", b"something else", &metadata);
    let ran = scene.run(gcs.host(), "127.0.0.1:1");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("REPLACE"), "{}", ran.stdout);
    assert!(gcs.get("prod", "a").unwrap() == scene.content());
}

/// A store that does not give the rest of a content gives it from the start.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_content_whose_rest_is_refused_is_read_again_from_the_start() {
    let large = "0123456789abcdef".repeat(640 << 10);
    for rest in ["400", "403", "416", "whole", "other part"] {
        let (gcs, desk) = (FakeGcs::start(&["staging", "prod"]), Desk::new());
        gcs.put("staging", "a", large.as_bytes(), "");
        let (first, whole) = (AtomicUsize::new(0), large.clone());
        let relay = Relay::like_google(gcs.host(), move |asked| {
            if !is(asked, ("GET", "/download/")) {
                return Fault::None;
            }
            if first.fetch_add(1, Ordering::SeqCst) == 0 {
                return Fault::CutBody;
            }
            let end = whole.len() - 1;
            match (asked.headers.contains_key("range"), rest) {
                (false, _) => Fault::None,
                (true, "whole") => Fault::Status(200, whole.clone()),
                (true, "other part") => Fault::Answer(
                    206,
                    format!("Content-Range: bytes 16-{end}/{}", end + 1),
                    whole[16..].to_owned(),
                ),
                (true, status) => Fault::Status(status.parse().unwrap(), String::new()),
            }
        });
        let flags = manifests(&desk, &["gs://staging", "gs://prod"], &[("a", sha256(large.as_bytes()))]);
        let mut promote = command(&relay.host(), "127.0.0.1:1");
        promote.args(&flags).arg("--confirm");
        let ran = run(promote);
        assert_eq!(ran.code, 0, "{rest}: {}\n{}", ran.stdout, ran.stderr);
        assert!(gcs.get("prod", "a").unwrap() == large.as_bytes(), "{rest}");
    }
}

/// A store that gives neither the rest nor the whole is not asked again and again.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_content_whose_rest_and_whole_are_refused_is_given_up_and_nothing_of_it_is_written() {
    let large = "0123456789abcdef".repeat(640 << 10);
    let (gcs, desk) = (FakeGcs::start(&["staging", "prod"]), Desk::new());
    gcs.put("staging", "a", large.as_bytes(), "");
    let first = AtomicUsize::new(0);
    let relay = Relay::like_google(gcs.host(), move |asked| {
        match (is(asked, ("GET", "/download/")), first.load(Ordering::SeqCst)) {
            (false, _) => Fault::None,
            (true, 0) => {
                first.store(1, Ordering::SeqCst);
                Fault::CutBody
            }
            (true, _) => Fault::Status(416, String::new()),
        }
    });
    let flags = manifests(&desk, &["gs://staging", "gs://prod"], &[("a", sha256(large.as_bytes()))]);
    let mut promote = command(&relay.host(), "127.0.0.1:1");
    promote.args(&flags).arg("--confirm");
    let ran = run(promote);
    assert_eq!(ran.code, 30, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("416"), "{}", ran.stderr);
    assert_eq!(relay.count("GET", "/download/"), 3, "the content, the rest, the whole");
    assert_eq!(relay.count("DELETE", "upload_id="), 1, "the upload is ended");
    assert!(gcs.get("prod", "a").is_none());
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_page_in_place_of_the_content_is_no_change_of_the_object() {
    let (gcs, desk) = (FakeGcs::start(&["staging", "prod"]), Desk::new());
    gcs.put("staging", "a", b"alpha", "");
    for status in [200, 404] {
        let relay = Relay::like_google(gcs.host(), move |asked| match is(asked, ("GET", "/download/")) {
            true => Fault::Status(status, HTML.to_owned()),
            false => Fault::None,
        });
        let flags = manifests(&desk, &["gs://staging", "gs://prod"], &[("a", sha256(b"alpha"))]);
        let mut promote = command(&relay.host(), "127.0.0.1:1");
        promote.args(&flags).arg("--confirm");
        let ran = run(promote);
        assert_eq!(ran.code, 30, "{status}: {}", ran.stderr);
        assert!(!ran.stderr.contains("something writes to the source"), "{status}: {}", ran.stderr);
    }
}
