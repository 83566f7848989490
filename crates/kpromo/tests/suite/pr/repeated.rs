//! Running the same command again is safe.

use testkit::ForgeQuirks;

use crate::pr::scene::{BRANCH, FILE, FORK, IMAGES, Scene, UPSTREAM};

fn pushes(requests: &[String]) -> usize {
    requests
        .iter()
        .filter(|request| request.starts_with("POST") && request.ends_with("git-receive-pack"))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_run_sends_the_expected_requests_and_the_second_prints_the_same_pull_request() {
    let scene = Scene::new().await;
    let first = scene.propose(&[]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let api = |requests: Vec<String>| {
        requests.into_iter().filter(|request| request.contains("/api/")).collect::<Vec<String>>()
    };
    let list = format!(
        "GET /api/repos/{UPSTREAM}/pulls?state=open&head=me%3A{BRANCH}&base=main&per_page=100&limit=50&page=1"
    );
    let expected = [
        format!("GET /api/repos/{FORK}"),
        format!("GET /api/repos/{FORK}/branches/{BRANCH}"),
        list.clone(),
        format!("POST /api/repos/{UPSTREAM}/pulls"),
    ];
    assert_eq!(api(scene.requests()), expected);
    assert_eq!(pushes(&scene.requests()), 1);
    scene.forge.forget_requests();
    let second = scene.propose(&[]);
    assert_eq!((second.code, &second.stdout), (0, &first.stdout), "{}", second.stderr);
    assert_eq!(api(scene.requests()), expected[..3]);
    assert_eq!(pushes(&scene.requests()), 0);
    assert_eq!(scene.forge.pulls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_without_a_pull_request_gets_one() {
    let scene = Scene::new().await;
    let pushed = scene.propose(&["--no-pr"]);
    assert_eq!((pushed.code, pushed.stdout.as_str()), (0, ""), "{}", pushed.stderr);
    assert!(scene.forge.pulls().is_empty());
    let proposed = scene.proposed();
    scene.forge.set(ForgeQuirks { refuse_pulls: Some(403), ..ForgeQuirks::default() });
    let refused = scene.propose(&[]);
    assert_eq!(refused.code, 20);
    assert!(
        refused.stderr.contains("403") && refused.stderr.contains("permission to write pull requests"),
        "{}",
        refused.stderr
    );
    scene.forge.set(ForgeQuirks::default());
    scene.forge.forget_requests();
    let again = scene.propose(&[]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!((scene.forge.pulls().len(), pushes(&scene.requests())), (1, 0));
    assert_eq!(scene.proposed(), proposed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_two_people_edit_renews_the_branch_and_keeps_the_pull_request() {
    let scene = Scene::new().await;
    let first = scene.propose(&[]);
    // Somebody else's images are merged meanwhile, in the same place.
    let theirs = "- name: kube-scheduler\n  dmap:\n    \"sha256:1111111111111111111111111111111111111111111111111111111111111111\": [\"v1.31.0\"]\n";
    scene.forge.commit(UPSTREAM, "main", &[(FILE, &format!("{}{theirs}", scene.own(IMAGES)))], "Theirs");
    let second = scene.propose(&[]);
    assert_eq!((second.code, &second.stdout), (0, &first.stdout), "{}", second.stderr);
    assert!(second.stderr.contains("renewed"), "{}", second.stderr);
    let proposed = scene.proposed();
    assert!(proposed.contains(theirs) && proposed.contains("kube-proxy"), "{proposed}");
    assert_eq!(scene.forge.message(FORK, BRANCH).1, 2, "one commit on the newer base");
    assert_eq!(scene.forge.pulls().len(), 1);
    // What is merged is not proposed again.
    scene.forge.commit(UPSTREAM, "main", &[(FILE, &proposed)], "Merged");
    let third = scene.propose(&[]);
    assert_eq!((third.code, third.stdout.as_str()), (0, ""), "{}", third.stderr);
    assert!(third.stderr.contains("nothing to propose"), "{}", third.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_have_committed_to_the_branch_stays() {
    let scene = Scene::new().await;
    let first = scene.propose(&[]);
    scene.forge.commit(FORK, BRANCH, &[("note", "by hand")], "A commit by hand");
    scene.forge.commit(UPSTREAM, "main", &[(FILE, &format!("# newer\n{}", scene.own(IMAGES)))], "Newer");
    let second = scene.propose(&[]);
    assert_eq!(
        (second.code, &second.stdout),
        (0, &first.stdout),
        "the open pull request is printed: {}",
        second.stderr
    );
    assert!(second.stderr.contains("not a proposal of yours by kpromo"), "{}", second.stderr);
    assert_eq!(scene.forge.message(FORK, BRANCH).0, "A commit by hand");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forge_that_cannot_search_by_branch_is_read_page_by_page() {
    let scene = Scene::new().await;
    scene.forge.set(ForgeQuirks { ignores_head: true, ..ForgeQuirks::default() });
    scene.forge.fork(UPSTREAM, "other/k8s.io", Some(UPSTREAM));
    let first = scene.propose(&[]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert_eq!(scene.propose(&[]).stdout, first.stdout);
    assert_eq!(scene.forge.pulls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_is_behind_gets_the_history_that_it_lacks() {
    let scene = Scene::new().await;
    for number in 0..3 {
        scene.forge.commit(UPSTREAM, "main", &[("other", &number.to_string())], "Other");
    }
    let ran = scene.propose(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(scene.forge.message(FORK, BRANCH).1, 4);
    assert_eq!(scene.forge.pulls().len(), 1);
}
