//! Dry runs list what `--confirm` would do, and fail if it would fail.

use std::process::Command;

use crate::support::{Desk, cip, google, kpromo, kpromo_with, put, run, scene};
use registry::sample::Recipe;

/// Returns the lines about edges.
fn edges(stdout: &str) -> Vec<&str> {
    stdout.lines().filter(|line| line.starts_with("+ ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_lists_what_goes_where_edge_by_edge() {
    let (staging, production, desk) = scene().await;
    let manifest = desk.path("manifest.yaml");
    let flags = ["--manifest", manifest.to_str().unwrap()];
    let digests = [1, 2].map(|seed| {
        let recipe = Recipe { seed, ..Recipe::default() };
        if seed == 1 { recipe.index(2).digest().to_string() } else { recipe.image().digest().to_string() }
    });
    let (from, to) = (format!("{}/staging", staging.host()), format!("{}/prod", production.host()));
    let lines = |[one, two]: [&str; 2]| {
        let mut lines = vec![
            format!("+ {to}/one:latest <- {from}/one@{one}"),
            format!("+ {to}/one:v1 <- {from}/one@{one}"),
            format!("+ {to}/two@{two} <- {from}/two@{two}"),
        ];
        lines.sort();
        lines
    };
    let sorted = |stdout: &str| {
        let mut lines: Vec<String> = edges(stdout).into_iter().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let short = digests.clone().map(|digest| format!("{}…", &digest[.."sha256:".len() + 12]));
    let ran = cip(&flags);
    assert_eq!(sorted(&ran.stdout), lines([&short[0], &short[1]]), "{}", ran.stdout);
    let whole = cip(&[&flags[..], &["--verbose"]].concat());
    assert_eq!(sorted(&whole.stdout), lines([&digests[0], &digests[1]]), "{}", whole.stdout);

    assert_eq!(cip(&[&flags[..], &["--confirm"]].concat()).code, 0);
    assert!(edges(&cip(&flags).stdout).is_empty(), "what is done is not listed");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_edges_are_listed_where_there_is_no_terminal() {
    let (staging, production, desk) = (google().await, google().await, Desk::new());
    let image = Recipe::default().image();
    put(&staging, "staging/app", &image, &[]).await;
    let tags: Vec<String> = (0..60).map(|number| format!("v{number}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let (source, destination) =
        (format!("{}/staging", staging.host()), format!("{}/prod", production.host()));
    let manifest = desk.manifest(&source, &[destination], &[("app", image.digest(), &tags)]);
    let manifest = manifest.to_str().unwrap();
    let ran = cip(&["--manifest", manifest]);
    assert_eq!(edges(&ran.stdout).len(), 60, "{}", ran.stdout);
    assert!(ran.stdout.starts_with("manifest: 60 to copy\n"), "{}", ran.stdout);
    assert_eq!(edges(&cip(&["--manifest", manifest, "--verbose"]).stdout).len(), 60);
}

/// An image without a tag is not signed, but it is recorded, so with signing there is something to do.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_do_is_printed_only_if_a_confirmed_run_would_write_nothing() {
    let (staging, production, desk) = (google().await, google().await, Desk::new());
    let image = Recipe::default().image();
    put(&staging, "staging/app", &image, &[]).await;
    let (source, destination) =
        (format!("{}/staging", staging.host()), format!("{}/prod", production.host()));
    let manifest = desk.manifest(&source, &[destination], &[("app", image.digest(), &[])]);
    let manifest = manifest.to_str().unwrap();
    assert_eq!(cip(&["--manifest", manifest, "--confirm"]).code, 0);
    let done = cip(&["--manifest", manifest]);
    assert!(done.code == 0 && done.stdout.contains("Nothing to do."), "{}", done.stdout);

    let key = desk.key_pair();
    let signing = ["cip", "--manifest", manifest, "--signing-key", key.to_str().unwrap()];
    let dry = kpromo_with(&signing);
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    assert!(!dry.stdout.contains("Nothing to do"), "a record is owed: {}", dry.stdout);
    let before = production.tally().snapshot().writes();
    let confirmed = kpromo_with(&[&signing[..], &["--confirm"]].concat());
    assert_eq!(confirmed.code, 0, "{}", confirmed.stderr);
    assert!(production.tally().snapshot().writes() > before, "which the confirmed run writes");
}

/// The plan lists the missing signatures and records by image: for an image that is copied and tagged, for one without a tag,
/// and for one that is already in production. It does not list what production has.
#[tokio::test(flavor = "multi_thread")]
async fn the_plan_lists_what_is_to_be_attached_image_by_image() {
    let (_staging, production, desk) = scene().await;
    let (manifest, key, plan) = (desk.path("manifest.yaml"), desk.key_pair(), desk.path("plan.json"));
    let flags = [
        "cip",
        "--manifest",
        manifest.to_str().unwrap(),
        "--signing-key",
        key.to_str().unwrap(),
        "--verbose",
        "--output-plan",
        plan.to_str().unwrap(),
    ];
    let attached = |stdout: &str| -> Vec<String> {
        let lines = edges(stdout).into_iter().filter(|line| !line.contains(" <- "));
        lines.map(str::to_owned).collect()
    };
    let [one, two] = ["one", "two"].map(|name| {
        let recipe = |seed| Recipe { seed, ..Recipe::default() };
        let digest = if name == "one" { recipe(1).index(2).digest() } else { recipe(2).image().digest() };
        format!("{}/prod/{name}@{digest}", production.host())
    });
    let expected = [format!("+ {one}: signature, promotion record"), format!("+ {two}: promotion record")];
    let images = serde_json::json!([
        { "image": one, "lacks": ["signature", "record"] },
        { "image": two, "lacks": ["record"] },
    ]);
    let new = kpromo_with(&flags);
    assert_eq!((new.code, attached(&new.stdout)), (0, expected.to_vec()), "{}", new.stderr);
    assert_eq!(desk.json("plan.json")["images"], images);

    // The list is the same if an earlier run has copied the images but not signed them.
    assert_eq!(cip(&["--manifest", manifest.to_str().unwrap(), "--confirm"]).code, 0);
    let unsigned = kpromo_with(&[&flags[..], &["--check-signatures"]].concat());
    assert_eq!((unsigned.code, attached(&unsigned.stdout)), (0, expected.to_vec()), "{}", unsigned.stderr);
    assert_eq!(desk.json("plan.json")["images"], images);

    assert_eq!(kpromo_with(&[&flags[..], &["--confirm"]].concat()).code, 0);
    let done = kpromo_with(&[&flags[..], &["--check-signatures"]].concat());
    assert_eq!((done.code, attached(&done.stdout)), (0, Vec::new()), "{}", done.stderr);
    assert_eq!(desk.json("plan.json")["images"], serde_json::json!([]));
}

/// A lost image is listed and missing, so there is something to do.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_do_is_not_said_where_an_image_is_lost() {
    let (staging, production, desk) = (google().await, google().await, Desk::new());
    let (source, destination) =
        (format!("{}/staging", staging.host()), format!("{}/prod", production.host()));
    let lost = oci::Digest::of(b"lost");
    let manifest = desk.manifest(&source, &[destination], &[("app", lost, &["v1"])]);
    for confirm in ["--confirm=false", "--confirm"] {
        let ran = cip(&["--manifest", manifest.to_str().unwrap(), confirm]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(!ran.stdout.contains("Nothing to do"), "{confirm}: {}", ran.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_who_signs_and_fails_where_the_confirmed_one_has_no_identity() {
    let (_staging, production, desk) = scene().await;
    let manifest = desk.path("manifest.yaml");
    let manifest = manifest.to_str().unwrap();
    for confirm in ["--confirm=false", "--confirm"] {
        let ran = kpromo_with(&["cip", "--manifest", manifest, "--signer-account=", confirm]);
        assert_eq!(ran.code, 20, "{confirm}: {}", ran.stderr);
        assert!(ran.stderr.contains("no identity to sign with"), "{confirm}: {}", ran.stderr);
    }
    let key = desk.key_pair();
    let ran = kpromo_with(&["cip", "--manifest", manifest, "--signing-key", key.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("signing as "), "{}", ran.stdout);
    let unsigned = cip(&["--manifest", manifest]);
    assert!(!unsigned.stdout.contains("signing as"), "{}", unsigned.stdout);
    assert_eq!(production.tally().snapshot().writes(), 0);
}

#[test]
fn without_images_the_run_prints_that_there_is_nothing_to_promote_and_why() {
    let desk = Desk::new();
    for directory in ["manifests", "images"] {
        std::fs::create_dir(desk.path(directory)).unwrap();
    }
    let directory = desk.path("");
    for confirm in ["--confirm=false", "--confirm"] {
        let ran = kpromo_with(&["cip", "--thin-manifest-dir", directory.to_str().unwrap(), confirm]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(ran.stdout, "Nothing to promote: no manifest lists an image.\n");
    }
}

/// Signing is on, but there is nothing to sign, so no signer is required and the output does not say that signing is declined.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_adds_nothing_is_reported_without_any_request() {
    let desk = Desk::new();
    // Nothing listens on port 1.
    let registries = "registries:\n- name: 127.0.0.1:1/staging\n  src: true\n- name: 127.0.0.1:1/prod\n";
    desk.write("manifests/app/promoter-manifest.yaml", registries);
    let digest = oci::Digest::of(b"x");
    desk.write("images/app/images.yaml", &format!("- name: app\n  dmap:\n    \"{digest}\": [v1]\n"));
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(desk.path(""));
        command.args(["-c", "user.name=t", "-c", "user.email=t@example.com"]).args(words);
        assert!(command.output().unwrap().status.success(), "git {words:?}");
    };
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "one"]);
    desk.write("README", "hello");
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "two"]);
    for confirm in ["--confirm=false", "--confirm"] {
        let mut command = kpromo(None);
        command.args(["cip", confirm, "--use-prow-manifest-diff", "--thin-manifest-dir"]).arg(desk.path(""));
        command.env("JOB_TYPE", "postsubmit");
        let ran = run(command);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stdout.starts_with("Nothing to promote: "), "{}", ran.stdout);
        assert!(!ran.stdout.contains("--sign=false"), "{}", ran.stdout);
    }
}
