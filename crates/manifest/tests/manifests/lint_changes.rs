//! The rules about edges: overlaps, and tags that moved and edges that were removed since a commit.

use std::fs;

use manifest::lint::{Linted, Target, lint};
use manifest::{Base, DiffError};

use crate::diff::Repository;
use crate::lint_style::messages;
use crate::support::{REGISTRIES, digest, image, write, write_thin};

const TWO_REGIONS: &str = "registries:\n- name: gcr.io/s\n  src: true\n- name: gcr.io/p\n- name: eu.gcr.io/p\n- name: us.gcr.io/p\n";

struct World {
    repository: Repository,
}

impl World {
    fn new() -> Self {
        Self { repository: Repository::new() }
    }

    fn thin(&self, project: &str, registries: &str, images: &str) {
        write_thin(self.repository.directory.path(), project, registries, images);
    }

    fn lint(&self, base: &str) -> Result<Linted, DiffError> {
        let directory = self.repository.directory.path().to_owned();
        lint(&Target::Thin { directory, projects: None }, Some(&Base::Revision(base.to_owned())), &[])
    }

    /// Returns the findings since `HEAD`, with digests shortened.
    fn messages(&self) -> String {
        let commit = self.repository.git(&["rev-parse", "HEAD"]);
        let found = self.lint("HEAD").unwrap();
        assert_eq!(found.base.as_deref(), Some(&*commit));
        // The test manifests have unquoted digests.
        let findings: Vec<_> =
            found.findings.into_iter().filter(|finding| finding.rule.name() != "unquoted-digest").collect();
        let mut messages =
            messages(self.repository.directory.path(), &findings).replace(&commit[..12], "BASE");
        for digit in "abcd".chars() {
            messages = messages.replace(&digest(digit), &format!("@{digit}"));
        }
        messages
    }
}

#[test]
fn a_tag_that_would_move_is_an_error_with_both_digests_and_both_positions() {
    let world = World::new();
    world.thin("one", TWO_REGIONS, &image("app", &[('a', "v1, v2"), ('b', "v3")]));
    world.repository.commit();
    world.thin("one", TWO_REGIONS, &image("app", &[('a', "v1"), ('b', "v3"), ('c', "v2, v4")]));
    insta::assert_snapshot!(world.messages(), @r"
    error tag-moved images/one/images.yaml:5:79: gcr.io/p/app:v2 (and 2 more destinations) would move to @c, from @a at BASE:images/one/images.yaml:3:83; production tags never move
    ");
    // The tag also counts as moved if the project is renamed.
    for kind in ["manifests", "images"] {
        let directory = world.repository.directory.path().join(kind);
        fs::rename(directory.join("one"), directory.join("two")).unwrap();
    }
    assert!(world.messages().contains("error tag-moved images/two/images.yaml:5:"), "{}", world.messages());
}

#[test]
fn a_removed_edge_is_a_warning_whatever_else_happened_to_its_digest() {
    let world = World::new();
    world.thin(
        "one",
        REGISTRIES,
        &(image("app", &[('a', "v1, v2"), ('b', ""), ('c', "")]) + &image("web", &[('d', "v1")])),
    );
    world.thin("two", REGISTRIES, &image("db", &[('a', "v1")]));
    world.repository.commit();
    // `v2` is removed. `@b` got its first tag, which is not a removal. `@c` is removed. The image `web` moved to the other
    // project.
    world.thin("one", REGISTRIES, &image("app", &[('a', "v1"), ('b', "v3")]));
    world.thin("two", REGISTRIES, &image("web", &[('d', "v1")]));
    insta::assert_snapshot!(world.messages(), @r"
    warning edge-removed images/one/images.yaml: gcr.io/p/app:v2 (@a) is no longer listed; it was at BASE:images/one/images.yaml:3:83
    warning edge-removed images/one/images.yaml: gcr.io/p/app@@c is no longer listed; it was at BASE:images/one/images.yaml:5:5
    warning edge-removed images/two/images.yaml: gcr.io/p/db:v1 (@a) is no longer listed; it was at BASE:images/two/images.yaml:3:79
    ");
    // A destination is removed.
    world.repository.commit();
    world.thin("two", &REGISTRIES.replace("/p", "/q"), &image("web", &[('d', "v1")]));
    insta::assert_snapshot!(world.messages(), @"warning edge-removed images/two/images.yaml: gcr.io/p/web:v1 (@d) is no longer listed; it was at BASE:images/two/images.yaml:3:79");
}

#[test]
fn an_overlap_is_an_error_and_one_that_the_base_has_too_is_a_warning() {
    let world = World::new();
    world.thin("one", TWO_REGIONS, &image("app", &[('a', "v1")]));
    world.repository.commit();
    world.thin("two", REGISTRIES, &image("app", &[('b', "v1")]));
    insta::assert_snapshot!(world.messages(), @"error overlap images/two/images.yaml:3:79: \
     gcr.io/p/app:v1 would be @b here and @a at images/one/images.yaml:3:79");
    world.repository.commit();
    assert_eq!(
        world.messages(),
        "warning overlap images/two/images.yaml:3:79: gcr.io/p/app:v1 would be @b here and @a at \
         images/one/images.yaml:3:79\n"
    );
    // The same digest twice is not an overlap.
    world.thin("two", REGISTRIES, &image("app", &[('a', "v1")]));
    assert_eq!(world.messages(), "");
}

#[test]
fn tags_of_attached_metadata_neither_overlap_nor_move() {
    let world = World::new();
    let tag = format!("sha256-{}.sig", "a".repeat(64));
    world.thin("one", REGISTRIES, &image("app", &[('a', &tag), ('b', "v1")]));
    world.repository.commit();
    world.thin("one", REGISTRIES, &image("app", &[('c', &tag), ('d', &tag), ('b', "v1")]));
    assert_eq!(world.messages(), "");
}

#[test]
fn an_error_that_the_base_has_too_is_a_warning() {
    let world = World::new();
    let bad =
        format!("- name: app\n  dmap:\n    \"{}0\": [v1]\n    \"{}\": [v2]\n", digest('a'), digest('b'));
    world.thin("one", REGISTRIES, &bad);
    world.repository.commit();
    world.thin("one", REGISTRIES, &format!("# moved\n{}", bad.replace("[v2]", "[v2, 'v 3']")));
    insta::assert_snapshot!(world.messages(), @r"
    warning invalid images/one/images.yaml:4:5: `@a0` is not a digest: expected `sha256:` and 64, or `sha512:` and 128, lower-case hexadecimal digits
    error invalid images/one/images.yaml:5:85: `v 3` is not a tag: expected a letter, digit or `_`, then at most 127 letters, digits, `_`, `.` or `-`
    ");
}

#[test]
fn an_entry_that_is_invalid_does_not_count_as_removed() {
    let world = World::new();
    world.thin("one", REGISTRIES, &image("app", &[('a', "v1"), ('b', "v2")]));
    world.thin("two", REGISTRIES, &image("web", &[('a', "v1")]));
    world.repository.commit();
    world.thin(
        "one",
        REGISTRIES,
        &image("app", &[('a', "v1"), ('b', "v2")]).replace(&digest('a'), "sha256:aa"),
    );
    world.thin("two", "registries: nonsense\n", &image("web", &[('a', "v1")]));
    let messages = world.messages();
    assert!(messages.lines().all(|line| line.starts_with("error invalid")), "{messages}");
    assert_eq!(messages.lines().count(), 2, "{messages}");
}

#[test]
fn an_invalid_base_may_hide_a_moved_tag_which_is_a_warning() {
    let world = World::new();
    world.thin(
        "left-out",
        &REGISTRIES.replace("src: true", "src: true\n  more: x"),
        &image("app", &[('a', "v1")]),
    );
    world.thin("unreadable", "registries: nonsense\n", &image("web", &[('a', "v1")]));
    world.repository.commit();
    world.thin("left-out", REGISTRIES, &image("app", &[('b', "v1")]));
    world.thin("unreadable", REGISTRIES, &image("web", &[('b', "v1")]));
    insta::assert_snapshot!(world.messages(), @r"
    warning tag-moved images/left-out/images.yaml:3:79: gcr.io/p/app:v1 may move to @b: it is @a in an entry that is left out as invalid at commit BASE
    warning unreadable-base images/unreadable/images.yaml: the project unreadable cannot be read at commit BASE, so tags that moved and edges that are gone since then are not seen: BASE:manifests/unreadable/promoter-manifest.yaml:1:13: expected a list of registries, found text
    ");
}

#[test]
fn an_ambiguous_entry_of_the_base_does_not_hide_a_tag_that_moved() {
    let one = image("app", &[('a', "v1"), ('c', "v3")]);
    let second = format!(
        "    {}: [v2]
",
        digest('a')
    );
    for (invalid, tag) in [
        (one.replace("  dmap:", "  more: x\n  dmap:"), "v1"),
        (format!("{one}{second}"), "v1"),
        (format!("{one}{second}"), "v2"),
    ] {
        let world = World::new();
        world.thin("one", REGISTRIES, &invalid);
        world.repository.commit();
        world.thin("one", REGISTRIES, &image("app", &[('b', tag), ('c', "v3")]));
        let messages = world.messages();
        let expected =
            format!("gcr.io/p/app:{tag} may move to @b: it is @a in an entry that is left out as invalid");
        assert!(
            messages.contains("warning tag-moved") && messages.contains(&expected),
            "{invalid}: {messages}"
        );
    }
}

#[test]
fn a_plain_manifest_is_compared_too_and_a_missing_one_is_new() {
    let repository = Repository::new();
    let path = repository.directory.path().join("manifest.yaml");
    let check = || {
        let found =
            lint(&Target::Plain(path.clone()), Some(&Base::Revision("HEAD".to_owned())), &[]).unwrap();
        let rules: Vec<_> = found.findings.iter().map(|finding| finding.rule.name()).collect();
        rules.join(" ")
    };
    repository.commit();
    write(
        &path,
        format!("{REGISTRIES}images:\n{}", image("app", &[('a', "v1"), ('b', "v2")]))
            .replace("sha256:", "'sha256:")
            .replace(": [", "': ["),
    );
    assert_eq!(check(), "");
    repository.commit();
    write(
        &path,
        format!("{REGISTRIES}images:\n{}", image("app", &[('b', "v1")]))
            .replace("sha256:", "'sha256:")
            .replace(": [", "': ["),
    );
    assert_eq!(check(), "edge-removed tag-moved");
}

#[test]
fn a_base_that_cannot_be_read_is_an_error_and_does_not_count_as_empty() {
    let world = World::new();
    world.thin("one", REGISTRIES, &image("app", &[('a', "v1")]));
    assert!(matches!(world.lint("HEAD"), Err(DiffError::UnknownRevision { .. })));
    world.repository.commit();
    for odd in ["no-such-branch", "", "HEAD~9", "--help", "a b"] {
        assert!(matches!(world.lint(odd), Err(DiffError::UnknownRevision { .. })), "{odd:?}");
    }
    let elsewhere = tempfile::TempDir::new().unwrap();
    write_thin(elsewhere.path(), "one", REGISTRIES, "[]\n");
    let target = Target::Thin { directory: elsewhere.path().to_owned(), projects: None };
    let found = lint(&target, Some(&Base::Revision("HEAD".to_owned())), &[]);
    assert!(matches!(found, Err(DiffError::NotARepository(_))), "{found:?}");
    assert!(lint(&target, None, &[]).unwrap().findings.is_empty());
}
