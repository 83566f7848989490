//! `--log-format json`: every line of standard error is a JSON object, errors included.

use std::process::Command;
use std::time::Duration;

use http::StatusCode;
use registry::sample::Recipe;
use registry::{Effect, ErrorCode, Fault, Kind, Watch};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::reports::world::World;
use crate::support::{Desk, Ran, kpromo, kpromo_with, put, schema};

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
        (&["cip", "--manifest", &manifest, "--report", "no/such/directory/r.html"], 10),
        (&["cip", "--manifest", &manifest, "--parse-only", "--report", "r.html"], 2),
        (&["cip", "--manifest", &manifest, "--no-such-flag"], 2),
        (&["cip", "--confirm=perhaps"], 2),
        (&["no-such-command"], 2),
        (&["lint", "no-such-directory"], 10),
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

/// Returns the `error` of the line with the exit code.
fn last(ran: &Ran) -> String {
    let lines = lines(ran);
    for line in &lines {
        let fields = &line["fields"];
        assert!(line["level"] != "ERROR" || fields["error"].is_string(), "no error: {line}");
        for text in [&fields["error"], &fields["message"]].into_iter().filter_map(Value::as_str) {
            assert!(!text.contains('\n') && !text.contains("error: "), "{line}");
        }
    }
    lines.last().unwrap()["fields"]["error"].as_str().unwrap().to_owned()
}

#[test]
fn each_fault_of_a_file_is_a_line_with_its_place() {
    let desk = Desk::new();
    let manifest = "registries:\n- nmae: r.example/s\n  src: true\n- name: r.example/p\nimages: 3\n";
    let manifest = desk.write("manifest.yaml", manifest).display().to_string();
    let config = desk.write("kpromo.yaml", "signing:\n  acount: a@b.c\n").display().to_string();
    let good = "registries:\n- {name: r.example/s, src: true}\n- {name: r.example/p}\nimages: []\n";
    let good = desk.write("good.yaml", good).display().to_string();
    for (words, file, at, advice) in [
        (&["cip", "--manifest", &manifest][..], &manifest, (2, 3), "did you mean `name`?"),
        (&["verify", "--manifest", &manifest], &manifest, (2, 3), "did you mean `name`?"),
        (&["snapshot", "--manifest", &manifest, "r.example"], &manifest, (2, 3), "did you mean `name`?"),
        (
            &["manifest", "add", "app", "v1", &format!("sha256:{}", "a".repeat(64)), &manifest],
            &manifest,
            (2, 3),
            "",
        ),
        (&["cip", "--manifest", &good, "--config", &config], &config, (2, 3), ""),
        (&["sigcheck", "--config", &config], &config, (2, 3), ""),
        (&["gh", "--config", &config], &config, (1, 1), ""),
    ] {
        let ran = kpromo_with(&[&["--log-format", "json"], words].concat());
        assert_eq!(ran.code, 10, "{words:?}: {}", ran.stderr);
        last(&ran);
        let lines = lines(&ran);
        let faults = with(&lines, "file");
        let fault = faults.first().unwrap_or_else(|| panic!("{words:?}: {}", ran.stderr));
        assert_eq!(fault["file"], file.as_str(), "{words:?}");
        assert_eq!((&fault["line"], &fault["column"]), (&at.0.into(), &at.1.into()), "{fault}");
        assert!(fault["advice"].as_str().unwrap_or_default().contains(advice), "{fault}");
    }
    let ran = kpromo_with(&["cip", "--log-format", "json", "--manifest", &manifest]);
    assert_eq!(last(&ran), "3 errors in 1 file; nothing was promoted", "{}", ran.stderr);
    let ran = kpromo_with(&["cip", "--manifest", &manifest]);
    assert!(ran.stderr.ends_with("error: 3 errors in 1 file; nothing was promoted\n"), "{}", ran.stderr);
}

#[test]
fn the_last_line_says_what_happened() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap().to_string();
    let desk = Desk::new();
    let out = desk.path("out.json").display().to_string();
    for (words, code, expected) in [
        (&["registry", "serve", "--listen", &address][..], 1, "in use"),
        (&["report", "merge", &out, "nope"], 10, "nope cannot be read"),
        (&["manifest", "files", "--src", "/nope"], 10, "/nope"),
        (&["cip", "--manifest", "nope.yaml"], 10, "1 error in 1 file; nothing was promoted"),
    ] {
        let ran = kpromo_with(&[&["--log-format", "json"], words].concat());
        assert_eq!(ran.code, code, "{words:?}: {}", ran.stderr);
        assert!(last(&ran).contains(expected), "{words:?}: {}", ran.stderr);
    }
    for (words, error, advice) in [
        (
            &["cip", "--mainfest", "x"][..],
            "unexpected argument '--mainfest' found",
            "did you mean `--manifest`?",
        ),
        (
            &["cip", "--dry-run=false"],
            "`kpromo cip` has no flag `--dry-run` any more",
            "Use `--confirm` to promote",
        ),
        (&["cip", "--timeout", "x"], "expected a duration with its unit", ""),
        (&[], "a command is missing: ", ""),
        (&["run"], "a command is missing: files", ""),
    ] {
        let ran = kpromo_with(&[&["--log-format=json"], words].concat());
        assert_eq!(ran.code, 2, "{words:?}: {}", ran.stderr);
        let lines = lines(&ran);
        let fields = &lines[0]["fields"];
        let error_is = fields["error"].as_str().unwrap();
        assert!(error_is.contains(error), "{words:?}: {fields}");
        assert!(
            !error_is.contains("Usage") && !error_is.contains("help") && !error_is.contains("reference"),
            "{fields}"
        );
        assert!(fields["advice"].as_str().unwrap_or_default().contains(advice), "{fields}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_image_in_conflict_is_a_line_with_its_image() {
    let world = World::new().await;
    assert_eq!(world.cip(&["--confirm"]).code, 0);
    let other = Recipe { seed: 7, ..Recipe::default() }.image();
    for name in ["one", "two"] {
        put(&world.production, &format!("prod/{name}"), &other, &["v1", "latest"]).await;
    }
    let ran = world.cip(&["--log-format", "json"]);
    assert_eq!(ran.code, 11, "{}", ran.stderr);
    assert_eq!(last(&ran), "the plan cannot be carried out; nothing was promoted");
    let all = lines(&ran);
    let images = with(&all, "image");
    assert_eq!(images.len(), 2, "v1 and latest of one: {}", ran.stderr);
    for fields in images {
        assert!(fields["image"].as_str().unwrap().contains("/prod/one:"), "{fields}");
        assert!(fields["advice"].as_str().unwrap().contains("never move"), "{fields}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_image_is_to_be_pushed_again() {
    let world = World::new().await;
    let lost = Recipe { seed: 8, ..Recipe::default() }.image().digest();
    let text = std::fs::read_to_string(world.desk.path("manifest.yaml")).unwrap();
    world.desk.write("manifest.yaml", &format!("{text}- name: gone\n  dmap:\n    \"{lost}\": [v1]\n"));
    let ran = world.cip(&["--strict"]);
    assert_eq!(ran.code, 11, "{}", ran.stderr);
    assert!(ran.stderr.contains("push the image to staging again, or remove its entry"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("never move"), "{}", ran.stderr);
}

/// Sends a signal to a run that waits for a registry, and returns how the run ends.
async fn signalled(signal: &str, words: &[&str], hanging: &Watch) -> Ran {
    let before = hanging.struck();
    let mut command = kpromo(None);
    command.args(words);
    let (out, err) = (NamedTempFile::new().unwrap(), NamedTempFile::new().unwrap());
    let mut child = command.stdout(out.reopen().unwrap()).stderr(err.reopen().unwrap()).spawn().unwrap();
    while hanging.struck() == before {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let code = child.wait().unwrap().code();
    let read = |file: &NamedTempFile| std::fs::read_to_string(file.path()).unwrap();
    Ran { code: code.unwrap_or(-1), stdout: read(&out), stderr: read(&err) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_command_with_its_line() {
    let world = World::new().await;
    let (manifest, key) = (world.path("manifest.yaml"), world.desk.key_pair());
    let key = key.with_extension("pub").display().to_string();
    let image = format!("{}/staging/one:v1", world.staging.host());
    let report = world.path("report.json");
    let json = ["--log-format", "json"];
    let hanging = world.staging.faults().add(Fault::new(Effect::Hang));
    let verify = [&json[..], &["verify", "--verification-key", &key, &image]].concat();
    let ran = signalled("-INT", &verify, &hanging).await;
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    assert!(last(&ran).starts_with("interrupted; "), "{}", ran.stderr);
    assert!(ran.stderr.contains("not all images were verified"), "{}", ran.stderr);
    let cip = [&json[..], &["cip", "--sign=false", "--manifest", &manifest, "--report", &report]].concat();
    let ran = signalled("-HUP", &cip, &hanging).await;
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    assert!(last(&ran).starts_with("interrupted; "), "{}", ran.stderr);
    assert_eq!(world.desk.json("report.json")["exitCode"], 130);
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
