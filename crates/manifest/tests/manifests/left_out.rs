//! One bad line does not stop the world: invalid entries of thin manifests are left out, and the rest is read.

use std::fs;
use std::path::Path;

use manifest::{Severity, load_plain};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{
    REGISTRIES, data, digest, edges, image, lines_below, promotions, rejected, thin, write, write_thin,
};

/// Creates two projects with different sources. One of them has these images.
fn directory(images: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    write_thin(directory.path(), "bad", REGISTRIES, images);
    write_thin(directory.path(), "good", &other_registries(), &image("good", &[('f', "x")]));
    directory
}

fn other_registries() -> String {
    REGISTRIES.replace("gcr.io/s", "gcr.io/other").replace("gcr.io/p", "gcr.io/q")
}

/// Reads these images as the images of the first of two projects. Returns its valid entries, and the faults. The other project
/// must be read completely.
fn read(images: &str) -> (Vec<String>, String) {
    let directory = directory(images);
    let manifests = thin(directory.path());
    let mut add = promotions(&manifests);
    assert_eq!(add.pop().as_deref(), Some("good@f:x"));
    assert!(manifests.rejected.iter().all(|fault| fault.severity() == Severity::Error));
    let text = format!(
        "{REGISTRIES}images:\n{}",
        images.lines().map(|line| format!("{line}\n")).collect::<String>()
    );
    let plain = directory.path().join("plain.yaml");
    write(&plain, text);
    let is_wrong = load_plain(&plain).is_err();
    assert_eq!(
        is_wrong,
        !manifests.rejected.is_empty() || !manifests.warnings.is_empty(),
        "plain manifests are strict"
    );
    let prefix = "images/bad/images.yaml:";
    (add, rejected(directory.path()).replace(prefix, ""))
}

#[test]
fn a_typo_leaves_out_its_entry_and_does_not_affect_other_projects() {
    let directory = data("shapes/typo-in-one-project");
    let found: Vec<String> = edges(&thin(&directory)).into_iter().collect();
    assert_eq!(
        found,
        [
            "eu.registry.example/prod/apple/apple:v1@f",
            "us.registry.example/prod/apple/apple:v1@f",
            "us.registry.example/prod/pear/pear:v1@f",
        ]
    );
    insta::assert_snapshot!(rejected(&directory), @"
    images/apple/images.yaml:4:5: `sha256:2c3a4249d77070058649dbd822dcaf7957586fce428cfb2ca88b94741eda8b0` is not a digest: expected `sha256:` and 64, or `sha512:` and 128, lower-case hexadecimal digits
    images/apple/images.yaml:5:5: `ha256:f46dd28a5499d8efef0b8fb8ee1ec1c5a5e407c9381741d576ba8deb4f59ec3f` is not a digest: expected `sha256:` and 64, or `sha512:` and 128, lower-case hexadecimal digits
    images/apple/images.yaml:6:81: `v4\"` is not a tag: expected a letter, digit or `_`, then at most 127 letters, digits, `_`, `.` or `-`
    ");
}

#[test]
fn images_without_digests_are_warnings_in_thin_manifests() {
    let directory = data("shapes/image-without-digests");
    let manifests = thin(&directory);
    let found: Vec<String> = edges(&manifests).into_iter().collect();
    assert_eq!(found, ["us.registry.example/prod/apple/apple:v1@f"]);
    assert!(manifests.rejected.is_empty());
    assert!(manifests.warnings.iter().all(|warning| warning.severity() == Severity::Warning));
    insta::assert_snapshot!(lines_below(&directory, &manifests.warnings), @"
    images/apple/images.yaml:1:3: the image has no `dmap`
    images/apple/images.yaml:3:7: `dmap` is empty: it names no digests to promote
    ");
}

#[test]
fn an_invalid_digest_is_left_out_with_its_tags() {
    let images = image("a", &[('a', "x"), ('b', "y, -z"), ('c', "w")]).replace(&digest('b'), "sha256:b");
    let (add, faults) = read(&images);
    assert_eq!(add, ["a@a:x", "a@c:w"]);
    assert_eq!(faults.lines().count(), 2, "{faults}");
}

#[test]
fn an_invalid_tag_is_left_out_without_its_digest() {
    let (add, faults) = read(&image("a", &[('a', "x, -y, z")]));
    assert_eq!(add, ["a@a:x", "a@a:z"]);
    assert!(faults.starts_with("3:82: `-y` is not a tag") && faults.lines().count() == 1, "{faults}");
}

#[test]
fn a_digest_whose_tags_are_all_invalid_is_not_promoted_without_a_tag() {
    for tags in ["-y", "-y, é", "~", "\"\""] {
        let (add, _) = read(&image("a", &[('a', tags), ('b', "")]));
        assert_eq!(add, ["a@b"], "{tags}");
    }
    let (add, faults) = read(&image("a", &[('a', "x")]).replace("[x]", "x"));
    assert!(add.is_empty() && faults.starts_with("3:78: expected a list of tags"), "{faults}");
}

#[test]
fn an_ambiguous_image_is_left_out() {
    let good = image("a", &[('a', "x")]);
    for (bad, fault) in [
        (good.replace("name: a", "name: A"), "`A` is not a repository name"),
        (good.replace("name: a", "name: a\n  name: b"), "the field `name` is listed twice"),
        (good.replace("name: a", "name: a\n  tags: [z]"), "unknown field `tags`"),
        (good.replace("name: a", "named: a"), "the image has no `name`"),
        (
            good.replace("- name: a\n  dmap:\n", "- name: a\n  dmap: [z]\n  other:\n"),
            "a mapping of digests to tags",
        ),
        (good.replace("name: a", &format!("name: {}", "a".repeat(254))), "more than 255 characters"),
        (format!("- just a text\n{good}").replace("name: a", "name: b"), "found text"),
    ] {
        let (add, faults) = read(&(bad + &image("c", &[('c', "x")])));
        let kept = if fault == "found text" { vec!["b@a:x", "c@c:x"] } else { vec!["c@c:x"] };
        assert_eq!(add, kept, "{fault}");
        assert!(faults.contains(fault), "{faults}");
    }
}

#[test]
fn entries_of_a_repeated_digest_are_left_out_unless_they_agree() {
    let twice = |first, second| read(&image("a", &[('a', first), ('b', "z"), ('a', second)]));
    for (first, second) in [("x", "y"), ("x", ""), ("x", "x, y"), ("x", "-x"), ("-x", "-x"), ("x", "x, -y")] {
        let (add, faults) = twice(first, second);
        assert_eq!(add, ["a@b:z"], "{first} {second}");
        assert!(faults.contains("is listed twice"), "{faults}");
    }
    for (first, second) in [("x, y", "y, x"), ("", "")] {
        let (add, faults) = twice(first, second);
        assert!(add.len() > 1 && faults.lines().count() == 1, "{add:?} {faults}");
    }
}

#[test]
fn an_images_file_that_cannot_be_read_leaves_out_its_project() {
    for bad in ["- name: [\n", "just a text", "{a: b}", "- name: a\n--- \n- name: b\n", "- \0", "- !secret x"]
    {
        let directory = directory(bad);
        assert_eq!(promotions(&thin(directory.path())), ["good@f:x"], "{bad}");
        let faults = rejected(directory.path());
        assert!(faults.starts_with("images/bad/images.yaml") && faults.lines().count() == 1, "{faults}");
    }
    let directory = directory("");
    fs::remove_file(directory.path().join("images/bad/images.yaml")).unwrap();
    assert_eq!(promotions(&thin(directory.path())), ["good@f:x"]);
    assert!(rejected(directory.path()).contains("there is no such file"));
}

#[test]
fn any_fault_of_registries_leaves_out_their_project() {
    for bad in [
        "registries: [\n",
        "registries: []\n",
        "just a text",
        "registries:\n- name: gcr.io/s\n- name: gcr.io/p\n",
        "registries:\n- {name: gcr.io/s, src: true}\n- {name: gcr.io/P}\n",
        "registries:\n- {name: gcr.io/s, src: true}\n- {name: gcr.io/p, token: x}\n",
        "registries:\n- {name: gcr.io/s, src: true}\n- {name: gcr.io/s}\n",
        "registries:\n- {name: gcr.io/s, src: true}\n- {name: gcr.io/t, src: true}\n",
        "registries:\n- {name: gcr.io/s, src: true}\n- {name: gcr.io/p}\nimages: []\n",
    ] {
        let directory = directory(&image("a", &[('a', "x")]));
        write(&directory.path().join("manifests/bad/promoter-manifest.yaml"), bad);
        assert_eq!(promotions(&thin(directory.path())), ["good@f:x"], "{bad}");
        let faults = rejected(directory.path());
        let is_there = |line: &str| line.starts_with("manifests/bad/promoter-manifest.yaml");
        assert!(!faults.is_empty() && faults.lines().all(is_there), "{faults}");
    }
}

#[test]
fn rejected_entries_are_reported_with_file_and_position() {
    let directory = directory(&(image("A", &[('a', "-x")]) + &image("b", &[('b', "x, -y, .z")])));
    write_thin(directory.path(), "also", "registries: {}\n", &image("c", &[('c', "-x")]));
    let manifests = thin(directory.path());
    let places: Vec<_> = manifests.rejected.iter().map(|fault| (fault.file(), fault.position())).collect();
    assert_eq!(places.len(), 6);
    assert!(places.is_sorted(), "{places:?}");
    assert_eq!(manifests.rejected.count(), 6);
}

#[test]
fn faults_of_the_tree_as_a_whole_still_stop_everything() {
    let directory = directory(&image("A", &[('a', "x")]));
    fs::rename(directory.path().join("images"), directory.path().join("imgs")).unwrap();
    assert!(manifest::load_thin(directory.path()).is_err());
    assert!(manifest::load_thin(Path::new("no-such-directory")).is_err());
}

proptest! {
    #[test]
    fn a_damaged_file_leaves_out_only_damaged_parts_of_its_own_project(
        at in 0..1_000_usize,
        length in 0..20_usize,
        with in prop::collection::vec(prop::sample::select(b"\n\t \"':,-?&*!|>%@`[]{}#x\0\xff".to_vec()), 0..6),
        is_images in any::<bool>(),
    ) {
        let directory = directory(&(image("a", &[('a', "x, y"), ('b', "")]) + &image("b", &[('c', "z")])));
        let whole = promotions(&thin(directory.path()));
        let file = if is_images { "images/bad/images.yaml" } else { "manifests/bad/promoter-manifest.yaml" };
        let file = directory.path().join(file);
        let mut damaged = fs::read(&file).unwrap();
        let start = at % damaged.len();
        let end = (start + length).min(damaged.len());
        damaged.splice(start..end, with);
        let is_text = std::str::from_utf8(&damaged).is_ok_and(|text| !text.contains('\0'));
        write(&file, damaged);
        let manifests = thin(directory.path());
        let read = promotions(&manifests);
        // A registries file that is not text may declare a policy for any source.
        prop_assert!(read.contains(&"good@f:x".to_owned()) || !is_images && !is_text);
        if !is_images {
            // Invalid registries leave out all images, and other faults change no valid entry.
            prop_assert!(read.len() <= 1 || read == whole);
            prop_assert_eq!(read.len() <= 1, !manifests.rejected.is_empty());
        }
    }
}
