//! A warning where the policy of the manifest will not be met.

use crate::pr::scene::{Scene, UPSTREAM};

const POLICY: &str = "\
provenance:
  mode: require
  signers: [\"sigstore::https://accounts.google.com::builder@project.iam.gserviceaccount.com\"]
  builders: [{id: https://builder.example/x, level: 2}]
  sources: [github.com/org/repo]
";

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_its_policy_would_not_let_pass_is_warned_of() {
    let scene = Scene::new().await;
    let key = sigstore::SigningKey::generate().unwrap().verification_key().to_pem();
    scene.desk.write("key.pub", &key);
    let config = scene.desk.write("config.yaml", "verification:\n  key: key.pub\n");
    let registries = format!(
        "registries:\n- name: {}\n  src: true\n- name: us-central1-docker.pkg.dev/k8s-artifacts-prod/images\n",
        scene.staging("k8s-staging-kubernetes")
    );
    let manifest = registries + POLICY;
    let name = "registry.k8s.io/manifests/k8s-staging-kubernetes/promoter-manifest.yaml";
    scene.forge.commit(UPSTREAM, "main", &[(name, &manifest)], "Policy");
    let ran = scene.propose(&["--config", config.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("would not be promoted, by its manifest's policy"), "{}", ran.stderr);
    assert_eq!(scene.forge.pulls().len(), 1, "it is a warning");
}
