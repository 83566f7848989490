//! Whose a branch is: one commit of this user that kpromo would have made may be renewed, everything else stays.

use registry::sample::{Recipe, Sample};
use testkit::ForgeQuirks;

use crate::pr::scene::{BRANCH, FILE, FORK, Scene, UPSTREAM};
use crate::support::put;

const TITLE: &str = "releng: Image promotion for kubernetes v1.31.0";
const ME: (&str, &str) = ("Test Person", "person@example.org");
const OTHER: (&str, &str) = ("Somebody", "somebody@example.org");
const WORK: &[(&str, &str)] = &[("work", "a week of work")];

/// A commit: by whom, which files, and the title.
type Commit<'a> = ((&'a str, &'a str), Vec<(&'a str, &'a str)>, &'a str);

/// Puts a branch with these commits in place of the one that is there.
fn replace(scene: &Scene, commits: &[Commit<'_>]) {
    scene.forge.delete_branch(FORK, BRANCH);
    for (person, files, title) in commits {
        scene.forge.commit_by(*person, FORK, BRANCH, files, title);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_is_not_one_commit_of_kpromo_by_the_user_is_neither_proposed_nor_overwritten() {
    let (bare, open) = (Scene::new().await, Scene::new().await);
    assert_eq!(bare.propose(&["--no-pr"]).code, 0);
    let printed = open.propose(&[]).stdout;
    for (scene, has_pull) in [(&bare, false), (&open, true)] {
        let own = scene.proposed();
        let commented = format!("{own}# reviewed by hand\n");
        let moved = own.replace("[\"v1.31.0\"]", "[\"v1.31.1\"]");
        let dropped = format!("- name: kube-proxy\n{}", own.split("- name: kube-proxy\n").nth(1).unwrap());
        let cases: [(&str, Vec<Commit<'_>>); 11] = [
            ("work before it", vec![(ME, WORK.into(), "Work"), (ME, vec![(FILE, &own)], TITLE)]),
            (
                "work in the same file before it",
                vec![(ME, vec![(FILE, &commented)], "Work"), (ME, vec![(FILE, &own)], TITLE)],
            ),
            (
                "two commits with the title",
                vec![(ME, vec![(FILE, &commented)], TITLE), (ME, vec![(FILE, &own)], TITLE)],
            ),
            ("a commit after it", vec![(ME, vec![(FILE, &own)], TITLE), (ME, WORK.into(), "More")]),
            ("by somebody else", vec![(OTHER, vec![(FILE, &own)], TITLE)]),
            ("another address", vec![((ME.0, OTHER.1), vec![(FILE, &own)], TITLE)]),
            ("a comment", vec![(ME, vec![(FILE, &commented)], TITLE)]),
            ("a tag that the title has not", vec![(ME, vec![(FILE, &moved)], TITLE)]),
            ("an image less", vec![(ME, vec![(FILE, &dropped)], TITLE)]),
            ("another file", vec![(ME, vec![(FILE, &own), WORK[0]], TITLE)]),
            ("another title", vec![(ME, vec![(FILE, &own)], "By hand")]),
        ];
        for (name, commits) in cases {
            replace(scene, &commits);
            let tip = scene.forge.tip(FORK, BRANCH);
            let ran = scene.propose(&[]);
            let expected = if has_pull { (0, &*printed, 1) } else { (11, "", 0) };
            let found = (ran.code, &*ran.stdout, scene.forge.pulls().len());
            assert_eq!(found, expected, "{name}: {}", ran.stderr);
            assert!(ran.stderr.contains("not a proposal of yours by kpromo"), "{name}: {}", ran.stderr);
            assert_eq!(scene.forge.tip(FORK, BRANCH), tip, "{name}");
            assert!(!scene.requests().iter().any(|request| request.starts_with("PATCH")), "{name}");
        }
    }
}

/// Pushes a new image under the tag of `kube-proxy`.
async fn rebuild(scene: &Scene) -> Sample {
    let sample = Recipe { seed: 900, ..Recipe::default() }.index(2);
    put(&scene.staging, "k8s-staging-kubernetes/kube-proxy", &sample, &["v1.31.0"]).await;
    sample
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_branch_renews_the_text_of_its_pull_request_once() {
    let scene = Scene::new().await;
    let first = scene.propose(&[]);
    let old = scene.digest("077c0835ddf4e3174cab766c9e79087977f9a9f73930015972b6b94fa7a02e52");
    let new = rebuild(&scene).await.digest().to_string();
    let second = scene.propose(&[]);
    assert_eq!((second.code, &second.stdout), (0, &first.stdout), "{}", second.stderr);
    let pulls = scene.forge.pulls();
    assert!(pulls[0].body.contains(&new) && !pulls[0].body.contains(&old), "{}", pulls[0].body);
    assert!(scene.proposed().contains(&new) && !scene.proposed().contains(&old));
    assert!(second.stderr.contains(&old) && second.stderr.contains(&new), "{}", second.stderr);
    // A second tag: the branch has the name of the first, the title has both.
    let sample = Recipe { seed: 901, ..Recipe::default() }.index(2);
    put(&scene.staging, "k8s-staging-kubernetes/kube-proxy", &sample, &["v1.31.1"]).await;
    let third = scene.propose(&["--tag", "v1.31.1", "--no-pr"]);
    assert_eq!((third.code, third.stdout.as_str()), (0, ""), "{}", third.stderr);
    let pulls = scene.forge.pulls();
    assert_eq!(pulls[0].title, format!("{TITLE} / v1.31.1"));
    assert!(pulls[0].body.contains(&sample.digest().to_string()), "{}", pulls[0].body);
    scene.forge.forget_requests();
    let fourth = scene.propose(&["--tag", "v1.31.1"]);
    assert_eq!((fourth.code, &fourth.stdout), (0, &first.stdout), "{}", fourth.stderr);
    assert!(!scene.requests().iter().any(|request| request.starts_with("PATCH")), "{:?}", scene.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_the_branch_proposes_is_not_dropped() {
    let scene = Scene::new().await;
    assert_eq!(scene.propose(&[]).code, 0);
    let (tip, body) = (scene.forge.tip(FORK, BRANCH), scene.forge.pulls()[0].body.clone());
    let ran = scene.propose(&["--image", "kube-apiserver"]);
    // `--image` is a list: both are asked for.
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_ne!(scene.forge.tip(FORK, BRANCH), tip);
    assert!(scene.forge.pulls()[0].body.contains("kube-apiserver") && body != scene.forge.pulls()[0].body);
    let tip = scene.forge.tip(FORK, BRANCH);
    let ran = scene.propose(&[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (11, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("kube-apiserver:v1.31.0"), "{}", ran.stderr);
    assert_eq!(scene.forge.tip(FORK, BRANCH), tip);
    // What upstream has merged meanwhile is not dropped.
    scene.forge.commit(UPSTREAM, "main", &[(FILE, &scene.proposed())], "Merged");
    let merged = scene.propose(&[]);
    assert_eq!(merged.code, 0, "{}", merged.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn local_commits_are_not_published() {
    let scene = Scene::new().await;
    let clone = scene.clone_upstream();
    let at = |arguments: &[&str]| scene.git(&[&["-C", clone.to_str().unwrap()], arguments].concat());
    std::fs::write(clone.join("private"), "private").unwrap();
    at(&["add", "."]);
    at(&["commit", "--quiet", "-m", "Private"]);
    let flags = ["--dir", clone.to_str().unwrap(), "--update-repo=false"];
    let ran = scene.propose(&flags);
    assert_eq!(ran.code, 11, "{}", ran.stderr);
    assert!(ran.stderr.contains("is not in the branch main of kubernetes/k8s.io"), "{}", ran.stderr);
    assert_eq!(scene.forge.branches(FORK), ["main"]);
    assert_eq!(at(&["worktree", "list"]).lines().count(), 1);
    // A commit of upstream that is not its newest one is a base.
    at(&["reset", "--quiet", "--hard", "HEAD^"]);
    scene.forge.commit(UPSTREAM, "main", &[("other", "1")], "Newer");
    let ran = scene.propose(&flags);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_whose_answer_is_lost_is_found_to_have_arrived() {
    let scene = Scene::new().await;
    scene.forge.set(ForgeQuirks { loses_pushes: true, ..ForgeQuirks::default() });
    let ran = scene.propose(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("the branch has the commit"), "{}", ran.stderr);
    assert_eq!(scene.forge.pulls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_no_page_of_the_forge_is_not_printed() {
    for (page, expected) in [
        ("javascript:alert(1)", None),
        ("http://evil.example/1", None),
        ("", None),
        ("https://forge.example/x", Some("https://forge.example/x\n")),
    ] {
        let scene = Scene::new().await;
        scene.forge.set(ForgeQuirks { page: Some(page.to_owned()), ..ForgeQuirks::default() });
        let own = format!("{}/{UPSTREAM}/pull/4711\n", scene.forge.url());
        assert_eq!(scene.propose(&[]).stdout, expected.unwrap_or(&own), "{page}");
    }
}
