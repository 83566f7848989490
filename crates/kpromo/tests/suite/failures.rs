//! Failures, as the summary and the report count and list them.

use crate::support::{cip, google, scene};
use http::StatusCode;
use registry::{Effect, ErrorCode, Fault, Kind};

/// One of the two images has two tags, so three edges fail.
#[tokio::test(flavor = "multi_thread")]
async fn failures_of_the_plan_are_counted_by_image_in_the_summary_and_in_the_report() {
    let (_staging, production, desk) = scene().await;
    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    production.faults().add(Fault::new(denied).on(Kind::TagList));
    let spare = google().await;
    let manifest = std::fs::read_to_string(desk.path("manifest.yaml")).unwrap();
    let both = format!("- name: {}/prod\nimages:\n", spare.host());
    let manifest = desk.write("both.yaml", &manifest.replace("images:\n", &both));
    let report = desk.path("report.json");
    for confirm in ["--confirm=false", "--confirm"] {
        let flags = ["--manifest", manifest.to_str().unwrap(), confirm, "--report", report.to_str().unwrap()];
        let ran = cip(&flags);
        assert_eq!(ran.code, 30, "{}", ran.stderr);
        assert!(ran.stdout.contains("failed: 2\n"), "{}", ran.stdout);
        let messages = desk.json("report.json");
        let failed = messages["failed"].as_array().unwrap();
        assert_eq!((failed.len(), &messages["totals"]["failed"]), (2, &2.into()), "{confirm}: {messages:#}");
        assert_eq!(messages["plan"]["total"]["failed"], 3, "the plan counts edges");
        let tags: usize = failed.iter().map(|failed| failed["tags"].as_array().unwrap().len()).sum();
        assert_eq!(tags, 2, "{messages:#}");
        assert!(failed.iter().all(|failed| failed["error"].as_str().unwrap().contains("403")));
    }
}

/// Failures during the copy and earlier failures are in one list, in the same unit.
#[tokio::test(flavor = "multi_thread")]
async fn failures_of_the_plan_and_of_the_promotion_are_counted_together() {
    let (_staging, production, desk) = scene().await;
    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    production.faults().add(Fault::new(denied.clone()).on(Kind::TagList).path("prod/one"));
    production.faults().add(Fault::new(denied).on(Kind::ManifestPut).path("prod/two"));
    let (manifest, report) = (desk.path("manifest.yaml"), desk.path("report.json"));
    let ran =
        cip(&["--manifest", manifest.to_str().unwrap(), "--confirm", "--report", report.to_str().unwrap()]);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    assert!(ran.stdout.contains("failed: 2\n"), "{}", ran.stdout);
    let messages = desk.json("report.json");
    assert_eq!((messages["failed"].as_array().unwrap().len(), &messages["totals"]["failed"]), (2, &2.into()));
}
