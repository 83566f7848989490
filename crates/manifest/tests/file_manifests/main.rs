//! Manifests of files: the results of the Go tool for each case (recorded from v4.5.1), and those of kpromo.

#![expect(clippy::unwrap_used, reason = "test helpers report failures with a panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use manifest::files::{FileManifests, load_file_manifests, load_file_tree};
use manifest::{Diagnostic, Diagnostics};

/// The cases in which the Go tool and kpromo differ, with the reasons: specification 04, *Manifests of files*.
const DIFFERENT: &[(&str, &str)] = &[
    ("pair/destination-is-source", "a copy onto itself"),
    ("pair/duplicate-key", "the last one would win"),
    ("pair/empty-bucket", "no such bucket"),
    ("pair/file-scheme", "directories are stores"),
    ("pair/name-absolute", "would make an object with an empty segment"),
    ("pair/name-dotdot", "would lead out of the destination"),
    ("pair/name-newline", "would forge lines of the output"),
    ("pair/name-trailing-slash", "would make an object that looks like a directory"),
    ("pair/same-destination-twice", "copied twice"),
    ("pair/same-name-twice-other-hash", "the order would decide"),
    ("pair/same-name-twice-same-hash", "copied twice"),
    ("pair/sha-all-digits-unquoted", "scalars are taken as they are written"),
    ("pair/sha-exponent-unquoted", "scalars are taken as they are written"),
    ("pair/sha512-field", "unknown keys are ignored there"),
    ("pair/two-documents", "the second is ignored there"),
    ("pair/unknown-field-filestore", "unknown keys are ignored there"),
    ("pair/unknown-field-top", "unknown keys are ignored there"),
    ("pair/upper-case-keys", "keys match in any case there"),
    ("tree/conflict-across-files", "the order would decide"),
    ("tree/hidden-file-in-files", "a swap file breaks the run there"),
    ("tree/nested-project-ok-by-name", "projects are known by their last name there"),
    ("tree/readme-in-files", "every file is read there"),
    ("tree/two-projects-one-destination", "the order would decide"),
];

#[derive(serde::Deserialize)]
struct Case {
    go: String,
    files: BTreeMap<String, Option<String>>,
}

fn cases() -> BTreeMap<String, Case> {
    serde_json::from_str(include_str!("data/cases.json")).unwrap()
}

fn write(directory: &Path, files: &BTreeMap<String, Option<String>>) {
    for (name, content) in files {
        let path = directory.join(name);
        match content {
            None => fs::create_dir_all(path).unwrap(),
            Some(content) => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
        }
    }
}

fn load(name: &str, directory: &Path) -> Result<FileManifests, Diagnostics> {
    if name.starts_with("tree/") {
        return load_file_tree(directory);
    }
    load_file_manifests(&directory.join("filestores.yaml"), &[directory.join("files.yaml")])
}

/// Returns the result of a case, without the name of the directory.
fn outcome(name: &str, files: &BTreeMap<String, Option<String>>) -> (bool, String) {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), files);
    let lines = |diagnostics: Vec<&Diagnostic>| -> String {
        let line = |diagnostic: &&Diagnostic| format!("{diagnostic}\n");
        diagnostics.iter().map(line).collect::<String>()
    };
    let (accepted, text) = match load(name, directory.path()) {
        Ok(manifests) => (true, lines(manifests.warnings.iter().collect())),
        Err(faults) => (false, lines(faults.iter().collect())),
    };
    (accepted, text.replace(&format!("{}/", directory.path().display()), ""))
}

/// Every fault has its file, and its line and column if it concerns a position. The snapshot is the table of all cases.
#[test]
fn every_recorded_case_is_accepted_or_refused_with_its_position() {
    let mut table = String::new();
    for (name, case) in cases() {
        let (accepted, text) = outcome(&name, &case.files);
        let ours = if accepted { "accepted" } else { "rejected" };
        let why = DIFFERENT.iter().find(|(other, _)| *other == name).map(|(_, why)| *why);
        assert_eq!(case.go != ours, why.is_some(), "{name}: Go tool {}, kpromo {ours}: {text}", case.go);
        let note = why.map(|why| format!(" (there {}: {why})", case.go)).unwrap_or_default();
        table.push_str(&format!("{name}: {ours}{note}\n"));
        text.lines().for_each(|line| table.push_str(&format!("    {line}\n")));
    }
    insta::with_settings!({prepend_module_to_snapshot => false, snapshot_path => "data"}, {
        insta::assert_snapshot!("expected", table);
    });
}

#[test]
fn every_difference_is_a_case() {
    let cases = cases();
    assert!(DIFFERENT.iter().all(|(name, _)| cases.contains_key(*name)));
}

fn files(pairs: &[(&str, &str)]) -> BTreeMap<String, Option<String>> {
    pairs.iter().map(|(name, content)| ((*name).to_owned(), Some((*content).to_owned()))).collect()
}

const STORES: &str =
    "filestores:\n- {base: gs://staging, src: true}\n- {base: gs://prod/sub, service-account: p@x}\n";
const HASH: &str = "905fef7b0658ff5d266140d1cea1eb5b414393b4d0c7897b05beae78678395c3";

#[test]
fn all_errors_in_all_files_are_reported_at_once() {
    let bad = format!("files:\n- name: ../x\n  sha256: {HASH}\n- name: b\n  sha256: zz\n- sha256: {HASH}\n");
    let stores = "filestores:\n- {base: ftp://a, src: true}\n- {base: gs://prod}\n";
    let (accepted, text) = outcome(
        "tree/all",
        &files(&[
            ("filestores/p/filepromoter-manifest.yaml", stores),
            ("manifests/p/a.yaml", &bad),
            ("manifests/p/b.yml", "files: [\n"),
        ]),
    );
    let places: Vec<&str> = text.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert!(!accepted);
    assert_eq!(
        places,
        [
            "filestores/p/filepromoter-manifest.yaml:2:10",
            "manifests/p/a.yaml:2:9",
            "manifests/p/a.yaml:5:11",
            "manifests/p/a.yaml:6:3",
            "manifests/p/b.yml:1:8",
        ],
        "{text}"
    );
}

#[test]
fn a_directory_is_read_in_byte_order_of_its_paths() {
    let directory = tempfile::tempdir().unwrap();
    let entry = |name: &str| format!("files:\n- name: {name}\n  sha256: {HASH}\n");
    let (a, b, c) = (entry("3"), entry("1"), entry("2"));
    let all = files(&[
        ("s.yaml", STORES),
        ("f/z.yaml", &a),
        ("f/a/x.yml", &b),
        ("f/a.yaml", &c),
        ("f/.h/x.yaml", "["),
    ]);
    write(directory.path(), &all);
    let read = load_file_manifests(&directory.path().join("s.yaml"), &[directory.path().join("f")]).unwrap();
    let names: Vec<&str> = read.projects[0].files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["2", "1", "3"], "`a.yaml` before `a/x.yml`: whole paths are compared by bytes");
    assert_eq!(read.projects[0].destinations[0].service_account.as_deref(), Some("p@x"));
}

#[test]
fn an_object_of_two_projects_must_have_the_same_content() {
    let other = HASH.replace('9', "8");
    let tree = |first: &str, second: &str, base: &str| {
        let below = format!("filestores:\n- {{base: gs://other, src: true}}\n- {{base: {base}}}\n");
        outcome(
            "tree/two",
            &files(&[
                ("filestores/p/filepromoter-manifest.yaml", STORES),
                ("filestores/q/filepromoter-manifest.yaml", &below),
                ("manifests/p/a.yaml", &format!("files:\n- name: x/tool\n  sha256: {first}\n")),
                ("manifests/q/a.yaml", &format!("files:\n- name: tool\n  sha256: {second}\n")),
            ]),
        )
    };
    assert_eq!(tree(HASH, HASH, "gs://prod/sub/x"), (true, String::new()));
    assert_eq!(tree(HASH, &other, "gs://prod/subx"), (true, String::new()));
    let (accepted, text) = tree(HASH, &other, "gs://prod/sub/x");
    assert!(!accepted);
    assert_eq!(
        text,
        "manifests/q/a.yaml:2:3: gs://prod/sub/x/tool is to have another hash than manifests/p/a.yaml:2:3 says\n"
    );
}

#[test]
fn a_name_must_be_short_enough_for_every_store() {
    let name = "n".repeat(1_021);
    let entry = format!("files:\n- name: {name}\n  sha256: {HASH}\n");
    let (accepted, text) =
        outcome("pair/long", &files(&[("filestores.yaml", STORES), ("files.yaml", &entry)]));
    assert!(!accepted && text.starts_with("files.yaml:2:9: below gs://prod/sub"), "{text}");
}

/// With a destination below a source, one entry may replace an object before another one copies it.
#[test]
fn an_object_is_not_copied_and_written_with_different_content() {
    let other = HASH.replace('9', "8");
    let below = "filestores:\n- {base: s3://src, src: true}\n- {base: s3://src/prod}\n";
    let entries =
        |sha256: &str| format!("files:\n- name: a\n  sha256: {HASH}\n- name: prod/a\n  sha256: {sha256}\n");
    let case = |sha256: &str| {
        outcome("pair/x", &files(&[("filestores.yaml", below), ("files.yaml", &entries(sha256))]))
    };
    let (accepted, text) = case(&other);
    assert!(!accepted);
    assert!(
        text.contains(
            "files.yaml:2:3: s3://src/prod/a would be written with another hash than files.yaml:4:3 says"
        ),
        "{text}"
    );
    assert!(case(HASH).0, "the same content may be promoted further");

    let from = |source: &str, destination: &str| {
        format!("filestores:\n- {{base: {source}, src: true}}\n- {{base: {destination}}}\n")
    };
    let file = |sha256: &str| format!("files:\n- name: a\n  sha256: {sha256}\n");
    let tree = |sha256: &str| {
        outcome(
            "tree/x",
            &files(&[
                ("filestores/one/filepromoter-manifest.yaml", &from("gs://staging", "gs://prod/x")),
                ("filestores/two/filepromoter-manifest.yaml", &from("gs://prod/x", "gs://mirror")),
                ("manifests/one/a.yaml", &file(HASH)),
                ("manifests/two/a.yaml", &file(sha256)),
            ]),
        )
    };
    let (accepted, text) = tree(&other);
    assert!(!accepted && text.contains("manifests/one/a.yaml:2:3: gs://prod/x/a would be written"), "{text}");
    assert!(tree(HASH).0);
}
