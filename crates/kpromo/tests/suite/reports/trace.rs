//! The OpenTelemetry trace of a run.

use crate::reports::world::World;
use crate::support::collector::{Collector, Manner, trace, warnings};
use crate::support::{Ran, kpromo, run};

/// Runs a confirmed promotion with a credential for the collector.
fn traced(world: &World, endpoint: &str, flags: &[&str]) -> Ran {
    let mut command = kpromo(None);
    command.args(["cip", "--sign=false", "--confirm", "--manifest"]).arg(world.desk.path("manifest.yaml"));
    command.args(["--report", &world.path("report.json")]).args(flags);
    trace(&mut command, endpoint);
    run(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_receives_the_run_its_phases_and_its_images() {
    let (world, collector) = (World::new().await, Collector::start(Manner::Accept));
    world.refuse("prod/two", "not you");
    let ran = traced(&world, &collector.url, &["--log-level", "trace"]);
    assert_eq!((ran.code, warnings(&ran)), (30, Vec::new()), "{}", ran.stderr);
    let (heads, spans) = collector.received();
    assert!(!heads.is_empty());
    for head in heads {
        assert!(head.starts_with("post /v1/traces "), "{head}");
        for header in ["content-type: application/x-protobuf", "authorization: bearer hush", "x-team: releng"]
        {
            assert!(head.contains(header), "{header}: {head}");
        }
    }
    let report = world.desk.json("report.json");
    let promoted = report["promoted"][0]["source"].as_str().unwrap();
    let failed = report["failed"][0]["source"].as_str().unwrap();
    for text in
        ["kpromo cip", "setup", "plan", "promote", "promote image", promoted, failed, "not you", "exit.code"]
    {
        assert!(spans.contains(text), "{text}: {spans}");
    }
    assert_eq!(spans.matches("promote image").count(), 2, "a span for each image");
    let host = collector.url.strip_prefix("http://").unwrap();
    assert!(report["registries"].get(host).is_none(), "a collector is not a registry");
    assert!(!ran.stderr.contains("hush") && !ran.stdout.contains("hush"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_fails_is_one_warning_and_changes_nothing_else() {
    for manner in [Manner::Fail, Manner::Hang] {
        let (world, collector) = (World::new().await, Collector::start(manner));
        let ran = traced(&world, &collector.url, &[]);
        assert_eq!((ran.code, warnings(&ran).len()), (0, 1), "{}", ran.stderr);
        assert!(!ran.stderr.contains("hush"), "{}", ran.stderr);
        assert_eq!(world.desk.json("report.json")["outcome"], "done");
        assert!(!collector.received().0.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_cannot_be_used_is_one_warning() {
    for endpoint in ["http://127.0.0.1:1", "127.0.0.1:4317", "https://user:hush@127.0.0.1:1"] {
        let world = World::new().await;
        let ran = traced(&world, endpoint, &[]);
        assert_eq!((ran.code, warnings(&ran).len()), (0, 1), "{endpoint}: {}", ran.stderr);
        assert!(!ran.stderr.contains("hush"), "{}", ran.stderr);
    }
}
