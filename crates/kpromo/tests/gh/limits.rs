//! Rate limits, tokens and redirects.

use testkit::GitHubQuirks;

use super::scene::{Scene, TOKEN, asset, expected, release};
use super::support::run;

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
fn a_rate_limit_of_an_hour_ends_the_run_at_once_and_says_when_to_come_back() {
    let scene = Scene::new(vec![release("v1", vec![asset(1, "a", 100)])]);
    scene.github.set(GitHubQuirks { quota: Some(0), quota_seconds: Some(3_000), ..GitHubQuirks::default() });
    let ran = scene.run(&[]);
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
    let ran = scene.run(&[]);
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
        assert!(ran.stderr.contains(why), "{to}: {}", ran.stderr);
        assert!(!ran.stderr.contains("hush"), "{to}: {}", ran.stderr);
    }
    assert!(scene.files().is_empty());
}
