//! Hooks, filters and settings of git: what is pushed is what was planned, or nothing.

use std::fs;

use testkit::write_script;

use crate::pr::scene::{BRANCH, FILE, FORK, Scene, TOKEN, UPSTREAM};
use crate::support::run;

/// Adds lines to the user's configuration of git.
fn configure(scene: &Scene, lines: &str) {
    let path = scene.desk.path("home/.gitconfig");
    let before = fs::read_to_string(&path).unwrap();
    fs::write(path, format!("{before}{lines}")).unwrap();
}

/// Gives the user a hook of git.
pub(crate) fn hook(scene: &Scene, name: &str, script: &str) {
    fs::create_dir_all(scene.desk.path("hooks")).unwrap();
    write_script(&scene.desk.path(&format!("hooks/{name}")), script);
    if fs::read_dir(scene.desk.path("hooks")).unwrap().count() == 1 {
        configure(scene, &format!("[core]\n\thooksPath = {}\n", scene.desk.path("hooks").display()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_not_the_planned_one_is_not_pushed() {
    for (name, script, expected) in [
        ("pre-commit", format!("sed -i s/v1.30.0/v1.31.0/ {FILE} && git add -A"), "another content"),
        ("pre-commit", "echo x > extra && git add -A".to_owned(), "it changes extra too"),
        ("pre-commit", format!("chmod +x {FILE} && git add -A"), "another content"),
        (
            "pre-commit",
            "git reset -q --hard && echo x > extra && git add -A".to_owned(),
            "it does not change",
        ),
        (
            "post-commit",
            "[ -n \"$ONCE\" ] || ONCE=1 git commit -q --allow-empty -m more".to_owned(),
            "not a single one",
        ),
    ] {
        let scene = Scene::new().await;
        hook(&scene, name, &script);
        let ran = scene.propose(&[]);
        assert_eq!((ran.code, ran.stdout.as_str()), (11, ""), "{script}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{script}: {}", ran.stderr);
        assert_eq!(scene.forge.branches(FORK), ["main"], "{script}");
        assert!(scene.left().is_empty(), "{script}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_git_refuses_is_for_the_user_to_correct() {
    for (lines, script, expected) in [
        ("", Some("echo no ticket >&2; exit 1"), "no ticket"),
        ("[commit]\n\tgpgSign = true\n[gpg]\n\tprogram = /bin/false\n", None, "gpg"),
        ("[user]\n\tname =\n", None, "user.name"),
    ] {
        let scene = Scene::new().await;
        configure(&scene, lines);
        if let Some(script) = script {
            hook(&scene, "pre-commit", script);
        }
        let ran = scene.propose(&[]);
        assert_eq!(ran.code, 10, "{expected}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
        assert_eq!(scene.forge.branches(FORK), ["main"], "{expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_line_ends_and_hooks_of_the_checkout_do_not_change_what_is_planned() {
    let scene = Scene::new().await;
    let attributes =
        [(".gitattributes", "* text eol=crlf filter=eats\n"), (".gitignore", "registry.k8s.io/\n")];
    scene.forge.commit(UPSTREAM, "main", &attributes, "Attributes");
    configure(&scene, "[filter \"eats\"]\n\tclean = cat /dev/null\n[core]\n\tautocrlf = true\n");
    hook(&scene, "post-checkout", &format!("sed -i s/v1.30.0/v1.29.0/ {FILE}"));
    let ran = scene.propose(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let proposed = scene.proposed();
    assert!(
        proposed.contains("v1.30.0") && proposed.contains("kube-proxy") && !proposed.contains('\r'),
        "{proposed}"
    );
    // A clone of the user has the user's filters.
    let clone = scene.clone_upstream();
    let ran = scene.propose(&["--dir", clone.to_str().unwrap()]);
    assert_eq!(ran.code, 11, "{}", ran.stderr);
    assert!(ran.stderr.contains("run without --dir"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_title_that_a_hook_has_changed_is_still_one_of_kpromo() {
    let scene = Scene::new().await;
    hook(&scene, "commit-msg", "echo \"JIRA-1 $(cat $1)\" > $1");
    let first = scene.propose(&[]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(scene.forge.message(FORK, BRANCH).0.starts_with("JIRA-1 releng: Image"));
    scene.forge.commit(
        UPSTREAM,
        "main",
        &[(FILE, &format!("# newer\n{}", scene.forge.file(UPSTREAM, "main", FILE)))],
        "Newer",
    );
    let second = scene.propose(&[]);
    assert_eq!((second.code, &second.stdout), (0, &first.stdout), "{}", second.stderr);
    assert!(second.stderr.contains("renewed the branch"), "{}", second.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hook_and_no_ssh_has_the_token_in_its_environment() {
    for ssh in [false, true] {
        let scene = Scene::new().await;
        let log = scene.desk.path("environments");
        for name in ["pre-commit", "post-commit", "pre-push", "post-checkout", "reference-transaction"] {
            hook(&scene, name, &format!("(echo {name}; env; git config --list) >> '{}'", log.display()));
        }
        let mut command = scene.command();
        command
            .args(["pr", "--fork", "me", "--tag", "v1.31.0", "--image", "kube-proxy"])
            .args(scene.places());
        command.arg(format!("--use-ssh={ssh}"));
        let ran = run(command);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let log = fs::read_to_string(log).unwrap();
        assert!(log.contains("pre-push") && !log.contains(TOKEN), "{log}");
        if ssh {
            let log = fs::read_to_string(scene.forge.ssh().with_extension("log")).unwrap();
            assert!(!log.contains(TOKEN) && !log.contains("ASKPASS"), "{log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_by_https_does_not_depend_on_settings_of_credentials() {
    let scene = Scene::new().await;
    let url = scene.forge.url();
    for lines in [
        "[credential]\n\tuseHttpPath = true\n".to_owned(),
        "[credential]\n\tusername = alice\n".to_owned(),
        format!("[credential \"{url}\"]\n\tusername = alice\n\tuseHttpPath = true\n"),
        format!(
            "[credential \"{url}/{FORK}\"]\n\tusername = alice\n\thelper = \"!echo password=wrong; :\"\n"
        ),
    ] {
        scene.desk.write(
            "home/.gitconfig",
            &format!("[user]\n\tname = Test Person\n\temail = person@example.org\n{lines}"),
        );
        let ran = scene.propose(&[]);
        assert_eq!(ran.code, 0, "{lines}: {}", ran.stderr);
        assert!(scene.forge.tip(FORK, BRANCH).is_some(), "{lines}");
        scene.forge.delete_branch(FORK, BRANCH);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worktree_that_a_killed_run_has_left_is_forgotten_and_those_of_the_user_stay() {
    let scene = Scene::new().await;
    let clone = scene.clone_upstream();
    let at = |arguments: &[&str]| scene.git(&[&["-C", clone.to_str().unwrap()], arguments].concat());
    for name in ["kpromo-pr-killed/checkout", "unplugged"] {
        let directory = scene.desk.path(name);
        at(&["worktree", "add", "--quiet", "--detach", directory.to_str().unwrap()]);
        fs::remove_dir_all(directory).unwrap();
    }
    let ran = scene.propose(&["--dir", clone.to_str().unwrap(), "--dry-run"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let listed = at(&["worktree", "list"]);
    assert!(listed.contains("unplugged") && !listed.contains("kpromo-pr-"), "{listed}");
}
