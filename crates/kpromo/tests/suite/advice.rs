//! The advice of `kpromo cip` on errors of registries.

use crate::support::{cip, google, scene};
use http::StatusCode;
use registry::{Effect, ErrorCode, Fault, Kind, Server};

/// Makes a registry refuse requests of a kind with 403.
fn deny(server: &Server, kind: Kind) {
    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    server.faults().add(Fault::new(denied).on(kind));
}

fn lines_of_help(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.trim_start().starts_with("help: ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_is_printed_once_in_the_summary_and_with_each_failure_in_the_report() {
    let (_staging, production, desk) = scene().await;
    deny(&production, Kind::ManifestPut);
    let (manifest, report) = (desk.path("manifest.yaml"), desk.path("report.json"));
    let (manifest, report) = (manifest.to_str().unwrap(), report.to_str().unwrap());
    let ran = cip(&["--manifest", manifest, "--confirm", "--report", report]);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    assert!(ran.stdout.contains("failed: 2"), "{}", ran.stdout);
    let help = lines_of_help(&ran.stdout);
    assert_eq!(help.len(), 1, "{}", ran.stdout);
    assert!(!lines_of_help(&ran.stderr).is_empty(), "{}", ran.stderr);
    for failed in desk.json("report.json")["failed"].as_array().unwrap() {
        let (error, advice) = (failed["error"].as_str().unwrap(), failed["advice"].as_str().unwrap());
        assert!(error.contains("403") && !error.contains(advice), "{failed}");
        assert_eq!(help, [format!("help: {advice}")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_about_a_partly_failed_plan_is_printed_once() {
    let (_staging, production, desk) = scene().await;
    deny(&production, Kind::TagList);
    let spare = google().await;
    let manifest = std::fs::read_to_string(desk.path("manifest.yaml")).unwrap();
    let both = format!("- name: {}/prod\nimages:\n", spare.host());
    let manifest = desk.write("both.yaml", &manifest.replace("images:\n", &both));
    let ran = cip(&["--manifest", manifest.to_str().unwrap()]);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    let warnings =
        ran.stderr.lines().filter(|line| line.contains(" and 2 others cannot be promoted: ")).count();
    assert_eq!((warnings, lines_of_help(&ran.stderr).len()), (1, 1), "of one cause: {}", ran.stderr);
    assert_eq!(lines_of_help(&ran.stdout).len(), 1, "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_about_a_failed_run_follows_its_error() {
    let (staging, production, desk) = scene().await;
    deny(&staging, Kind::TagList);
    deny(&production, Kind::TagList);
    let (manifest, report) = (desk.path("manifest.yaml"), desk.path("report.json"));
    let (manifest, report) = (manifest.to_str().unwrap(), report.to_str().unwrap());
    let ran = cip(&["--manifest", manifest, "--report", report]);
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    let messages = desk.json("report.json");
    let advice = format!("\nhelp: {}\n", messages["advice"].as_str().unwrap());
    let (_, after) = ran.stderr.split_once("error: no image can be planned").unwrap();
    assert!(after.contains(&advice), "{}", ran.stderr);
    assert!(messages["error"].as_str().unwrap().contains("403"), "{messages}");
}
