//! The format of diagnostics.

use crate::support::{REGISTRIES, digest, image, load};

/// Returns the rendered diagnostics of an invalid manifest, with a short name for its file.
fn shown(text: &str, color: bool) -> String {
    let shown = load(text).expect_err("the manifest is wrong").render(color);
    let start = shown.find("/").unwrap();
    let end = shown.find("manifest.yaml").unwrap();
    let directory = shown[start..end].to_owned();
    shown.replace(&directory, "")
}

#[test]
fn a_bad_value_is_shown_in_its_line() {
    let text = format!("{REGISTRIES}images:\n{}", image("a", &[('a', "\"v1.0\", \"-bad tag\", v2")]));
    insta::assert_snapshot!(shown(&text, false), @r#"
    error: `-bad tag` is not a tag: expected a letter, digit or `_`, then at most 127 letters, digits, `_`, `.` or `-`
     --> manifest.yaml:8:87
      |
    8 | ...aaaaaaaaaaaaaaaaaaaaaaaaaaaaa: ["v1.0", "-bad tag", v2]
      |                                            ^^^^^^^^^^
    "#);
}

#[test]
fn several_errors_are_separated_and_help_follows_each() {
    let text = format!("{REGISTRIES}imagse: []\nimages:\n- name: Apple\n  dmap:\n");
    insta::assert_snapshot!(shown(&text, false), @"
    error: unknown field `imagse`
     --> manifest.yaml:5:1
      |
    5 | imagse: []
      | ^^^^^^^
      |
      = help: did you mean `images`?

    error: `Apple` is not a repository name: expected components of lower-case letters and digits, joined by `/`, each inside by `.`, `_`, `__` or dashes, 255 characters at most
     --> manifest.yaml:7:9
      |
    7 | - name: Apple
      |         ^^^^^

    error: `dmap` is empty: it names no digests to promote
     --> manifest.yaml:8:7
      |
    8 |   dmap:
      |       ^
    ");
}

#[test]
fn a_very_long_line_is_cut_around_the_position() {
    let tags = "v1, ".repeat(2_000) + "-x" + &", v1".repeat(2_000);
    let text = format!("{REGISTRIES}images:\n- name: a\n  dmap:\n    {}: [{tags}]\n", digest('a'));
    insta::assert_snapshot!(shown(&text, false), @"
    error: `-x` is not a tag: expected a letter, digit or `_`, then at most 127 letters, digits, `_`, `.` or `-`
     --> manifest.yaml:8:8079
      |
     ::: 
    8 | ...v1, v1, v1, v1, v1, v1, v1, v1, v1, v1, v1, -x, v1, v1, v1, v1, v1, v1, v1, v1, v1, v1, v1...
      |                                                ^^
    ");
}

#[test]
fn colors_are_used_when_requested() {
    let text = "registries: []\n";
    assert!(!shown(text, false).contains('\u{1b}'));
    assert!(shown(text, true).contains("\u{1b}["));
}

#[test]
fn a_fault_of_a_whole_file_is_shown_with_its_name() {
    let wrong = manifest::load_plain(std::path::Path::new("no-such/manifest.yaml")).unwrap_err();
    insta::assert_snapshot!(wrong.render(false), @"
    error: cannot read no-such/manifest.yaml: No such file or directory
    ");
}
