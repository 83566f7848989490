//! The images of manifests and repositories.

use http::StatusCode;
use registry::sample::Recipe;
use registry::{Effect, ErrorCode, Fault, Kind};
use serde_json::{Value, json};

use crate::support::put;
use crate::verify::scene::{PROMOTION, Scene, promotion, verify};

/// Returns the name, outcome, tags and wrong tags of each image.
fn brief(found: &Value) -> Vec<Value> {
    let images = found["images"].as_array().unwrap().iter();
    images.map(|one| json!([one["image"], one["outcome"], one["tags"], one["wrongTags"]])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_image_of_a_manifest_is_verified_in_each_destination_together_with_its_tags() {
    let scene = Scene::new().await;
    let Scene { hand, repository, sample, server, .. } = &scene;
    let other = format!("{}/mirror/app", server.host()).parse().unwrap();
    put(server, "mirror/app", sample, &["v1"]).await;
    let (host, digest) = (server.host(), sample.digest());
    for repository in [repository, &other] {
        hand.sign_all(repository, sample, &repository.to_string()).await;
    }
    let destinations = [format!("{host}/prod"), format!("{host}/mirror")];
    let manifest =
        scene.desk.manifest(&format!("{host}/staging"), &destinations, &[("app", digest, &["v1"])]);
    let flags = ["--manifest", manifest.to_str().unwrap()];
    let (in_prod, in_mirror) = (format!("{repository}@{digest}"), format!("{other}@{digest}"));

    server.tally().reset();
    let (code, found) = scene.json(&flags);
    let right = [json!([in_prod, "signed", ["v1"], []]), json!([in_mirror, "signed", ["v1"], []])];
    assert_eq!((code, brief(&found)), (0, right.to_vec()), "{found:#}");
    assert_eq!(server.tally().snapshot().writes(), 0);

    // A tag that refers to another image, and a tag that does not exist.
    let (_, newer) = scene.image("prod/app", 7).await;
    let manifest =
        scene.desk.manifest(&format!("{host}/staging"), &destinations, &[("app", digest, &["v1", "v2"])]);
    let flags = ["--manifest", manifest.to_str().unwrap()];
    let (code, found) = scene.json(&flags);
    let wrong = json!([{ "tag": "v1", "digest": newer.digest() }, { "tag": "v2" }]);
    let expected =
        [json!([in_prod, "refused", [], wrong]), json!([in_mirror, "refused", ["v1"], [{ "tag": "v2" }]])];
    assert_eq!((code, brief(&found)), (12, expected.to_vec()), "{found:#}");
    let ran = scene.verify(&flags);
    for part in
        ["WRONG TAG", &format!("v1 refers to {}", newer.digest()), "v2 does not exist", "total: 2 refused"]
    {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }

    // A tag that cannot be read is neither right nor wrong, and hides no other one.
    server.faults().add(Fault::new(Effect::Reset).on(Kind::ManifestGet).path("prod/app/manifests/v1"));
    let (code, found) = scene.json(&flags);
    let image = &found["images"][0];
    assert_eq!((code, brief(&found)[0].clone()), (12, json!([in_prod, "refused", [], [{ "tag": "v2" }]])));
    assert!(image["error"].as_str().unwrap().contains("prod/app:v1"), "{found:#}");
    server.faults().clear();
    server.faults().add(Fault::new(Effect::Reset).on(Kind::ManifestGet).path("mirror/app/manifests/v1"));
    let manifest =
        scene.desk.manifest(&format!("{host}/staging"), &destinations[1..], &[("app", digest, &["v1"])]);
    let (code, found) = scene.json(&["--manifest", manifest.to_str().unwrap()]);
    assert_eq!((code, brief(&found)), (20, vec![json!([in_mirror, "unavailable", [], []])]), "{found:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_in_a_destination_has_wrong_tags_there() {
    let scene = Scene::new().await;
    let host = scene.server.host();
    let digest = oci::Digest::of(b"never promoted");
    let manifest = scene.desk.manifest(
        &format!("{host}/staging"),
        &[format!("{host}/prod")],
        &[("app", digest, &["v1", "v9"])],
    );
    let (code, found) = scene.json(&["--manifest", manifest.to_str().unwrap()]);
    let wrong = json!([{ "tag": "v1", "digest": scene.sample.digest() }, { "tag": "v9" }]);
    let expected = json!([format!("{host}/prod/app@{digest}"), "refused", [], wrong]);
    assert_eq!((code, brief(&found)), (12, vec![expected]), "{found:#}");
    let ran = scene.verify(&["--manifest", manifest.to_str().unwrap()]);
    assert!(ran.stdout.contains("WRONG TAG; the image could not be examined"), "{}", ran.stdout);
    assert!(ran.stderr.contains("404"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tagged_image_of_a_repository_is_verified_once_with_all_its_tags() {
    let scene = Scene::new().await;
    let Scene { hand, repository, sample, server, .. } = &scene;
    put(server, "prod/app", sample, &["v1.0", "latest"]).await;
    hand.sign_all(repository, sample, &repository.to_string()).await;
    let record = promotion(sample.digest());
    hand.attest(repository, sample.root(), "registry.example/app", PROMOTION, record).await;
    let name = repository.to_string();
    let (code, found) = scene.json(&["--repository", &name]);
    let image = json!([format!("{name}@{}", sample.digest()), "signed", ["latest", "v1", "v1.0"], []]);
    assert_eq!((code, brief(&found)), (0, vec![image.clone()]), "signatures are no images: {found:#}");

    // The second image is not signed. A third tag that cannot be read hides neither.
    let (_, plain) = scene.image("prod/app", 9).await;
    let third = Recipe { seed: 10, ..Recipe::default() }.image();
    put(server, "prod/app", &third, &["z"]).await;
    server.faults().add(Fault::new(Effect::Reset).on(Kind::ManifestGet).path("prod/app/manifests/z"));
    let (code, found) = scene.json(&["--repository", &name]);
    let unread = json!([format!("{name}:z"), "unavailable", [], []]);
    assert_eq!((code, brief(&found).pop()), (12, Some(unread)), "{found:#}");
    server.faults().clear();
    hand.sign(repository, third.digest(), &repository.to_string()).await;
    hand.sign(repository, plain.digest(), &repository.to_string()).await;
    // A list that names a tag and an answer that denies it contradict each other.
    let unknown =
        Effect::Status { status: StatusCode::NOT_FOUND, code: ErrorCode::ManifestUnknown, retry_after: None };
    server.faults().add(Fault::new(unknown).on(Kind::ManifestGet).path("prod/app/manifests/z"));
    let (code, found) = scene.json(&["--repository", &name]);
    assert_eq!((code, &found["images"][2]["outcome"]), (20, &json!("unavailable")), "{found:#}");
    server.faults().clear();

    let (_, plain) = scene.image("prod/app", 11).await;
    let (code, found) = scene.json(&["--repository", &name]);
    let moved = json!([format!("{name}@{}", sample.digest()), "signed", ["latest", "v1.0"], []]);
    let unsigned = json!([format!("{name}@{}", plain.digest()), "refused", ["v1"], []]);
    let third = json!([format!("{name}@{}", third.digest()), "signed", ["z"], []]);
    assert_eq!((code, brief(&found)), (12, vec![moved, unsigned, third]), "{found:#}");
    let ran = scene.verify(&["--repository", &name]);
    assert!(ran.stdout.ends_with("total: 2 signed, 1 refused\n"), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_without_images_and_one_that_cannot_be_listed_are_not_verified() {
    let scene = Scene::new().await;
    let host = scene.server.host();
    let absent = format!("{host}/prod/absent");
    let ran = scene.verify(&["--repository", &absent, &scene.image]);
    assert_eq!(ran.code, 12, "an image that is refused decides: {}", ran.stderr);
    assert!(ran.stderr.contains(&absent) && ran.stderr.contains("check the name"), "{}", ran.stderr);
    let (code, found) = scene.json(&["--repository", &absent]);
    assert_eq!((code, &found["images"][0]["outcome"]), (20, &json!("unavailable")), "{found:#}");

    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    scene.server.faults().add(Fault::new(denied).on(Kind::TagList).path("prod/app"));
    let ran = scene.verify(&["--repository", &scene.repository.to_string()]);
    assert_eq!((ran.code, ran.stdout.as_str()), (20, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("403"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_with_a_fault_or_without_images_is_not_verified() {
    let scene = Scene::new().await;
    let host = scene.server.host();
    let empty = scene.desk.manifest(&format!("{host}/staging"), &[format!("{host}/prod")], &[]);
    let ran = scene.verify(&["--manifest", empty.to_str().unwrap()]);
    assert!(ran.code == 10 && ran.stderr.contains("nothing to verify"), "{}: {}", ran.code, ran.stderr);
    let digest = scene.sample.digest();
    let nowhere = scene.desk.manifest(&format!("{host}/staging"), &[], &[("app", digest, &["v1"])]);
    let ran = scene.verify(&["--manifest", nowhere.to_str().unwrap()]);
    assert!(ran.code == 10 && ran.stderr.contains("nothing to verify"), "{}: {}", ran.code, ran.stderr);
    let faulty = scene.desk.write("faulty.yaml", "registries:\n- name: a b\nimages: []\n");
    let ran = scene.verify(&["--manifest", faulty.to_str().unwrap()]);
    assert!(ran.code == 10 && ran.stderr.contains("faulty.yaml:2"), "{}: {}", ran.code, ran.stderr);
    assert_eq!(scene.server.tally().snapshot().total(), 0);

    // Outside Kubernetes' production, the signer has to be named for lists, too.
    let name = scene.repository.to_string();
    let ran = verify(&["--repository", &name]);
    assert!(ran.code == 2 && ran.stderr.contains(&name), "{}", ran.stderr);
}
