//! `kpromo report merge`.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use http::StatusCode;
use registry::Kind;
use serde_json::{Value, json};

use crate::support::{kpromo, kpromo_with, schema};
use crate::world::World;

/// Returns the reports of two runs over the same manifest: the first promotes one image and fails for the other, the second
/// promotes what is left.
async fn two_runs() -> (World, Value, Value) {
    let world = World::new().await;
    world.refuse("prod/two", "no");
    let (ran, first) = world.report(&["--confirm"]);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    fs::rename(world.path("report.json"), world.path("first.json")).unwrap();
    world.production.faults().clear();
    World::answer(&world.production, StatusCode::TOO_MANY_REQUESTS, Kind::ManifestPut, 1);
    let (ran, second) = world.report(&["--confirm"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    (world, first, second)
}

fn number(report: &Value, pointer: &str) -> u64 {
    report.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer}: {report:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_added_lists_are_joined_and_the_worst_end_counts() {
    let (world, first, second) = two_runs().await;
    let [one, two, out] = ["first.json", "report.json", "merged.json"].map(|name| world.path(name));
    // The first report twice: what it lists is there once.
    let ran = kpromo_with(&["report", "merge", &out, &two, &one, &one]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    let merged = world.desk.json("merged.json");
    assert_eq!((&merged["outcome"], &merged["exitCode"]), (&"failed".into(), &30.into()));
    assert_eq!((&merged["started"], &merged["confirmed"]), (&first["started"], &true.into()));
    assert_eq!(number(&merged, "/totals/promoted"), 2);
    assert_eq!(merged["promoted"].as_array().unwrap().len(), 2);
    assert_eq!((number(&merged, "/totals/failed"), merged["failed"].as_array().unwrap().len()), (1, 1));
    let sum = |pointer: &str| 2 * number(&first, pointer) + number(&second, pointer);
    let host = world.production.host().to_string();
    for pointer in [
        "/totals/tagged".to_owned(),
        "/totals/blobsSent".to_owned(),
        "/plan/total/edges".to_owned(),
        format!("/plan/hosts/{host}/copy"),
        format!("/registries/{host}/sent"),
        format!("/registries/{host}/refused"),
    ] {
        assert_eq!(number(&merged, &pointer), sum(&pointer), "{pointer}");
    }
    for phase in merged["phaseSeconds"].as_object().unwrap().keys() {
        let longest = [&first, &second].map(|report| report["phaseSeconds"][phase].as_f64().unwrap_or(0.0));
        assert_eq!(merged["phaseSeconds"][phase].as_f64(), Some(longest[0].max(longest[1])), "{phase}");
    }
    let elapsed = merged["elapsedSeconds"].as_f64().unwrap();
    assert!(elapsed >= second["elapsedSeconds"].as_f64().unwrap(), "{elapsed}");
    let shards = merged["shards"].as_array().unwrap();
    let codes: Vec<&Value> = shards.iter().map(|shard| &shard["exitCode"]).collect();
    assert_eq!(codes, [0, 30, 30]);
    assert_eq!(shards[0]["name"], two.as_str());
    let requests = |report: &Value| {
        let list = report["timeline"]["hosts"][&host]["requests"].as_array().unwrap().clone();
        list.iter().map(|number| number.as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(requests(&merged), 2 * requests(&first) + requests(&second));

    // A merged report can be merged again, and its runs are not nested.
    let again = world.path("again.json");
    assert_eq!(kpromo_with(&["report", "merge", &again, &out]).code, 0);
    assert_eq!(world.desk.json("again.json"), merged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_comes_from_standard_input_and_goes_to_standard_output_or_a_page() {
    let (world, first, _) = two_runs().await;
    let mut command = kpromo(None);
    command.args(["report", "merge", "-", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(first.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let merged: Value = serde_json::from_slice(&output.stdout).unwrap();
    schema::is_strict("report", &merged);
    assert_eq!((&merged["failed"], &merged["totals"]), (&first["failed"], &first["totals"]));

    let page = world.path("merged.html");
    let ran = kpromo_with(&["report", "merge", &page, &world.path("first.json"), &world.path("report.json")]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("<h2>Runs</h2>") && page.contains("first.json"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_other_schemas_are_refused_and_nothing_is_written() {
    let (world, first, _) = two_runs().await;
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut report = first.clone();
        change(&mut report);
        report.to_string()
    };
    for (text, expected) in [
        (changed(&|report| report["schema"] = json!(2)), "schema has version 2"),
        (changed(&|report| report["new"] = json!(1)), "unknown field `new`"),
        (changed(&|report| drop(report.as_object_mut().unwrap().remove("totals"))), "missing field `totals`"),
        (changed(&|report| report["elapsedSeconds"] = json!(-1)), "elapsedSeconds"),
        (changed(&|report| report["phaseSeconds"]["plan"] = json!(1e300)), "phaseSeconds"),
        (changed(&|report| report["timeline"]["bucketMilliseconds"] = json!(0)), "timeline"),
        (changed(&|report| report["totals"]["promoted"] = json!(-1)), "invalid value"),
        ("{}".to_owned(), "missing field `schema`"),
        ("<html>".to_owned(), "not a report of kpromo"),
        (String::new(), "not a report of kpromo"),
        ("[".repeat(100_000), "not a report of kpromo"),
    ] {
        let bad = world.desk.write("bad.json", &text).display().to_string();
        let out = world.path("out.json");
        let ran = kpromo_with(&["report", "merge", &out, &world.path("first.json"), &bad]);
        assert_eq!(ran.code, 10, "{expected}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("bad.json") && ran.stderr.contains(expected),
            "{expected}: {}",
            ran.stderr
        );
        assert!(!world.desk.names().contains(&"out.json".to_owned()), "{expected}");
    }
    let huge = changed(&|report| report["totals"]["tagged"] = json!(u64::MAX));
    let huge = world.desk.write("huge.json", &huge).display().to_string();
    assert_eq!(kpromo_with(&["report", "merge", "-", &huge, &huge]).code, 0, "sums do not overflow");
}
