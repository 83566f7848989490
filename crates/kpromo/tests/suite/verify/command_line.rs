//! The command line, the configuration and exit codes.

use registry::{Effect, Fault, Kind};

use crate::support::{Desk, kpromo, run};
use crate::verify::scene::{Hand, Scene, verify};

#[tokio::test(flavor = "multi_thread")]
async fn one_image_that_is_refused_decides_and_one_that_cannot_be_had_is_told() {
    let scene = Scene::new().await;
    let Scene { hand, repository, sample, image, .. } = &scene;
    hand.sign_all(repository, sample, &repository.to_string()).await;
    let (plain, _) = scene.image("prod/plain", 2).await;
    let (plain, absent) = (format!("{plain}:v1"), format!("{repository}:absent"));

    let ran = scene.verify(&[image, &absent]);
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    assert!(ran.stderr.contains(&absent) && ran.stderr.contains("check the name"), "{}", ran.stderr);
    assert!(ran.stdout.contains("2 of 2 platforms signed"), "{}", ran.stdout);
    let (code, found) = scene.json(&[&absent, &plain, image]);
    let outcomes: Vec<&str> =
        found["images"].as_array().unwrap().iter().map(|image| image["outcome"].as_str().unwrap()).collect();
    assert_eq!((code, outcomes), (12, vec!["unavailable", "refused", "signed"]));
    assert!(found["images"][0]["error"].as_str().unwrap().contains("404"), "{found:#}");
    let tags = [0, 1].map(|index| found["images"][index]["tags"].clone());
    assert_eq!(
        tags,
        [serde_json::json!([]), serde_json::json!(["v1"])],
        "a tag that cannot be read is not stated"
    );
    assert_eq!(found["exitCode"], 12);

    // A registry that breaks the connection is an error, not an image without signatures.
    scene.server.faults().add(Fault::new(Effect::Reset).on(Kind::Referrers).path("prod/plain"));
    assert_eq!(scene.verify(&[&plain]).code, 20);
}

#[test]
fn what_is_wrong_with_the_command_line_or_a_file_is_told_before_anybody_is_asked() {
    let desk = Desk::new();
    let key = desk.write("key.pub", "nothing");
    let config = desk.write("config.yaml", "host: {}\n");
    // Nothing listens on port 1.
    let image = "127.0.0.1:1/app:v1";
    for (flags, code, expected) in [
        (&[][..], 2, "IMAGE"),
        (&["127.0.0.1:1/app"], 2, "127.0.0.1:1/app"),
        (&["--sign", image], 2, "--sign"),
        (&["--output", "yaml", image], 2, "yaml"),
        (
            &["--certificate-identity", "a", "--certificate-identity-regexp", "b", image],
            2,
            "cannot be used together",
        ),
        (
            &["--certificate-identity-regexp", "(", "--certificate-oidc-issuer", "i", image],
            10,
            "--certificate-identity-regexp",
        ),
        (&["--verification-key", key.to_str().unwrap(), image], 10, "key.pub: the verification key"),
        (
            &[
                "--certificate-identity",
                "a",
                "--certificate-oidc-issuer",
                "i",
                "--trusted-root",
                "/no/such/root.json",
                image,
            ],
            10,
            "/no/such/root.json",
        ),
        (&["--registry-config", config.to_str().unwrap(), image], 10, "config.yaml"),
    ] {
        let ran = verify(flags);
        assert_eq!(ran.code, code, "{flags:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected) && ran.stdout.is_empty(), "{flags:?}: {}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_says_whom_to_trust_no_registry_is_asked() {
    let scene = Scene::new().await;
    let root = scene.desk.write("root.json", r#"{"signed": {"_type": "root"}, "signatures": []}"#);
    // Nothing listens on port 1.
    let flags = ["--tuf-mirror", "http://127.0.0.1:1", "--tuf-root", root.to_str().unwrap()];
    let signer = ["--certificate-identity", "a", "--certificate-oidc-issuer", "https://i"];
    let ran = verify(&[&flags[..], &signer, &[&scene.image, &scene.image]].concat());
    assert_eq!((ran.code, ran.stdout.as_str()), (20, ""), "{}", ran.stderr);
    assert_eq!(
        ran.stderr.matches("http://127.0.0.1:1").count(),
        1,
        "once, and not once an image: {}",
        ran.stderr
    );
    assert_eq!(scene.server.tally().snapshot().total(), 0);
}

/// A signature by an arbitrary identity proves nothing. Like cosign, `kpromo verify` therefore requires the identity. The images
/// of Kubernetes have a default.
#[tokio::test(flavor = "multi_thread")]
async fn outside_of_kubernetes_the_signer_has_to_be_named() {
    let scene = Scene::new().await;
    for given in [&[][..], &["--certificate-identity", "a"], &["--certificate-oidc-issuer-regexp", "i"]] {
        let ran = verify(&[given, &[&scene.image]].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{given:?}: {}", ran.stderr);
        for flag in ["--certificate-identity", "--certificate-oidc-issuer", "--verification-key"] {
            assert!(ran.stderr.contains(flag), "{given:?}: {}", ran.stderr);
        }
    }
    assert_eq!(scene.server.tally().snapshot().total(), 0);

    let root = scene.desk.write("root.json", r#"{"signed": {"_type": "root"}, "signatures": []}"#);
    // Nothing listens on port 1, so there is no trust root, and no registry is contacted.
    let flags = ["--tuf-mirror", "http://127.0.0.1:1", "--tuf-root", root.to_str().unwrap()];
    let regional = "us-west2-docker.pkg.dev/k8s-artifacts-prod/images/pause:3.10";
    let kubernetes = verify(&[&flags[..], &["registry.k8s.io/pause:3.10", regional]].concat());
    assert_eq!(kubernetes.code, 20, "{}", kubernetes.stderr);
    let both = verify(&[&flags[..], &["registry.k8s.io/pause:3.10", &scene.image]].concat());
    assert!(both.code == 2 && both.stderr.contains(&scene.repository.to_string()), "{}", both.stderr);
}

/// The configuration of a promotion also names the trusted signer here, and flags override it.
#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_names_the_signer_and_flags_win() {
    let scene = Scene::new().await;
    let Scene { hand, repository, sample, image, .. } = &scene;
    hand.sign_all(repository, sample, &repository.to_string()).await;
    let config = scene.desk.write("kpromo.yaml", "verification: { key: key.pub }\n");
    let config = config.to_str().unwrap();
    for flag in ["--config", "--registry-config"] {
        let ran = verify(&[flag, config, image]);
        assert_eq!(ran.code, 0, "{flag}: {}", ran.stderr);
    }
    let mut command = kpromo(None);
    command.env("KPROMO_CONFIG", config).args(["verify", image]);
    assert_eq!(run(command).code, 0);
    assert_eq!(verify(&["--config", config, "--registry-config", config, image]).code, 2);
    let other = scene.desk.write("other.pub", &Hand::new().public);
    let ran = verify(&["--config", config, "--verification-key", other.to_str().unwrap(), image]);
    assert_eq!(ran.code, 12, "{}", ran.stdout);
}
