//! `kpromo cip --repair`.

use registry::Config;

use crate::sigcheck::scene::{Scene, git, path, sample};
use crate::support::run;

fn google() -> Config {
    Config { google_listing: true, ..Config::default() }
}

/// Returns whether an image has a `.sig` tag.
fn is_signed(scene: &Scene, name: &str, seed: u64) -> bool {
    let tag = format!("sha256-{}.sig", sample(seed).digest().hex()).parse().unwrap();
    scene.production.store().resolve(&path(&format!("prod/{name}")), &tag).is_some()
}

/// A run over all manifests completes what they name, unless `--repair=false`. A run over a diff completes what it adds and, with
/// `--repair`, all that the manifests name.
#[tokio::test(flavor = "multi_thread")]
async fn repair_is_on_over_all_manifests_and_off_over_a_diff() {
    for (flags, over_a_diff, expected) in [
        (&[][..], false, true),
        (&["--repair=false"], false, false),
        (&[], true, false),
        (&["--repair"], true, true),
    ] {
        let scene = Scene::new(google()).await;
        let directory = scene.manifests();
        for arguments in [&["init", "-q"][..], &["add", "-A"], &["commit", "-qm", "one"]] {
            git(&directory, arguments);
        }
        crate::support::put(&scene.staging, "staging/new", &sample(2), &[]).await;
        scene.name_images(&[("app", sample(1).digest(), "v1"), ("new", sample(2).digest(), "v1")]);
        git(&directory, &["commit", "-qam", "two"]);
        let mut command = scene.command("cip", &["--confirm", "--thin-manifest-dir"]);
        command.arg(&directory).args(flags);
        if over_a_diff {
            command.arg("--use-prow-manifest-diff").env("JOB_TYPE", "postsubmit");
        }
        let ran = run(command);
        assert_eq!(ran.code, 0, "{flags:?} {over_a_diff}: {}{}", ran.stdout, ran.stderr);
        assert!(is_signed(&scene, "new", 2), "{flags:?} {over_a_diff}: what is promoted is signed");
        assert_eq!(is_signed(&scene, "app", 1), expected, "{flags:?} {over_a_diff}");
    }
}

/// A dry run lists what would be repaired.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_over_a_diff_lists_repairs() {
    let scene = Scene::new(google()).await;
    let directory = scene.manifests();
    for arguments in [
        &["init", "-q"][..],
        &["add", "-A"],
        &["commit", "-qm", "one"],
        &["commit", "-qm", "two", "--allow-empty"],
    ] {
        git(&directory, arguments);
    }
    let mut command = scene.command("cip", &["--repair", "--check-signatures", "--use-prow-manifest-diff"]);
    command.arg("--thin-manifest-dir").arg(&directory).env("JOB_TYPE", "postsubmit");
    let ran = run(command);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let expected = format!("+ {}/prod/app@sha256:", scene.production.host());
    assert!(
        ran.stdout.contains(&expected) && ran.stdout.contains("signature, promotion record"),
        "{}",
        ran.stdout
    );
    assert_eq!(scene.writes(), 0);
    let mut command = scene.command("cip", &["--repair", "--sign=false", "--thin-manifest-dir"]);
    command.arg(&directory);
    let ran = run(command);
    assert!(ran.code == 2 && ran.stderr.contains("--repair and --sign=false"), "{}", ran.stderr);
}
