//! `--dry-run` and `--dir`: the diff, without token and fork, and the user's clone as it was.

use crate::pr::scene::{BRANCH, FILE, FORK, IMAGES, Scene, UPSTREAM};
use crate::support::run;

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_prints_the_diff_without_token_and_fork_and_asks_for_one_image() {
    let scene = Scene::new().await;
    let mut command = scene.command();
    command.env_remove("GITHUB_TOKEN").args(["pr", "--dry-run", "--tag", "v1.31.0", "--image", "kube-proxy"]);
    command.args(scene.places());
    let ran = run(command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let digest = scene.digest("077c0835ddf4e3174cab766c9e79087977f9a9f73930015972b6b94fa7a02e52");
    let last = scene.own(IMAGES).lines().last().unwrap().to_owned();
    let expected = format!(
        "--- a/{FILE}\n+++ b/{FILE}\n@@ -5,3 +5,6 @@\n - name: kube-apiserver\n   dmap:\n {last}\n+- name: kube-proxy\n+  dmap:\n+    \"{digest}\": [\"v1.31.0\"]\n"
    );
    assert_eq!(ran.stdout, expected);
    // The patch is one that git applies.
    let clone = scene.clone_upstream();
    let patch = scene.desk.write("patch", &ran.stdout);
    scene.git(&["-C", clone.to_str().unwrap(), "apply", patch.to_str().unwrap()]);
    assert!(
        scene.requests().iter().all(|request| request.contains("git-upload-pack")),
        "{:?}",
        scene.requests()
    );
    assert_eq!(scene.forge.branches(FORK), ["main"]);
    let tally = scene.staging.tally().snapshot();
    assert_eq!(tally.total(), 2, "the tag, and the image by its digest, no walk: {tally:?}");
    assert!(scene.left().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_of_the_user_is_used_and_stays_as_it_is() {
    let scene = Scene::new().await;
    let clone = scene.clone_upstream();
    let at = |arguments: &[&str]| scene.git(&[&["-C", clone.to_str().unwrap()], arguments].concat());
    std::fs::write(clone.join(FILE), "# my own work\n").unwrap();
    // The clone is behind: somebody has added to the file since.
    scene.forge.commit(UPSTREAM, "main", &[(FILE, &format!("# newer\n{}", scene.own(IMAGES)))], "Newer");
    let ran = scene.propose(&["--dir", clone.join("registry.k8s.io").to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(scene.proposed().starts_with("# newer\n"), "the base was fetched");
    assert_eq!(
        scene.forge.message(FORK, BRANCH).0.lines().next(),
        Some("releng: Image promotion for kubernetes v1.31.0")
    );
    assert_eq!(at(&["status", "--porcelain"]), format!(" M {FILE}\n"));
    assert_eq!(std::fs::read_to_string(clone.join(FILE)).unwrap(), "# my own work\n");
    assert_eq!(at(&["branch", "--format=%(refname:short)"]), "main\n");
    assert_eq!(at(&["worktree", "list"]).lines().count(), 1);
    assert_eq!(at(&["rev-parse", "--is-shallow-repository"]), "false\n");
    assert!(scene.left().is_empty(), "{:?}", scene.left());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_update_the_commit_of_the_clone_is_the_base() {
    let scene = Scene::new().await;
    let clone = scene.clone_upstream();
    scene.forge.commit(UPSTREAM, "main", &[(FILE, "[]\n")], "Newer");
    scene.forge.forget_requests();
    let ran = scene.propose(&["--dir", clone.to_str().unwrap(), "--update-repo=false", "--dry-run"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("kube-apiserver"), "{}", ran.stdout);
    assert!(scene.requests().is_empty(), "nothing is fetched");
    let no_clone = scene.propose(&["--dir", scene.desk.path("home").to_str().unwrap(), "--dry-run"]);
    assert_eq!(no_clone.code, 10);
    assert!(no_clone.stderr.contains("--dir names a clone"), "{}", no_clone.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_rewritten_only_when_it_is_asked_for() {
    let scene = Scene::new().await;
    let ran = scene.propose(&["--format"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let names: Vec<String> = scene
        .proposed()
        .lines()
        .filter(|line| line.contains("name:") || line.contains('#'))
        .map(str::to_owned)
        .collect();
    assert_eq!(names[..3], ["# a comment on top", "- name: kube-apiserver", &*names[2]]);
    assert!(names[2].ends_with("# a comment"));
    assert!(scene.forge.pulls()[0].body.contains(" --format "), "{}", scene.forge.pulls()[0].body);
}
