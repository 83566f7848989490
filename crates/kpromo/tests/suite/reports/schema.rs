//! Reports of all kinds of runs satisfy the schema, and nothing else does.

use std::time::Duration;

use http::StatusCode;
use registry::sample::Recipe;
use registry::{Effect, ErrorCode, Fault, Kind};
use serde_json::{Value, json};

use crate::reports::world::World;
use crate::support::{put, schema};

/// [`crate::support::Desk::json`] checks each report, and [`crate::support::run`] what is printed. So all tests check theirs.
#[tokio::test(flavor = "multi_thread")]
async fn runs_of_all_outcomes_have_a_report_that_satisfies_the_schema() {
    let world = World::new().await;
    let (_, dry) = world.report(&[]);
    assert_eq!((&dry["outcome"], &dry["shards"]), (&"dry-run".into(), &Value::Null));

    world.refuse("prod/two", "no");
    let (_, failed) = world.report(&["--confirm"]);
    assert_eq!((&failed["outcome"], &failed["exitCode"]), (&"failed".into(), &30.into()));
    assert_eq!(failed["promoted"][0]["project"], failed["failed"][0]["project"]);
    let project = failed["promoted"][0]["project"].as_str().unwrap();
    assert_eq!(failed["plan"]["projects"][project]["edges"], 3);
    assert_eq!(failed["plan"]["hosts"][world.production.host().as_str()], failed["plan"]["total"]);

    world.production.faults().clear();
    let (_, done) = world.report(&["--confirm"]);
    assert_eq!((&done["outcome"], done["promoted"].as_array().unwrap().len()), (&"done".into(), 1));
    let (_, nothing) = world.report(&["--confirm"]);
    assert_eq!(nothing["outcome"], "nothing-to-do");

    let other = Recipe { seed: 3, ..Recipe::default() }.image();
    put(&world.production, "prod/one", &other, &["v1"]).await;
    let (ran, refused) = world.report(&["--confirm"]);
    assert_eq!((ran.code, &refused["outcome"]), (11, &"refused".into()), "{}", ran.stderr);
    assert!(refused["error"].as_str().unwrap().contains("prod/one:v1"), "{refused:#}");

    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    world.staging.faults().add(Fault::new(denied.clone()));
    world.production.faults().add(Fault::new(denied));
    let (ran, unavailable) = world.report(&["--confirm"]);
    assert_eq!((ran.code, &unavailable["outcome"]), (20, &"unavailable".into()), "{}", ran.stderr);
    assert!(unavailable["advice"].is_string(), "{unavailable:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_the_schema_does_not_know_is_refused_at_every_depth() {
    let world = World::new().await;
    world.refuse("prod/two", "no");
    let (_, report) = world.report(&["--confirm"]);
    let host = world.production.host().to_string().replace('/', "~1");
    for place in [
        "".to_owned(),
        "/plan".to_owned(),
        "/plan/total".to_owned(),
        "/totals".to_owned(),
        "/examinedTotals".to_owned(),
        "/scanTotals".to_owned(),
        "/promoted/0".to_owned(),
        "/failed/0".to_owned(),
        "/skippedPhases/0".to_owned(),
        format!("/registries/{host}"),
        "/timeline".to_owned(),
        format!("/timeline/hosts/{host}"),
    ] {
        let mut strange = report.clone();
        let object = strange.pointer_mut(&place).unwrap_or_else(|| panic!("{place}: {report:#}"));
        object.as_object_mut().unwrap().insert("strange".to_owned(), json!(1));
        let error = schema::check("report", &strange).expect_err(&place);
        assert!(error.contains("strange"), "{place}: {error}");
    }
    let mut other = report.clone();
    other["schema"] = json!(2);
    assert!(schema::check("report", &other).is_err());
    other["schema"] = json!(1);
    other["outcome"] = json!("perfect");
    assert!(schema::check("report", &other).is_err());
    schema::is_strict("report", &report);
}

/// The numbers of the timeline are those of the totals, so nothing is lost and nothing is counted twice.
#[tokio::test(flavor = "multi_thread")]
async fn the_timeline_adds_up_to_the_requests_of_each_registry() {
    let world = World::new().await;
    World::answer(&world.production, StatusCode::TOO_MANY_REQUESTS, Kind::ManifestPut, 3);
    World::answer(&world.staging, StatusCode::BAD_GATEWAY, Kind::ManifestGet, 1);
    world.staging.faults().add(Fault::new(Effect::Reset).on(Kind::BlobGet).times(1));
    let (ran, report) = world.report(&["--confirm"]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let sum = |numbers: &Value| {
        let numbers = numbers.as_array().map(Vec::as_slice).unwrap_or_default();
        numbers.iter().map(|number| number.as_u64().unwrap()).sum::<u64>()
    };
    let (mut refused, mut faults, mut unanswered) = (0, 0, 0);
    for (host, traffic) in report["registries"].as_object().unwrap() {
        let timeline = &report["timeline"]["hosts"][host];
        let requests: u64 =
            traffic["requests"].as_object().unwrap().values().map(|number| number.as_u64().unwrap()).sum();
        assert_eq!(sum(&timeline["requests"]), requests, "{host}");
        for field in ["refused", "faults", "unanswered"] {
            assert_eq!(sum(&timeline[field]), traffic[field].as_u64().unwrap(), "{host}: {field}");
        }
        refused += sum(&timeline["refused"]);
        faults += sum(&timeline["faults"]);
        unanswered += sum(&timeline["unanswered"]);
    }
    assert!(refused >= 1 && faults >= 1 && unanswered >= 1, "{report:#}");
    let width = report["timeline"]["bucketMilliseconds"].as_u64().unwrap();
    assert!(width.is_multiple_of(100) && (width / 100).is_power_of_two(), "{width}");
    assert!(Duration::from_millis(width) < Duration::from_secs(60), "a run of seconds has narrow buckets");
}
