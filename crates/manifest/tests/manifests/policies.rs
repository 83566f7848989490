//! Policies fail closed: an image is left out if it is unclear which provenance policy applies to it.

use std::fs;
use std::os::unix::fs::symlink;

use manifest::Manifests;
use manifest::policy::Mode;
use tempfile::TempDir;

use crate::support::{REGISTRIES, image, promotions, rejected, thin, write, write_thin};

const POLICY: &str = r"provenance:
  mode: require
  signers: [sigstore::https://accounts.google.com::builder@project.iam.gserviceaccount.com]
  builders:
  - {id: https://cloudbuild.googleapis.com/GoogleHostedWorker, level: 3}
  sources: [github.com/org/repo]
";

/// Creates a directory of projects, each with its source, the text after its registries, and an image of the project's name.
fn directory(projects: &[(&str, &str, &str)]) -> TempDir {
    let directory = TempDir::new().unwrap();
    for (name, source, block) in projects {
        let registries =
            REGISTRIES.replace("gcr.io/s", source).replace("gcr.io/p", &format!("gcr.io/p/{name}"));
        write_thin(directory.path(), name, &format!("{registries}{block}"), &image(name, &[('a', "x")]));
    }
    directory
}

/// Returns the promoted projects.
fn promoted(directory: &TempDir) -> Vec<String> {
    thin(directory.path()).manifests.iter().map(|manifest| manifest.name.to_string()).collect()
}

fn mode_of(manifests: &Manifests, repository: &str) -> Option<Mode> {
    manifests.policies.of(&repository.parse().unwrap()).map(manifest::policy::Policy::mode)
}

#[test]
fn an_invalid_policy_leaves_out_all_projects_that_it_may_apply_to() {
    for wrong in [
        POLICY.replace("require", "reqiure"),
        POLICY.replace("level: 3", "level: 7"),
        POLICY.replace("signers", "singers"),
        format!("{POLICY}provenance:\n  mode: off\n"),
        POLICY.replace("provenance:", "provenence:"),
        POLICY.lines().map(|line| format!("  {line}\n")).collect(),
    ] {
        let directory = directory(&[
            ("a", "gcr.io/s", &wrong),
            ("b", "gcr.io/s", ""),
            ("c", "gcr.io/s/deep/below", ""),
            ("d", "gcr.io/sother", ""),
            ("e", "gcr.io/other", POLICY),
        ]);
        assert_eq!(promoted(&directory), ["d", "e"], "{wrong}");
        let faults = rejected(directory.path());
        for project in ["b", "c"] {
            let left_out =
                format!("manifests/{project}/promoter-manifest.yaml:2:3: this project is left out, because ");
            assert!(faults.contains(&left_out), "{wrong}: {faults}");
        }
    }
    let directory = directory(&[
        ("a", "gcr.io/s", &POLICY.replace("require", "reqiure")),
        ("b", "gcr.io/s", ""),
        ("c", "gcr.io/s/below", ""),
    ]);
    insta::assert_snapshot!(rejected(directory.path()), @"
    manifests/a/promoter-manifest.yaml:6:9: `reqiure` is not a mode: expected `off`, `warn` or `require`
    manifests/b/promoter-manifest.yaml:2:3: this project is left out, because it is not known which provenance policy holds for gcr.io/s (manifests/a/promoter-manifest.yaml:6:3 may declare one and is wrong)
    manifests/c/promoter-manifest.yaml:2:3: this project is left out, because gcr.io/s/below lies below gcr.io/s, and it is not known which provenance policy holds there (manifests/a/promoter-manifest.yaml:6:3 may declare one and is wrong)
    ");
}

#[test]
fn an_invalid_policy_leaves_out_the_images_of_a_wider_source_that_are_below_it() {
    let directory = directory(&[("a", "gcr.io/s/deep", &POLICY.replace("require", "reqiure"))]);
    let images =
        image("deep/b", &[('b', "x")]) + &image("deeper", &[('c', "x")]) + &image("deep", &[('d', "x")]);
    write_thin(directory.path(), "wide", REGISTRIES, &images);
    assert_eq!(promotions(&thin(directory.path())), ["deeper@c:x"]);
    assert!(
        rejected(directory.path())
            .contains("images/wide/images.yaml: the image deep/b is left out, because ")
    );
}

#[test]
fn the_policy_of_a_project_with_other_errors_applies() {
    for is_images in [true, false] {
        let directory = directory(&[("a", "gcr.io/s", POLICY), ("b", "gcr.io/s/below", "")]);
        if is_images {
            write(&directory.path().join("images/a/images.yaml"), "[");
        } else {
            let registries = format!("{REGISTRIES}- name: gcr.io/Wrong\n{POLICY}");
            write(&directory.path().join("manifests/a/promoter-manifest.yaml"), registries);
        }
        assert_eq!(promoted(&directory), ["b"]);
        assert_eq!(mode_of(&thin(directory.path()), "gcr.io/s/below/b"), Some(Mode::Require));
    }
}

#[test]
fn a_policy_in_a_file_that_is_not_yaml_is_not_lost() {
    let broken = format!("{POLICY}broken: [\n");
    let directory =
        directory(&[("a", "gcr.io/s", &broken), ("b", "gcr.io/s/below", ""), ("c", "gcr.io/other", "")]);
    assert_eq!(promoted(&directory), ["c"]);
    let escaped = broken.replace("provenance", r#""pro\u0076enance""#);
    write(&directory.path().join("manifests/a/promoter-manifest.yaml"), format!("{REGISTRIES}{escaped}"));
    assert_eq!(promoted(&directory), ["c"]);
    write(&directory.path().join("manifests/a/promoter-manifest.yaml"), format!("{REGISTRIES}broken: [\n"));
    assert_eq!(promoted(&directory), ["b", "c"], "this file declares no policy");
}

#[test]
fn a_policy_with_an_unknown_source_may_apply_to_everything() {
    let directory = directory(&[("a", "gcr.io/s", ""), ("b", "gcr.io/other", "")]);
    let registries = directory.path().join("manifests/a/promoter-manifest.yaml");
    fs::remove_file(&registries).unwrap();
    symlink("/etc/promoter-manifest.yaml", &registries).unwrap();
    assert!(promoted(&directory).is_empty());
    let faults = rejected(directory.path());
    assert!(faults.contains("may declare a provenance policy for any source"), "{faults}");
    assert_eq!(faults.lines().count(), 2, "it is reported once: {faults}");
}

/// A readable policy applies to some source. If the file does not name the source, it may be any source.
#[test]
fn a_policy_without_a_readable_source_may_apply_to_everything() {
    let source = "- name: gcr.io/s\n  src: true\n";
    assert!(REGISTRIES.contains(source), "{REGISTRIES}");
    for registries in [
        String::new(),
        "registries: []\n".to_owned(),
        "registries: gcr.io/s\n".to_owned(),
        REGISTRIES.replace("registries", "registry"),
        REGISTRIES.replace(source, ""),
        REGISTRIES.replace(source, "- src: true\n"),
        REGISTRIES.replace("name: gcr.io/s\n", "name:\n"),
        REGISTRIES.replace("name: gcr.io/s\n", "name: [gcr.io/s]\n"),
        REGISTRIES.replace("gcr.io/s\n", "https://gcr.io/s\n"),
        REGISTRIES.replace("gcr.io/s\n", "gcr.io//s\n"),
        REGISTRIES.replace("gcr.io/s\n", "gcr.io/./s\n"),
        REGISTRIES.replace("gcr.io/s\n", "gcr.io/S\n"),
        REGISTRIES.replace("gcr.io/s\n", "gcr.io/s:latest\n"),
    ] {
        let directory = directory(&[("b", "gcr.io/s", ""), ("c", "gcr.io/other", "")]);
        for broken in ["", "broken: [\n"] {
            write_thin(directory.path(), "a", &format!("{registries}{POLICY}{broken}"), "[]\n");
            let left = promoted(&directory);
            assert!(!left.contains(&"b".to_owned()), "{registries}{broken}");
            assert!(left.is_empty() || !broken.is_empty(), "{registries}");
        }
    }
    // A registry with another fault still names the source.
    let directory = directory(&[("b", "gcr.io/s", ""), ("c", "gcr.io/other", "")]);
    let registries = REGISTRIES.replace("  src: true\n", "  src: true\n  unknown: 1\n");
    write_thin(directory.path(), "a", &format!("{registries}{POLICY}"), "[]\n");
    assert_eq!(promoted(&directory), ["c"]);
}

#[test]
fn a_policy_is_not_lost_when_its_file_is_moved_too_deep() {
    let directory = directory(&[("a", "gcr.io/s", ""), ("b", "gcr.io/s/below", "")]);
    let deeper = directory.path().join("manifests/b/deeper/promoter-manifest.yaml");
    write(&deeper, format!("{}{POLICY}", REGISTRIES.replace("gcr.io/s", "gcr.io/s/below")));
    assert_eq!(promoted(&directory), ["a"], "it contradicts the other manifest of its source");
    write(&deeper, format!("{}{POLICY}", REGISTRIES.replace("gcr.io/s", "gcr.io")));
    assert_eq!(promoted(&directory), ["a", "b"]);
    assert_eq!(mode_of(&thin(directory.path()), "gcr.io/s/a"), Some(Mode::Require));
}

#[test]
fn contradicting_policies_leave_out_all_affected_projects() {
    let warn = POLICY.replace("require", "warn");
    let directory = directory(&[
        ("a", "gcr.io/s", POLICY),
        ("b", "gcr.io/s", &warn),
        ("c", "gcr.io/s/below", ""),
        ("d", "gcr.io/other", POLICY),
        ("e", "gcr.io/other/below", ""),
    ]);
    assert_eq!(promoted(&directory), ["d", "e"]);
    assert_eq!(rejected(directory.path()).lines().count(), 3);
    assert_eq!(mode_of(&thin(directory.path()), "gcr.io/other/below/e"), Some(Mode::Require));
}
