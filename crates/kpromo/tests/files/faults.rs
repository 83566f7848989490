//! What goes wrong at stores, and what is left behind.

#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use files::Attributes;
use testkit::{Asked, FakeGcs, Fault, Relay, VersityGw};

use super::stores::{REGION, command, content, custom, manifests, put, runtime, sha256};
use super::support::{Desk, Ran, run};

/// Files of several sizes: small ones, an empty one, one of a part, and larger ones.
fn samples() -> Vec<(String, Vec<u8>)> {
    let sizes = [0, 1, 10_000, 1 << 20, 8 << 20, (8 << 20) + 1, (24 << 20) + 5];
    let large = sizes
        .iter()
        .enumerate()
        .map(|(index, size)| (format!("large/{index}"), content(*size, index as u32)));
    let small = (0..60).map(|index| (format!("small/{index:03}"), content(500 + index, 100 + index as u32)));
    large.chain(small).collect()
}

/// Both stores, with the samples in the source.
struct Scene {
    gcs: FakeGcs,
    s3: VersityGw,
    desk: Desk,
    flags: Vec<String>,
    samples: Vec<(String, Vec<u8>)>,
}

impl Scene {
    fn new(source: &str) -> Self {
        let gcs = FakeGcs::start(&["staging", "prod"]);
        let s3 = VersityGw::start(&["staging", "prod"], REGION);
        let (desk, samples) = (Desk::new(), samples());
        for (name, content) in &samples {
            if source.starts_with("gs://") {
                gcs.put("staging", name, content, "\"contentType\":\"text/x\"");
            } else {
                let attributes =
                    Attributes { content_type: Some("text/x".to_owned()), ..Attributes::default() };
                runtime().block_on(put(&s3, "staging", name, content, attributes));
            }
        }
        let files: Vec<(&str, String)> =
            samples.iter().map(|(name, content)| (name.as_str(), sha256(content))).collect();
        let flags = manifests(&desk, &[source, "gs://prod/sub", "s3://prod/sub"], &files);
        Self { gcs, s3, desk, flags, samples }
    }

    fn command(&self, gcs: &str, s3: &str) -> Command {
        let mut command = command(gcs, s3);
        command.args(&self.flags).arg("--confirm");
        command
    }

    fn run(&self) -> Ran {
        run(self.command(self.gcs.host(), self.s3.host()))
    }

    /// Returns the samples that a destination has, after checking that what it has is whole.
    fn whole(&self) -> usize {
        let mut number = 0;
        for (name, content) in &self.samples {
            for found in
                [self.gcs.get("prod", &format!("sub/{name}")), self.s3.get("prod", &format!("sub/{name}"))]
            {
                if let Some(found) = found {
                    assert!(
                        found == *content,
                        "{name} is not whole: {} of {} bytes",
                        found.len(),
                        content.len()
                    );
                    number += 1;
                }
            }
        }
        number
    }

    /// Checks that everything is promoted and nothing else is there.
    fn check_complete(&self) {
        assert_eq!(self.whole(), 2 * self.samples.len());
        assert_eq!(self.gcs.names("prod").len(), self.samples.len());
    }
}

#[test]
#[ignore = "needs an outside part, run by `cargo xtask test`"]
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
#[ignore = "needs an outside part, run by `cargo xtask test`"]
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
#[ignore = "needs an outside part, run by `cargo xtask test`"]
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

/// One request in twenty is refused with 503, and as many are cut off before, within or after the answer.
fn flaky() -> impl Fn(&Asked) -> Fault + Send + Sync + 'static {
    let seed = AtomicUsize::new(0);
    move |_| {
        let number = seed.fetch_add(1, Ordering::SeqCst) as u64;
        let mixed =
            number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23).wrapping_mul(0xff51_afd7_ed55_8ccd)
                >> 40;
        match mixed % 80 {
            0..4 => Fault::Status(503, String::new()),
            4..6 => Fault::Reset,
            6..8 => Fault::LoseAnswer,
            8..10 => Fault::CutBody,
            _ => Fault::None,
        }
    }
}

#[test]
#[ignore = "needs an outside part, run by `cargo xtask test`"]
fn behind_relays_that_fail_everything_arrives_and_nothing_false() {
    for source in ["gs://staging", "s3://staging"] {
        let scene = Scene::new(source);
        let (gcs, s3) =
            (Relay::like_google(scene.gcs.host(), flaky()), Relay::start(scene.s3.host(), flaky()));
        let ran = run(scene.command(&gcs.host(), &s3.host()));
        assert_eq!(ran.code, 0, "{source}: {}\n{}", ran.stdout, ran.stderr);
        scene.check_complete();
        assert_eq!(scene.s3.parts("prod"), 0, "{source}: nothing is left of uploads");
    }
}

#[test]
#[ignore = "needs an outside part, run by `cargo xtask test`"]
fn a_run_that_is_killed_anywhere_leaves_whole_objects_and_the_next_one_completes() {
    let scene = Scene::new("gs://staging");
    for after in [20, 60, 100, 140, 180, 200] {
        let relay = Relay::like_google(scene.gcs.host(), |_| Fault::None);
        let mut command = scene.command(&relay.host(), scene.s3.host());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while relay.asked().len() < after && child.try_wait().unwrap().is_none() && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = child.kill();
        child.wait().unwrap();
        scene.whole();
    }
    let ran = scene.run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    scene.check_complete();
}

fn interrupt(process: u32) {
    let killed = Command::new("kill").args(["-INT", &process.to_string()]).status().unwrap();
    assert!(killed.success());
}

#[test]
#[ignore = "needs an outside part, run by `cargo xtask test`"]
fn an_interrupt_in_the_middle_of_an_upload_aborts_it() {
    let (gcs, s3, desk) = (FakeGcs::start(&["prod"]), VersityGw::start(&["prod"], REGION), Desk::new());
    let large = content(40 << 20, 3);
    fs::create_dir(desk.path("staging")).unwrap();
    fs::write(desk.path("staging/large"), &large).unwrap();
    let base = format!("file://{}", desk.path("staging").display());
    let flags = manifests(&desk, &[&base, "s3://prod", "gs://prod"], &[("large", sha256(&large))]);
    // The third part is never answered.
    let s3_relay = Relay::start(s3.host(), |asked| {
        if asked.target.contains("partNumber=3") { Fault::Hang } else { Fault::None }
    });
    let gcs_relay = Relay::like_google(gcs.host(), |_| Fault::None);
    let mut command = command(&gcs_relay.host(), &s3_relay.host());
    let report = desk.path("report.json").display().to_string();
    command.args(&flags).args(["--confirm", "--report", &report]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = child.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while s3_relay.count("PUT", "partNumber=3") == 0 {
        assert!(Instant::now() < deadline, "the third part is sent");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(s3.parts("prod") > 0, "parts are in the store");
    interrupt(child.id());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(32));
    assert_eq!(s3_relay.count("DELETE", "uploadId="), 1);
    assert_eq!(gcs_relay.count("DELETE", "upload_id="), 1);
    assert_eq!(s3.parts("prod"), 0, "nothing is left");
    assert!(gcs.names("prod").is_empty() && s3.get("prod", "large").is_none());
    assert_eq!(desk.json("report.json")["outcome"].as_str(), Some("interrupted"));
}

#[test]
#[ignore = "needs an outside part, run by `cargo xtask test`"]
fn a_clock_that_is_wrong_is_corrected_by_that_of_the_store() {
    // Signatures are valid for six hours, so a clock that is late by less changes nothing.
    for (offset, is_corrected) in [("-20m", false), ("-7h", true), ("+7h", false)] {
        let (s3, desk) = (VersityGw::start(&["staging", "prod"], REGION), Desk::new());
        runtime().block_on(put(&s3, "staging", "a", b"alpha", Attributes::default()));
        let flags = manifests(&desk, &["s3://staging", "s3://prod"], &[("a", sha256(b"alpha"))]);
        let mut plain = command("127.0.0.1:1", s3.host());
        plain.args(&flags).arg("--confirm");
        let mut command = Command::new(testkit::tool("faketime"));
        command.env_clear().arg("-f").arg(offset).arg(plain.get_program()).args(plain.get_args());
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ran = run(command);
        assert_eq!(ran.code, 0, "{offset}: {}", ran.stderr);
        assert_eq!(s3.get("prod", "a").unwrap(), b"alpha");
        assert_eq!(
            ran.stderr.contains("signed with the store's time"),
            is_corrected,
            "{offset}: {}",
            ran.stderr
        );
    }
}

/// Amazon refuses signatures of the future, which VersityGW takes.
#[test]
fn a_refusal_for_the_time_is_followed_by_a_request_with_the_store_s_time() {
    let desk = Desk::new();
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(20);
    let text = later.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let relay = Relay::start("127.0.0.1:1", move |asked| {
        let signed =
            asked.target.split_once("X-Amz-Date=").map(|(_, rest)| rest.chars().take(13).collect::<String>());
        let hour_and_minute = |time: jiff::Timestamp| time.strftime("%Y%m%dT%H%M").to_string();
        let is_right = (0..3).any(|minutes| {
            signed.as_deref()
                == Some(hour_and_minute(later + jiff::SignedDuration::from_mins(minutes)).as_str())
        });
        match (asked.method.as_str(), is_right) {
            ("HEAD", _) => Fault::Status(200, String::new()),
            (_, true) => Fault::Status(
                200,
                "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><IsTruncated>false</IsTruncated></ListBucketResult>".to_owned(),
            ),
            _ => Fault::Answer(
                403,
                format!("Date: {text}"),
                "<Error><Code>AccessDenied</Code><Message>Request is not yet valid</Message></Error>".to_owned(),
            ),
        }
    });
    fs::create_dir(desk.path("prod")).unwrap();
    let base = format!("file://{}", desk.path("prod").display());
    let flags = manifests(&desk, &["s3://staging", &base], &[("a", sha256(b"alpha"))]);
    let mut dry = command("127.0.0.1:1", &relay.host());
    dry.args(&flags);
    let ran = run(dry);
    assert!(ran.stderr.contains("by 1200 s") || ran.stderr.contains("by 1199 s"), "{}", ran.stderr);
    assert_eq!(relay.count("GET", "list-type=2"), 2, "the second one is signed with the store's time");
}

#[test]
#[ignore = "needs an outside part, run by `cargo xtask test`"]
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
#[ignore = "needs an outside part, run by `cargo xtask test`"]
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
        ran.stderr.contains("writing gs://prod/b: the object is no longer what it was"),
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
#[ignore = "needs an outside part, run by `cargo xtask test`"]
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
                format!(r#"{{"items":[{{"name":"a{page:09}","size":"1"}}],"nextPageToken":"t{page}"}}"#),
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
#[ignore = "needs an outside part, run by `cargo xtask test`"]
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
#[ignore = "needs an outside part, run by `cargo xtask test`"]
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

#[test]
#[ignore = "needs an outside part, run by `cargo xtask test`"]
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
