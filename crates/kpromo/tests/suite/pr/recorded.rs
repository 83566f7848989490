//! What the Go tool v4.5.1 does, recorded, and what ours does. `pr/data/cases.json` has its exit code, what it pushed and the
//! text of its pull request.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;

use manifest::edit::ImagesFile;
use serde::Deserialize;
use testkit::ForgeQuirks;

use crate::pr::scene::{BRANCH, FILE, FORK, Scene, UPSTREAM};
use crate::support::{Ran, run};

#[derive(Deserialize)]
struct Case {
    name: String,
    arguments: Vec<String>,
    stdin: String,
    images: String,
    exit: i32,
    pushed: Option<Pushed>,
    body: Option<String>,
    clone_left_behind: bool,
}

#[derive(Deserialize)]
struct Pushed {
    branch: String,
    message: String,
    file: String,
}

/// What ours does.
enum Ours {
    /// What the Go tool does.
    Same,
    /// It ends with this code, says this, and pushes nothing.
    Ends(i32, &'static str),
    /// It proposes, where the Go tool does not: a line of the file.
    Proposes(&'static str),
}
use Ours::{Ends, Proposes, Same};

/// Each case with what ours does, and why it differs.
const CASES: &[(&str, Ours, &str)] = &[
    ("bad-token", Ends(20, "has expired"), "exit codes"),
    (
        "branch-exists",
        Ends(11, "not a proposal of yours by kpromo"),
        "the branch is looked at: one of ours would be used",
    ),
    ("digest", Same, ""),
    ("digest-of-other-tag", Ends(10, "no image with the tag v1.31.0"), "exit codes"),
    ("fork-of-another", Ends(10, "is not a fork of kubernetes/k8s.io"), "exit codes"),
    ("fork-three-parts", Ends(2, "neither USER nor USER/NAME"), "exit codes"),
    ("fork-with-repo", Ends(10, "the repository me/k8sio does not exist"), "exit codes"),
    ("fork-with-repo-dot", Proposes("[\"v1.31.0\"]"), "dots in names are allowed"),
    ("https", Same, ""),
    ("image", Same, ""),
    ("image-nested", Same, ""),
    ("interactive-no-grow", Same, ""),
    ("interactive-no-pr", Same, ""),
    ("interactive-no-push", Same, ""),
    ("interactive-other-word", Same, ""),
    ("interactive-yes", Same, ""),
    ("manifest-invalid", Ends(10, "dmapp"), "exit codes, and the fault is shown with its place"),
    ("mock-in-file", Same, "nothing is removed from the file"),
    ("new-tag-on-promoted-digest", Same, ""),
    ("no-flags", Ends(2, "--tag"), "exit codes"),
    ("no-tag", Ends(2, "--tag"), "exit codes"),
    ("no-token", Ends(20, "set $GITHUB_TOKEN or $GH_TOKEN"), "exit codes"),
    ("not-a-fork", Ends(10, "it is not a fork"), "exit codes"),
    ("nothing-new", Ends(0, "nothing to propose"), ""),
    ("one-tag", Same, ""),
    ("project-without-manifest", Ends(10, "no manifest below"), "exit codes"),
    (
        "pull-request-refused",
        Ends(20, "run the same command again"),
        "the branch does not block the next run",
    ),
    ("reviewers", Same, ""),
    ("staging-repo", Same, ""),
    ("tag-latest", Ends(2, "never move"), "exit codes, and no request is sent"),
    ("tag-moved", Ends(11, "cannot become"), "a manifest that cannot be promoted is not proposed"),
    ("tag-unknown", Ends(10, "no image with the tag v9.9.9"), "exit codes"),
    ("tagless-in-file", Proposes("[]"), "the Go tool panics"),
    ("two-tags", Same, ""),
];

#[test]
fn every_recorded_case_is_in_the_table_and_no_other() {
    let recorded: Vec<String> = cases().into_keys().collect();
    let table: Vec<&str> = CASES.iter().map(|(name, ..)| *name).collect();
    assert_eq!(recorded, table);
}

fn cases() -> BTreeMap<String, Case> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/cases.json")).unwrap();
    cases.into_iter().map(|case| (case.name.clone(), case)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ours_does_what_the_go_tool_does_or_better() {
    let cases = cases();
    for (name, ours, why) in CASES {
        let case = &cases[*name];
        let scene = Scene::with(&case.images).await;
        prepare(&scene, name);
        let ran = propose(&scene, case);
        let context = format!("{name} ({why})\n{}\n{}", ran.stdout, ran.stderr);
        match ours {
            Ends(code, text) => {
                assert_eq!(ran.code, *code, "{context}");
                assert!(ran.stderr.contains(text), "{context}");
                assert!(ran.stdout.is_empty() && scene.forge.pulls().is_empty(), "{context}");
                let pushes = *name == "pull-request-refused";
                assert_eq!(
                    scene.forge.branches(FORK).contains(&BRANCH.to_owned()),
                    pushes || *name == "branch-exists",
                    "{context}"
                );
            }
            Proposes(line) => {
                assert_ne!(case.exit, 0, "{context}");
                assert_eq!(ran.code, 0, "{context}");
                assert!(scene.proposed().contains(line), "{context}");
                assert_eq!(scene.forge.pulls().len(), 1, "{context}");
            }
            Same => same(&scene, case, &ran, &context),
        }
        // Without questions nothing is left behind.
        let left = scene.left();
        assert_eq!(left.len(), usize::from(case.clone_left_behind), "{context}: {left:?}");
    }
}

/// Makes the forge that of a case.
fn prepare(scene: &Scene, name: &str) {
    match name {
        "branch-exists" => scene.forge.commit(FORK, BRANCH, &[], "Something else"),
        "fork-of-another" => {
            scene.forge.create("other/k8s.io", &[("a", "b")]);
            scene.forge.fork("other/k8s.io", "elsewhere/x", None);
            scene.forge.fork(UPSTREAM, "you/k8s.io", Some("other/k8s.io"));
        }
        "not-a-fork" => scene.forge.fork(UPSTREAM, "you/k8s.io", None),
        "pull-request-refused" => {
            scene.forge.set(ForgeQuirks { refuse_pulls: Some(422), ..ForgeQuirks::default() });
        }
        _ => {}
    }
}

/// Runs a case: with the recorded arguments, and those that name the places of the scene.
fn propose(scene: &Scene, case: &Case) -> Ran {
    let mut command = scene.command();
    let has_other_fork = matches!(case.name.as_str(), "fork-of-another" | "not-a-fork");
    let staging = scene.staging("my-project");
    command.args(case.arguments.iter().map(|word| match word.as_str() {
        "me" if has_other_fork => "you".to_owned(),
        "us-central1-docker.pkg.dev/k8s-staging-images/my-project" => staging.clone(),
        word => scene.own(word),
    }));
    let mut places = scene.places();
    if case.arguments.iter().any(|word| word == "--staging-repo") {
        places.truncate(4);
    } else if case.name == "project-without-manifest" {
        places[5] = scene.staging("k8s-staging-nothing");
    }
    command.args(places);
    match case.name.as_str() {
        "bad-token" => drop(command.env("GITHUB_TOKEN", "wrong")),
        "no-token" => drop(command.env_remove("GITHUB_TOKEN")),
        _ => {}
    }
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(case.stdin.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut input).unwrap();
    command.stdin(Stdio::from(input));
    run(command)
}

/// Checks that ours has done what is recorded.
fn same(scene: &Scene, case: &Case, ran: &Ran, context: &str) {
    assert_eq!((ran.code, case.exit), (0, 0), "{context}");
    let Some(pushed) = &case.pushed else {
        assert_eq!(scene.forge.branches(FORK), ["main"], "{context}");
        return;
    };
    let (message, commits) = scene.forge.message(FORK, &pushed.branch);
    assert_eq!((message.as_str(), commits), (pushed.message.trim_end(), 1), "{context}");
    let is_mine = pushed.branch.starts_with("my-project");
    let name = if is_mine { "registry.k8s.io/images/k8s-staging-my-project/images.yaml" } else { FILE };
    let file = scene.forge.file(FORK, &pushed.branch, name);
    let mut expected = scene.own(&pushed.file);
    if case.name == "mock-in-file" {
        expected.push_str(&case.images);
    }
    assert_eq!(promotes(&file), promotes(&expected), "{context}\n{file}");
    // Every line stays, comments included, but for a line with a new tag.
    if !is_mine {
        for line in scene.own(&case.images).lines() {
            let start = line.split(": [").next().unwrap();
            assert!(
                file.lines().any(|own| own == line || own.starts_with(&format!("{start}: ["))),
                "{context}\n{line}\n{file}"
            );
        }
    }
    let pulls = scene.forge.pulls();
    match &case.body {
        None => assert!(pulls.is_empty(), "{context}"),
        Some(body) => {
            let [pull] = &pulls[..] else { panic!("{context}: {pulls:?}") };
            assert_eq!(ran.stdout, format!("https://forge.example/{UPSTREAM}/pull/4711\n"), "{context}");
            assert_eq!(pull.title, pushed.message.lines().next().unwrap());
            assert_eq!(
                (pull.upstream.as_str(), pull.fork.as_str(), pull.base.as_str()),
                (UPSTREAM, FORK, "main")
            );
            assert_eq!(pull.branch, pushed.branch);
            let (head, end) = body.split_once("kpromo pr --fork me").unwrap();
            let (_, end) = end.split_once("```\n").unwrap();
            assert!(pull.body.starts_with(&format!("{head}kpromo pr --fork me")), "{}", pull.body);
            assert!(pull.body.ends_with(end), "{}", pull.body);
            let added = pull.body.lines().filter(|line| line.starts_with("| `")).count();
            let before = if is_mine { 0 } else { tags(&scene.own(&case.images)) };
            assert_eq!(added, tags(&file) - before, "{}", pull.body);
        }
    }
}

/// What a file promotes.
fn promotes(text: &str) -> Vec<(String, String, String)> {
    let file = ImagesFile::parse("images.yaml", text.as_bytes().to_vec(), None).unwrap();
    let mut edges = Vec::new();
    for image in file.images() {
        for row in &image.digests {
            let tags = row.tags.iter().map(|(tag, _)| tag.to_string());
            edges.extend(tags.map(|tag| (image.name.to_string(), row.digest.to_string(), tag)));
        }
    }
    edges.sort();
    edges
}

fn tags(text: &str) -> usize {
    promotes(text).len()
}
