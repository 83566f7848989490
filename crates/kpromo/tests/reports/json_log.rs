//! `--log-format json`: every line of standard error is a JSON object, errors included.

use http::StatusCode;
use registry::{Effect, ErrorCode, Fault, Kind};
use serde_json::{Value, json};

use crate::support::{Ran, kpromo_with, schema};
use crate::world::World;

/// Returns the lines of standard error. The last line of a command that fails has its exit code.
fn lines(ran: &Ran) -> Vec<Value> {
    let parsed = ran.stderr.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
        assert!(line["fields"]["message"].is_string(), "{line}");
        line
    });
    let parsed: Vec<Value> = parsed.collect();
    if ran.code != 0 {
        let last = parsed.last().unwrap_or_else(|| panic!("nothing is said about exit code {}", ran.code));
        assert_eq!(
            (&last["fields"]["exitCode"], &last["level"]),
            (&ran.code.into(), &"ERROR".into()),
            "{last}"
        );
        assert!(last["fields"]["error"].is_string(), "{last}");
    }
    parsed
}

fn with<'a>(lines: &'a [Value], field: &str) -> Vec<&'a Value> {
    lines.iter().map(|line| &line["fields"]).filter(|fields| fields.get(field).is_some()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failed_image_is_a_line_with_its_fields() {
    let world = World::new().await;
    world.refuse("prod/", "first line\nsecond line");
    let ran = world.cip(&["--confirm", "--log-format", "json"]);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    let all = lines(&ran);
    let failed = with(&all, "image");
    assert_eq!(failed.len(), 2, "both images, although the reason is the same: {}", ran.stderr);
    for fields in failed {
        assert!(fields["image"].as_str().unwrap().contains("@sha256:"), "{fields}");
        assert_eq!(fields["registry"], world.production.host().as_str());
        assert!(fields["error"].as_str().unwrap().contains("403"), "{fields}");
        assert!(fields["advice"].is_string(), "{fields}");
    }
}

/// [`crate::support::run`] checks all lines against the schema.
#[test]
fn a_line_that_is_none_is_refused_by_the_schema() {
    let ran = kpromo_with(&["cip", "--log-format", "json", "--manifest", "none.yaml"]);
    let line = lines(&ran).pop().unwrap();
    assert_eq!(schema::check("log", &line), Ok(()));
    for (place, value) in [
        ("/level", json!("FATAL")),
        ("/timestamp", json!("today")),
        ("/fields", json!({ "error": "no message" })),
        ("/fields/message", json!(1)),
        ("/fields/exitCode", json!("10")),
        ("", json!({ "message": "flat" })),
    ] {
        let mut other = line.clone();
        *other.pointer_mut(place).unwrap() = value;
        assert!(schema::check("log", &other).is_err(), "{other:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_the_plan_are_lines_too() {
    let world = World::new().await;
    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    world.production.faults().add(Fault::new(denied).on(Kind::TagList).path("prod/one"));
    for confirm in ["--confirm=false", "--confirm"] {
        let ran = world.cip(&[confirm, "--log-format=json"]);
        assert_eq!(ran.code, 30, "{}", ran.stderr);
        let all = lines(&ran);
        let failed = with(&all, "image");
        assert_eq!(failed.len(), 1, "{}", ran.stderr);
        assert!(failed[0]["image"].as_str().unwrap().contains("staging/one@"), "{}", failed[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_a_command_is_a_line() {
    let world = World::new().await;
    let manifest = world.path("manifest.yaml");
    let broken = world.desk.write("broken.yaml", "registries: [\n").display().to_string();
    let json = ["--log-format", "json"];
    for (words, code) in [
        (&["cip", "--manifest", "no-such-file.yaml"][..], 10),
        (&["cip", "--manifest", &broken], 10),
        (&["cip", "--manifest", &manifest, "--config", &broken], 10),
        (&["cip", "--manifest", &manifest, "--report", "no/such/folder/r.html"], 10),
        (&["cip", "--manifest", &manifest, "--parse-only", "--report", "r.html"], 2),
        (&["cip", "--manifest", &manifest, "--no-such-flag"], 2),
        (&["cip", "--confirm=perhaps"], 2),
        (&["no-such-command"], 2),
        (&["lint", "no-such-folder"], 10),
        (&["verify", "127.0.0.1:1/app:v1"], 2),
        (&["report", "merge", "-", "no-such-file.json"], 10),
        (&["report", "merge", "-"], 2),
        (&["manifest", "add", "app", "v1", "not-a-digest"], 2),
    ] {
        let ran = kpromo_with(&[&json[..], words].concat());
        assert_eq!(ran.code, code, "{words:?}: {}", ran.stderr);
        assert!(!lines(&ran).is_empty(), "{words:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_registry_is_a_line_with_advice() {
    let world = World::new().await;
    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    world.staging.faults().add(Fault::new(denied.clone()));
    world.production.faults().add(Fault::new(denied));
    let ran = world.cip(&["--confirm", "--log-format", "json", "--log-level", "debug"]);
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    let all = lines(&ran);
    assert!(with(&all, "advice").iter().any(|fields| fields["error"].is_string()), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_succeeds_has_no_line_about_its_exit_code_and_text_stays_text() {
    let world = World::new().await;
    let ran = world.cip(&["--confirm", "--log-format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(with(&lines(&ran), "exitCode").is_empty(), "{}", ran.stderr);
    let ran = world.cip(&["--manifest", "no-such-file.yaml"]);
    assert!(ran.code == 10 && ran.stderr.starts_with("error: "), "{}", ran.stderr);
}
