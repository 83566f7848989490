//! What the Go tool v4.5.1 does, recorded, and what ours does. `gh/data/cases.json` has its exit code, its requests, the commands
//! that it ran and the files that it left.

use std::collections::BTreeMap;

use serde::Deserialize;
use testkit::{FakeGcs, Fault, GitHubRelease, Relay};

use super::scene::{Scene, TOKEN, asset, files, release};
use crate::support::run;

#[derive(Deserialize)]
struct Case {
    what: String,
    arguments: Vec<String>,
    files: BTreeMap<String, String>,
    exit: i32,
    requests: Vec<String>,
    commands: Vec<String>,
    local_files: Vec<String>,
}

/// What ours does.
enum Ours {
    /// What the Go tool does: the same files here, and in the buckets what it has gsutil copy.
    Same,
    /// It ends with this code, says this, and writes what the Go tool writes here.
    Ends(i32, &'static str),
    /// It ends with this code, says this, and writes nothing.
    Refuses(i32, &'static str),
    /// It copies these files, where the Go tool does not.
    Copies(&'static [&'static str]),
}
use Ours::{Copies, Ends, Refuses, Same};

/// Each case with what ours does, and why it differs.
const CASES: &[(&str, Ours, &str)] = &[
    ("asset-404", Ends(30, "404"), "exit codes, and it is said why"),
    ("bucket-wanted-for-download-only", Refuses(2, "--bucket"), "exit codes"),
    ("config-empty", Same, ""),
    (
        "config-incomplete",
        Refuses(10, "the entry has no `repo`"),
        "entries are checked before the first request",
    ),
    ("config-missing", Refuses(10, "c.yaml"), "exit codes"),
    (
        "config-no-bucket",
        Refuses(10, "the entry has no `gcsBucket`"),
        "there it goes to a bucket named like the tag",
    ),
    (
        "config-unknown-field",
        Refuses(10, "unknown field `repos`"),
        "exit codes, and the fault is shown with its place",
    ),
    ("config", Same, ""),
    ("download-all-prereleases", Same, ""),
    ("download-all", Same, ""),
    ("download-only-without-directory", Refuses(2, "--output-dir"), "exit codes"),
    (
        "draft-in-list",
        Copies(&[
            "release/v0.2.0/a.txt",
            "v1.0.0/tool-linux-amd64.tar.gz",
            "v1.0.0/tool-linux-amd64.tar.gz.sha256",
        ]),
        "drafts are left out",
    ),
    ("gsutil-fails", Refuses(20, "bucket does not exist"), "the bucket is asked before anything is copied"),
    ("no-bucket", Refuses(2, "--bucket"), "exit codes"),
    ("no-flags", Refuses(2, "--org, --repo, --bucket"), "exit codes"),
    ("prerelease-by-tag", Same, ""),
    ("repo-unknown", Refuses(10, "acme/absent does not exist"), "exit codes"),
    ("tag-unknown", Refuses(10, "the release v9 of acme/tool"), "exit codes"),
    ("upload-release-dir", Same, ""),
    ("upload", Same, ""),
];

/// The buckets of the cases. One was called `b`, which is too short for the emulator.
const BUCKETS: [&str; 3] = ["bucket-b", "bucket-1", "bucket-2"];

fn cases() -> BTreeMap<String, Case> {
    serde_json::from_str(include_str!("data/cases.json")).unwrap()
}

fn releases() -> Vec<GitHubRelease> {
    vec![
        release(
            "v1.0.0",
            vec![asset(11, "tool-linux-amd64.tar.gz", 5000), asset(12, "tool-linux-amd64.tar.gz.sha256", 64)],
        ),
        GitHubRelease { is_prerelease: true, ..release("v0.9.0-rc.1", vec![asset(13, "tool.zip", 300)]) },
        release("v0.1.0", vec![]),
        release("release/v0.2.0", vec![asset(15, "a.txt", 10)]),
        GitHubRelease { is_draft: true, ..release("v2.0.0", vec![asset(14, "draft.txt", 10)]) },
    ]
}

#[test]
fn every_recorded_case_is_in_the_table_and_no_other() {
    let recorded: Vec<String> = cases().into_keys().collect();
    let mut table: Vec<&str> = CASES.iter().map(|(name, ..)| *name).collect();
    table.sort_unstable();
    assert_eq!(recorded, table);
}

#[test]
fn ours_does_what_the_go_tool_does_or_better_without_a_bucket() {
    let cases = cases();
    for (name, ours, why) in CASES.iter().filter(|(name, ..)| !needs_bucket(name, &cases[*name])) {
        check(name, &cases[*name], ours, why, None);
    }
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn ours_does_what_the_go_tool_does_or_better_with_a_bucket() {
    let cases = cases();
    for (name, ours, why) in CASES.iter().filter(|(name, ..)| needs_bucket(name, &cases[*name])) {
        let buckets: &[&str] = if *name == "gsutil-fails" { &[] } else { &BUCKETS };
        check(name, &cases[*name], ours, why, Some(&FakeGcs::start(buckets)));
    }
}

fn needs_bucket(name: &str, case: &Case) -> bool {
    !case.commands.is_empty() && name != "config-no-bucket"
}

fn check(name: &str, case: &Case, ours: &Ours, why: &str, gcs: Option<&FakeGcs>) {
    let scene = Scene::new(releases());
    let many =
        (1..=34).map(|number| release(&format!("v0.{number}.0"), vec![asset(1033 + number, "f.txt", 20)]));
    scene.github.repository("acme/many", false, many.collect());
    case.files.iter().for_each(|(name, text)| drop(scene.desk.write(name, text)));
    let relay = Relay::start(&scene.github.host(), {
        let is_404 = name == "asset-404";
        move |asked| {
            let is_failing = is_404 && asked.target.ends_with("/assets/12");
            if is_failing {
                Fault::Status(404, "{\"message\":\"Not Found\"}".to_owned())
            } else {
                Fault::None
            }
        }
    });
    let flags: Vec<&str> =
        case.arguments[1..].iter().map(|word| if word == "b" { BUCKETS[0] } else { word }).collect();
    let api = format!("http://{}/api", relay.host());
    let mut command = scene.command_at(&api, gcs.map_or("127.0.0.1:1", FakeGcs::host), "127.0.0.1:1", &flags);
    let has_token = case.requests.iter().any(|request| request.contains(" token "));
    if has_token {
        command.env("GITHUB_TOKEN", TOKEN);
    }
    let ran = run(command);
    let context = format!("{name}: {} ({why})\n{}\n{}", case.what, ran.stdout, ran.stderr);
    let local: Vec<String> =
        files(&scene.desk.path("out")).into_keys().map(|name| format!("out/{name}")).collect();
    let asked = scene.github.requests().len();
    match ours {
        Same => {
            assert_eq!((ran.code, case.exit), (0, 0), "{context}");
            assert_eq!(local, case.local_files, "{context}");
            assert!(asked <= case.requests.len(), "{asked} requests are more than there: {context}");
        }
        Ends(code, text) => {
            assert_eq!(ran.code, *code, "{context}");
            assert!(ran.stderr.contains(text), "{context}");
            assert_eq!(local, case.local_files, "{context}");
        }
        Refuses(code, text) => {
            assert_eq!(ran.code, *code, "{context}");
            assert!(ran.stderr.contains(text), "{context}");
            assert!(local.is_empty() && ran.stdout.is_empty() && scene.reads() == 0, "{context}");
            assert!(*code == 20 || asked <= case.requests.len(), "{context}");
        }
        Copies(expected) => {
            assert_eq!((ran.code, case.exit), (0, 1), "{context}");
            let expected: Vec<String> = expected.iter().map(|name| format!("out/acme/tool/{name}")).collect();
            assert_eq!(local, expected, "{context}");
        }
    }
    let wanted = if matches!(ours, Same) { uploaded(case) } else { Vec::new() };
    let found: Vec<String> = gcs.map_or_else(Vec::new, |gcs| {
        let buckets = BUCKETS.into_iter().filter(|_| name != "gsutil-fails");
        buckets
            .flat_map(|bucket| gcs.names(bucket).into_iter().map(move |name| format!("gs://{bucket}/{name}")))
            .collect()
    });
    if gcs.is_some() {
        assert_eq!(found, wanted, "{context}");
    }
}

/// Returns the objects that a first `gsutil cp -r -n SOURCE DESTINATION` makes: the files of SOURCE below DESTINATION.
fn uploaded(case: &Case) -> Vec<String> {
    let mut objects = Vec::new();
    for command in &case.commands {
        let words: Vec<&str> = command.split(' ').collect();
        let [.., source, destination] = words[..] else { panic!("{command}") };
        let below = case.local_files.iter().filter_map(|file| file.strip_prefix(&format!("{source}/")));
        let destination = destination.replace("gs://b/", &format!("gs://{}/", BUCKETS[0]));
        objects.extend(below.map(|file| format!("{destination}/{file}")));
    }
    objects.sort();
    objects
}
