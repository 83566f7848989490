//! `kpromo manifest add`: offline.

use std::fs;

use crate::support::{Desk, kpromo, kpromo_with};

const IMAGES: &str = "# on top\n- name: a\n  dmap:\n    \"sha256:1111111111111111111111111111111111111111111111111111111111111111\": [\"v1\"] # one\n";
const OTHER: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

fn tree(desk: &Desk) -> String {
    for (project, source) in [("a", "s.example/a"), ("b", "s.example/a/b")] {
        let manifest = format!("registries:\n- name: {source}\n  src: true\n- name: p.example/{project}\n");
        desk.write(&format!("tree/manifests/{project}/promoter-manifest.yaml"), &manifest);
    }
    desk.write("tree/images/a/images.yaml", IMAGES);
    desk.write("tree/images/b/images.yaml", "[]\n");
    desk.path("tree").display().to_string()
}

#[test]
fn a_file_gets_the_tag_and_keeps_its_lines_and_a_second_run_changes_nothing() {
    let desk = Desk::new();
    let path = desk.write("images.yaml", IMAGES);
    let file = path.to_str().unwrap();
    let diff = kpromo_with(&["manifest", "add", "a", "v2", OTHER, file, "--dry-run"]);
    assert_eq!(diff.code, 0, "{}", diff.stderr);
    assert!(diff.stdout.contains(&format!("+    \"{OTHER}\": [\"v2\"]\n")), "{}", diff.stdout);
    assert_eq!(diff.stdout.lines().filter(|line| line.starts_with('-')).count(), 1, "{}", diff.stdout);
    assert_eq!(fs::read_to_string(&path).unwrap(), IMAGES, "a dry run writes nothing");
    let added = kpromo_with(&["manifest", "add", "a", "v2", OTHER, file]);
    assert_eq!((added.code, added.stdout), (0, format!("{file}: + a:v2 {OTHER}\n")));
    let expected = format!("{IMAGES}    \"{OTHER}\": [\"v2\"]\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    let again = kpromo_with(&["manifest", "add", "a", "v2", OTHER, file]);
    assert_eq!(again.code, 0);
    assert!(again.stdout.contains("nothing to change"), "{}", again.stdout);
    assert_eq!(desk.names(), ["images.yaml"], "no temporary file is left");
    let formatted = kpromo_with(&["manifest", "add", "b", "v1", OTHER, file, "--format"]);
    assert_eq!(formatted.code, 0, "{}", formatted.stderr);
}

#[test]
fn a_project_of_a_directory_is_found_by_its_image_or_its_staging_registry() {
    let desk = Desk::new();
    let tree = tree(&desk);
    for (image, more, project, name) in [
        ("a", &[][..], "a", "a"),
        ("s.example/a/new", &[], "a", "new"),
        ("s.example/a/b/x/y", &[], "b", "x/y"),
        ("fresh", &["--project", "b"], "b", "fresh"),
    ] {
        let mut words = vec!["manifest", "add", image, "v9", OTHER, "--dir", &tree];
        words.extend(more);
        let ran = kpromo_with(&words);
        let file = format!("{tree}/images/{project}/images.yaml");
        assert_eq!(
            (ran.code, ran.stdout),
            (0, format!("{file}: + {name}:v9 {OTHER}\n")),
            "{image}: {}",
            ran.stderr
        );
        assert!(fs::read_to_string(file).unwrap().contains(&format!("name: {name}\n")));
    }
    let unknown = kpromo_with(&["manifest", "add", "nobody", "v1", OTHER, "--dir", &tree]);
    assert_eq!(unknown.code, 10);
    assert!(unknown.stderr.contains("--project"), "{}", unknown.stderr);
}

#[test]
fn a_tag_that_would_move_and_a_file_with_faults_are_refused() {
    let desk = Desk::new();
    let path = desk.write("images.yaml", IMAGES);
    let moved = kpromo_with(&["manifest", "add", "a", "v1", OTHER, path.to_str().unwrap()]);
    assert_eq!(moved.code, 11);
    assert!(moved.stderr.contains(OTHER) && moved.stderr.contains("sha256:1111"), "{}", moved.stderr);
    assert!(moved.stderr.contains("images.yaml:4:"), "{}", moved.stderr);
    let broken = desk.write("broken.yaml", "- name: a\n  dmapp: {}\n");
    let ran = kpromo_with(&["manifest", "add", "a", "v1", OTHER, broken.to_str().unwrap()]);
    assert_eq!(ran.code, 10);
    assert!(ran.stderr.contains("broken.yaml:2:3"), "{}", ran.stderr);
    for words in [
        &["manifest", "add", "a", "v1", OTHER][..],
        &["manifest", "add", "A", "v1", OTHER, "x.yaml"],
        &["manifest", "add", "a", "-v1", OTHER, "x.yaml"],
        &["manifest", "add", "a", "v1", "sha256:1", "x.yaml"],
        &["manifest", "add", "a", "v1", OTHER, "x.yaml", "--dir", "y"],
    ] {
        assert_eq!(kpromo_with(words).code, 2, "{words:?}");
    }
    assert_eq!(kpromo_with(&["manifest", "add", "a", "v1", OTHER, "no/such.yaml"]).code, 10);
    assert_eq!(fs::read_to_string(&path).unwrap(), IMAGES);
}

/// A plain manifest that has `x/app:v1` in one registry where `app:v1` of another one would be.
const PLAIN: &str = "\
registries:
- name: s.example/s
  src: true
- name: p.example
- name: p.example/x
images:
- name: x/app
  dmap:
    \"sha256:1111111111111111111111111111111111111111111111111111111111111111\": [\"v1\"]
";

#[test]
fn a_plain_manifest_and_a_list_within_a_directory_are_planned() {
    let desk = Desk::new();
    let plain = desk.write("plain.yaml", PLAIN);
    let (registries, images) = PLAIN.split_once("images:\n").unwrap();
    desk.write("tree/manifests/a/promoter-manifest.yaml", registries);
    let list = desk.write("tree/images/a/images.yaml", images);
    for path in [&plain, &list] {
        let file = path.to_str().unwrap();
        let before = fs::read_to_string(path).unwrap();
        for more in [&[][..], &["--dry-run"]] {
            let ran = kpromo_with(&[&["manifest", "add", "app", "v1", OTHER, file], more].concat());
            assert_eq!((ran.code, ran.stdout.as_str()), (11, ""), "{file}: {}", ran.stderr);
            assert!(ran.stderr.contains("p.example/x/app:v1"), "{file}: {}", ran.stderr);
            assert!(
                ran.stderr.contains(OTHER) && ran.stderr.contains("sha256:1111"),
                "{file}: {}",
                ran.stderr
            );
        }
        assert_eq!(fs::read_to_string(path).unwrap(), before);
        // The image by its staging reference, which has the name `new` there.
        let ran = kpromo_with(&["manifest", "add", "s.example/s/new", "v1", OTHER, file]);
        assert_eq!((ran.code, ran.stdout), (0, format!("{file}: + new:v1 {OTHER}\n")), "{}", ran.stderr);
        let ran = kpromo_with(&["manifest", "add", "other.example/x/new", "v1", OTHER, file]);
        assert!(matches!(ran.code, 2 | 10), "{file}: {}", ran.stderr);
        assert!(ran.stderr.contains("staging registry"), "{file}: {}", ran.stderr);
    }
    let alone = desk.write("alone.yaml", IMAGES);
    let ran = kpromo_with(&["manifest", "add", "gcr.io/x/app", "v1", OTHER, alone.to_str().unwrap()]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert_eq!(fs::read_to_string(alone).unwrap(), IMAGES);
}

#[test]
fn tags_that_are_added_at_the_same_time_are_all_there() {
    let desk = Desk::new();
    let tree = tree(&desk);
    let file = format!("{tree}/images/a/images.yaml");
    let mut running = Vec::new();
    for number in 0..8 {
        let (tag, digest) = (format!("t{number}"), format!("sha256:{:064}", number + 1));
        let mut command = kpromo(None);
        command.args(["manifest", "add", "a", &tag, &digest]);
        // By the file, and by its directory.
        if number % 2 == 0 {
            command.arg(&file)
        } else {
            command.args(["--dir", &tree])
        };
        running.push(command.spawn().unwrap());
    }
    for mut child in running {
        assert!(child.wait().unwrap().success());
    }
    let text = fs::read_to_string(file).unwrap();
    let found = (0..8).filter(|number| text.contains(&format!("[\"t{number}\"]"))).count();
    assert_eq!(found, 8, "{text}");
}
