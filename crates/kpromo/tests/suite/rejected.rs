//! Invalid entries in manifests: everything else is promoted, and the run ends as partly failed.

use crate::support::{Desk, cip, google, put};
use registry::sample::Recipe;

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_entry_is_left_out_and_reported_and_the_rest_is_promoted() {
    let (staging, production, desk) = (google().await, google().await, Desk::new());
    let image = Recipe::default().image();
    put(&staging, "staging/app", &image, &[]).await;
    let registries = format!(
        "registries:\n- name: {}/staging\n  src: true\n- name: {}/prod\n",
        staging.host(),
        production.host()
    );
    desk.write("manifests/app/promoter-manifest.yaml", &registries);
    let bad = format!("{}0", oci::Digest::of(b"bad"));
    desk.write(
        "images/app/images.yaml",
        &format!("- name: app\n  dmap:\n    \"{}\": [v1]\n    \"{bad}\": [v2]\n", image.digest()),
    );
    let (directory, report) = (desk.path(""), desk.path("report.json"));
    let with = |flags: &[&str]| cip(&[&["--thin-manifest-dir", directory.to_str().unwrap()], flags].concat());
    let asked = || staging.tally().snapshot().total() + production.tally().snapshot().total();

    for flag in ["--parse-only", "--strict"] {
        let ran = with(&[flag]);
        assert_eq!((ran.code, asked()), (10, 0), "{flag}: {}", ran.stderr);
        assert!(ran.stderr.contains("images.yaml:4:5"), "{flag}: {}", ran.stderr);
    }
    for confirm in ["--confirm=false", "--confirm"] {
        let ran = with(&[confirm, "--report", report.to_str().unwrap()]);
        assert_eq!(ran.code, 30, "{confirm}: {}\n{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("images.yaml:4:5"), "{confirm}: {}", ran.stderr);
        let messages = desk.json("report.json");
        let rejected = messages["rejected"].as_array().unwrap();
        assert!(
            rejected.len() == 1 && rejected[0].as_str().unwrap().contains("images.yaml:4:5"),
            "{messages:#}"
        );
        assert_eq!((&messages["exitCode"], &messages["outcome"]), (&30.into(), &"failed".into()));
    }
    let repository = "prod/app".parse().unwrap();
    assert_eq!(production.store().resolve(&repository, &"v1".parse().unwrap()), Some(image.digest()));
    let again = with(&["--confirm"]);
    assert!(again.code == 30 && again.stdout.contains("Nothing else to do"), "{}", again.stdout);
}
