//! Directories of thin manifests.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use manifest::{Severity, load_thin};
use tempfile::TempDir;

use crate::support::{REGISTRIES, image, lines_below, promotions, rejected, write, write_thin};

/// Creates a directory with one valid project.
fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    write_thin(directory.path(), "good", REGISTRIES, &image("a", &[('a', "x")]));
    directory
}

/// Returns the faults of a directory.
fn complaints(directory: &Path) -> String {
    lines_below(directory, load_thin(directory).expect_err("the directory is wrong").iter())
}

fn warnings(directory: &Path) -> String {
    let warnings = load_thin(directory).unwrap_or_else(|wrong| panic!("{wrong}")).warnings;
    assert!(warnings.iter().all(|warning| warning.severity() == Severity::Warning));
    lines_below(directory, warnings)
}

#[test]
fn projects_are_ordered_by_name_and_named_after_their_directories() {
    let directory = directory();
    for project in ["b", "a", "c"] {
        write_thin(directory.path(), project, REGISTRIES, &image(project, &[('a', "x")]));
    }
    let loaded = load_thin(directory.path()).unwrap();
    let names: Vec<&str> = loaded.manifests.iter().map(|manifest| &*manifest.name).collect();
    assert_eq!(names, ["a", "b", "c", "good"]);
    let files =
        lines_below(directory.path(), loaded.manifests.iter().map(|manifest| manifest.images_file.clone()));
    assert!(files.starts_with("images/a/images.yaml\n"), "{files}");
    assert!(loaded.warnings.is_empty());
}

#[test]
fn unrelated_files_are_ignored() {
    let directory = directory();
    for path in ["README.md", "OWNERS", "manifests/OWNERS", "manifests/good/notes.yaml", "images/README.md"] {
        write(&directory.path().join(path), "{ not a manifest");
    }
    assert_eq!(promotions(&load_thin(directory.path()).unwrap()), ["a@a:x"]);
    assert_eq!(warnings(directory.path()), "");
}

#[test]
fn the_deprecated_field_images_path_has_no_effect_in_thin_manifests() {
    let directory = directory();
    let registries = format!("{REGISTRIES}imagesPath: elsewhere/images.yaml\n");
    write_thin(directory.path(), "good", &registries, &image("a", &[('a', "x")]));
    assert_eq!(promotions(&load_thin(directory.path()).unwrap()), ["a@a:x"]);
}

#[test]
fn a_project_may_have_an_empty_list_of_images() {
    let directory = directory();
    for (project, nothing) in [("empty", ""), ("comment", "# none yet\n"), ("list", "[]\n")] {
        write_thin(directory.path(), project, REGISTRIES, nothing);
    }
    assert_eq!(load_thin(directory.path()).unwrap().manifests.len(), 4);
}

#[test]
fn a_project_directory_without_registries_is_a_warning() {
    let directory = directory();
    fs::create_dir(directory.path().join("manifests/none")).unwrap();
    insta::assert_snapshot!(warnings(directory.path()), @"manifests/none: the project has no promoter-manifest.yaml, and is left out");
}

#[test]
fn images_without_registries_are_a_warning() {
    let directory = directory();
    write(&directory.path().join("images/godo/images.yaml"), "[]");
    insta::assert_snapshot!(warnings(directory.path()), @"images/godo: no directory in manifests has this name, and the images are left out");
}

#[test]
fn a_project_without_an_images_file_is_an_error() {
    let directory = directory();
    write(&directory.path().join("manifests/bad/promoter-manifest.yaml"), "registries: []\n");
    insta::assert_snapshot!(rejected(directory.path()), @"
    images/bad/images.yaml: there is no such file, and manifests/bad/promoter-manifest.yaml needs it
    manifests/bad/promoter-manifest.yaml:1:13: `registries` is missing or empty
    ");
}

#[test]
fn images_and_manifests_must_be_directories() {
    let directory = TempDir::new().unwrap();
    write(&directory.path().join("images"), "");
    insta::assert_snapshot!(complaints(directory.path()), @"
    images: not a directory
    cannot read manifests: No such file or directory
    ");
    assert!(load_thin(&directory.path().join("missing")).unwrap_err().to_string().contains("missing"));
}

#[test]
fn a_manifest_at_the_wrong_depth_is_an_error() {
    let directory = directory();
    for place in ["manifests", "manifests/good/deeper", "manifests/good/deeper/still"] {
        write(&directory.path().join(place).join("promoter-manifest.yaml"), REGISTRIES);
    }
    insta::assert_snapshot!(rejected(directory.path()), @"
    manifests/good/deeper/promoter-manifest.yaml: a manifest at the wrong depth: it belongs at manifests/<project>/promoter-manifest.yaml
    manifests/good/deeper/still/promoter-manifest.yaml: a manifest at the wrong depth: it belongs at manifests/<project>/promoter-manifest.yaml
    manifests/promoter-manifest.yaml: a manifest at the wrong depth: it belongs at manifests/<project>/promoter-manifest.yaml
    ");
}

#[test]
fn links_within_the_directory_are_followed() {
    let directory = directory();
    symlink("good", directory.path().join("manifests/linked")).unwrap();
    symlink("good", directory.path().join("images/linked")).unwrap();
    assert_eq!(promotions(&load_thin(directory.path()).unwrap()), ["a@a:x", "a@a:x"]);
}

#[test]
fn links_out_of_the_directory_are_errors() {
    let [directory, outside] = [directory(), directory()];
    let manifests = directory.path().join("manifests");
    symlink(outside.path().join("manifests/good"), manifests.join("project-directory")).unwrap();
    for (project, file) in
        [("file-of-images", "images.yaml"), ("file-of-registries", "promoter-manifest.yaml")]
    {
        write_thin(directory.path(), project, REGISTRIES, "[]");
        let top = if file == "images.yaml" { "images" } else { "manifests" };
        let link = directory.path().join(top).join(project).join(file);
        fs::remove_file(&link).unwrap();
        symlink(outside.path().join(top).join("good").join(file), link).unwrap();
    }
    write(&manifests.join("images-directory/promoter-manifest.yaml"), REGISTRIES);
    symlink(outside.path().join("images/good"), directory.path().join("images/images-directory")).unwrap();
    write_thin(directory.path(), "nowhere", REGISTRIES, "[]");
    fs::remove_file(directory.path().join("images/nowhere/images.yaml")).unwrap();
    symlink("missing", directory.path().join("images/nowhere/images.yaml")).unwrap();
    insta::assert_snapshot!(rejected(directory.path()), @"
    images/file-of-images/images.yaml: a link that leads out of the directory of manifests
    images/images-directory/images.yaml: a link that leads out of the directory of manifests
    cannot read images/nowhere/images.yaml: No such file or directory
    manifests/file-of-registries/promoter-manifest.yaml: a link that leads out of the directory of manifests
    manifests/file-of-registries/promoter-manifest.yaml: this cannot be read and may declare a provenance policy for any source, so nothing is promoted
    manifests/project-directory: a link that leads out of the directory of manifests
    manifests/project-directory: this cannot be read and may declare a provenance policy for any source, so nothing is promoted
    ");
}

#[test]
fn anything_but_a_regular_file_is_an_error() {
    let directory = directory();
    fs::create_dir_all(directory.path().join("manifests/odd/promoter-manifest.yaml")).unwrap();
    fs::create_dir(directory.path().join("images/odd")).unwrap();
    // Opening a pipe blocks until another process writes to it.
    let pipe = directory.path().join("images/odd/images.yaml");
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    insta::assert_snapshot!(rejected(directory.path()), @"
    images/odd/images.yaml: not a regular file
    manifests/odd/promoter-manifest.yaml: not a regular file
    manifests/odd/promoter-manifest.yaml: this cannot be read and may declare a provenance policy for any source, so nothing is promoted
    ");
}

#[test]
fn errors_in_all_files_are_reported_together() {
    let directory = directory();
    write_thin(directory.path(), "one", "registries:\n- name: gcr.io/S\n", &image("a", &[('a', "-x")]));
    write_thin(directory.path(), "two", "registries: [\n", &image("Apple", &[('a', "x, .y")]));
    insta::assert_snapshot!(rejected(directory.path()), @"
    images/one/images.yaml:3:79: `-x` is not a tag: expected a letter, digit or `_`, then at most 127 letters, digits, `_`, `.` or `-`
    images/two/images.yaml:1:9: `Apple` is not a repository name: expected components of lower-case letters and digits, joined by `/`, each inside by `.`, `_`, `__` or dashes, 255 characters at most
    images/two/images.yaml:3:82: `.y` is not a tag: expected a letter, digit or `_`, then at most 127 letters, digits, `_`, `.` or `-`
    manifests/one/promoter-manifest.yaml:2:9: `S` is not a repository name: expected components of lower-case letters and digits, joined by `/`, each inside by `.`, `_`, `__` or dashes, 255 characters at most
    manifests/two/promoter-manifest.yaml:1:13: not YAML that can be read: unclosed bracket '['
    ");
}

/// The name of a project is printed in the plan and by other programs.
#[test]
fn a_name_with_control_characters_is_an_error_and_is_escaped() {
    let directory = directory();
    for name in ["esc\u{1b}[2J", "line\nbreak", "turned\u{202e}"] {
        write_thin(directory.path(), name, REGISTRIES, &image("b", &[('b', "x")]));
    }
    insta::assert_snapshot!(rejected(directory.path()), @r"
    manifests/esc\u{1b}[2J: the project's name has control characters
    manifests/line\nbreak: the project's name has control characters
    manifests/turned\u{202e}: the project's name has control characters
    ");
    assert_eq!(promotions(&load_thin(directory.path()).unwrap()), ["a@a:x"]);
}
