//! Which releases are found, and with how many requests.

use testkit::{GitHubQuirks, GitHubRelease};

use super::scene::{Scene, TOKEN, asset, expected, release};
use crate::support::run;

#[test]
fn all_pages_are_read_without_drafts_and_without_following_addresses() {
    let mut releases: Vec<GitHubRelease> =
        (1..=230).map(|id| release(&format!("v{id}"), vec![asset(id, "f", 10)])).collect();
    releases[7].is_draft = true;
    releases[8].is_prerelease = true;
    let scene = Scene::new(releases.clone());
    let mut command = scene.command(&scene.github.api_url(), &["--dry-run"]);
    command.env("GITHUB_TOKEN", TOKEN);
    let ran = run(command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let pages: Vec<String> =
        (1..=3).map(|page| format!("acme/tool/releases?per_page=100&limit=100&page={page} 200")).collect();
    assert_eq!(scene.api_requests(), pages);
    assert_eq!(ran.stdout.lines().count(), 228);
    assert!(!ran.stdout.contains("/v8/") && !ran.stdout.contains("/v9/"));
    let ran = scene.run(&["--dry-run", "--include-prereleases"]);
    assert_eq!(ran.stdout.lines().count(), 229);
}

/// Other forges and proxies write links otherwise than GitHub, or cut pages without one.
#[test]
fn a_list_is_whole_whichever_way_its_pages_are_linked() {
    let releases: Vec<GitHubRelease> =
        (1..=130).map(|id| release(&format!("v{id}"), vec![asset(id, "f", 10)])).collect();
    let relations = ["rel=next", "REL=\"next\"", "rel = \"last next\""];
    let linked = relations.map(|relation| (Some(relation), None));
    for (next_relation, page_max) in linked.into_iter().chain([(None, Some(50))]) {
        let scene = Scene::new(releases.clone());
        scene.github.set(GitHubQuirks { next_relation, page_max, ..GitHubQuirks::default() });
        let ran = scene.run(&["--dry-run"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(ran.stdout.lines().count(), 130, "{next_relation:?} {page_max:?}");
    }
}

#[test]
fn a_digest_that_cannot_be_checked_is_no_reason_to_copy_unchecked() {
    for digest in ["sha512:ab", "sha256-ab", "md5:00"] {
        let mut odd = asset(1, "odd", 10);
        odd.digest = Some(digest.to_owned());
        let scene = Scene::new(vec![release("v1", vec![odd, asset(2, "good", 10)])]);
        let ran = scene.run(&[]);
        assert_eq!(ran.code, 30, "{}", ran.stderr);
        assert!(
            ran.stderr.contains(&format!("its digest is not one of SHA-256: {digest}")),
            "{}",
            ran.stderr
        );
        assert_eq!(scene.files().len(), 1);
    }
}

#[test]
fn a_release_of_many_assets_is_listed_by_itself() {
    let assets = (1..=150).map(|id| asset(id, &format!("f{id}"), 10)).collect();
    let releases = vec![release("v1", assets)];
    let scene = Scene::new(releases.clone());
    scene.github.set(GitHubQuirks { shown_assets: Some(100), ..GitHubQuirks::default() });
    let ran = scene.run(&["--tags", "v1"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(scene.files(), expected("acme/tool", &releases));
    let lists: Vec<String> =
        scene.api_requests().into_iter().filter(|request| !request.contains("/releases/assets/")).collect();
    assert_eq!(
        lists,
        [
            "acme/tool/releases/tags/v1 200",
            "acme/tool/releases/1/assets?per_page=100&limit=100&page=1 200",
            "acme/tool/releases/1/assets?per_page=100&limit=100&page=2 200",
        ]
    );
}

#[test]
fn a_list_that_never_ends_is_given_up() {
    for (quirks, requests, why) in [
        (GitHubQuirks { is_endless: true, ..GitHubQuirks::default() }, 100, "has more than 100 pages"),
        (GitHubQuirks { repeats_page: true, ..GitHubQuirks::default() }, 2, "repeats itself"),
    ] {
        let scene = Scene::new(vec![release("v1", vec![asset(1, "f", 10)])]);
        scene.github.set(quirks);
        let ran = scene.run(&[]);
        assert_eq!(ran.code, 20, "{}", ran.stderr);
        assert!(ran.stderr.contains(why) && ran.stderr.contains("nothing was written"), "{}", ran.stderr);
        assert_eq!(scene.api_requests().len(), requests);
        assert!(scene.files().is_empty());
    }
}

#[test]
fn unknown_tags_are_all_named_and_nothing_is_copied() {
    let scene = Scene::new(vec![release("v1", vec![asset(1, "f", 10)])]);
    let ran = scene.run(&["--tags", "v8,v1,v9"]);
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the release v8 of") && ran.stderr.contains("the release v9 of"),
        "{}",
        ran.stderr
    );
    assert_eq!(scene.reads(), 0);
}
