//! Tables of edits: a file, the addition, and the expected file. `<a>` stands for a digest.

use manifest::edit::EditError;

use super::{add, digest, file, full, text};

/// An addition: image, digest, tag.
type Added = (&'static str, char, &'static str);

/// A part of the images of CoreDNS in Kubernetes: two images, sorted as text.
const COREDNS: &str = "\
- name: coredns
  dmap:
    \"<4>\": [\"1.7.0\",\"v1.7.0\"]
    \"<6>\": [\"1.7.1\"]
    \"<d>\": [\"v1.10.0\"]
    \"<1>\": [\"v1.9.4\"]
- name: corefile-tool
  dmap:
    \"<3>\": [\"1.0.0\"]
";

fn check(cases: &[(&str, Added, &str)]) {
    for (before, addition, expected) in cases {
        let edited =
            add(before, &[*addition]).unwrap_or_else(|error| panic!("{before}\n{addition:?}\n{error}"));
        assert_eq!(text(&edited.file), full(expected), "{before}\n{addition:?}");
        assert_eq!(edited.added.len(), 1);
        // The second time, there is nothing to do.
        let again = edited.file.add(&edited.added).unwrap();
        assert_eq!((text(&again.file), again.added.len()), (text(&edited.file), 0));
    }
}

#[test]
fn a_tag_is_inserted_in_order_in_the_notation_of_the_list() {
    let row = |tags: &str| format!("# top\n- name: a # n\n  dmap: # d\n    \"<a>\": {tags} # c\n");
    for (before, tag, after) in [
        ("[]", "v1", "[\"v1\"]"),
        ("[ ]", "v1", "[\"v1\"]"),
        ("[\"v1\"]", "v2", "[\"v1\", \"v2\"]"),
        ("[\"v1\"]", "v0", "[\"v0\", \"v1\"]"),
        ("[\"a\",\"c\"]", "b", "[\"a\",\"b\",\"c\"]"),
        ("['a', 'c']", "b", "['a', 'b', 'c']"),
        ("[ a, c ]", "1.10", "[ \"1.10\", a, c ]"),
        ("[\"a\",]", "b", "[\"a\", \"b\",]"),
        // Versions stay sorted by version.
        ("[\"v1.9.0\", \"v1.10.0\"]", "v1.11.0", "[\"v1.9.0\", \"v1.10.0\", \"v1.11.0\"]"),
        ("[\"a\", # why\n      \"c\"]", "b", "[\"a\", \"b\", # why\n      \"c\"]"),
        ("[ # why\n    ]", "b", "[\"b\" # why\n    ]"),
        ("~", "v1", "[\"v1\"]"),
        ("", "v1", "[\"v1\"]"),
    ] {
        let edited = add(&row(before), &[("a", 'a', tag)]);
        let edited = edited.unwrap_or_else(|error| panic!("{before}: {error}"));
        let expected = full(&row(after)).replace("]  #", "] #");
        assert_eq!(text(&edited.file).replace("]  #", "] #"), expected, "{before}");
    }
    let block = "- name: a\n  dmap:\n    <a>:\n    # first\n    - 'b' # b\n    - 'd'\n    <b>:\n      - x\n";
    check(&[
        (block, ("a", 'a', "c"), &block.replace("# b\n", "# b\n    - 'c'\n")),
        (block, ("a", 'a', "e"), &block.replace("'d'\n", "'d'\n    - 'e'\n")),
        (block, ("a", 'a', "a"), &block.replace("    # first\n", "    - 'a'\n    # first\n")),
        (block, ("a", 'b', "y"), &format!("{block}      - \"y\"\n")),
        // A new digest gets the notation of the entries beside it.
        (block, ("a", 'c', "z"), &format!("{block}    \"<c>\":\n      - \"z\"\n")),
    ]);
}

#[test]
fn a_digest_is_inserted_in_the_order_of_its_tag() {
    check(&[
        (
            COREDNS,
            ("coredns", '2', "v1.11.1"),
            &COREDNS.replace("    \"<1>\"", "    \"<2>\": [\"v1.11.1\"]\n    \"<1>\""),
        ),
        (
            COREDNS,
            ("coredns", '2', "v2.0.0"),
            &COREDNS.replace("- name: coref", "    \"<2>\": [\"v2.0.0\"]\n- name: coref"),
        ),
        (
            COREDNS,
            ("coredns", '2', "0.9"),
            &COREDNS.replace("    \"<4>\"", "    \"<2>\": [\"0.9\"]\n    \"<4>\""),
        ),
        (COREDNS, ("corefile-tool", '2', "1.1.0"), &format!("{COREDNS}    \"<2>\": [\"1.1.0\"]\n")),
        (COREDNS, ("coredns", '6', "v1.7.1"), &COREDNS.replace("[\"1.7.1\"]", "[\"1.7.1\",\"v1.7.1\"]")),
        (
            "- name: a\n  dmap: {'<a>': [x]}\n",
            ("a", 'b', "y"),
            "- name: a\n  dmap: {'<a>': [x], '<b>': [\"y\"]}\n",
        ),
        (
            "- name: a\n  dmap:\n      # one\n      '<a>': ['x']\n      # all about\n      # the next\n      '<c>': ['z']\n",
            ("a", 'b', "y"),
            "- name: a\n  dmap:\n      # one\n      '<a>': ['x']\n      '<b>': ['y']\n      # all about\n      # the next\n      '<c>': ['z']\n",
        ),
        (
            "- name: a\n  dmap:\n    # one\n    \"<a>\": [\"x\"]\n",
            ("a", 'b', "w"),
            "- name: a\n  dmap:\n    \"<b>\": [\"w\"]\n    # one\n    \"<a>\": [\"x\"]\n",
        ),
    ]);
}

#[test]
fn an_image_is_inserted_in_the_order_of_its_name() {
    let image = |name: &str, fill: char| format!("- name: {name}\n  dmap:\n    \"<{fill}>\": [\"v1\"]\n");
    let (a, b, c) = (image("a", 'a'), image("b", 'b'), image("c", 'c'));
    check(&[
        ("", ("b", 'b', "v1"), &b),
        ("[]\n", ("b", 'b', "v1"), &b),
        ("# none yet\n[] # so far\n", ("b", 'b', "v1"), &format!("# none yet\n{} # so far\n", b.trim_end())),
        ("# none yet", ("b", 'b', "v1"), &format!("# none yet\n{b}")),
        (&format!("{a}{c}"), ("b", 'b', "v1"), &format!("{a}{b}{c}")),
        (&format!("{a}{b}"), ("c", 'c', "v1"), &format!("{a}{b}{c}")),
        (&format!("{b}{c}"), ("a", 'a', "v1"), &format!("{a}{b}{c}")),
        // A comment at the start belongs to the file, another one to the entry below it.
        (&format!("# top\n{b}"), ("a", 'a', "v1"), &format!("# top\n{a}{b}")),
        (&format!("# top\n\n# b is\n{b}"), ("a", 'a', "v1"), &format!("# top\n\n{a}# b is\n{b}")),
        (&format!("{a}\n# c is\n{c}"), ("b", 'b', "v1"), &format!("{a}\n{b}\n# c is\n{c}")),
        (&format!("{a}\n{b}"), ("c", 'c', "v1"), &format!("{a}\n{b}\n{c}")),
        (&format!("{a}    # below\n{c}"), ("b", 'b', "v1"), &format!("{a}    # below\n{b}{c}")),
        (a.trim_end(), ("b", 'b', "v1"), &format!("{a}{}", b.trim_end())),
        (&a.replace('\n', "\r\n"), ("b", 'b', "v1"), &format!("{a}{b}").replace('\n', "\r\n")),
        (&format!("\u{feff}{b}"), ("a", 'a', "v1"), &format!("\u{feff}{a}{b}")),
        (
            "  -   name: a\n      dmap:\n        '<a>': ['v1']\n",
            ("b", 'b', "v1"),
            "  -   name: a\n      dmap:\n        '<a>': ['v1']\n  -   name: b\n      dmap:\n        '<b>': ['v1']\n",
        ),
        (
            "[{name: a, dmap: {<a>: [v1]}}]\n",
            ("b", 'b', "v1"),
            "[{name: a, dmap: {<a>: [v1]}}, {name: b, dmap: {\"<b>\": [\"v1\"]}}]\n",
        ),
        // A name that YAML could parse as a number or as null is quoted.
        (&a, ("0x1", 'b', "v1"), &format!("{}{a}", b.replace("name: b", "name: \"0x1\""))),
        (&a, ("null", 'b', "v1"), &format!("{a}{}", b.replace("name: b", "name: \"null\""))),
    ]);
}

#[test]
fn a_plain_manifest_keeps_its_registries() {
    let registries = "registries:\n- name: s.example\n  src: true\n- name: p.example\n";
    let image = "- name: a\n  dmap:\n    \"<a>\": [\"v1\"]\n";
    let added = ("a", 'a', "v1");
    for (before, after) in [
        (format!("{registries}images: []\n"), format!("{registries}images:\n{image}")),
        (format!("{registries}images:\n"), format!("{registries}images:\n{image}")),
        (
            format!("{registries}images: ~ # none\n"),
            format!("{registries}images:\n{} # none\n", image.trim_end()),
        ),
        (registries.to_owned(), format!("{registries}images:\n{image}")),
        (format!("images: []\n{registries}"), format!("images:\n{image}{registries}")),
    ] {
        assert_eq!(text(&add(&before, &[added]).unwrap().file), full(&after), "{before}");
    }
}

#[test]
fn several_additions_are_one_edit() {
    let edited = add(
        COREDNS,
        &[
            ("new", 'e', "v1"),
            ("coredns", '2', "v1.11.1"),
            ("new", 'e', "v1.0"),
            ("new", 'f', "v2"),
            ("coredns", '6', "1.7.1"),
        ],
    );
    let edited = edited.unwrap();
    assert_eq!(edited.added.len(), 4, "existing tags are not counted");
    let expected = COREDNS.replace("    \"<1>\"", "    \"<2>\": [\"v1.11.1\"]\n    \"<1>\"")
        + "- name: new\n  dmap:\n    \"<e>\": [\"v1\",\"v1.0\"]\n    \"<f>\": [\"v2\"]\n";
    assert_eq!(text(&edited.file), full(&expected));
}

#[test]
fn a_tag_of_another_digest_is_refused_with_both_digests_and_the_position() {
    let Err(EditError::Moves(moves)) = add(COREDNS, &[("coredns", 'a', "v1.9.4"), ("coredns", 'a', "new")])
    else {
        panic!("moved")
    };
    assert_eq!(moves.len(), 1);
    let shown = moves[0].to_string();
    for part in ["coredns:v1.9.4", &digest('1'), &digest('a'), "images.yaml:6:", "never move"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let twice = add(COREDNS, &[("coredns", 'a', "x"), ("coredns", 'b', "x")]);
    assert!(twice.unwrap_err().to_string().contains("cannot be both"));
    // The same tag of another image is another tag.
    add(COREDNS, &[("corefile-tool", 'a', "v1.9.4")]).unwrap();
}

#[test]
fn a_file_that_cannot_be_edited_safely_is_not_changed() {
    for (before, expected) in [
        ("- name: a\n  dmap: &d\n    <a>: [v1]\n- name: b\n  dmap: *d\n", "aliases repeat"),
        ("- name: b\n  dmap: &d\n    <a>: [v1]\n- name: a\n  dmap: *d\n", "alias"),
        ("- name: >-\n    a\n  dmap:\n    <a>: [v1]\n", "several lines"),
        ("[{name: a, dmap: {<a>: [v1]}}]\n...\n# end\n", ""),
    ] {
        match add(before, &[("a", 'b', "v2")]) {
            Err(error) => {
                assert!(!expected.is_empty() && error.to_string().contains(expected), "{before}: {error}");
            }
            Ok(edited) => assert!(expected.is_empty(), "{before}: {}", text(&edited.file)),
        }
    }
}

#[test]
fn a_file_with_faults_is_not_edited() {
    for broken in
        ["- name: a\n  dmapp: {}\n", "- name: [\n", "{}", "- name: a\n  dmap:\n    \"sha256:0\": [v1]\n"]
    {
        let read = manifest::edit::ImagesFile::parse(
            "images.yaml",
            broken.into(),
            Some(manifest::edit::FileKind::Images),
        );
        let Err(EditError::Invalid(faults)) = read else { panic!("{broken}: {read:?}") };
        assert!(!faults.is_empty());
    }
    assert!(file("[]").images().is_empty());
}

#[test]
fn a_file_without_images_gets_its_first_image() {
    let image = "- name: a\n  dmap:\n    \"<1>\": [\"v1\"]";
    for (before, after) in [
        ("null\n", format!("{image}\n")),
        ("~ # none\n", format!("{image} # none\n")),
        ("--- []\n", format!("---\n{image}\n")),
        ("--- null\n", format!("---\n{image}\n")),
        ("# top\n---\n[]\n", format!("# top\n---\n{image}\n")),
        ("---\n", format!("---\n{image}\n")),
    ] {
        let edited = add(before, &[("a", '1', "v1")]).unwrap_or_else(|error| panic!("{before}: {error}"));
        assert_eq!(text(&edited.file), full(&after), "{before}");
    }
}

#[test]
fn a_notation_that_an_edit_would_break_is_reported_as_unsupported() {
    for (before, expected) in [
        ("---\n...\n", "`...`"),
        ("[\n# c\n]\n", "several lines"),
        ("- name: a\n  dmap: &x\n    <2>: [v0]\n- name: b\n  dmap: *x\n", "aliases"),
    ] {
        let error = add(before, &[("a", '1', "v1")]).unwrap_err();
        assert!(matches!(error, EditError::Unsupported { .. }), "{before}: {error}");
        assert!(error.to_string().contains(expected), "{before}: {error}");
    }
}

#[test]
fn the_additions_of_a_file_to_another_are_determined() {
    let (before, more) = ("- name: a\n  dmap:\n    <1>: [v1]\n", "- name: a\n  dmap:\n    <1>: [v1, v2]\n");
    let added = file(more).added_since(&file(before)).unwrap();
    assert_eq!(added, [super::addition("a", &digest('1'), "v2")]);
    assert!(file(before).added_since(&file(more)).is_none(), "a tag is missing");
    assert!(file("[]").added_since(&file("- name: a\n  dmap: {<1>: []}\n")).is_none(), "a digest is missing");
}

#[test]
fn a_dash_may_be_alone_on_its_line_and_new_entries_have_the_same_notation() {
    let images = "# top\n-\n  name: b\n  dmap:\n    <b>:\n      -\n        v1\n      - # newer\n        v3\n";
    check(&[
        (
            images,
            ("a", 'a', "v0"),
            "# top\n-\n  name: a\n  dmap:\n    \"<a>\":\n      - \"v0\"\n-\n  name: b\n  dmap:\n    <b>:\n      -\n        \
             v1\n      - # newer\n        v3\n",
        ),
        (
            images,
            ("c", 'c', "v0"),
            "# top\n-\n  name: b\n  dmap:\n    <b>:\n      -\n        v1\n      - # newer\n        v3\n-\n  name: c\n  \
             dmap:\n    \"<c>\":\n      - \"v0\"\n",
        ),
        (
            images,
            ("b", 'b', "v2"),
            "# top\n-\n  name: b\n  dmap:\n    <b>:\n      -\n        v1\n      -\n        \"v2\"\n      - # newer\n        \
             v3\n",
        ),
        (
            images,
            ("b", 'b', "v0"),
            "# top\n-\n  name: b\n  dmap:\n    <b>:\n      -\n        \"v0\"\n      -\n        v1\n      - # newer\n        \
             v3\n",
        ),
        // The notation of the next image, whose comments stay with it.
        (
            "- name: a\n  dmap: {}\n-\n\n    # about c\n    name: c\n    dmap: {}\n",
            ("b", 'b', "v1"),
            "- name: a\n  dmap: {}\n-\n    name: b\n    dmap:\n      \"<b>\": [\"v1\"]\n-\n\n    # about c\n    name: c\n    dmap: {}\n",
        ),
        (
            "  -\n    name: b\n    dmap: {}",
            ("c", 'c', "v1"),
            "  -\n    name: b\n    dmap: {}\n  -\n    name: c\n    dmap:\n      \"<c>\": [\"v1\"]",
        ),
    ]);
}
