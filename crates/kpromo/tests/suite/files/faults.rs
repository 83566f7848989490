//! What goes wrong at stores, and what is left behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use files::Attributes;
use testkit::{FakeGcs, Fault, Relay, VersityGw, flaky};

use super::scene::Scene;
use super::stores::{REGION, command, content, manifests, put, runtime, sha256};
use crate::support::{Desk, run, schema};

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
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
#[ignore = "needs external programs, run by `cargo xtask test`"]
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

pub(super) fn interrupt(process: u32) {
    let killed = Command::new("kill").args(["-INT", &process.to_string()]).status().unwrap();
    assert!(killed.success());
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
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
    let [report, page] = ["report.json", "report.html"].map(|name| desk.path(name).display().to_string());
    command.args(&flags).args(["--confirm", "--report", &report, "--report", &page]);
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
    assert_eq!(desk.json("report.json")["totals"]["notCompleted"], 2);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("<dt>not completed</dt><dd class=\"warning\">2</dd>"), "{page}");
}

/// The store may have completed the upload. The warning says so, in the report, too.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn an_upload_whose_completion_is_not_answered_is_a_warning_of_the_report() {
    let (s3, desk) = (VersityGw::start(&["prod"], REGION), Desk::new());
    let large = content(9 << 20, 3);
    fs::create_dir(desk.path("staging")).unwrap();
    fs::write(desk.path("staging/large"), &large).unwrap();
    let base = format!("file://{}", desk.path("staging").display());
    let flags = manifests(&desk, &[&base, "s3://prod"], &[("large", sha256(&large))]);
    let is_completion = |method: &str, target: &str| method == "POST" && target.contains("uploadId=");
    let relay = Relay::start(s3.host(), move |asked| {
        if is_completion(&asked.method, &asked.target) { Fault::Hang } else { Fault::None }
    });
    let mut command = command("127.0.0.1:1", &relay.host());
    command.args(&flags).args(["--confirm", "--report"]).arg(desk.path("report.json"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let deadline = Instant::now() + Duration::from_secs(60);
    while relay.count("POST", "uploadId=") == 0 {
        assert!(Instant::now() < deadline, "the upload is to be completed");
        std::thread::sleep(Duration::from_millis(5));
    }
    let log = interrupt_twice(child.id(), &mut stderr);
    assert_eq!(child.wait().unwrap().code(), Some(32), "{log}");
    let report = desk.json("report.json");
    let warning = report["warnings"][0].as_str().unwrap();
    let expected = "s3://prod/large: the upload may be left in the store: the run ended before the store answered its completion; \
                    if the object is not there, abort the upload (bucket `prod`, key `large`, upload ID `";
    assert!(warning.contains(expected), "{report}");
    assert!(log.contains(expected), "{log}");
}

/// Interrupts a run, and again as soon as it has answered. Returns what it wrote to standard error.
fn interrupt_twice(process: u32, stderr: &mut impl BufRead) -> String {
    interrupt(process);
    let mut log = String::new();
    while !log.contains("interrupt again") {
        assert!(stderr.read_line(&mut log).unwrap() > 0, "the first interrupt is answered: {log}");
    }
    interrupt(process);
    stderr.read_to_string(&mut log).unwrap();
    log
}

/// The run ends at once. The outputs still have the plan and its failures, and count what is not known to be complete.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_second_interrupt_ends_the_run_with_a_report_of_its_plan() {
    let (s3, desk) = (VersityGw::start(&["prod"], REGION), Desk::new());
    fs::create_dir(desk.path("staging")).unwrap();
    let names = ["a", "b", "c", "other"];
    let files = names.map(|name| {
        fs::write(desk.path("staging").join(name), name).unwrap();
        (name, sha256(name.as_bytes()))
    });
    // The source does not have the content that the manifest names.
    fs::write(desk.path("staging/other"), "another content").unwrap();
    let base = format!("file://{}", desk.path("staging").display());
    let flags = manifests(&desk, &[&base, "s3://prod"], &files);
    // One file is never answered. The others are copied.
    let relay = Relay::start(s3.host(), |asked| {
        if asked.method == "PUT" && asked.target.contains("/prod/c") { Fault::Hang } else { Fault::None }
    });
    let mut command = command("127.0.0.1:1", &relay.host());
    let [report, page] = ["report.json", "report.html"].map(|name| desk.path(name).display().to_string());
    let metrics = desk.path("kpromo.prom");
    command
        .args(&flags)
        .args(["--confirm", "--verify-source", "--report", &report, "--report", &page, "--metrics"])
        .arg(&metrics);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let deadline = Instant::now() + Duration::from_secs(60);
    while relay.count("PUT", "/prod/c") == 0 || ["a", "b"].iter().any(|name| s3.get("prod", name).is_none()) {
        assert!(Instant::now() < deadline, "two files are copied, and the third one is sent");
        std::thread::sleep(Duration::from_millis(5));
    }
    let log = interrupt_twice(child.id(), &mut stderr);
    assert_eq!(child.wait().unwrap().code(), Some(32), "{log}");
    let report = desk.json("report.json");
    assert_eq!((&report["outcome"], &report["plan"]["copy"]), (&"interrupted".into(), &3.into()), "{report}");
    let counts = ["copied", "failed", "notCompleted"].map(|count| report["totals"][count].as_u64());
    assert_eq!(counts, [Some(2), Some(1), Some(1)], "{report}");
    let phases = report["phaseSeconds"].as_object().unwrap().keys();
    assert!(phases.eq(["copy", "plan", "read"]), "{report}");
    schema::is_strict("files-report", &report);
    let page = fs::read_to_string(page).unwrap();
    for tile in ["<dt>planned copies</dt><dd class=\"\">3<", "<dt>not completed</dt><dd class=\"warning\">1<"]
    {
        assert!(page.contains(tile), "{tile}: {page}");
    }
    for text in
        ["copied 2 (2 B), already there 0, failed 1, lost 0, not completed 1", "/staging/other\" to \""]
    {
        assert!(log.contains(text), "{text}: {log}");
    }
    let metrics = fs::read_to_string(metrics).unwrap();
    assert!(metrics.contains("\nkpromo_files_failed{command=\"run files\"} 1\n"), "{metrics}");
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
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
