//! `--report FILE.html`.

use std::fs;

use crate::reports::world::World;
use crate::support::html::{HOSTILE, is_accessible, is_self_contained};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_writes_a_page_and_json_of_the_same_report() {
    let world = World::new().await;
    world.refuse("prod/two", HOSTILE);
    let (json, page) = (world.path("report.json"), world.path("report.html"));
    let ran = world.cip(&["--confirm", "--report", &json, "--report", &page]);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    let report = world.desk.json("report.json");
    let page = fs::read_to_string(page).unwrap();
    for heading in ["Failures", "By project", "By destination", "By phase", "Registries", "Promoted images"] {
        assert!(page.contains(&format!("<h2>{heading}</h2>")), "{heading}: {page}");
    }
    let failures = page.find("<h2>Failures</h2>").unwrap();
    assert!(failures < page.find("<h2>By project</h2>").unwrap(), "failures come first");
    for text in [
        report["failed"][0]["destination"].as_str().unwrap(),
        report["promoted"][0]["destination"].as_str().unwrap(),
        world.production.host().as_str(),
        world.staging.host().as_str(),
        "exit code 30",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("<script>document"), "a message is text: {page}");
    assert!(page.contains("&lt;script&gt;document.title="), "a message is shown: {page}");
    assert_eq!(page.matches("<script").count(), 1, "the page has its own script alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_needs_no_other_file_and_allows_no_other_script() {
    let world = World::new().await;
    let path = world.path("report.HTML");
    assert_eq!(world.cip(&["--confirm", "--report", &path]).code, 0);
    is_self_contained(&fs::read_to_string(path).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_can_be_read_by_assistive_technology() {
    let world = World::new().await;
    world.refuse("prod/two", "no");
    let path = world.path("report.html");
    assert_eq!(world.cip(&["--confirm", "--report", &path]).code, 30);
    is_accessible(&fs::read_to_string(path).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_report_is_checked_before_the_first_request() {
    let world = World::new().await;
    let (good, bad) = (world.path("report.html"), world.path("no/such/directory/report.html"));
    for flags in [["--report", &good, "--report", &bad], ["--report", &good, "--metrics", &bad]] {
        let ran = world.cip(&flags);
        assert_eq!(ran.code, 10, "{}", ran.stderr);
        assert!(ran.stderr.contains("no/such/directory"), "{}", ran.stderr);
    }
    let asked = world.staging.tally().snapshot().total() + world.production.tally().snapshot().total();
    assert_eq!((asked, world.desk.names()), (0, vec!["manifest.yaml".to_owned()]));
    let ran = world.cip(&["--parse-only", "--metrics", &good]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("remove --metrics"), "{}", ran.stderr);
}
