//! The choice of the signer: by flags, by the configuration, or by Kubernetes' defaults; and the error if none of them applies.

use crate::support::{Desk, google, kpromo, kpromo_with, put, run, scene};
use registry::sample::Recipe;

#[tokio::test(flavor = "multi_thread")]
async fn outside_of_kubernetes_a_run_that_signs_requires_a_signer_before_any_request() {
    let (staging, production, desk) = scene().await;
    let manifest = desk.path("manifest.yaml");
    let config = desk.write("kpromo.yaml", "signing: { format: both, maxOps: 7 }\n");
    let with_config = ["--config", config.to_str().unwrap()];
    for flags in [&[][..], &["--confirm"], &with_config] {
        let ran = kpromo_with(&[&["cip", "--manifest", manifest.to_str().unwrap()], flags].concat());
        assert_eq!(ran.code, 10, "{flags:?}: {}", ran.stderr);
        for flag in ["--signer-account", "--signing-key", "--sign=false"] {
            assert!(ran.stderr.contains(flag), "{flags:?}: {}", ran.stderr);
        }
        let errors: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{flags:?}: {}", ran.stderr);
    }
    assert_eq!(staging.tally().snapshot().total() + production.tally().snapshot().total(), 0);
    let parsed = kpromo_with(&["cip", "--parse-only", "--manifest", manifest.to_str().unwrap()]);
    assert_eq!(parsed.code, 0, "nothing is signed: {}", parsed.stderr);
}

/// Kubernetes' account is the default signer below its production path. The test has no token for it.
#[tokio::test(flavor = "multi_thread")]
async fn below_kubernetes_production_path_its_own_account_signs_unless_production_is_another() {
    let (staging, production, desk) = (google().await, google().await, Desk::new());
    let image = Recipe::default().image();
    put(&staging, "staging/app", &image, &[]).await;
    let source = format!("{}/staging", staging.host());
    let destination = format!("{}/k8s-artifacts-prod/images/app", production.host());
    let manifest = desk.manifest(&source, &[destination], &[("app", image.digest(), &["v1"])]);
    let manifest = manifest.to_str().unwrap();
    let ran = kpromo_with(&["cip", "--manifest", manifest]);
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    assert!(ran.stderr.contains("another account is requested"), "not the machine's: {}", ran.stderr);
    let config = desk.write("kpromo.yaml", "production: { reference: registry.example.com }\n");
    let ran = kpromo_with(&["cip", "--manifest", manifest, "--config", config.to_str().unwrap()]);
    assert_eq!(ran.code, 10, "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_chooses_the_signer_by_either_flag_or_by_the_environment() {
    let text = "signing: { key: cosign.key }\nverification: { key: cosign.pub }\n";
    for way in ["--config", "--registry-config", "KPROMO_CONFIG"] {
        let (_staging, production, desk) = scene().await;
        desk.key_pair();
        let config = desk.write("kpromo.yaml", text);
        let configured = |words: &[&str]| {
            let mut command = kpromo(None);
            command.args(words);
            match way {
                "KPROMO_CONFIG" => command.env(way, &config),
                flag => command.arg(flag).arg(&config),
            };
            run(command)
        };
        let manifest = desk.path("manifest.yaml");
        let ran = configured(&["cip", "--confirm", "--manifest", manifest.to_str().unwrap()]);
        assert_eq!(ran.code, 0, "{way}: {}\n{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("recorded 2 promotions"), "{way}: {}", ran.stdout);
        let ran = configured(&["verify", &format!("{}/prod/one:v1", production.host())]);
        assert_eq!(ran.code, 0, "{way}: {}\n{}", ran.stdout, ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_that_a_flag_names_displaces_that_of_the_configuration() {
    let (_staging, production, desk) = scene().await;
    let other = Desk::new();
    let key = other.key_pair();
    // The key does not exist, but the flag overrides it, so it is not read.
    let config = desk.write("kpromo.yaml", "signing: { key: absent.key }\n");
    let (manifest, config) = (desk.path("manifest.yaml"), config.to_str().unwrap());
    let manifest = manifest.to_str().unwrap();
    let absent = kpromo_with(&["cip", "--config", config, "--manifest", manifest]);
    assert!(absent.code == 10 && absent.stderr.contains("absent.key"), "{}", absent.stderr);
    let flags = ["cip", "--confirm", "--config", config, "--manifest", manifest];
    let ran = kpromo_with(&[&flags[..], &["--signing-key", key.to_str().unwrap()]].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let public = other.path("cosign.pub");
    let image = format!("{}/prod/one:v1", production.host());
    let ran = kpromo_with(&["verify", "--verification-key", public.to_str().unwrap(), &image]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let ran = kpromo_with(&["cip", "--config", config, "--manifest", manifest, "--signer-account="]);
    assert_eq!(ran.code, 20, "an identity is looked for, and there is none: {}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_for_signatures_in_staging_is_logged() {
    let (_staging, _production, desk) = scene().await;
    let manifest = desk.path("manifest.yaml");
    let flags = ["cip", "--sign=false", "--manifest", manifest.to_str().unwrap()];
    let ran = kpromo_with(&flags);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("signatures in staging by any identity count"), "{}", ran.stderr);
    let chosen = ["--certificate-identity", "a@b.c", "--certificate-oidc-issuer", "https://i.example"];
    let ran = kpromo_with(&[&flags[..], &chosen].concat());
    assert!(!ran.stderr.contains("of any"), "{}", ran.stderr);
}

/// `SSL_CERT_FILE` replaces the certificates of the system.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_certificate_authorities_says_where_they_come_from() {
    let (staging, production, desk) = scene().await;
    let manifest = desk.path("manifest.yaml");
    let no_authority = "error: no certificate authority can be read; ";
    for (file, problem) in [
        ("", no_authority),
        ("/nonexistent", "error: SSL_CERT_FILE: /nonexistent: cannot be read: "),
        ("/dev/zero", "error: SSL_CERT_FILE: /dev/zero: is not a regular file"),
    ] {
        let mut command = kpromo(None);
        command.args(["cip", "--sign=false", "--manifest"]).arg(&manifest);
        command.env("SSL_CERT_FILE", file);
        let ran = run(command);
        assert_eq!(ran.code, 10, "{file}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(problem) && ran.stderr.contains("SSL_CERT_FILE"),
            "{file}: {}",
            ran.stderr
        );
    }
    assert_eq!(staging.tally().snapshot().total() + production.tally().snapshot().total(), 0);
}
