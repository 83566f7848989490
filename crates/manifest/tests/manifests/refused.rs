//! Every kind of invalid input, each with its position and its fault.

use std::fs;
use std::path::Path;

use manifest::load_plain;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{REGISTRIES, complaints, digest, image, load, promotions};

/// Returns a manifest with these images.
fn with_images(images: &str) -> String {
    format!("{REGISTRIES}images:\n{images}")
}

/// Returns a manifest with this tag.
fn with_tag(tag: &str) -> String {
    with_images(&image("a", &[('a', tag)]))
}

#[test]
fn unknown_fields_are_refused_at_every_level() {
    let text = format!(
        "registries:\n- name: gcr.io/s\n  src: true\n  token: x\nimages:\n- name: a\n  dmpa: {{}}\n  dmap:\n    {}: []\nimage: []\n",
        digest('a')
    );
    insta::assert_snapshot!(complaints(text).join("\n"), @"
    4:3: unknown field `token`
    7:3: unknown field `dmpa`
    10:1: unknown field `image`
    ");
}

#[test]
fn repeated_keys_are_refused_at_every_level() {
    let twice = image("a", &[('a', "x"), ('b', "x"), ('a', "y")]);
    let text = format!(
        "registries:\n- name: gcr.io/s\n  src: true\n  src: false\nimages:\n{twice}  name: b\nimages: []\n"
    );
    insta::assert_snapshot!(complaints(text).join("\n"), @"
    4:3: the field `src` is listed twice
    10:5: the digest sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa is listed twice
    11:3: the field `name` is listed twice
    12:1: the field `images` is listed twice
    ");
}

#[test]
fn a_key_of_another_kind_is_refused() {
    insta::assert_snapshot!(complaints("? [a]\n: b\n~: c\nregistries: []\n").join("\n"), @"
    1:3: expected a field's name, found a list
    3:1: expected a field's name, found nothing
    4:13: `registries` is missing or empty
    ");
}

#[test]
fn a_value_of_another_kind_is_refused() {
    let text =
        "registries: gcr.io/s\nimages:\n- a\n- name: [a]\n  dmap: [x]\n- name: b\n  dmap:\n    [x]: {}\n";
    insta::assert_snapshot!(complaints(text).join("\n"), @"
    1:13: expected a list of registries, found text
    3:3: expected a mapping with `name`, `dmap`, found text
    4:9: expected an image's `name`, found a list
    5:9: expected a mapping of digests to tags, found a list
    8:5: expected a digest, found a list
    8:10: expected a list of tags, found a mapping
    ");
}

#[test]
fn tabs_that_indent_are_refused() {
    insta::assert_snapshot!(complaints("registries:\n\t- name: gcr.io/s\n").join("\n"), @"2:2: not YAML that can be read: tabs disallowed within this context (block indentation)");
}

#[test]
fn empty_files_are_refused() {
    for empty in ["", "\n\n", "# nothing\n", "---\n", "~", "{}"] {
        let wrong = complaints(empty);
        assert!(
            wrong.len() == 1 && wrong[0].ends_with("`registries` is missing or empty"),
            "{empty:?}: {wrong:?}"
        );
    }
}

#[test]
fn binary_files_are_refused() {
    insta::assert_snapshot!(complaints(b"\x7fELF\x02\x01\x01\0\0\0").join("\n"), @"1:8: a binary file, not a manifest: here is a zero byte");
    insta::assert_snapshot!(complaints(b"registries:\n- name: \xff\xfe\n").join("\n"), @"2:9: not UTF-8 text: here is an invalid byte");
    insta::assert_snapshot!(complaints([0x1f, 0x8b, 0x08]).join("\n"), @"1:2: not UTF-8 text: here is an invalid byte");
}

#[test]
fn large_files_are_refused_without_being_read() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("large.yaml");
    fs::File::create(&file).unwrap().set_len(50 << 20).unwrap();
    let wrong = load_plain(&file).unwrap_err().iter().next().unwrap().message().to_owned();
    assert_eq!(wrong, "larger than 16 MiB, the limit for a manifest");
}

#[test]
fn anything_but_a_regular_file_is_refused() {
    let directory = TempDir::new().unwrap();
    for path in [directory.path(), Path::new("/dev/zero")] {
        let wrong = load_plain(path).unwrap_err();
        assert_eq!(wrong.iter().next().unwrap().message(), "not a regular file", "{}", path.display());
    }
    let missing = load_plain(&directory.path().join("missing.yaml")).unwrap_err().to_string();
    assert!(missing.contains("missing.yaml") && missing.contains("No such file"), "{missing}");
}

#[test]
fn alias_bombs_are_refused() {
    let mut text = format!("{REGISTRIES}images:\n- &a0 {{name: x, dmap: {{{}: []}}}}\n", digest('a'));
    for level in 1..10 {
        text.push_str(&format!("- &a{level} [{}]\n", format!("*a{}, ", level - 1).repeat(10)));
    }
    let wrong = complaints(text);
    assert!(wrong.len() == 1 && wrong[0].contains("counting what aliases stand for"), "{wrong:?}");
}

#[test]
fn aliases_are_allowed() {
    let tags = format!(
        "{REGISTRIES}images:\n- name: a\n  dmap:\n    {}: &tags [x, y]\n- name: b\n  dmap:\n    {}: *tags\n",
        digest('a'),
        digest('b')
    );
    assert_eq!(promotions(&load(tags).unwrap()), ["a@a:x", "a@a:y", "b@b:x", "b@b:y"]);
    let merged = with_images(&format!("- <<: {{name: a}}\n  name: a\n  dmap: {{{}: []}}\n", digest('a')));
    assert_eq!(complaints(merged), ["6:3: unknown field `<<`"]);
}

#[test]
fn deep_nesting_is_refused() {
    for opener in ["[", "{a: ", "- "] {
        let wrong = complaints(opener.repeat(10_000));
        assert!(wrong.len() == 1 && wrong[0].contains("nested more than 32 deep"), "{opener}: {wrong:?}");
    }
}

#[test]
fn bad_digests_are_refused() {
    let upper = digest('a').to_uppercase();
    let short = &digest('a')[..70];
    let bare = "a".repeat(64);
    let sha512 = format!("sha512:{}", "a".repeat(128));
    let space = format!("\"{} \"", digest('a'));
    for bad in [&*upper, short, &bare, &sha512, &space, "sha256:", "\"\"", "~"] {
        let wrong = complaints(with_images(&format!("- name: a\n  dmap:\n    ? {bad}\n    : []\n")));
        assert!(
            wrong.len() == 1 && wrong[0].starts_with("8:7: ") && wrong[0].contains("digest"),
            "{bad}: {wrong:?}"
        );
    }
}

#[test]
fn bad_tags_are_refused() {
    let long = "t".repeat(129);
    for bad in ["-x", ".x", "é", "\"\"", "~", "a/b", "\"a b\"", "x@y", "\"x\\n\"", &long, "[x]", "{x: y}"] {
        let wrong = complaints(with_tag(bad));
        assert!(
            wrong.len() == 1 && wrong[0].starts_with("8:79: ") && wrong[0].contains("tag"),
            "{bad}: {wrong:?}"
        );
    }
}

#[test]
fn tags_that_look_like_numbers_dates_or_booleans_are_text() {
    let tags = "1.10, 1e3, 0x10, 010, 2024-01-02, yes, true, on, 1_000, .5";
    let add = load(with_tag(&tags.replace(", .5", ""))).unwrap();
    let expected: Vec<String> =
        tags.replace(", .5", "").split(", ").map(|tag| format!("a@a:{tag}")).collect();
    assert_eq!(promotions(&add), expected);
}

#[test]
fn a_repeated_tag_is_one_edge() {
    assert_eq!(promotions(&load(with_tag("x, y, x")).unwrap()), ["a@a:x", "a@a:y"]);
}

#[test]
fn invalid_image_names_are_refused() {
    for bad in ["Apple", "..", "a/../b", "../a", "/a", "a/", "a//b", "a:b", "a@b", "é", "a b", "\"\"", "~"] {
        let wrong = complaints(with_images(&image(bad, &[('a', "")])));
        assert!(
            wrong.len() == 1 && wrong[0].starts_with("6:9: ") && wrong[0].contains("name"),
            "{bad}: {wrong:?}"
        );
    }
}

#[test]
fn invalid_registry_names_are_refused() {
    for bad in ["https://gcr.io/s", "gcr.io:0/s", "gcr.io/S", "gcr.io//s", "gcr io", "/", "\"\"", "~", "[x]"]
    {
        let wrong = complaints(format!("registries:\n- name: {bad}\n  src: true\n"));
        assert!(wrong.len() == 1 && wrong[0].starts_with("2:9: "), "{bad}: {wrong:?}");
    }
}

#[test]
fn images_come_from_exactly_one_registry() {
    let of = |items: &[&str]| complaints(format!("registries:\n{}", items.concat()));
    let (source, destination) = ("- {name: gcr.io/s, src: true}\n", "- {name: gcr.io/p}\n");
    assert_eq!(of(&[destination]), ["2:3: no registry has `src: true`: the source of the images is unknown"]);
    assert_eq!(
        of(&[source, destination, "- {name: gcr.io/t, src: yes}\n", source]),
        [
            "4:3: gcr.io/t also has `src: true`: images come from one registry",
            "5:3: gcr.io/s also has `src: true`: images come from one registry"
        ]
    );
    assert_eq!(of(&["- {name: gcr.io/s, src: maybe}\n"]).len(), 2);
}

#[test]
fn a_destination_must_not_be_the_source_in_any_spelling() {
    let wrong = complaints("registries:\n- {name: gcr.io/s, src: true}\n- {name: GCR.io/s//}\n");
    assert_eq!(wrong, ["3:3: the destination gcr.io/s is also the source"]);
}

#[test]
fn names_must_fit_below_every_registry() {
    let name = |length: usize| "a".repeat(length);
    let manifest = |length| {
        let text = format!(
            "registries:\n- {{name: gcr.io/s, src: true}}\n- {{name: gcr.io/{}}}\nimages:\n",
            name(100)
        );
        text + &image(&name(length), &[('a', "")])
    };
    assert_eq!(load(manifest(154)).unwrap().manifests[0].images.len(), 1);
    let wrong = complaints(manifest(155));
    assert!(wrong.len() == 1 && wrong[0].starts_with("5:9: below gcr.io/aaa"), "{wrong:?}");
}

#[test]
fn a_second_document_is_refused() {
    assert_eq!(
        complaints(format!("{REGISTRIES}---\nimages: []\n")),
        [
            "5:1: not YAML that can be read: a second document begins here, but a manifest must be one document"
        ]
    );
}

#[test]
fn a_provenance_policy_is_allowed_only_at_the_top() {
    let misplaced = with_images("- name: a\n  provenance: {}\n");
    assert!(complaints(misplaced).contains(&"7:3: unknown field `provenance`".to_owned()));
}

#[test]
fn errors_about_a_whole_file_are_reported_together() {
    let images = format!(
        "{}{}- dmap: {{}}\n",
        image("Apple", &[('a', "-x, ok, .y")]),
        image("pear", &[('b', "z")]).replace(&digest('b'), "sha256:b")
    );
    let text = with_images(&images).replace("gcr.io/p", "gcr.io/P");
    insta::assert_snapshot!(complaints(text).join("\n"), @"
    4:9: `P` is not a repository name: expected components of lower-case letters and digits, joined by `/`, each inside by `.`, `_`, `__` or dashes, 255 characters at most
    6:9: `Apple` is not a repository name: expected components of lower-case letters and digits, joined by `/`, each inside by `.`, `_`, `__` or dashes, 255 characters at most
    8:79: `-x` is not a tag: expected a letter, digit or `_`, then at most 127 letters, digits, `_`, `.` or `-`
    8:87: `.y` is not a tag: expected a letter, digit or `_`, then at most 127 letters, digits, `_`, `.` or `-`
    11:5: `sha256:b` is not a digest: expected `sha256:` and 64, or `sha512:` and 128, lower-case hexadecimal digits
    12:3: the image has no `name`
    12:9: `dmap` is empty: it names no digests to promote
    ");
}

#[test]
fn thousands_of_errors_are_counted_and_not_all_kept() {
    let tags = "-x, ".repeat(5_000);
    let wrong = load(with_tag(&tags)).unwrap_err();
    assert_eq!((wrong.count(), wrong.iter().count()), (5_000, 1_000));
    let shown = wrong.render(false);
    assert!(shown.ends_with("and 4900 more"), "{}", &shown[shown.len() - 100..]);
    assert!(shown.len() < 100_000, "{}", shown.len());
}

#[test]
fn text_in_a_manifest_cannot_control_the_terminal() {
    let text = with_tag("\"\\e[2Jx\\u202e\"").replace("images:", "\"\\e]0;title\\a\": 1\nimages:");
    let wrong = load(text).unwrap_err();
    let messages = wrong.iter().map(ToString::to_string).collect::<String>() + &wrong.render(false);
    assert!(messages.contains("\\u{1b}[2Jx\\u{202e}"), "{messages}");
    assert!(!messages.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{messages:?}");
}

#[test]
fn the_excerpt_of_a_line_cannot_control_the_terminal() {
    let shown = load(with_tag("-\u{9b}2Jx\u{200f}\u{202e}\u{7f}")).unwrap_err().render(false);
    assert!(shown.contains("-\u{fffd}2Jx\u{fffd}"), "{shown:?}");
    assert!(!shown.contains(['\u{9b}', '\u{200f}', '\u{202e}', '\u{7f}']), "{shown:?}");
}

proptest! {
    #[test]
    fn a_damaged_manifest_is_read_or_refused_with_a_valid_position(
        at in 0..1_000_usize,
        length in 0..20_usize,
        with in prop::collection::vec(prop::sample::select(b"\n\t \"':,-?&*!|>%@`[]{}#x\0\xff".to_vec()), 0..6),
    ) {
        let whole = with_images(&(image("a", &[('a', "x, y"), ('b', "")]) + &image("b", &[('c', "z")])));
        let mut damaged = whole.into_bytes();
        let start = at % damaged.len();
        let end = (start + length).min(damaged.len());
        damaged.splice(start..end, with);
        let lines = damaged.iter().filter(|byte| **byte == b'\n').count() + 1;
        match load(&damaged) {
            Ok(manifests) => prop_assert_eq!(manifests.manifests.len(), 1),
            Err(wrong) => {
                prop_assert!(wrong.count() > 0);
                for diagnostic in wrong.iter() {
                    let position = diagnostic.position().unwrap();
                    prop_assert!(position.line as usize <= lines, "{diagnostic} of {lines} lines");
                    prop_assert!(!diagnostic.render(true).is_empty());
                }
            }
        }
    }
}
