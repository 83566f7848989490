//! Folders of thin manifests.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use manifest::{Severity, load_thin};
use tempfile::TempDir;

use crate::support::{REGISTRIES, image, lines_below, promotions, rejected, write, write_thin};

/// Creates a folder with one valid project.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    write_thin(folder.path(), "good", REGISTRIES, &image("a", &[('a', "x")]));
    folder
}

/// Returns the faults of a folder.
fn complaints(folder: &Path) -> String {
    lines_below(folder, load_thin(folder).expect_err("the directory is wrong").iter())
}

fn warnings(folder: &Path) -> String {
    let warnings = load_thin(folder).unwrap_or_else(|wrong| panic!("{wrong}")).warnings;
    assert!(warnings.iter().all(|warning| warning.severity() == Severity::Warning));
    lines_below(folder, warnings)
}

#[test]
fn projects_come_in_the_order_of_their_names_and_are_named_after_their_folders() {
    let folder = folder();
    for project in ["b", "a", "c"] {
        write_thin(folder.path(), project, REGISTRIES, &image(project, &[('a', "x")]));
    }
    let loaded = load_thin(folder.path()).unwrap();
    let names: Vec<&str> = loaded.manifests.iter().map(|manifest| &*manifest.name).collect();
    assert_eq!(names, ["a", "b", "c", "good"]);
    let files =
        lines_below(folder.path(), loaded.manifests.iter().map(|manifest| manifest.images_file.clone()));
    assert!(files.starts_with("images/a/images.yaml\n"), "{files}");
    assert!(loaded.warnings.is_empty());
}

#[test]
fn unrelated_files_are_ignored() {
    let folder = folder();
    for path in ["README.md", "OWNERS", "manifests/OWNERS", "manifests/good/notes.yaml", "images/README.md"] {
        write(&folder.path().join(path), "{ this is no manifest");
    }
    assert_eq!(promotions(&load_thin(folder.path()).unwrap()), ["a@a:x"]);
    assert_eq!(warnings(folder.path()), "");
}

#[test]
fn the_old_field_images_path_means_nothing_in_thin_manifests() {
    let folder = folder();
    let registries = format!("{REGISTRIES}imagesPath: elsewhere/images.yaml\n");
    write_thin(folder.path(), "good", &registries, &image("a", &[('a', "x")]));
    assert_eq!(promotions(&load_thin(folder.path()).unwrap()), ["a@a:x"]);
}

#[test]
fn a_project_without_images_may_say_so() {
    let folder = folder();
    for (project, nothing) in [("empty", ""), ("comment", "# none yet\n"), ("list", "[]\n")] {
        write_thin(folder.path(), project, REGISTRIES, nothing);
    }
    assert_eq!(load_thin(folder.path()).unwrap().manifests.len(), 4);
}

#[test]
fn a_project_folder_without_registries_is_a_warning() {
    let folder = folder();
    fs::create_dir(folder.path().join("manifests/none")).unwrap();
    insta::assert_snapshot!(warnings(folder.path()), @"manifests/none: the project has no promoter-manifest.yaml, and is left out");
}

#[test]
fn images_that_no_registries_belong_to_are_a_warning() {
    let folder = folder();
    write(&folder.path().join("images/godo/images.yaml"), "[]");
    insta::assert_snapshot!(warnings(folder.path()), @"images/godo: no directory in manifests has this name, and the images are left out");
}

#[test]
fn a_project_without_a_file_of_images_is_an_error() {
    let folder = folder();
    write(&folder.path().join("manifests/bad/promoter-manifest.yaml"), "registries: []\n");
    insta::assert_snapshot!(rejected(folder.path()), @"
    images/bad/images.yaml: there is no such file, and manifests/bad/promoter-manifest.yaml needs it
    manifests/bad/promoter-manifest.yaml:1:13: `registries` is missing or empty
    ");
}

#[test]
fn images_and_manifests_must_be_folders() {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join("images"), "");
    insta::assert_snapshot!(complaints(folder.path()), @"
    images: not a directory
    cannot read manifests: No such file or directory
    ");
    assert!(load_thin(&folder.path().join("missing")).unwrap_err().to_string().contains("missing"));
}

#[test]
fn a_manifest_at_the_wrong_depth_is_an_error() {
    let folder = folder();
    for place in ["manifests", "manifests/good/deeper", "manifests/good/deeper/still"] {
        write(&folder.path().join(place).join("promoter-manifest.yaml"), REGISTRIES);
    }
    insta::assert_snapshot!(rejected(folder.path()), @"
    manifests/good/deeper/promoter-manifest.yaml: a manifest at the wrong depth: it belongs at manifests/<project>/promoter-manifest.yaml
    manifests/good/deeper/still/promoter-manifest.yaml: a manifest at the wrong depth: it belongs at manifests/<project>/promoter-manifest.yaml
    manifests/promoter-manifest.yaml: a manifest at the wrong depth: it belongs at manifests/<project>/promoter-manifest.yaml
    ");
}

#[test]
fn links_within_the_folder_are_followed() {
    let folder = folder();
    symlink("good", folder.path().join("manifests/linked")).unwrap();
    symlink("good", folder.path().join("images/linked")).unwrap();
    assert_eq!(promotions(&load_thin(folder.path()).unwrap()), ["a@a:x", "a@a:x"]);
}

#[test]
fn links_out_of_the_folder_are_errors() {
    let [folder, outside] = [folder(), folder()];
    let manifests = folder.path().join("manifests");
    symlink(outside.path().join("manifests/good"), manifests.join("project-folder")).unwrap();
    for (project, file) in
        [("file-of-images", "images.yaml"), ("file-of-registries", "promoter-manifest.yaml")]
    {
        write_thin(folder.path(), project, REGISTRIES, "[]");
        let top = if file == "images.yaml" { "images" } else { "manifests" };
        let link = folder.path().join(top).join(project).join(file);
        fs::remove_file(&link).unwrap();
        symlink(outside.path().join(top).join("good").join(file), link).unwrap();
    }
    write(&manifests.join("images-folder/promoter-manifest.yaml"), REGISTRIES);
    symlink(outside.path().join("images/good"), folder.path().join("images/images-folder")).unwrap();
    write_thin(folder.path(), "nowhere", REGISTRIES, "[]");
    fs::remove_file(folder.path().join("images/nowhere/images.yaml")).unwrap();
    symlink("missing", folder.path().join("images/nowhere/images.yaml")).unwrap();
    insta::assert_snapshot!(rejected(folder.path()), @"
    images/file-of-images/images.yaml: a link that leads out of the directory of manifests
    images/images-folder/images.yaml: a link that leads out of the directory of manifests
    cannot read images/nowhere/images.yaml: No such file or directory
    manifests/file-of-registries/promoter-manifest.yaml: a link that leads out of the directory of manifests
    manifests/file-of-registries/promoter-manifest.yaml: this cannot be read and may declare a provenance policy for any source, so nothing is promoted
    manifests/project-folder: a link that leads out of the directory of manifests
    manifests/project-folder: this cannot be read and may declare a provenance policy for any source, so nothing is promoted
    ");
}

#[test]
fn what_is_no_regular_file_is_an_error() {
    let folder = folder();
    fs::create_dir_all(folder.path().join("manifests/odd/promoter-manifest.yaml")).unwrap();
    fs::create_dir(folder.path().join("images/odd")).unwrap();
    // Opening a pipe blocks until another process writes to it.
    let pipe = folder.path().join("images/odd/images.yaml");
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    insta::assert_snapshot!(rejected(folder.path()), @"
    images/odd/images.yaml: not a regular file
    manifests/odd/promoter-manifest.yaml: not a regular file
    manifests/odd/promoter-manifest.yaml: this cannot be read and may declare a provenance policy for any source, so nothing is promoted
    ");
}

#[test]
fn errors_in_all_files_are_reported_together() {
    let folder = folder();
    write_thin(folder.path(), "one", "registries:\n- name: gcr.io/S\n", &image("a", &[('a', "-x")]));
    write_thin(folder.path(), "two", "registries: [\n", &image("Apple", &[('a', "x, .y")]));
    insta::assert_snapshot!(rejected(folder.path()), @"
    images/one/images.yaml:3:79: `-x` is not a tag: expected a letter, digit or `_`, then at most 127 letters, digits, `_`, `.` or `-`
    images/two/images.yaml:1:9: `Apple` is not a repository name: expected components of lower-case letters and digits, joined by `/`, each inside by `.`, `_`, `__` or dashes, 255 characters at most
    images/two/images.yaml:3:82: `.y` is not a tag: expected a letter, digit or `_`, then at most 127 letters, digits, `_`, `.` or `-`
    manifests/one/promoter-manifest.yaml:2:9: `S` is not a repository name: expected components of lower-case letters and digits, joined by `/`, each inside by `.`, `_`, `__` or dashes, 255 characters at most
    manifests/two/promoter-manifest.yaml:1:13: not YAML that can be read: unclosed bracket '['
    ");
}

/// The name of a project is printed, in the plan and by other programs.
#[test]
fn a_name_that_would_control_a_terminal_is_an_error_and_is_escaped() {
    let folder = folder();
    for name in ["esc\u{1b}[2J", "line\nbreak", "turned\u{202e}"] {
        write_thin(folder.path(), name, REGISTRIES, &image("b", &[('b', "x")]));
    }
    insta::assert_snapshot!(rejected(folder.path()), @r"
    manifests/esc\u{1b}[2J: the project's name has control characters
    manifests/line\nbreak: the project's name has control characters
    manifests/turned\u{202e}: the project's name has control characters
    ");
    assert_eq!(promotions(&load_thin(folder.path()).unwrap()), ["a@a:x"]);
}
