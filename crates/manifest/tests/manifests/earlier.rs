//! Runs over a diff with faults, in the current state or in the base commit.

use std::fs;
use std::os::unix::fs::symlink;

use manifest::{Base, Manifests, limit_to_added};

use crate::diff::Repository;
use crate::support::{
    REGISTRIES, copy, data, digest, edges, image, lines_below, promotions, thin, write, write_thin,
};

/// The edges added since the last commit, with the warnings and the rejected faults.
struct Added {
    promotions: Vec<String>,
    warnings: String,
    rejected: String,
}

impl Added {
    fn since_last_commit(repository: &Repository) -> Self {
        let directory = repository.directory.path();
        let limited = limited(repository);
        let commit = &repository.git(&["rev-parse", "HEAD"])[..12];
        let shown = |lines: String| lines.replace(commit, "<commit>");
        Self {
            promotions: promotions(&limited),
            warnings: shown(lines_below(directory, &limited.warnings)),
            rejected: shown(lines_below(directory, limited.rejected.iter())),
        }
    }
}

fn limited(repository: &Repository) -> Manifests {
    let directory = repository.directory.path();
    limit_to_added(thin(directory), directory, &Base::Revision("HEAD".to_owned()))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Returns the added edges of a project with a valid source and with these images before and after.
fn between(before: &str, after: &str) -> Added {
    let repository = Repository::new();
    write_thin(repository.directory.path(), "p", REGISTRIES, before);
    repository.commit();
    write_thin(repository.directory.path(), "p", REGISTRIES, after);
    Added::since_last_commit(&repository)
}

#[test]
fn each_combination_of_two_commits_adds_the_expected_edges() {
    for (shape, expected) in [
        (
            "bare-digest-block-tags",
            ["us.registry.example/prod/apple/apple:stable@f", "us.registry.example/prod/apple/apple:v2@2"],
        ),
        (
            "destination-corrected",
            ["us.registry.example/prod/apple/apple:v1@f", "us.registry.example/prod/apple/apple:v2@2"],
        ),
    ] {
        let repository = Repository::new();
        copy(&data(&format!("shapes/{shape}/before")), repository.directory.path());
        repository.commit();
        copy(&data(&format!("shapes/{shape}/after")), repository.directory.path());
        assert_eq!(edges(&limited(&repository)).into_iter().collect::<Vec<_>>(), expected, "{shape}");
    }
}

/// Returns images with an invalid digest, an invalid tag and an invalid name.
fn bad_lines() -> String {
    let digests = image("a", &[('a', "x"), ('b', "y"), ('c', "z, -z")]).replace(&digest('b'), "sha256:b");
    digests + &image("B", &[('d', "x")])
}

#[test]
fn an_error_that_the_base_also_has_is_a_warning_at_any_position() {
    let after = format!("# moved\n\n{}{}", image("new", &[('e', "x")]), bad_lines().replace("-z", "\"-z\""));
    let added = between(&bad_lines(), &after);
    assert_eq!(added.promotions, ["new@e:x"]);
    assert_eq!(added.rejected, "");
    assert_eq!(added.warnings.lines().count(), 3, "{}", added.warnings);
}

#[test]
fn a_bad_line_that_is_new_or_changed_is_an_error() {
    assert_eq!(between("[]", &bad_lines()).rejected.lines().count(), 3);
    for (from, to) in [
        ("sha256:b: [y]", "sha256:b: [y, w]"),
        ("sha256:b: [y]", "sha256:bb: [y]"),
        ("-z", "-w"),
        ("- name: B\n  dmap:\n", "- name: B\n  dmap:\n    sha256:e: []\n"),
    ] {
        assert!(bad_lines().contains(from), "{from}");
        let added = between(&bad_lines(), &bad_lines().replace(from, to));
        assert!(
            added.rejected.lines().count() >= 1 && added.warnings.lines().count() == 2,
            "{from}: {}",
            added.rejected
        );
    }
    let added = between(&bad_lines(), &(bad_lines() + &bad_lines().replace("name: a", "name: b")));
    assert_eq!(
        added.rejected.lines().count(),
        2,
        "the same fault in another image is a new fault: {}",
        added.rejected
    );
}

#[test]
fn a_good_tag_beside_a_bad_one_is_added_and_the_bad_one_stays_a_warning() {
    let added = between(&image("a", &[('a', "x, -y")]), &image("a", &[('a', "x, -y, z")]));
    assert_eq!((added.promotions, added.rejected.as_str()), (vec!["a@a:z".to_owned()], ""));
    assert_eq!(added.warnings.lines().count(), 1);
}

#[test]
fn a_corrected_entry_is_added() {
    let mended = bad_lines()
        .replace("sha256:b:", &format!("{}:", digest('b')))
        .replace("-z", "w")
        .replace("name: B", "name: b");
    let added = between(&bad_lines(), &mended);
    assert_eq!(added.promotions, ["a@b:y", "a@c:w", "b@d:x"]);
    assert_eq!((added.rejected.as_str(), added.warnings.as_str()), ("", ""));
}

#[test]
fn edges_of_an_unparsable_base_are_reported_and_not_promoted() {
    let good = image("a", &[('a', "x")]);
    let added = between(&format!("{good}[\n"), &(good + &image("b", &[('b', "y, z")])));
    assert!(added.promotions.is_empty(), "{:?}", added.promotions);
    insta::assert_snapshot!(added.rejected, @"images/p/images.yaml: 3 edges of this project cannot be promoted: it is not known whether they were added since commit <commit>, where <commit>:images/p/images.yaml:4:1: not YAML that can be read: unclosed bracket '['");
}

#[test]
fn edges_of_a_file_that_was_not_yaml_are_known_if_another_project_had_them() {
    let repository = Repository::new();
    write_thin(repository.directory.path(), "p", REGISTRIES, "[");
    write_thin(repository.directory.path(), "q", REGISTRIES, &image("a", &[('a', "x")]));
    repository.commit();
    write_thin(repository.directory.path(), "p", REGISTRIES, &image("a", &[('a', "x")]));
    let added = Added::since_last_commit(&repository);
    assert!(added.promotions.is_empty() && added.rejected.is_empty(), "{}", added.rejected);
}

#[test]
fn a_file_that_is_not_yaml_before_and_after_is_a_warning_only_if_its_project_did_not_change() {
    let added = between("[", "[");
    assert_eq!((added.warnings.lines().count(), added.rejected.as_str()), (1, ""));
    let added = between("[", "[ # changed");
    assert_eq!((added.rejected.lines().count(), added.warnings.as_str()), (1, ""));
}

#[test]
fn a_project_with_invalid_registries_in_the_base_promotes_only_edges_that_are_certainly_new() {
    let repository = Repository::new();
    let old = image("a", &[('a', "x")]);
    write_thin(repository.directory.path(), "p", &format!("{REGISTRIES}oops: 1\n"), &old);
    repository.commit();
    write_thin(repository.directory.path(), "p", REGISTRIES, &(old + &image("b", &[('b', "y")])));
    let added = Added::since_last_commit(&repository);
    assert_eq!(added.promotions, ["b@b:y"]);
    insta::assert_snapshot!(added.rejected, @"images/p/images.yaml: 1 edge of this project cannot be promoted: it is not known whether it was added since commit <commit>, where <commit>:manifests/p/promoter-manifest.yaml:5:1: unknown field `oops`");
}

#[test]
fn a_project_that_the_base_does_not_have_is_entirely_new() {
    let repository = Repository::new();
    let directory = repository.directory.path();
    write(&directory.join("images/half/images.yaml"), "[");
    write(&directory.join("manifests/other/promoter-manifest.yaml"), REGISTRIES);
    repository.commit();
    for project in ["half", "other", "whole"] {
        write_thin(
            directory,
            project,
            &REGISTRIES.replace("gcr.io/p", &format!("gcr.io/{project}")),
            &image("a", &[('a', "x")]),
        );
    }
    let added = Added::since_last_commit(&repository);
    assert_eq!((added.promotions.len(), added.rejected.as_str()), (3, ""));
}

#[test]
fn a_plain_base_is_read_as_far_as_possible() {
    let repository = Repository::new();
    let file = repository.directory.path().join("plain.yaml");
    let text = |images: &str| format!("{REGISTRIES}images:\n{images}");
    write(&file, text(&(image("a", &[('a', "x")]) + &image("b", &[('b', "-y")]))));
    repository.commit();
    write(&file, text(&(image("a", &[('a', "x")]) + &image("b", &[('b', "y")]))));
    let manifests = manifest::load_plain(&file).unwrap();
    let limited = limit_to_added(manifests, &file, &Base::Revision("HEAD".to_owned())).unwrap();
    assert_eq!(promotions(&limited), ["b@b:y"]);
    assert_eq!(limited.rejected.count(), 1, "edges of the refused manifest are not dropped silently");
}

#[test]
fn links_between_projects_are_followed_in_the_base_too() {
    let repository = Repository::new();
    let directory = repository.directory.path();
    write_thin(directory, "one", REGISTRIES, &image("a", &[('a', "x")]));
    fs::create_dir_all(directory.join("images/two")).unwrap();
    symlink("one", directory.join("manifests/linked")).unwrap();
    symlink("one", directory.join("images/linked")).unwrap();
    symlink("../one/images.yaml", directory.join("images/two/images.yaml")).unwrap();
    write(
        &directory.join("manifests/two/promoter-manifest.yaml"),
        REGISTRIES.replace("gcr.io/p", "gcr.io/q"),
    );
    repository.commit();
    let added = Added::since_last_commit(&repository);
    assert!(
        added.promotions.is_empty() && added.rejected.is_empty(),
        "{:?} {}",
        added.promotions,
        added.rejected
    );

    write_thin(directory, "one", REGISTRIES, &image("a", &[('a', "x, y")]));
    let added = edges(&limited(&repository)).into_iter().collect::<Vec<_>>();
    assert_eq!(added, ["gcr.io/p/a:y@a", "gcr.io/q/a:y@a"]);
}

#[test]
fn a_link_of_the_base_that_leads_outside_or_loops_does_not_count_as_an_absent_file() {
    for target in ["../../../outside.yaml", "/etc/images.yaml", "images.yaml"] {
        let repository = Repository::new();
        let directory = repository.directory.path();
        write_thin(directory, "p", REGISTRIES, "[]");
        let link = directory.join("images/p/images.yaml");
        fs::remove_file(&link).unwrap();
        symlink(target, &link).unwrap();
        repository.commit();
        fs::remove_file(&link).unwrap();
        write(&link, image("a", &[('a', "x")]));
        let added = Added::since_last_commit(&repository);
        assert!(
            added.promotions.is_empty() && added.rejected.contains("1 edge of"),
            "{target}: {}",
            added.rejected
        );
    }
}

#[test]
fn without_changes_all_errors_are_old() {
    let repository = Repository::new();
    write_thin(repository.directory.path(), "p", REGISTRIES, &bad_lines());
    repository.commit();
    let directory = repository.directory.path();
    let limited = limit_to_added(thin(directory), directory, &Base::Since("1 day".to_owned())).unwrap();
    assert_eq!((limited.warnings.len(), limited.rejected.count(), limited.manifests.len()), (3, 0, 0));
}

#[test]
fn a_policy_that_is_invalid_before_and_after_is_a_warning_if_the_project_did_not_change() {
    let repository = Repository::new();
    let directory = repository.directory.path();
    let wrong = format!("{REGISTRIES}provenance:\n  mode: reqiure\n");
    write_thin(directory, "above", &wrong, &image("a", &[('a', "x")]));
    let below = REGISTRIES.replace("gcr.io/s", "gcr.io/s/below").replace("gcr.io/p", "gcr.io/q");
    write_thin(directory, "below", &below, &image("b", &[('b', "x")]));
    repository.commit();
    let added = Added::since_last_commit(&repository);
    assert_eq!((added.warnings.lines().count(), added.rejected.as_str()), (2, ""));
    write_thin(directory, "below", &below, &image("b", &[('b', "x, y")]));
    let added = Added::since_last_commit(&repository);
    assert!(added.promotions.is_empty());
    assert!(
        added.rejected.contains("this project is left out"),
        "the added edges are left out: {}",
        added.rejected
    );
}
