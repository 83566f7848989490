//! Bad input: tokens, forks, pushes, tags that would move. Nothing is pushed.

use http::{HeaderName, HeaderValue, StatusCode};
use oci::{MediaType, RawManifest};
use registry::sample::Sample;
use registry::{Canned, Effect, Fault, Kind};
use testkit::ForgeQuirks;

use crate::pr::scene::{BRANCH, FILE, FORK, Scene, UPSTREAM};
use crate::support::{put, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_scope_is_refused_before_anything_is_cloned() {
    let scene = Scene::new().await;
    for (scopes, expected) in [("", "none"), ("read:user, gist", "read:user, gist")] {
        scene.forge.forget_requests();
        scene.forge.set(ForgeQuirks { scopes: Some(scopes.to_owned()), ..ForgeQuirks::default() });
        let ran = scene.propose(&[]);
        assert_eq!(ran.code, 20);
        assert!(
            ran.stderr.contains(&format!("its scopes are {expected}")) && ran.stderr.contains("public_repo"),
            "{}",
            ran.stderr
        );
        assert_eq!(scene.requests(), [format!("GET /api/repos/{FORK}")]);
    }
    scene.forge.set(ForgeQuirks { scopes: Some("gist, public_repo".to_owned()), ..ForgeQuirks::default() });
    assert_eq!(scene.propose(&[]).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_refused_is_told_with_the_words_of_the_server() {
    let scene = Scene::new().await;
    scene.forge.refuse_pushes(FORK, "branches need a ticket");
    let ran = scene.propose(&[]);
    assert_eq!(ran.code, 20);
    assert!(
        ran.stderr.contains("branches need a ticket") && ran.stderr.contains("nothing was pushed"),
        "{}",
        ran.stderr
    );
    assert_eq!(scene.forge.branches(FORK), ["main"]);
    assert!(scene.forge.pulls().is_empty() && scene.left().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_another_project_has_on_another_digest_is_an_overlap() {
    let scene = Scene::new().await;
    let other = "sha256:2222222222222222222222222222222222222222222222222222222222222222";
    let (host, images) =
        (scene.staging.host(), format!("- name: kube-proxy\n  dmap:\n    \"{other}\": [\"v1.31.0\"]\n"));
    let manifest = format!(
        "registries:\n- name: {host}/elsewhere\n  src: true\n- name: us-central1-docker.pkg.dev/k8s-artifacts-prod/images\n"
    );
    let files = [
        ("registry.k8s.io/manifests/other/promoter-manifest.yaml", manifest.as_str()),
        ("registry.k8s.io/images/other/images.yaml", images.as_str()),
    ];
    scene.forge.commit(UPSTREAM, "main", &files, "Another project");
    for more in [&[][..], &["--dry-run"]] {
        let ran = scene.propose(more);
        assert_eq!(ran.code, 11, "{}", ran.stderr);
        let ours = scene.digest("077c0835ddf4e3174cab766c9e79087977f9a9f73930015972b6b94fa7a02e52");
        for part in [
            other,
            &ours,
            "us-central1-docker.pkg.dev/k8s-artifacts-prod/images/kube-proxy:v1.31.0",
            "other/images.yaml:3:",
        ] {
            assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
        }
    }
    assert_eq!(scene.forge.branches(FORK), ["main"]);
    // An overlap that is there already does not stop another image.
    let mut command = scene.command();
    command.args(["pr", "--dry-run", "--tag", "3.10", "--image", "pause"]).args(scene.places());
    assert_eq!(run(command).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_of_others_is_never_overwritten() {
    let scene = Scene::new().await;
    scene.forge.commit(FORK, BRANCH, &[(FILE, "[]\n")], "releng: Image promotion for kubernetes v1.31.0");
    scene.forge.commit(FORK, BRANCH, &[("more", "x")], "More");
    let ran = scene.propose(&[]);
    assert_eq!(ran.code, 11, "{}", ran.stderr);
    assert_eq!(scene.forge.message(FORK, BRANCH), ("More".to_owned(), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_that_does_not_answer_is_no_absence() {
    let scene = Scene::new().await;
    let mut command = scene.command();
    command.args([
        "pr",
        "--dry-run",
        "--tag",
        "v1.31.0",
        "--image",
        "kube-proxy",
        "--staging-repo",
        "127.0.0.1:1/x",
    ]);
    command.args(&scene.places()[..4]);
    scene.forge.commit(
        UPSTREAM,
        "main",
        &[(
            "registry.k8s.io/manifests/k8s-staging-kubernetes/promoter-manifest.yaml",
            "registries:\n- name: 127.0.0.1:1/x\n  src: true\n- name: p.example\n",
        )],
        "Elsewhere",
    );
    let config = scene.desk.write("config.yaml", "hosts:\n  127.0.0.1:1:\n    patienceSeconds: 1\n");
    command.arg("--config").arg(config);
    let ran = run(command);
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    assert!(ran.stderr.contains("127.0.0.1:1"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_base_and_an_unknown_directory_are_told() {
    let scene = Scene::new().await;
    for (more, code, expected) in [
        (["--base", "nowhere"], 20, "nowhere"),
        (["--manifest-root", "nowhere"], 10, "--manifest-root"),
        (
            ["--upstream", "nobody/k8s.io"],
            10,
            "is not a fork of nobody/k8s.io: it is a fork of kubernetes/k8s.io",
        ),
    ] {
        let ran = scene.propose(&more);
        assert_eq!(ran.code, code, "{more:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_input_is_no() {
    let scene = Scene::new().await;
    let ran = scene.propose(&["--interactive"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!((scene.forge.branches(FORK), scene.left().len()), (vec!["main".to_owned()], 1));
    assert!(ran.stderr.contains("the clone is kept at "), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_promoted_is_not_proposed() {
    let scene = Scene::new().await;
    for (media_type, content, code) in [
        (
            "application/vnd.docker.distribution.manifest.v1+json",
            r#"{"schemaVersion":1,"name":"a","fsLayers":[]}"#,
            11,
        ),
        ("application/vnd.oci.artifact.manifest.v1+json", r#"{"artifactType":"x","blobs":[]}"#, 11),
        ("application/vnd.oci.image.manifest.v1+json", r#"{"a":1}"#, 11),
        ("text/html", "<html>log in</html>", 20),
        ("application/vnd.oci.image.manifest.v1+json", "<html>log in</html>", 20),
    ] {
        let bytes = content.as_bytes().to_vec().into();
        let manifest = RawManifest::new(MediaType::parse(media_type), bytes);
        let sample = Sample { blobs: Vec::new(), manifests: vec![manifest] };
        put(&scene.staging, "k8s-staging-kubernetes/kube-proxy", &sample, &["v1.31.0"]).await;
        for more in [&[][..], &["--dry-run"]] {
            let ran = scene.propose(more);
            assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{content}: {}", ran.stderr);
            assert!(ran.stderr.contains("kube-proxy"), "{content}: {}", ran.stderr);
        }
    }
    assert_eq!(scene.forge.branches(FORK), ["main"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_of_which_the_registry_has_no_image_is_not_shown_in_a_dry_run() {
    let scene = Scene::new().await;
    let absent = "sha256:2222222222222222222222222222222222222222222222222222222222222222";
    let head = Canned::new(StatusCode::OK)
        .with_body("application/vnd.oci.image.manifest.v1+json", "")
        .with_header(HeaderName::from_static("docker-content-digest"), HeaderValue::from_static(absent));
    scene.staging.faults().add(Fault::new(Effect::Canned(head)).on(Kind::ManifestHead));
    let ran = scene.propose(&["--dry-run"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (20, ""), "{}", ran.stderr);
}

#[test]
fn a_tag_that_cannot_be_in_the_name_of_a_branch_is_a_usage_error() {
    for tag in ["a..b", "v1.lock.."] {
        let ran = crate::support::kpromo_with(&["pr", "--fork", "me", "--tag", tag, "--image", "x"]);
        assert_eq!(ran.code, 2, "{tag}: {}", ran.stderr);
        assert!(ran.stderr.contains("--tag"), "{}", ran.stderr);
    }
}
