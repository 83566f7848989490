//! The OpenTelemetry trace of a run.

use std::fs;

use super::directories::scene;
use super::stores::{command, sha256};
use crate::support::collector::{Collector, Manner, trace, warnings};
use crate::support::{Ran, run};

/// Runs a confirmed promotion, and sends its trace to a collector.
fn traced(flags: &[String], collector: &Collector) -> Ran {
    let mut command = command("127.0.0.1:1", "127.0.0.1:1");
    command.args(flags).arg("--confirm");
    trace(&mut command, &collector.url);
    run(command)
}

#[test]
fn a_collector_receives_the_run_its_phases_and_its_files() {
    let collector = Collector::start(Manner::Accept);
    let (desk, flags) = scene(&[("right", b"alpha"), ("wrong", b"beta"), ("there", b"gamma")]);
    fs::write(desk.path("staging/wrong"), "atec").unwrap();
    for directory in ["one", "two"] {
        fs::write(desk.path(directory).join("there"), "gamma").unwrap();
    }
    let ran = traced(&flags, &collector);
    assert_eq!((ran.code, warnings(&ran)), (30, Vec::new()), "{}", ran.stderr);
    let (heads, spans) = collector.received();
    assert!(heads.iter().all(|head| head.starts_with("post /v1/traces ")), "{heads:?}");
    let wrong = format!("the SHA-256 of the content is {}", sha256(b"atec"));
    for text in [
        "kpromo run files",
        "read",
        "plan",
        "copy",
        "/one/right",
        "/two/wrong",
        &wrong,
        "exit.code",
        "were not promoted",
    ] {
        assert!(spans.contains(text), "{text}: {spans}");
    }
    assert_eq!(spans.matches("copy file").count(), 4, "a span for each file and destination: {spans}");
    assert_eq!(spans.matches(&wrong).count(), 2, "an error for each destination: {spans}");
}

#[test]
fn a_collector_that_fails_is_one_warning_and_changes_nothing_else() {
    let collector = Collector::start(Manner::Fail);
    let (desk, flags) = scene(&[("a", b"alpha")]);
    let ran = traced(&flags, &collector);
    assert_eq!((ran.code, warnings(&ran).len()), (0, 1), "{}", ran.stderr);
    assert!(!ran.stderr.contains("hush"), "{}", ran.stderr);
    assert_eq!(fs::read(desk.path("one/a")).unwrap(), b"alpha");
}
