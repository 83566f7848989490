//! The rules about the style of manifests, and their fixes.

use std::fs;
use std::path::Path;

use manifest::lint::{Finding, Linted, Rule, Target, lint, targets};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{REGISTRIES, data, digest, edges, lines_below, thin, write, write_thin};

/// Checks a tree or a file without a base.
pub(crate) fn check(path: &Path) -> Linted {
    let [target] = &targets([path])[..] else { panic!("one target") };
    lint(target, None, &[]).unwrap()
}

/// Returns findings as `rule file:line:column: message`, with paths below a directory.
pub(crate) fn messages(directory: &Path, findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let level = if finding.is_error() { "error" } else { "warning" };
        format!("{level} {} {}", finding.rule.name(), finding.diagnostic)
    };
    lines_below(directory, findings.iter().map(line))
}

/// Checks an images file. Returns the names of the violated rules, and the fixed text.
fn fixed(images: &str) -> (Vec<&'static str>, String) {
    let directory = TempDir::new().unwrap();
    write_thin(directory.path(), "app", REGISTRIES, images);
    let found = check(directory.path());
    let before = edges(&thin(directory.path()));
    let rules = found.findings.iter().map(|finding| finding.rule.name()).collect();
    let mut text = images.to_owned();
    for file in found.fixed() {
        let file = file.unwrap_or_else(|problem| panic!("{problem}"));
        assert_eq!(file.before, fs::read(&file.path).unwrap());
        fs::write(&file.path, &file.after).unwrap();
        text = String::from_utf8(file.after).unwrap();
    }
    assert_eq!(edges(&thin(directory.path())), before, "{text}");
    (rules, text)
}

/// Replaces `@a` with a quoted digest.
fn yaml(text: &str) -> String {
    let mut yaml = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('@') {
        yaml += before;
        yaml += &format!("\"{}\"", digest(after.chars().next().unwrap()));
        rest = &after[1..];
    }
    yaml + rest
}

#[test]
fn manifests_in_kubernetes_style_have_no_findings() {
    let directory = TempDir::new().unwrap();
    for (project, images) in [("coredns", "coredns"), ("kubernetes", ""), ("sp-operator", "")] {
        let registries = fs::read_to_string(data(&format!("k8s/{project}-promoter-manifest.yaml"))).unwrap();
        let images = match images {
            "" => "[]\n".to_owned(),
            images => fs::read_to_string(data(&format!("k8s/{images}-images.yaml"))).unwrap(),
        };
        write_thin(directory.path(), project, &registries, &images);
    }
    let found = check(directory.path());
    assert_eq!(messages(directory.path(), &found.findings), "");
    assert_eq!((found.files, found.errors(), found.warnings()), (6, 0, 0));
}

#[test]
fn tags_may_be_sorted_as_text_or_by_version() {
    for tags in [
        "v1.10, v1.9",
        "v1.9, v1.10",
        "v1.0-rc.1, v1.0",
        "v1.0, v1.0-gke.1, v1.1",
        "latest, v1",
        "'1.1', latest",
    ] {
        assert_eq!(fixed(&yaml(&format!("- name: a\n  dmap:\n    @a: [{tags}]\n"))).0, [""; 0], "{tags}");
        let rows = tags.split(", ").zip('a'..).map(|(tag, digit)| format!("    @{digit}: [{tag}]\n"));
        let images = format!("- name: a\n  dmap:\n{}", rows.collect::<String>());
        assert_eq!(fixed(&yaml(&images)).0, [""; 0], "{tags}");
    }
}

#[test]
fn a_fix_changes_only_the_necessary_lines() {
    // Each case: a description, the rules, the text before and after.
    let cases = [
        (
            "images move with the comments above them and below them",
            vec!["unsorted-images"],
            "# a list\n\n# b is first\n- name: b # really\n  dmap:\n    @b: [x]\n    # @c: [y]\n\n# about a\n# and more\n- name: a\n  dmap:\n    @a: []\n- name: c\n  dmap:\n    @c: []\n",
            "# a list\n\n# about a\n# and more\n- name: a\n  dmap:\n    @a: []\n\n# b is first\n- name: b # really\n  dmap:\n    @b: [x]\n    # @c: [y]\n- name: c\n  dmap:\n    @c: []\n",
        ),
        (
            "the last line has no line break",
            vec!["unsorted-images"],
            "- name: b\n  dmap: {@b: [x]}\n- dmap: {@a: [x]}\n  name: a",
            "- dmap: {@a: [x]}\n  name: a\n- name: b\n  dmap: {@b: [x]}",
        ),
        (
            "a byte order mark and the line ends of Windows stay",
            vec!["unsorted-images", "unsorted-tags"],
            "\u{feff}- name: b\r\n  dmap:\r\n    @b: [y,  \"x\" ]  # c\r\n- name: a\r\n  dmap:\r\n    @a: []",
            "\u{feff}- name: a\r\n  dmap:\r\n    @a: []\r\n- name: b\r\n  dmap:\r\n    @b: [\"x\",  y ]  # c",
        ),
        (
            "digests are sorted by their smallest tag, then by digest",
            vec!["unsorted-digests"],
            "- name: a\n  dmap:\n    # one\n    @d: [v3]\n    @c: [a, v9]\n    @b: []\n    # two\n    @a: []\n",
            "- name: a\n  dmap:\n    # two\n    @a: []\n    @b: []\n    @c: [a, v9]\n    # one\n    @d: [v3]\n",
        ),
        (
            "the order that moves less is chosen",
            vec!["unsorted-digests"],
            "- name: a\n  dmap:\n    @b: [v1.8]\n    @a: [v1.9]\n    @c: [v1.11]\n    @d: [v1.10]\n",
            "- name: a\n  dmap:\n    @b: [v1.8]\n    @a: [v1.9]\n    @d: [v1.10]\n    @c: [v1.11]\n",
        ),
        (
            "tags in a block",
            vec!["unsorted-tags"],
            "- name: a\n  dmap:\n    @a:\n    # about c\n    - c\n    - b # x\n    - a\n",
            "- name: a\n  dmap:\n    @a:\n    - a\n    - b # x\n    # about c\n    - c\n",
        ),
        (
            "several rules at once",
            vec!["unsorted-images", "unquoted-digest", "unsorted-tags", "unsorted-digests"],
            "- name: b\n  dmap:\n    sha256:BARE: [z]\n    @a: [y, 'x'] # k\n- name: a\n  dmap:\n    @c:\n",
            "- name: a\n  dmap:\n    @c:\n- name: b\n  dmap:\n    @a: ['x', y] # k\n    @b: [z]\n",
        ),
    ];
    for (what, rules, before, after) in cases {
        let before = yaml(before).replace("BARE", &"b".repeat(64));
        let (mut found, text) = fixed(&before);
        let mut rules = rules;
        found.sort_unstable();
        rules.sort_unstable();
        assert_eq!((found, text), (rules, yaml(after)), "{what}");
        assert_eq!(fixed(&yaml(after)).0, [""; 0], "{what}: a fixed file is clean");
    }
}

#[test]
fn entries_that_cannot_be_moved_safely_are_reported_and_not_moved() {
    for (images, why) in [
        ("- name: b\n  dmap: &x\n    @b: [x]\n- name: a\n  dmap: *x\n", "anchors"),
        ("[{name: b, dmap: {@b: []}}, {name: a, dmap: {@a: []}}]\n", "lines of their own"),
        ("- name: >-\n    b\n  dmap: {@b: []}\n- name: a\n  dmap: {@a: []}\n", "several lines"),
        ("- name: b\n  dmap:\t{@b: []}\n- name: a\n  dmap: {@a: []}\n", "tabs"),
        (
            "- name: b\n  dmap: {@b: []}\n\n# from here on: a\n\n- name: a\n  dmap: {@a: []}\n",
            "belongs to none",
        ),
        ("# mine\n- name: b\n  dmap: {@b: []}\n- name: a\n  dmap: {@a: []}\n", "start of the file"),
        ("- name: b\n  dmap:\n    @b: [z]\n      # ?\n    @a: [a]\n", "indentation"),
        ("- name: b\n  dmap:\n    @b: [z,\n    # z is old\n    a]\n", "among the tags"),
        ("-\n  name: b\n  dmap: {@b: []}\n-\n  name: a\n  dmap: {@a: []}\n", "lines of their own"),
        ("- name: b\n  dmap:\n    ? @b\n    : [z]\n    ? @a\n    : [a]\n", "lines of their own"),
    ] {
        let directory = TempDir::new().unwrap();
        write_thin(directory.path(), "app", REGISTRIES, &yaml(images));
        let found = check(directory.path());
        let [finding] = &found.findings[..] else {
            panic!("{why}: {}", messages(directory.path(), &found.findings));
        };
        assert!(finding.fix.is_empty() && finding.rule.name().starts_with("unsorted"), "{why}");
        let advice = finding.diagnostic.advice().unwrap();
        assert!(
            advice.starts_with("`--fix` leaves it as it is: ") && advice.contains(why),
            "{why}: {advice}"
        );
        assert!(found.fixed().is_empty(), "{why}");
    }
}

#[test]
fn a_list_with_an_invalid_entry_is_not_sorted() {
    let (rules, text) =
        fixed("- name: b\n  dmap:\n    x: [z]\n    sha256:1: [y, x, -z]\n- name: A\n  dmap: {}\n");
    assert!(rules.iter().all(|rule| ["invalid", "suspicious"].contains(rule)), "{rules:?}");
    assert!(text.contains("[y, x, -z]"));
}

#[test]
fn deprecated_fields_and_registry_spellings_are_reported_and_fixed_in_all_projects() {
    let directory = TempDir::new().unwrap();
    let manifests = [
        (
            "a",
            "imagesPath: x\n# the source\nregistries:\n- name: gcr.io/s\n  src: true\n- name: eu.gcr.io/p\n",
        ),
        (
            "b",
            "registries:\n- name: \"GCR.io/s\"\n  src: true\n- name: eu.gcr.io/p/ # trailing\nimagesPath: y # why\n",
        ),
        (
            "c",
            "registries:\n- name: gcr.io/s\n  src: true\n- name: eu.gcr.io/p\n- name: eu.gcr.io/p\n- name: https://eu.gcr.io/p\n",
        ),
    ];
    manifests.iter().for_each(|(name, text)| write_thin(directory.path(), name, text, "[]\n"));
    let found = check(directory.path());
    insta::assert_snapshot!(messages(directory.path(), &found.findings), @r"
    warning deprecated-field manifests/a/promoter-manifest.yaml:1:1: the field `imagesPath` is deprecated and has no effect: the images of the project `NAME` are in `images/NAME/images.yaml`
    warning registry-spelling manifests/b/promoter-manifest.yaml:2:9: the registry `GCR.io/s` is elsewhere written `gcr.io/s`
    warning registry-spelling manifests/b/promoter-manifest.yaml:4:9: the registry `eu.gcr.io/p/` is elsewhere written `eu.gcr.io/p`
    warning deprecated-field manifests/b/promoter-manifest.yaml:5:1: the field `imagesPath` is deprecated and has no effect: the images of the project `NAME` are in `images/NAME/images.yaml`
    warning registry-spelling manifests/c/promoter-manifest.yaml:5:9: the registry `eu.gcr.io/p` is listed twice
    error invalid manifests/c/promoter-manifest.yaml:6:9: `https:` is not a registry host: expected a domain name or address, with a port if it needs one, such as `gcr.io` or `127.0.0.1:5000`
    warning registry-spelling manifests/c/promoter-manifest.yaml:6:9: the registry `https://eu.gcr.io/p` is elsewhere written `eu.gcr.io/p`
    ");
    let fixed: Vec<_> = found
        .fixed()
        .into_iter()
        .map(|file| file.unwrap())
        .map(|file| (String::from_utf8(file.after).unwrap(), file.fixed))
        .collect();
    assert_eq!(
        fixed,
        [
            ("# the source\nregistries:\n- name: gcr.io/s\n  src: true\n- name: eu.gcr.io/p\n".to_owned(), 1),
            ("registries:\n- name: \"gcr.io/s\"\n  src: true\n- name: eu.gcr.io/p # trailing\nimagesPath: y # why\n".to_owned(), 2),
        ]
    );
    let [target] = &targets([directory.path()])[..] else { panic!("one target") };
    let allowed = lint(target, None, &[Rule::RegistrySpelling]).unwrap();
    assert_eq!((allowed.warnings(), allowed.fixed().len()), (2, 1));
}

#[test]
fn a_plain_manifest_is_checked_as_a_whole() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("manifest.yaml");
    let images =
        yaml("images:\n- name: b\n  dmap:\n    @b: [x]\n- name: a\n  dmap:\n    @a: [y, x]\n    @b: [y]\n");
    write(&path, format!("{REGISTRIES}{images}"));
    let found = check(&path);
    insta::assert_snapshot!(messages(directory.path(), &found.findings), @r"
    warning unsorted-images manifest.yaml:9:9: images are not sorted by name: `a` comes after `b`
    warning unsorted-tags manifest.yaml:11:84: the tags are not sorted: `x` comes after `y`
    error overlap manifest.yaml:12:81: gcr.io/p/a:y would be sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb here and sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa at manifest.yaml:11:81
    ");
    let after = String::from_utf8(found.fixed()[0].as_ref().unwrap().after.clone()).unwrap();
    let images =
        yaml("images:\n- name: a\n  dmap:\n    @a: [x, y]\n    @b: [y]\n- name: b\n  dmap:\n    @b: [x]\n");
    assert_eq!(after, format!("{REGISTRIES}{images}"));
}

#[test]
fn a_file_of_a_tree_selects_its_project() {
    let directory = TempDir::new().unwrap();
    let overlapping = |digit: char| yaml(&format!("- name: b\n  dmap:\n    @{digit}: [y, x]\n"));
    write_thin(directory.path(), "one", REGISTRIES, &overlapping('a'));
    write_thin(directory.path(), "two", REGISTRIES, &overlapping('b'));
    write_thin(directory.path(), "three", &REGISTRIES.replace("/p", "/q"), &overlapping('b'));
    let rules = |projects: &[&str]| -> Vec<String> {
        let paths: Vec<_> = projects
            .iter()
            .map(|project| directory.path().join("images").join(project).join("images.yaml"))
            .collect();
        let targets = targets(paths.iter().map(|path| &**path));
        assert_eq!(targets.len(), 1, "{targets:?}");
        let found = lint(&targets[0], None, &[]).unwrap();
        let messages = messages(directory.path(), &found.findings);
        messages.lines().map(|line| line.split(':').next().unwrap().to_owned()).collect()
    };
    let overlap = "error overlap images/two/images.yaml";
    assert_eq!(rules(&["three"]), ["warning unsorted-tags images/three/images.yaml"]);
    // The overlap is reported in the other project's file, and also concerns this project.
    assert_eq!(rules(&["one"]), ["warning unsorted-tags images/one/images.yaml", overlap, overlap]);
    assert_eq!(rules(&["one", "three"]).len(), 4);
    let whole = targets([directory.path(), &directory.path().join("images/one/images.yaml")]);
    assert!(matches!(&whole[..], [Target::Thin { projects: None, .. }]), "{whole:?}");
}

#[test]
fn many_flaws_of_a_file_are_counted_and_fixed() {
    let directory = TempDir::new().unwrap();
    let rows = (0..1_200).map(|number| format!("    sha256:{number:064}: [v{number:04}]\n"));
    write_thin(
        directory.path(),
        "a",
        REGISTRIES,
        &format!("- name: a\n  dmap:\n{}", rows.collect::<String>()),
    );
    let found = check(directory.path());
    assert_eq!((found.findings.len(), found.more_warnings, found.warnings()), (1_000, 200, 1_200));
    let fixed = found.fixed();
    assert_eq!(fixed[0].as_ref().unwrap().fixed, 1_200);
    let [target] = &targets([directory.path()])[..] else { panic!("one target") };
    let allowed = lint(target, None, &[Rule::UnquotedDigest]).unwrap();
    assert_eq!((allowed.warnings(), allowed.fixed().len()), (0, 0));
}

/// Parts of images files, valid and not.
const PIECES: [&str; 25] = [
    "- name: b\n  dmap:\n",
    "- name: a # x\n  dmap:\n",
    "- name: 'c'\n  dmap:\n",
    "- name: &n d\n",
    "- dmap: {}\n",
    "  dmap:\n",
    "  dmap: {@a: [z, a], @b: []}\n",
    "    @a: [v2, \"v1\"]\n",
    "    @b: [v1]\n",
    "    @c:\n",
    "    @d: []\n",
    "    - y\n",
    "    - x # y\n",
    "      - w\n",
    "    sha256:BARE: [v0]\n",
    "# comment\n",
    "    # deep\n",
    "      # deeper\n",
    "\n",
    "\t\n",
    "---\n",
    "  name: e\n",
    "\r\n",
    "    @e: [q,\n      p]\n",
    "    @f: *n\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_fix_keeps_promotions_and_comments_and_leaves_nothing_to_fix(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 1..24),
        windows in any::<bool>(),
        ends in any::<bool>(),
    ) {
        let text = yaml(&pieces.concat()).replace("BARE", &"f".repeat(64));
        let text = if windows { text.replace("\r\n", "\n").replace('\n', "\r\n") } else { text };
        let text = if ends { text } else { text.trim_end().to_owned() };
        let directory = TempDir::new().unwrap();
        write_thin(directory.path(), "app", REGISTRIES, &text);
        let found = check(directory.path());
        for file in found.fixed() {
            // The check after a fix never refuses a fix that lint offers.
            let file = file.map_err(TestCaseError::fail)?;
            let after = String::from_utf8(file.after.clone()).unwrap();
            let sorted = |text: &str| {
                let mut lines: Vec<String> = text.lines().map(str::trim_end).map(str::to_owned).collect();
                lines.iter_mut().for_each(|line| *line = line.chars().filter(|c| *c != '"').collect());
                lines.sort();
                lines
            };
            if !found.findings.iter().any(|finding| finding.rule == Rule::UnsortedTags) {
                prop_assert_eq!(sorted(&text), sorted(&after), "whole lines are moved");
            }
            fs::write(&file.path, &file.after).unwrap();
            let again = check(directory.path());
            prop_assert!(again.fixed().is_empty(), "{}", after);
            prop_assert!(again.findings.iter().all(|finding| finding.fix.is_empty()), "{}", after);
        }
    }
}
