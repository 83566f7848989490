//! The `provenance` block: its valid content, and the repositories that it applies to.

use manifest::policy::{BuildLevel, Mode, Policy};
use manifest::{Manifests, keep_added, load_thin};
use tempfile::TempDir;

use crate::support::{REGISTRIES, complaints, image, load, rejected, thin, write_thin};

/// A valid policy, which follows the lines of [`REGISTRIES`].
const POLICY: &str = r"provenance:
  mode: require
  signers:
  - sigstore::https://accounts.google.com::builder@project.iam.gserviceaccount.com
  - sigstore(identityMatch=regex)::https://token\.actions\.githubusercontent\.com::https://github\.com/org/repo/.+
  builders:
  - id: https://cloudbuild.googleapis.com/GoogleHostedWorker
    level: 3
    signers:
    - sigstore::https://accounts.google.com::builder@project.iam.gserviceaccount.com
  - {id: https://github.com/org/repo/.github/workflows/release.yaml@refs/heads/main, level: 2}
  sources: [github.com/org/repo, https://github.com/org/other.git]
  predicateTypes: [https://spdx.dev/Document]
  level: 2
";

fn policy_of<'m>(manifests: &'m Manifests, repository: &str) -> Option<&'m Policy> {
    manifests.policies.of(&repository.parse().unwrap())
}

/// Returns the faults of a block that differs from the valid one in this text.
fn wrong_with(from: &str, to: &str) -> String {
    assert!(POLICY.contains(from), "{from}");
    complaints(format!("{REGISTRIES}{}", POLICY.replace(from, to))).join("\n")
}

/// Returns the warnings about a valid manifest.
fn warnings(block: &str) -> String {
    let loaded = load(format!("{REGISTRIES}{block}")).unwrap_or_else(|wrong| panic!("{wrong}"));
    let line = |warning: &manifest::Diagnostic| {
        let position = warning.position().unwrap();
        format!("{}:{}: {}\n", position.line, position.column, warning.message())
    };
    loaded.warnings.iter().map(line).collect()
}

#[test]
fn all_fields_of_a_policy_are_read() {
    let loaded = load(format!("{REGISTRIES}{POLICY}")).unwrap_or_else(|wrong| panic!("{wrong}"));
    let policy = policy_of(&loaded, "gcr.io/s/app").unwrap();
    assert_eq!((policy.mode(), policy.level()), (Mode::Require, Some(BuildLevel::Two)));
    assert_eq!(policy.signers().len(), 2);
    let levels: Vec<_> = policy.builders().iter().map(|builder| builder.level).collect();
    assert_eq!(levels, [BuildLevel::Three, BuildLevel::Two]);
    let sources: Vec<_> = policy.sources().iter().map(ToString::to_string).collect();
    assert_eq!(sources, ["github.com/org/repo", "https://github.com/org/other"]);
    assert_eq!(policy.predicate_types()[0].as_str(), "https://spdx.dev/Document");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert!(policy_of(&loaded, "gcr.io/other/app").is_none());
}

#[test]
fn the_example_of_the_reference_is_a_valid_manifest() {
    let reference = include_str!("../../../../docs/reference/manifests.md");
    let example = reference.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let loaded = load(example).unwrap_or_else(|wrong| panic!("{wrong}"));
    let policy = policy_of(&loaded, "us-central1-docker.pkg.dev/k8s-staging/app/app").unwrap();
    assert_eq!(policy.mode(), Mode::Require);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn thin_manifests_have_policies_too() {
    let directory = TempDir::new().unwrap();
    write_thin(directory.path(), "p", &format!("{REGISTRIES}{POLICY}"), &image("a", &[('a', "x")]));
    let loaded = load_thin(directory.path()).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(policy_of(&loaded, "gcr.io/s/deep/app").is_some());
}

#[test]
fn a_policy_also_applies_if_nothing_is_promoted_in_this_run() {
    let directory = TempDir::new().unwrap();
    write_thin(directory.path(), "p", &format!("{REGISTRIES}{POLICY}"), &image("a", &[('a', "x")]));
    let loaded = load_thin(directory.path()).unwrap();
    let before = loaded.manifests.clone();
    let added = keep_added(loaded, &before);
    assert!(added.manifests.is_empty() && policy_of(&added, "gcr.io/s/a").is_some());
}

#[test]
fn without_a_block_or_with_mode_off_there_is_no_policy() {
    for block in ["", "provenance:\n  mode: off\n", &POLICY.replace("mode: require", "mode: off")] {
        let loaded = load(format!("{REGISTRIES}{block}")).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert!(loaded.policies.is_empty() && loaded.warnings.is_empty(), "{block}");
    }
}

#[test]
fn a_policy_without_a_mode_is_a_warning() {
    let silent = "6:3: this policy has no `mode`: it is off, and images need no provenance\n";
    assert_eq!(warnings(&POLICY.replace("  mode: require\n", "")), silent);
    assert!(warnings("provenance:\n").contains("it is off"));
}

#[test]
fn a_signer_whose_claim_alone_determines_levels_is_a_warning() {
    let unbound = POLICY.replace("    signers:\n    - sigstore::https://accounts.google.com::builder@project.iam.gserviceaccount.com\n", "");
    insta::assert_snapshot!(warnings(&unbound), @r"
    11:5: /https://github\.com/org/repo/.+/ (/https://token\.actions\.githubusercontent\.com/) may claim builders of level 2 and of level 3: only its claim distinguishes them
    11:5: builder@project.iam.gserviceaccount.com (https://accounts.google.com) may claim builders of level 2 and of level 3: only its claim distinguishes them
    ");
}

#[test]
fn a_policy_that_is_off_must_be_valid_too() {
    let off = POLICY.replace("mode: require", "mode: off").replace("level: 2}", "level: 7}");
    assert!(complaints(format!("{REGISTRIES}{off}"))[0].contains("not a SLSA build level"));
}

#[test]
fn unknown_fields_of_a_policy_are_errors_with_their_position() {
    insta::assert_snapshot!(wrong_with("  level: 2\n", "  levels: 2\n  mode: warn\n"), @"
    18:3: unknown field `levels`
    19:3: the field `mode` is listed twice
    ");
    insta::assert_snapshot!(wrong_with("level: 2}", "level: 2, tier: 1}"), @"15:96: unknown field `tier`");
    insta::assert_snapshot!(wrong_with("mode: require", "mode: Require"), @"6:9: `Require` is not a \
     mode: expected `off`, `warn` or `require`");
    insta::assert_snapshot!(wrong_with("mode: require", "mode:"), @"6:7: the `mode` is empty");
    insta::assert_snapshot!(wrong_with("mode: require", "mode: [warn]"), @"6:9: expected the `mode`, found a list");
    insta::assert_snapshot!(complaints(format!("{REGISTRIES}provenance: require\n")).join("\n"), @"5:13: expected a mapping with `mode`, `signers`, found text");
}

#[test]
fn invalid_signers_are_refused() {
    insta::assert_snapshot!(wrong_with("- sigstore::https://accounts.google.com::builder@project.iam.gserviceaccount.com\n  - sig", "- builder@project.iam.gserviceaccount.com\n  - sig"), @"8:5: `builder@project.iam.gserviceaccount.com` names no signer: write `sigstore::ISSUER::IDENTITY` or `sigstore(identityMatch=regex)::ISSUER::IDENTITY`");
    insta::assert_snapshot!(wrong_with("org/repo/.+", "org/(repo"), @r"9:5: `https://github\.com/org/(repo` is not a regular expression: unclosed group");
    insta::assert_snapshot!(wrong_with("  builders:\n", "  - ''\n  - [x]\n  - sigstore::https://i::\n  builders:\n"), @"
    10:5: a signer is empty
    11:5: expected a signer, found a list
    12:5: expected a signer, found a mapping
    ");
    let long = format!("sigstore::https://i::{}", "x".repeat(2_100));
    insta::assert_snapshot!(wrong_with("  builders:\n", &format!("  - {long}\n  builders:\n")), @"10:5: a signer has at most 2048 bytes, this has 2121");
}

#[test]
fn impossible_levels_are_refused() {
    for bad in ["0", "4", "two", "2.0", "-1", "[2]", "''", "~"] {
        assert!(wrong_with("  level: 2\n", &format!("  level: {bad}\n")).starts_with("18:10: "), "{bad}");
        let of_builder = wrong_with("    level: 3\n", &format!("    level: {bad}\n"));
        assert!(of_builder.starts_with("12:12: ") && of_builder.lines().count() == 1, "{of_builder}");
    }
    let one = wrong_with("  level: 2\n", "  level: 1\n");
    assert!(one.starts_with("18:10: a policy's `level` must be 2 or 3"), "{one}");
    let unreached =
        POLICY.replace("  level: 2\n", "  level: 3\n").replace("    level: 3\n", "    level: 1\n");
    let unreached = complaints(format!("{REGISTRIES}{unreached}"));
    assert_eq!(unreached, ["18:10: no builder of this policy reaches level 3: the highest is 2"]);
}

#[test]
fn required_fields_of_an_enabled_policy_must_be_present() {
    insta::assert_snapshot!(complaints(format!("{REGISTRIES}provenance:\n  mode: warn\n")).join("\n"), @"
    6:3: `signers` is missing or empty: with `mode: warn` no image could satisfy the policy
    6:3: `builders` is missing or empty: with `mode: warn` no image could satisfy the policy
    6:3: `sources` is missing or empty: with `mode: warn` no image could satisfy the policy
    ");
    insta::assert_snapshot!(complaints(format!("{REGISTRIES}provenance:\n  mode: require\n  signers: []\n  builders:\n  sources: []\n")).join("\n"), @"
    6:3: `builders` is missing or empty: with `mode: require` no image could satisfy the policy
    7:12: `signers` is missing or empty: with `mode: require` no image could satisfy the policy
    9:12: `sources` is missing or empty: with `mode: require` no image could satisfy the policy
    ");
}

#[test]
fn builders_have_an_id_and_a_level_and_name_only_signers_of_the_policy() {
    insta::assert_snapshot!(wrong_with("    level: 3\n", ""), @"11:5: the builder has no `level`");
    insta::assert_snapshot!(wrong_with("  - id: https://cloudbuild.googleapis.com/GoogleHostedWorker\n    level: 3\n", "  - level: 3\n"), @"11:5: the builder has no `id`");
    insta::assert_snapshot!(wrong_with("level: 2}", "level: 2, signers: ['sigstore::https://i::a@b.c']}"), @"15:106: a@b.c (https://i) is not among the policy's `signers`");
    insta::assert_snapshot!(wrong_with("  builders:\n", "  builders:\n  - https://example.com/builder\n"), @"11:5: expected a mapping with `id`, `level`, found text");
    insta::assert_snapshot!(wrong_with("- {id: https://github.com/org/repo/.github/workflows/release.yaml@refs/heads/main, level: 2}", "- {id: https://cloudbuild.googleapis.com/GoogleHostedWorker@v1, level: 2}"), @"15:5: this builder and `https://cloudbuild.googleapis.com/GoogleHostedWorker` are the same at some ref, and only one of them has `signers`");
    insta::assert_snapshot!(wrong_with("  - sigstore(identityMatch=regex)::https://token\\.actions\\.githubusercontent\\.com::https://github\\.com/org/repo/.+\n", ""), @"14:5: no signer may claim this builder: it names no `signers`, and other builders name all signers of the policy");
}

#[test]
fn repeated_entries_are_refused() {
    insta::assert_snapshot!(wrong_with("sources: [github.com/org/repo, ", "sources: [github.com/org/repo, 'git+https://GITHUB.com/org/other', "), @"16:70: `https://github.com/org/other` is listed twice");
    insta::assert_snapshot!(wrong_with("[https://spdx.dev/Document]", "[https://spdx.dev/Document, https://spdx.dev/Document]"), @"17:47: `https://spdx.dev/Document` is listed twice");
    insta::assert_snapshot!(wrong_with("  - {id: https://github.com/org/repo/.github/workflows/release.yaml@refs/heads/main", "  - {id: https://cloudbuild.googleapis.com/GoogleHostedWorker"), @"15:5: `https://cloudbuild.googleapis.com/GoogleHostedWorker` is listed twice");
}

#[test]
fn invalid_sources_and_predicate_types_are_refused() {
    insta::assert_snapshot!(wrong_with("[github.com/org/repo, ", "[github.com/org/repo@main, github.com, "), @"
    16:13: `github.com/org/repo@main` is not a source: expected host and path of a repository, such as `github.com/org/repo`, without ref or pattern
    16:39: `github.com` is not a source: expected host and path of a repository, such as `github.com/org/repo`, without ref or pattern
    ");
    insta::assert_snapshot!(wrong_with("[https://spdx.dev/Document]", "['spdx document', 'é']"), @"
    17:20: `spdx document` is not a URI: expected at most 2048 characters of ASCII without spaces
    17:37: `é` is not a URI: expected at most 2048 characters of ASCII without spaces
    ");
}

#[test]
fn an_oversized_policy_is_refused_before_its_entries_are_read() {
    let many = "  - 'sigstore(identityMatch=regex)::a::(b{1000}){1000}'\n".repeat(101);
    let text = format!("{REGISTRIES}provenance:\n  mode: require\n  signers:\n{many}");
    assert_eq!(complaints(text), ["8:5: `signers` has more than 100 entries"]);
}

/// Loads two manifests with these sources and blocks, and returns their faults if there are any.
fn two(first: (&str, &str), second: (&str, &str)) -> Result<Manifests, String> {
    let directory = TempDir::new().unwrap();
    for (project, (source, block)) in [("a", first), ("b", second)] {
        let registries = format!("{}{block}", REGISTRIES.replace("gcr.io/s", source));
        write_thin(directory.path(), project, &registries, "[]");
    }
    let loaded = thin(directory.path());
    if loaded.rejected.is_empty() { Ok(loaded) } else { Err(rejected(directory.path())) }
}

#[test]
fn manifests_that_share_a_source_declare_the_same_policy() {
    let reordered = POLICY.replace(
        "[github.com/org/repo, https://github.com/org/other.git]",
        "[https://github.com/org/other, github.com/org/repo]",
    );
    assert!(two(("gcr.io/s", POLICY), ("gcr.io/s/", &reordered)).is_ok());
    let warn = POLICY.replace("require", "warn");
    insta::assert_snapshot!(two(("gcr.io/s", POLICY), ("gcr.io/s", &warn)).unwrap_err(), @"
    manifests/a/promoter-manifest.yaml:6:3: this project is left out, because it is not known which provenance policy holds for gcr.io/s (manifests/a/promoter-manifest.yaml:6:3 and manifests/b/promoter-manifest.yaml:6:3 contradict each other)
    manifests/b/promoter-manifest.yaml:6:3: another provenance policy for gcr.io/s than at manifests/a/promoter-manifest.yaml:6:3
    ");
    insta::assert_snapshot!(two(("gcr.io/s", POLICY), ("gcr.io/s", "")).unwrap_err(), @"
    manifests/a/promoter-manifest.yaml:6:3: this project is left out, because it is not known which provenance policy holds for gcr.io/s (manifests/a/promoter-manifest.yaml:6:3 and manifests/b/promoter-manifest.yaml:2:3 contradict each other)
    manifests/b/promoter-manifest.yaml:2:3: no provenance policy for gcr.io/s, which has one at manifests/a/promoter-manifest.yaml:6:3
    ");
    insta::assert_snapshot!(two(("gcr.io/s", ""), ("gcr.io/s", POLICY)).unwrap_err(), @"
    manifests/a/promoter-manifest.yaml:2:3: this project is left out, because it is not known which provenance policy holds for gcr.io/s (manifests/a/promoter-manifest.yaml:2:3 and manifests/b/promoter-manifest.yaml:6:3 contradict each other)
    manifests/b/promoter-manifest.yaml:6:3: a provenance policy for gcr.io/s, which has none at manifests/a/promoter-manifest.yaml:2:3
    ");
}

#[test]
fn a_required_policy_is_not_replaced_below_its_source() {
    let warn = POLICY.replace("require", "warn");
    insta::assert_snapshot!(two(("gcr.io/s", POLICY), ("gcr.io/s/below", &warn)).unwrap_err(), @"
    manifests/a/promoter-manifest.yaml:6:3: this project is left out, because it is not known which provenance policy holds for gcr.io/s (manifests/a/promoter-manifest.yaml:6:3 and manifests/b/promoter-manifest.yaml:6:3 contradict each other)
    manifests/b/promoter-manifest.yaml:6:3: another provenance policy for gcr.io/s/below, which lies below gcr.io/s, than is required there at manifests/a/promoter-manifest.yaml:6:3
    ");
    let loaded = two(("gcr.io/s", &warn), ("gcr.io/s/below", POLICY)).unwrap();
    assert_eq!(policy_of(&loaded, "gcr.io/s/below/app").unwrap().mode(), Mode::Require);
    assert_eq!(policy_of(&loaded, "gcr.io/s/app").unwrap().mode(), Mode::Warn);
}
