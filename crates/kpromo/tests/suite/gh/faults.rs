//! What goes wrong between here and GitHub.

use testkit::{Asked, Fault, GitHubQuirks, GitHubRelease, Relay, flaky};

use super::scene::{Scene, asset, expected, old_asset, release};
use crate::support::run;

fn through(scene: &Scene, api: &Relay, objects: &Relay) -> std::process::Command {
    let redirect_to = Some(format!("http://{}", objects.host()));
    scene.github.set(GitHubQuirks { redirect_to, ..GitHubQuirks::default() });
    scene.command(&format!("http://{}/api", api.host()), &[])
}

#[test]
fn behind_relays_that_fail_everything_arrives_and_nothing_false() {
    let releases: Vec<GitHubRelease> = (0..12)
        .map(|release_id| {
            let asset = |index: u64| match index {
                0 => asset(release_id * 10, "large", 9 << 20),
                1 => old_asset(release_id * 10 + 1, "old", 20_000),
                _ => asset(release_id * 10 + index, &format!("f{index}"), 5_000),
            };
            release(&format!("v{release_id}"), (0..8).map(asset).collect())
        })
        .collect();
    let scene = Scene::new(releases.clone());
    let (api, objects) =
        (Relay::start(&scene.github.host(), flaky()), Relay::start(&scene.github.objects_host(), flaky()));
    let ran = run(through(&scene, &api, &objects));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(scene.files(), expected("acme/tool", &releases));
}

/// The rest of another version must not be joined to the start of the first one. Without a digest only the version tells.
#[test]
fn a_content_that_was_replaced_when_it_is_continued_is_not_written() {
    let releases = vec![release("v1", vec![old_asset(1, "old", 1 << 20)])];
    let scene = Scene::new(releases);
    let api = Relay::start(&scene.github.host(), |_| Fault::None);
    let cut = |asked: &Asked| if asked.number == 0 { Fault::CutBody } else { Fault::None };
    let objects = Relay::start(&scene.github.objects_host(), cut);
    let redirect_to = Some(format!("http://{}", objects.host()));
    scene.github.set(GitHubQuirks { redirect_to, replaces_when_resumed: true, ..GitHubQuirks::default() });
    let ran = run(scene.command(&format!("http://{}/api", api.host()), &[]));
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    assert!(ran.stderr.contains("it was replaced while it was read"), "{}", ran.stderr);
    assert!(scene.files().is_empty());
}

#[test]
fn a_content_that_breaks_off_is_continued_where_it_broke_off() {
    for ignores_ranges in [false, true] {
        let releases = vec![release("v1", vec![asset(1, "large", 12 << 20)])];
        let scene = Scene::new(releases.clone());
        let api = Relay::start(&scene.github.host(), |_| Fault::None);
        let cut = |asked: &Asked| if asked.number == 0 { Fault::CutBody } else { Fault::None };
        let objects = Relay::start(&scene.github.objects_host(), cut);
        let command = through(&scene, &api, &objects);
        let redirect_to = Some(format!("http://{}", objects.host()));
        scene.github.set(GitHubQuirks { redirect_to, ignores_ranges, ..GitHubQuirks::default() });
        let ran = run(command);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(scene.files(), expected("acme/tool", &releases));
        let ranges: Vec<Option<String>> = scene
            .github
            .requests()
            .into_iter()
            .filter(|request| !request.is_api)
            .map(|request| request.range)
            .collect();
        assert_eq!(ranges.len(), 2);
        let start: usize =
            ranges[1].as_ref().unwrap().trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
        assert!(start > 0 && start <= 6 << 20, "{start}: about half of it came");
        assert_eq!(ranges[0], None);
    }
}

#[test]
fn a_store_of_assets_that_is_down_costs_its_assets_and_no_more() {
    let releases = vec![release("v1", vec![asset(1, "a", 100), asset(2, "b", 100)])];
    let scene = Scene::new(releases);
    let api = Relay::start(&scene.github.host(), |_| Fault::None);
    let gone = |asked: &Asked| {
        if asked.target.contains("/tool/1?") { Fault::Status(404, "gone".to_owned()) } else { Fault::None }
    };
    let objects = Relay::start(&scene.github.objects_host(), gone);
    let ran = run(through(&scene, &api, &objects));
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    assert_eq!(scene.files().into_keys().collect::<Vec<_>>(), ["acme/tool/v1/b"]);
    assert!(ran.stderr.contains("404"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("hush"), "{}", ran.stderr);
}

/// Each request for the asset counts for GitHub's rate limit.
#[test]
fn a_store_of_assets_that_cannot_be_reached_does_not_use_up_the_rate_limit() {
    let scene = Scene::new(vec![release("v1", vec![asset(1, "a", 100)])]);
    // Nothing listens there.
    let redirect_to = Some("http://127.0.0.1:1".to_owned());
    scene.github.set(GitHubQuirks { redirect_to, ..GitHubQuirks::default() });
    let ran = run(scene.command(&scene.github.api_url(), &[]));
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    let requests = scene.api_requests().len();
    assert!(requests <= 1 + 6, "{requests}");
}
