//! `--format`: one style, without losing comments.

use super::{file, full, text};

#[test]
fn a_file_is_written_in_the_style_of_the_go_tool_and_keeps_its_comments() {
    let before = "\
# about the file

# about b
-   name: 'b' # the name
    dmap: # the digests
        # about 2
        <2>:
        - v2
        - v10 # ten
        <1>: [ 'v1', \"v0\", v1 ] # one
        # commented out below b
- {name: a, dmap: {<3>: []}} # all of a
# end
";
    let after = "\
# about the file

- name: a # all of a
  dmap:
    \"<3>\": []
# about b
- name: b # the name
  dmap: # the digests
    \"<1>\": [\"v0\",\"v1\"] # one
      # commented out below b
    # about 2
    \"<2>\": [\"v10\",\"v2\"] # ten
# end
";
    let formatted = file(before).format().unwrap();
    assert_eq!(text(&formatted), full(after));
    assert_eq!(text(&formatted.format().unwrap()), full(after), "it is stable");
}

#[test]
fn a_comment_without_a_place_prevents_formatting() {
    for before in [
        "- name: a\n  dmap:\n    <1>: [ # first\n      v1 ] # last\n",
        "- name: a\n  dmap:\n    <1>:\n    # withdrawn\n    - v1\n    <2>:\n    - v2\n",
        "- name: a\n  dmap:\n    <1>:\n      - v1\n      # withdrawn\n      - v2\n    <2>: [v2]\n",
        "- name: a\n  dmap:\n    <1>: [\n      v1,\n      # withdrawn\n      v2]\n    <2>: [v2]\n",
        "- name: a\n  dmap:\n    <1>:\n      # withdrawn\n      [v1]\n    <2>: [v2]\n",
    ] {
        assert!(file(before).format().unwrap_err().to_string().contains("comment"), "{before}");
    }
}

#[test]
fn a_comment_below_a_digest_stays_with_it() {
    let before =
        "- name: a\n  dmap:\n    <2>:\n      - v2\n      # - v3 is broken\n    <1>: [v1]\n    <3>: [v9]\n";
    let after = "- name: a\n  dmap:\n    \"<1>\": [\"v1\"]\n    \"<2>\": [\"v2\"]\n      # - v3 is broken\n    \"<3>\": [\"v9\"]\n";
    let formatted = file(before).format().unwrap();
    assert_eq!(text(&formatted), full(after));
    assert_eq!(text(&formatted.format().unwrap()), full(after), "it is stable");
}

#[test]
fn comments_around_the_first_and_the_last_image_move_with_them() {
    let before =
        "- name: b\n  dmap:\n    <2>: [v2]\n- name: a\n  dmap:\n    <1>: [v1]\n    # below a\n# end\n";
    let after = "- name: a\n  dmap:\n    \"<1>\": [\"v1\"]\n      # below a\n- name: b\n  dmap:\n    \"<2>\": [\"v2\"]\n# end\n";
    assert_eq!(text(&file(before).format().unwrap()), full(after));
    let before = "# about the file\n- name: b\n  dmap:\n    <2>: [v2]\n- name: a\n  dmap:\n    <1>: [v1]\n";
    assert!(text(&file(before).format().unwrap()).starts_with("# about the file\n- name: a\n"));
}

#[test]
fn a_plain_manifest_is_formatted_within_its_images() {
    let before = "images:\n  - dmap: {}\n".replace("dmap: {}", "name: a\n    dmap: {<1>: [x]}")
        + "registries: [{name: s.example, src: true}, {name: p.example}] # r\n";
    let after = "images:\n  - name: a\n    dmap:\n      \"<1>\": [\"x\"]\nregistries: [{name: s.example, src: true}, {name: p.example}] # r\n";
    assert_eq!(text(&file(&before).format().unwrap()), full(after));
}

#[test]
fn line_ends_and_a_last_line_without_a_line_break_are_kept() {
    let before = "- name: b\r\n  dmap:\r\n    <1>: [x]\r\n- name: a\r\n  dmap:\r\n    <2>: [x]";
    let after =
        "- name: a\r\n  dmap:\r\n    \"<2>\": [\"x\"]\r\n- name: b\r\n  dmap:\r\n    \"<1>\": [\"x\"]";
    assert_eq!(text(&file(before).format().unwrap()), full(after));
}

#[test]
fn a_dash_on_a_separate_line_is_moved_to_its_image_and_comments_in_between_are_kept() {
    let before = "# top\n\n# about b\n-\n  # more about b\n  name: b\n  dmap:\n    <2>: [v2]\n-\n  name: a\n  dmap:\n    <1>: [v1]\n";
    let after = "# top\n\n- name: a\n  dmap:\n    \"<1>\": [\"v1\"]\n# about b\n# more about b\n- name: b\n  dmap:\n    \"<2>\": [\"v2\"]\n";
    let formatted = file(before).format().unwrap();
    assert_eq!(text(&formatted), full(after));
    assert_eq!(text(&formatted.format().unwrap()), full(after), "it is stable");
    // The comment of the second image is not assigned to the first one.
    let before = "- name: a\n  dmap:\n    <1>: [v1]\n-\n  # about b\n  name: b\n  dmap:\n    <2>: [v2]\n";
    let after =
        "- name: a\n  dmap:\n    \"<1>\": [\"v1\"]\n# about b\n- name: b\n  dmap:\n    \"<2>\": [\"v2\"]\n";
    assert_eq!(text(&file(before).format().unwrap()), full(after));
}
