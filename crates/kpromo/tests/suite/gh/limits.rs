//! Rate limits, tokens and redirects.

use std::fs::{self, File};
use std::process::{Child, Stdio};

use testkit::GitHubQuirks;

use super::interrupted::{interrupt, wait};
use super::scene::{Scene, TOKEN, asset, expected, release};
use crate::support::run;

#[test]
fn a_rate_limit_is_waited_for_as_long_as_github_says() {
    let releases = vec![release("v1", vec![asset(1, "a", 100)])];
    let scene = Scene::new(releases.clone());
    scene.github.set(GitHubQuirks { quota: Some(0), ..GitHubQuirks::default() });
    let ran = scene.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(scene.files(), expected("acme/tool", &releases));
    assert_eq!(scene.github.too_early(), 0, "no request came before the time");
    let statuses: Vec<u16> = scene.github.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [403, 200, 302, 200]);
}

#[test]
fn a_rate_limit_in_the_middle_of_copying_is_waited_for() {
    let releases = vec![release("v1", (1..=20).map(|id| asset(id, &format!("f{id}"), 100)).collect())];
    let scene = Scene::new(releases.clone());
    scene.github.set(GitHubQuirks { quota: Some(5), ..GitHubQuirks::default() });
    let ran = scene.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(scene.files(), expected("acme/tool", &releases));
}

#[test]
fn no_request_is_sent_after_the_last_one_that_the_rate_limit_permits() {
    for quota in [1, 2] {
        let releases = vec![release("v1", vec![asset(1, "a", 100), asset(2, "b", 100)])];
        let scene = Scene::new(releases.clone());
        // The requests for assets must come one after another, or the second one is under way when the first one is answered.
        scene.desk.write("one.yaml", &format!("hosts:\n  {}:\n    concurrency: 1\n", scene.github.host()));
        scene.github.set(GitHubQuirks {
            quota: Some(quota),
            announces_quota: true,
            ..GitHubQuirks::default()
        });
        let ran = scene.run(&["--registry-config", "one.yaml"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(scene.files(), expected("acme/tool", &releases));
        let refused = scene.github.requests().iter().filter(|request| request.status == 403).count();
        assert_eq!((scene.github.too_early(), refused), (0, 0));
    }
}

/// Starts a run whose requests will wait for an hour, and waits until it says so.
fn waiting(scene: &Scene) -> (Child, String) {
    let stderr = scene.desk.path("stderr");
    let mut command = scene.command(&scene.github.api_url(), &["--report", "report.json"]);
    let child = command.stdout(Stdio::null()).stderr(File::create(&stderr).unwrap()).spawn().unwrap();
    let said = || fs::read_to_string(&stderr).unwrap_or_default();
    wait("the run says that it waits", || said().contains("is used up"));
    (child, said())
}

#[test]
fn a_rate_limit_of_an_hour_is_waited_for_and_the_run_says_until_when() {
    let scene = Scene::new(vec![release("v1", vec![asset(1, "a", 100)])]);
    scene.github.set(GitHubQuirks { quota: Some(0), quota_seconds: Some(3_000), ..GitHubQuirks::default() });
    let (mut child, said) = waiting(&scene);
    let host = scene.github.host();
    let line = said.lines().find(|line| line.contains("is used up")).unwrap();
    assert!(
        line.contains(&format!("the rate limit of {host} is used up; 1 request waits until 20")),
        "{line}"
    );
    assert!(line.contains("Z (for 49 min") || line.contains("Z (for 50 min"), "{line}");
    interrupt(child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(scene.api_requests().len(), 1);
}

/// Nothing is written as long as GitHub gives nothing.
#[test]
fn an_interrupt_while_all_assets_wait_for_the_rate_limit_leaves_no_trace() {
    let scene = Scene::new(vec![release("v1", vec![asset(1, "a", 100), asset(2, "large", 20 << 20)])]);
    scene.github.set(GitHubQuirks { quota: Some(1), quota_seconds: Some(3_000), ..GitHubQuirks::default() });
    let (mut child, _) = waiting(&scene);
    interrupt(child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(scene.files().is_empty());
    let report = scene.desk.json("report.json");
    assert_eq!((&report["outcome"], &report["exitCode"]), (&"interrupted".into(), &130.into()));
}

#[test]
fn a_rate_limit_that_is_used_up_before_the_first_asset_is_one_of_an_unavailable_forge() {
    for announces_quota in [false, true] {
        let scene = Scene::new(vec![release("v1", vec![asset(1, "a", 100), asset(2, "large", 20 << 20)])]);
        let quirks = GitHubQuirks { quota: Some(1), quota_seconds: Some(3_000), ..GitHubQuirks::default() };
        scene.github.set(GitHubQuirks { announces_quota, ..quirks });
        let ran = scene.run(&["--timeout", "10m", "--report", "report.json"]);
        assert_eq!(ran.code, 20, "{}", ran.stderr);
        assert!(scene.files().is_empty());
        assert_eq!(scene.desk.json("report.json")["outcome"], "unavailable");
        if announces_quota {
            assert_eq!(scene.api_requests().len(), 1, "{}", ran.stderr);
        }
    }
}

#[test]
fn a_rate_limit_that_ends_after_the_run_ends_it_at_once_and_says_when_to_come_back() {
    let scene = Scene::new(vec![release("v1", vec![asset(1, "a", 100)])]);
    scene.github.set(GitHubQuirks { quota: Some(0), quota_seconds: Some(3_000), ..GitHubQuirks::default() });
    let ran = scene.run(&["--timeout", "10m"]);
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    assert!(ran.stderr.contains("API rate limit exceeded"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("again in 50 min") || ran.stderr.contains("again in 49 min"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("set $GITHUB_TOKEN"), "{}", ran.stderr);
    assert_eq!(scene.api_requests().len(), 1);
}

#[test]
fn a_rate_limit_of_an_hour_in_the_middle_leaves_what_is_complete() {
    let releases = vec![release("v1", (1..=20).map(|id| asset(id, &format!("f{id}"), 100)).collect())];
    let scene = Scene::new(releases.clone());
    scene.github.set(GitHubQuirks { quota: Some(5), quota_seconds: Some(3_000), ..GitHubQuirks::default() });
    let ran = scene.run(&["--timeout", "10m"]);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    let whole = expected("acme/tool", &releases);
    let files = scene.files();
    assert!(files.len() <= 4 && files.iter().all(|(name, content)| whole.get(name) == Some(content)));
    assert_eq!(scene.github.requests().iter().filter(|request| request.status == 302).count(), 4);
    scene.github.set(GitHubQuirks::default());
    let ran = scene.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(scene.files(), whole);
}

#[test]
fn a_token_that_is_wrong_or_lacks_a_scope_is_named() {
    let scene = Scene::new(vec![]);
    scene.github.repository("acme/tool", true, vec![release("v1", vec![asset(1, "a", 100)])]);
    let with = |token: &str| {
        let mut command = scene.command(&scene.github.api_url(), &[]);
        command.env("GITHUB_TOKEN", token);
        run(command)
    };
    let ran = with("wrong");
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    assert!(ran.stderr.contains("wrong or has expired"), "{}", ran.stderr);
    for (scopes, shown) in [("", "none"), ("gist, read:org", "gist, read:org")] {
        scene.github.set(GitHubQuirks { scopes: Some(scopes.to_owned()), ..GitHubQuirks::default() });
        let ran = with(TOKEN);
        assert_eq!(ran.code, 10, "{}", ran.stderr);
        let help = format!("needs a token with the scope `repo`, and the scopes of this one are {shown}");
        assert!(ran.stderr.contains(&help), "{}", ran.stderr);
    }
    let ran = scene.run(&[]);
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    assert!(ran.stderr.contains("a private repository needs a token"), "{}", ran.stderr);
    assert!(scene.files().is_empty());
}

#[test]
fn a_redirect_is_followed_only_where_it_may_go() {
    let scene = Scene::new(vec![release("v1", vec![asset(1, "a", 100)])]);
    for (to, why) in [
        ("https://169.254.169.254", "metadata service"),
        ("https://metadata.google.internal", "metadata service"),
        ("https://10.0.0.1", "not public"),
        ("http://10.0.0.1", "plain HTTP"),
        ("ftp://127.0.0.1", "only http and https"),
    ] {
        scene.github.set(GitHubQuirks { redirect_to: Some(to.to_owned()), ..GitHubQuirks::default() });
        let ran = scene.run(&[]);
        assert_eq!(ran.code, 30, "{to}: {}", ran.stderr);
        assert_eq!(scene.api_requests().len(), 2, "{to}: the list and one request for the asset");
        scene.github.forget_requests();
        assert!(ran.stderr.contains(why), "{to}: {}", ran.stderr);
        assert!(!ran.stderr.contains("hush"), "{to}: {}", ran.stderr);
    }
    assert!(scene.files().is_empty());
}
