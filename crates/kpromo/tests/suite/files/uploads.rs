//! Uploads in parts that are lost, or that a store may keep.

use std::fs;
use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use testkit::{FakeGcs, Fault, Relay, VersityGw};

use super::answers::{Scene, is};
use super::faults::interrupt;
use super::stores::{REGION, command, content, manifests, sha256};
use crate::support::{Desk, run};

/// An upload that the store has lost is begun anew, whatever of it was sent.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn an_upload_that_is_lost_is_begun_anew() {
    let (gcs, scene) = (FakeGcs::start(&["prod"]), Scene::new(20 << 20, "gs://prod"));
    let parts = AtomicUsize::new(0);
    let relay = Relay::like_google(gcs.host(), move |asked| {
        let is_second = is(asked, ("PUT", "upload_id=")) && parts.fetch_add(1, Ordering::SeqCst) == 1;
        if is_second { Fault::Status(410, "gone".to_owned()) } else { Fault::None }
    });
    let ran = scene.run(&relay.host(), "127.0.0.1:1");
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(relay.count("POST", "uploadType=resumable"), 2);
    assert!(gcs.get("prod", "a").unwrap() == scene.content());
}

/// A part that was under way when the upload was aborted may be kept, so the store is asked whether it still has the upload.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn an_upload_is_aborted_until_it_is_gone_or_named() {
    for is_removed in [true, false] {
        let (s3, desk) = (VersityGw::start(&["prod"], REGION), Desk::new());
        fs::create_dir(desk.path("staging")).unwrap();
        fs::write(desk.path("staging/a"), content(20 << 20, 5)).unwrap();
        let base = format!("file://{}", desk.path("staging").display());
        let flags = manifests(&desk, &[&base, "s3://prod"], &[("a", sha256(b"another content"))]);
        let aborts = AtomicUsize::new(0);
        let relay = Relay::start(s3.host(), move |asked| {
            // The first abort is said to be done.
            match is(asked, ("DELETE", "uploadId=")) {
                true if !is_removed => {
                    Fault::Status(403, "<Error><Code>AccessDenied</Code></Error>".to_owned())
                }
                true if aborts.fetch_add(1, Ordering::SeqCst) == 0 => Fault::Status(204, String::new()),
                _ => Fault::None,
            }
        });
        let mut promote = command("127.0.0.1:1", &relay.host());
        promote.args(&flags).arg("--confirm");
        let ran = run(promote);
        assert_eq!(ran.code, 30, "{}", ran.stderr);
        if is_removed {
            assert_eq!(relay.count("DELETE", "uploadId="), 2);
            assert_eq!(s3.parts("prod"), 0);
        }
        let is_named = ran.stderr.contains("abort it (bucket `prod`, key `a`, upload ID `");
        assert_eq!(is_named, !is_removed, "{}", ran.stderr);
    }
}

/// The second interrupt ends the run at once. The warning names what the abort did not reach.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn an_upload_to_google_whose_abort_is_not_answered_is_a_warning_at_the_second_interrupt() {
    let (gcs, scene) = (FakeGcs::start(&["prod"]), Scene::new(40 << 20, "gs://prod"));
    let parts = AtomicUsize::new(0);
    let relay = Relay::like_google(gcs.host(), move |asked| {
        let is_third = is(asked, ("PUT", "upload_id=")) && parts.fetch_add(1, Ordering::SeqCst) == 2;
        if is_third || asked.method == "DELETE" { Fault::Hang } else { Fault::None }
    });
    let mut child = scene.start(&relay.host());
    let wait_for = |method: &str, count: usize| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while relay.count(method, "upload_id=") < count {
            assert!(Instant::now() < deadline, "{method}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait_for("PUT", 3);
    interrupt(child.id());
    wait_for("DELETE", 1);
    interrupt(child.id());
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(32), "{log}");
    let warning =
        "gs://prod/a: the unfinished upload may be left in the store: the run ended before it was aborted";
    assert!(log.contains(warning) && !log.contains("upload_id="), "{log}");
}

/// An abort has succeeded if Google says so (499, or a success without content), or does not know the upload.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_failed_abort_at_google_is_a_warning_without_the_secret_url() {
    for (status, body, is_left) in [
        (499, "", false),
        (404, "", false),
        (410, "", false),
        (204, "", false),
        (200, "", false),
        (200, "<html>Please log in</html>", true),
        (404, "<html>not found</html>", true),
        (403, "", true),
    ] {
        let (gcs, desk) = (FakeGcs::start(&["prod"]), Desk::new());
        fs::create_dir(desk.path("staging")).unwrap();
        fs::write(desk.path("staging/a"), content(20 << 20, 5)).unwrap();
        let base = format!("file://{}", desk.path("staging").display());
        let flags = manifests(&desk, &[&base, "gs://prod"], &[("a", sha256(b"another content"))]);
        let relay = Relay::like_google(gcs.host(), move |asked| match is(asked, ("DELETE", "upload_id=")) {
            true => Fault::Status(status, body.to_owned()),
            false => Fault::None,
        });
        let mut promote = command(&relay.host(), "127.0.0.1:1");
        promote.args(&flags).arg("--confirm");
        let ran = run(promote);
        assert_eq!(ran.code, 30, "{status} {body}: {}", ran.stderr);
        assert_eq!(relay.count("DELETE", "upload_id="), 1, "{status} {body}");
        let warning = "writing gs://prod/a: the unfinished upload may be left in the store: ";
        assert_eq!(ran.stderr.contains(warning), is_left, "{status} {body}: {}", ran.stderr);
        assert!(!ran.stderr.contains("upload_id="), "{status} {body}: {}", ran.stderr);
    }
}
