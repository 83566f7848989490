//! Flags, outputs and exit codes of `kpromo sigcheck`.

use std::time::{SystemTime, UNIX_EPOCH};

use oci::Digest;
use registry::{Config, Effect, Fault, Kind};
use serde_json::json;

use crate::sigcheck::scene::{Scene, path, sample};
use crate::support::kpromo_with;

fn google() -> Config {
    Config { google_listing: true, ..Config::default() }
}

/// Without `--confirm` nothing is written and the exit code says that something is missing; a repair leaves nothing missing, and
/// a second one writes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn missing_signatures_are_reported_then_repaired_then_ok() {
    let scene = Scene::new(google()).await;
    let ran = scene.with_manifests(&[]);
    assert_eq!((ran.code, scene.writes()), (31, 0), "{}{}", ran.stdout, ran.stderr);
    let digest = sample(1).digest();
    for expected in [
        &format!(
            "registry.example/app@{digest} (v1): signature missing, signatures of 2 parts, record missing\n"
        ),
        "  linux/amd64, sha256:",
        "checked 1 image for signatures and records by the key ",
        "0 ok, 1 lacking something\n",
        "Nothing was written; --confirm adds what is missing.\n",
    ] {
        assert!(ran.stdout.contains(expected), "{expected}: {}", ran.stdout);
    }
    let ran = scene.with_manifests(&["--confirm"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains(&format!("registry.example/app@{digest} (v1): repaired: signature missing")));
    assert!(scene.writes() > 0);
    let ran = scene.with_manifests(&["--confirm"]);
    assert_eq!((ran.code, scene.writes()), (0, 0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.starts_with("checked 1 image") && ran.stdout.ends_with(": 1 ok\n"), "{}", ran.stdout);
    // So kpromo verify has it.
    let (image, key) = (format!("{}/prod/app:v1", scene.production.host()), scene.desk.path("cosign.pub"));
    let (config, key) = (scene.desk.path("config.yaml"), key.to_str().unwrap().to_owned());
    let ran =
        kpromo_with(&["verify", "--config", config.to_str().unwrap(), "--verification-key", &key, &image]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}

/// Without manifests a warning says what is signed, and records stay missing.
#[tokio::test(flavor = "multi_thread")]
async fn without_manifests_images_are_signed_with_a_warning_and_records_stay_missing() {
    let scene = Scene::new(google()).await;
    let ran = scene.sigcheck(&["--confirm"]);
    assert_eq!(ran.code, 31, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("without --thin-manifest-dir"), "{}", ran.stderr);
    assert!(ran.stdout.contains(" (v1): record missing\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("no manifest names its source (--thin-manifest-dir)"), "{}", ran.stdout);
    assert!(scene.writes() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_has_every_image_with_its_verdicts() {
    let scene = Scene::new(google()).await;
    let manifests = scene.manifests();
    let (code, document) = scene.json(&[]);
    assert_eq!((code, &document["exitCode"], &document["schema"]), (31, &json!(31), &json!(1)));
    let image = &document["images"][0];
    let host = scene.production.host();
    for (field, expected) in [
        ("reference", json!("registry.example/app")),
        ("repository", json!(format!("{host}/prod/app"))),
        ("digest", json!(sample(1).digest())),
        ("tags", json!(["v1"])),
        ("outcome", json!("missing")),
        ("signature", json!("missing")),
        ("record", json!("missing")),
    ] {
        assert_eq!(image[field], expected, "{field}: {image:#}");
    }
    assert!(image["uploaded"].is_string() && image["before"].is_null());
    assert_eq!(image["parts"].as_array().unwrap().len(), 2);
    let flags = ["--confirm", "--thin-manifest-dir", manifests.to_str().unwrap(), "registry.example/app:v1"];
    let (code, document) = scene.json(&[&flags[..], &["registry.example/absent:v1"]].concat());
    assert_eq!(code, 31, "something was repaired, and something could not be checked: {document:#}");
    let image = &document["images"][0];
    assert_eq!(
        (&image["outcome"], &image["signature"], &image["record"]),
        (&json!("repaired"), &json!("ok"), &json!("ok"))
    );
    assert_eq!(image["before"]["signature"], "missing");
    assert_eq!(document["unread"][0]["name"], "registry.example/absent:v1");
    let (code, document) = scene.json(&["registry.example/absent:v1", "registry.example/app:v1"]);
    assert_eq!(
        (code, &document["images"][0]["outcome"]),
        (20, &json!("ok")),
        "nothing is known to be missing"
    );
}

/// The recorded cases `listing-days` and `listing-negative`: the Go tool checks nothing for negative days, and ends with 0.
#[tokio::test(flavor = "multi_thread")]
async fn days_limit_what_is_checked_and_negative_or_crossed_days_are_usage_errors() {
    let scene = Scene::new(google()).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let nine_days_ago = i64::try_from(now).unwrap() - 9 * 24 * 3_600_000;
    for manifest in sample(1).manifests {
        scene.production.store().set_uploaded(&path("prod/app"), &manifest.digest(), nine_days_ago);
    }
    assert_eq!(scene.sigcheck(&[]).code, 0, "it is older than five days");
    for flags in [
        &["--from-days", "10", "--to-days", "5"][..],
        &["--from-days=10"],
        &["--from-days", "9999", "--limit", "1"],
    ] {
        assert_eq!(scene.sigcheck(flags).code, 31, "{flags:?}");
    }
    scene.production.tally().reset();
    for flags in [&["--from-days", "-3"][..], &["--from-days=2", "--to-days=3"], &["--limit", "-1"]] {
        let ran = scene.sigcheck(flags);
        assert_eq!(ran.code, 2, "{flags:?}: {}", ran.stderr);
    }
    assert_eq!(scene.production.tally().snapshot().total(), 0);
}

/// Days mean nothing to a registry without upload times. That is said, and no more is signed than was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn without_upload_times_all_images_are_checked_and_only_those_of_manifests_repaired() {
    let scene = Scene::new(Config::default()).await;
    let ran = scene.sigcheck(&[]);
    assert_eq!(ran.code, 31, "{}", ran.stderr);
    assert!(ran.stderr.contains("does not report upload times: all images are checked"), "{}", ran.stderr);
    for flags in [&["--from-days", "5"][..], &["--confirm"]] {
        let ran = scene.sigcheck(flags);
        assert_eq!((ran.code, scene.writes()), (2, 0), "{flags:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("help: name the images"), "{flags:?}: {}", ran.stderr);
    }
    let ran = scene.sigcheck(&["--confirm", "registry.example/app:v1"]);
    assert!(ran.code == 31 && ran.stdout.contains("record missing"), "{}{}", ran.stdout, ran.stderr);
    let ran = scene.with_manifests(&["--confirm"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}

/// Whose signatures count, and who signs, is named or configured; what is repaired must count.
#[tokio::test(flavor = "multi_thread")]
async fn signers_are_named_and_fit_together() {
    let scene = Scene::new(google()).await;
    let config = scene.desk.path("config.yaml");
    let (other, config) = (crate::support::Desk::new(), config.to_str().unwrap());
    other.key_pair();
    let (key, public) = (scene.desk.path("cosign.key"), other.path("cosign.pub"));
    let (key, public) = (key.to_str().unwrap(), public.to_str().unwrap());
    let identity = ["--certificate-identity", "a@b.c", "--certificate-oidc-issuer", "https://i.example"];
    for (flags, code, expected) in [
        (&[][..], 2, "whose signatures count is not named"),
        (&["--certificate-identity", "a@b.c"], 2, "whose signatures count is not named"),
        (&["--confirm", "--verification-key", public], 2, "no signer is chosen to repair with"),
        (&["--confirm", "--verification-key", public, "--signing-key", key], 10, "would not count"),
        (&[&["--confirm", "--signing-key", key], &identity[..]].concat(), 10, "would not count"),
        (&["--signing-key", key, "registry.example/app:sha256-x.sig", "--limit", "1"], 2, "name no images"),
        (&["--thin-manifest-dir", "/nonexistent", "--signing-key", key], 10, "/nonexistent"),
    ] {
        let ran = kpromo_with(&[&["sigcheck", "--config", config], flags].concat());
        assert_eq!(ran.code, code, "{flags:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{flags:?}: {}", ran.stderr);
    }
    let attached = format!("registry.example/app:sha256-{}.sig", Digest::of(b"x").hex());
    let ran = scene.sigcheck(&[&attached]);
    assert!(ran.code == 2 && ran.stderr.contains("is not an image"), "{}", ran.stderr);
    assert_eq!(scene.production.tally().snapshot().total(), 0, "no registry was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_cannot_be_listed_is_unavailable() {
    let scene = Scene::new(google()).await;
    let denied = Effect::Status {
        status: http::StatusCode::FORBIDDEN,
        code: registry::ErrorCode::Denied,
        retry_after: None,
    };
    for kind in [Kind::TagList, Kind::Catalog] {
        scene.production.faults().add(Fault::new(denied.clone()).on(kind));
    }
    let ran = scene.sigcheck(&[]);
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    assert!(ran.stderr.contains("error: ") && ran.stdout.is_empty(), "{}", ran.stderr);
}

/// A failed repair is told, and the exit code says that something is missing.
#[tokio::test(flavor = "multi_thread")]
async fn images_that_cannot_be_repaired_are_reported_with_the_reason() {
    let scene = Scene::new(google()).await;
    let denied = Effect::Status {
        status: http::StatusCode::FORBIDDEN,
        code: registry::ErrorCode::Denied,
        retry_after: None,
    };
    scene.production.faults().add(Fault::new(denied).on(Kind::ManifestPut));
    let ran = scene.with_manifests(&["--confirm"]);
    assert_eq!(ran.code, 31, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("403 Forbidden"), "{}", ran.stderr);
    assert!(ran.stdout.contains("signature missing"), "{}", ran.stdout);
}
