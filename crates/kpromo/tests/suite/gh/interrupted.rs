//! Runs that are killed or interrupted.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testkit::{Asked, Fault, GitHubQuirks, GitHubRelease, Relay, VersityGw};

use super::scene::{Scene, asset, expected, release};
use crate::files::stores::REGION;
use crate::support::{CONCURRENCY, run};

fn releases() -> Vec<GitHubRelease> {
    (0..6)
        .map(|number| {
            let asset = |index: u64| {
                asset(number * 10 + index, &format!("f{index}"), if index == 0 { 9 << 20 } else { 3_000 })
            };
            release(&format!("v{number}"), (0..5).map(asset).collect())
        })
        .collect()
}

pub(crate) fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_run_that_is_killed_anywhere_leaves_whole_files_and_the_next_one_completes() {
    let (scene, releases) = (Scene::new(releases()), releases());
    let whole = expected("acme/tool", &releases);
    for after in [1, 8, 20, 35, 50] {
        scene.github.forget_requests();
        let mut command = scene.command(&scene.github.api_url(), &[]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait("requests are sent", || {
            scene.github.requests().len() >= after || child.try_wait().unwrap().is_some()
        });
        let _ = child.kill();
        child.wait().unwrap();
        for (name, content) in scene.files() {
            assert!(whole.get(&name) == Some(&content), "{name} is not whole");
        }
    }
    let ran = scene.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(scene.files(), whole);
}

pub(crate) fn interrupt(process: u32) {
    let killed = Command::new("kill").args(["-INT", &process.to_string()]).status().unwrap();
    assert!(killed.success());
}

#[test]
fn an_interrupt_while_github_is_asked_ends_the_run_without_a_trace() {
    let scene = Scene::new(releases());
    let relay = Relay::start(&scene.github.host(), |_| Fault::Hang);
    let mut command = scene.command(&format!("http://{}/api", relay.host()), &["--report", "report.json"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait("the list is asked for", || relay.count("GET", "releases") > 0);
    interrupt(child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(scene.files().is_empty());
    assert_eq!(scene.desk.json("report.json")["outcome"], "interrupted");
}

#[test]
fn an_interrupt_in_the_middle_of_an_asset_leaves_nothing_of_it() {
    let scene = Scene::new(vec![release("v1", vec![asset(1, "large", 40 << 20), asset(2, "small", 100)])]);
    // The content comes so slowly that it would take minutes.
    let slow =
        |asked: &Asked| if asked.target.contains("/tool/1?") { Fault::Drip(2_000) } else { Fault::None };
    let objects = Relay::start(&scene.github.objects_host(), slow);
    let redirect_to = Some(format!("http://{}", objects.host()));
    scene.github.set(GitHubQuirks { redirect_to, ..GitHubQuirks::default() });
    let mut command = scene
        .command(&scene.github.api_url(), &["--report", "report.json", "--files-manifest", "files.yaml"]);
    // Both assets come at once, so that one is complete while the other one is not.
    command.env(CONCURRENCY, "2");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait("the small one is there", || scene.files().contains_key("acme/tool/v1/small"));
    wait("the large one is asked for", || objects.count("GET", "/tool/1?") > 0);
    interrupt(child.id());
    assert_eq!(child.wait().unwrap().code(), Some(32));
    assert_eq!(scene.files().into_keys().collect::<Vec<_>>(), ["acme/tool/v1/small"]);
    let report = scene.desk.json("report.json");
    assert_eq!((&report["outcome"], &report["totals"]["notBegun"]), (&"interrupted".into(), &1.into()));
    assert!(!scene.desk.path("files.yaml").exists());
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn an_interrupt_in_the_middle_of_an_upload_in_parts_aborts_it() {
    let scene = Scene::new(vec![release("v1", vec![asset(1, "large", 40 << 20)])]);
    let s3 = VersityGw::start(&["prod"], REGION);
    // The third part is never answered.
    let relay = Relay::start(s3.host(), |asked| {
        if asked.target.contains("partNumber=3") { Fault::Hang } else { Fault::None }
    });
    let flags = ["--org", "acme", "--repo", "tool", "--bucket", "s3://prod"];
    let mut command = scene.command_at(&scene.github.api_url(), "127.0.0.1:1", &relay.host(), &flags);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait("the third part is sent", || relay.count("PUT", "partNumber=3") > 0);
    assert!(s3.parts("prod") > 0, "parts are in the store");
    interrupt(child.id());
    assert_eq!(child.wait().unwrap().code(), Some(32));
    assert_eq!(relay.count("DELETE", "uploadId="), 1);
    assert_eq!(s3.parts("prod"), 0, "nothing is left");
    assert!(s3.get("prod", "acme/tool/v1/large").is_none());
    let ran = run(scene.command_at(&scene.github.api_url(), "127.0.0.1:1", s3.host(), &flags));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(s3.get("prod", "acme/tool/v1/large").is_some());
    assert!(fs::metadata(scene.desk.path("bucket")).is_ok());
}
