//! What is found of images.

use http::StatusCode;
use oci::{AttachedTag, AttachmentKind, Digest, MediaType, RawManifest, Repository};
use registry::sample::Recipe;
use registry::{Canned, Config, Effect, Fault, Kind, Server};
use serde_json::{Value, json};
use testkit::{Cosign, DockerConfig, Issuer, Rekor, Signing, Sigstore};

use crate::support::put;
use crate::verify::scene::{Hand, PROMOTION, PROVENANCE, SUMMARY, Scene, promotion, verify};

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_attached_to_a_promoted_image_is_told_in_a_schema_that_stays() {
    let scene = Scene::new().await;
    let Scene { hand, repository, sample, image, .. } = &scene;
    let (root, digest) = (sample.root(), sample.digest());
    hand.sign_all(repository, sample, &repository.to_string()).await;
    let record = hand.attest(repository, root, "registry.example/app", PROMOTION, promotion(digest)).await;
    let summary = json!({
        "verifier": { "id": "https://k8s.io/promo-tools/verifier/v1" }, "timeVerified": "2026-01-02T03:04:06Z",
        "verificationResult": "PASSED", "verifiedLevels": ["SLSA_BUILD_LEVEL_3"],
    });
    let summary = hand.attest(repository, root, "registry.example/app", SUMMARY, summary).await;
    let carried = hand.attest(repository, root, "x", PROVENANCE, json!({})).await;

    let key = json!({ "key": hand.fingerprint });
    let signature = |digest: Digest| {
        let tag = AttachedTag::new(digest, AttachmentKind::Signature).unwrap();
        json!({
            "standing": "counts", "signer": key, "reference": repository,
            "place": format!("{repository}:{tag}, layer 1"),
        })
    };
    let platform = |digest: Digest, platform: Option<String>| {
        json!({
            "digest": digest, "platform": platform, "signed": true, "objections": [],
            "signatures": [signature(digest)], "records": [], "summaries": [], "attestations": [], "refused": [],
            "platforms": [],
        })
    };
    let children = root.parse().unwrap().children;
    let children: Vec<Value> =
        children.into_iter().map(|child| platform(child.digest, child.platform)).collect();
    assert_eq!(children.len(), 2);
    let expected = json!({
        "schema": 1,
        "version": env!("CARGO_PKG_VERSION"),
        "exitCode": 0,
        "signer": format!("the key {}", scene.desk.path("key.pub").display()),
        "images": [{
            "image": image,
            "outcome": "signed",
            "tags": ["v1"],
            "wrongTags": [],
            "digest": digest,
            "signed": true,
            "objections": [],
            "signatures": [signature(digest)],
            "records": [{
                "accepted": true, "signer": key,
                "source": format!("gcr.io/staging/app@{digest}"), "destination": "registry.example/app",
                "timestamp": "2026-01-02T03:04:05Z", "builder": "https://k8s.io/promo-tools@1.0",
                "manifest": "images/app/images.yaml", "repository": "git+https://github.com/org/manifests",
                "commit": "c0ffee", "job": "promote 7",
                "place": format!("{repository}@{record}"),
            }],
            "summaries": [{
                "accepted": true, "signer": key, "result": "PASSED", "levels": ["SLSA_BUILD_LEVEL_3"],
                "verifier": "https://k8s.io/promo-tools/verifier/v1", "timestamp": "2026-01-02T03:04:06Z",
                "place": format!("{repository}@{summary}"),
            }],
            "attestations": [{
                "predicateType": PROVENANCE, "signer": key, "place": format!("{repository}@{carried}"),
            }],
            "refused": [],
            "platforms": children,
        }],
    });
    let (code, found) = scene.json(&[image]);
    assert_eq!((code, &found), (0, &expected), "{found:#}");
    let by_digest = format!("{repository}@{digest}");
    let (code, found) = scene.json(&[&by_digest]);
    assert_eq!((code, &found["images"][0]["records"]), (0, &expected["images"][0]["records"]));
    assert_eq!(found["images"][0]["tags"], json!([]), "no tag was read");

    let ran = scene.verify(&[image]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for (label, value) in [
        (image.as_str(), "signed by the key"),
        ("  digest", &digest.to_string()),
        ("  tags", "v1"),
        ("  platforms", "2 of 2 platforms signed"),
        ("  signature", &format!("for {repository}, by the key ")),
        ("  promotion", "2026-01-02T03:04:05Z, recorded by the key "),
        ("    from", "gcr.io/staging/app@"),
        ("    to", "registry.example/app"),
        ("    manifest", "images/app/images.yaml of git+https://github.com/org/manifests"),
        ("    commit", "c0ffee"),
        ("    job", "promote 7"),
        ("    tool", "https://k8s.io/promo-tools@1.0"),
        ("  summary", "PASSED SLSA_BUILD_LEVEL_3, by the key "),
        ("  attestation", PROVENANCE),
    ] {
        let is_shown = |line: &str| line.starts_with(label) && line.contains(value);
        assert!(ran.stdout.lines().any(is_shown), "{label} {value}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("linux/"), "platforms are counted: {}", ran.stdout);
    let listed = scene.verify(&["--platforms", image]);
    assert!(listed.stdout.contains("linux/"), "and listed where that is asked for: {}", listed.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_signed_is_refused_in_four_requests() {
    let scene = Scene::new().await;
    let (repository, _) = scene.image("prod/plain", 2).await;
    scene.server.tally().reset();
    let ran = scene.verify(&[&format!("{repository}:v1")]);
    assert_eq!(ran.code, 12, "{}", ran.stderr);
    assert!(
        ran.stdout.contains("NOT SIGNED") && ran.stdout.contains("it has no signature"),
        "{}",
        ran.stdout
    );
    let asked = scene.server.tally().snapshot();
    assert_eq!((asked.total(), asked.writes()), (4, 0), "the manifest, two tags and the referrers");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_whose_platforms_are_not_all_signed_is_refused_and_the_platform_is_named() {
    let scene = Scene::new().await;
    let Scene { hand, repository, sample, image, .. } = &scene;
    let children = sample.root().parse().unwrap().children;
    hand.sign(repository, sample.digest(), &repository.to_string()).await;
    hand.sign(repository, children[0].digest, &repository.to_string()).await;
    let ran = scene.verify(&[image]);
    assert_eq!(ran.code, 12, "{}", ran.stderr);
    assert!(ran.stdout.contains("1 of 2 platforms signed"), "{}", ran.stdout);
    let missing =
        format!("{} ({}): it has no signature", children[1].platform.as_ref().unwrap(), children[1].digest);
    assert!(ran.stdout.contains(&missing), "{missing}: {}", ran.stdout);
    let (_, found) = scene.json(&[image]);
    assert_eq!(
        (&found["images"][0]["outcome"], &found["images"][0]["signed"]),
        (&json!("refused"), &json!(true))
    );
}

/// One platform is proven to be unsigned, and the attachments of the other one cannot be read.
#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_platform_decides_even_if_another_one_cannot_be_examined() {
    let scene = Scene::new().await;
    let Scene { hand, repository, sample, image, .. } = &scene;
    let children = sample.root().parse().unwrap().children;
    let reset = || Fault::new(Effect::Reset).on(Kind::Referrers).path(children[1].digest.to_string());
    scene.server.faults().add(reset());
    hand.sign(repository, sample.digest(), &repository.to_string()).await;
    let (code, found) = scene.json(&[image]);
    let platforms = &found["images"][0]["platforms"];
    assert_eq!((code, &found["images"][0]["outcome"]), (12, &json!("refused")), "{found:#}");
    assert!(platforms[0].get("unexamined").is_none() && platforms[1]["unexamined"].is_string(), "{found:#}");
    let ran = scene.verify(&[image]);
    assert!(ran.stdout.contains("not examined"), "{}", ran.stdout);

    // Without a proof, nothing is known.
    hand.sign(repository, children[0].digest, &repository.to_string()).await;
    assert_eq!(scene.json(&[image]).0, 20);
}

/// A platform is proven to be unsigned, and the attachments of the index itself cannot be read.
#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_platform_decides_even_if_its_index_cannot_be_examined() {
    let scene = Scene::new().await;
    let Scene { hand, repository, sample, image, .. } = &scene;
    let children = sample.root().parse().unwrap().children;
    let reset = Fault::new(Effect::Reset).on(Kind::Referrers).path(sample.digest().to_string());
    scene.server.faults().add(reset);
    let (code, found) = scene.json(&[image]);
    let index = &found["images"][0];
    assert_eq!(
        (code, &index["outcome"], &index["signed"]),
        (12, &json!("refused"), &json!(false)),
        "{found:#}"
    );
    assert!(index["unexamined"].is_string() && index["objections"] == json!([]), "{found:#}");
    assert_eq!(index["platforms"].as_array().map(Vec::len), Some(children.len()));

    for child in &children {
        hand.sign(repository, child.digest, &repository.to_string()).await;
    }
    assert_eq!(scene.json(&[image]).0, 20, "signed platforms prove nothing about the index");
}

/// An answer that may be the page of a proxy, or that is not the content of the signature, leaves open whether the image is signed.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_what_the_registry_stores_proves_no_missing_signature() {
    let page = |body: &str, media_type: &'static str| {
        Canned::new(StatusCode::OK).with_body(media_type, body.to_owned())
    };
    for (number, effect, kind) in [
        (1, Effect::Canned(page("<html>Please log in</html>", "text/html")), Kind::ManifestGet),
        (2, Effect::Canned(page("{}", "application/json")), Kind::ManifestGet),
        (3, Effect::Corrupt, Kind::ManifestGet),
        (4, Effect::Corrupt, Kind::BlobGet),
        (5, Effect::Canned(Canned::new(StatusCode::NOT_FOUND)), Kind::ManifestGet),
        (6, Effect::Canned(page("<html>Please log in</html>", "text/html")), Kind::BlobGet),
        (7, Effect::Canned(Canned::new(StatusCode::NOT_FOUND)), Kind::BlobGet),
    ] {
        let scene = Scene::new().await;
        let (repository, sample) = scene.image("prod/plain", number).await;
        let image = format!("{repository}:v1");
        scene.hand.sign(&repository, sample.digest(), &repository.to_string()).await;
        assert_eq!(scene.json(&[&image]).0, 0, "{number}");
        let path = if kind == Kind::BlobGet { "prod/plain" } else { ".sig" };
        scene.server.faults().add(Fault::new(effect).on(kind).path(path));
        let (code, found) = scene.json(&[&image]);
        assert_eq!(
            (code, &found["images"][0]["outcome"]),
            (20, &json!("unavailable")),
            "{number}: {found:#}"
        );
        let ran = scene.verify(&[&image]);
        assert!(
            !format!("{}{}", ran.stdout, ran.stderr).contains("check the name"),
            "{number}: {}",
            ran.stderr
        );
        // A signature elsewhere is a proof.
        let sign = "https://sigstore.dev/cosign/sign/v1";
        if kind == Kind::ManifestGet && number < 5 {
            scene.hand.attest(&repository, sample.root(), "", sign, json!({})).await;
            let (code, found) = scene.json(&[&image]);
            assert_eq!(code, 0, "{number}: {found:#}");
        }
    }
}

/// A proven signature decides, whatever else the registry fails to serve. What was not read is listed with the reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_proven_signature_decides_even_if_other_attachments_cannot_be_read() {
    for (kind, path) in [(Kind::ManifestGet, ".att"), (Kind::Referrers, "referrers")] {
        let scene = Scene::new().await;
        let (repository, sample) = scene.image("prod/plain", 1).await;
        let image = format!("{repository}:v1");
        scene
            .server
            .faults()
            .add(Fault::new(Effect::Canned(Canned::new(StatusCode::FORBIDDEN))).on(kind).path(path));
        assert_eq!(scene.json(&[&image]).0, 20, "{path}");
        scene.hand.sign(&repository, sample.digest(), &repository.to_string()).await;
        let (code, found) = scene.json(&[&image]);
        assert_eq!((code, &found["images"][0]["signed"]), (0, &json!(true)), "{path}: {found:#}");
        let refused = found["images"][0]["refused"].as_array().unwrap();
        assert!(
            refused.iter().any(|one| one["reason"].as_str().unwrap().contains("403")),
            "{path}: {found:#}"
        );
    }
}

/// An index may list another index as an image. The platforms of that one would not be audited.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_listed_as_an_image_is_not_taken_for_one() {
    let scene = Scene::new().await;
    let Scene { hand, server, sample, .. } = &scene;
    let inner = sample.root();
    let outer = json!({
        "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(),
        "manifests": [{
            "mediaType": MediaType::OciManifest.as_str(), "digest": inner.digest().to_string(),
            "size": inner.bytes().len(), "platform": { "os": "linux", "architecture": "amd64" },
        }],
    });
    let outer = RawManifest::new(MediaType::OciIndex, outer.to_string().into_bytes().into());
    let (repository, app) = (&scene.repository, scene.repository.path.clone());
    server.store().put_manifest(&app, Some(&"outer".parse().unwrap()), &outer).await.unwrap();
    for digest in [outer.digest(), inner.digest()] {
        hand.sign(repository, digest, &repository.to_string()).await;
    }
    let ran = scene.verify(&[&format!("{repository}:outer")]);
    assert_eq!(ran.code, 20, "{}\n{}", ran.stdout, ran.stderr);
    assert!(
        format!("{}{}", ran.stdout, ran.stderr).contains("as an image, which is an index"),
        "{}",
        ran.stdout
    );
}

/// The specification's code proves that the content of a signature is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_whose_content_is_gone_is_missing() {
    let scene = Scene::new().await;
    let (repository, sample) = scene.image("prod/plain", 1).await;
    scene.hand.sign(&repository, sample.digest(), &repository.to_string()).await;
    let gone = Canned::new(StatusCode::NOT_FOUND)
        .with_body("application/json", r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#);
    scene.server.faults().add(Fault::new(Effect::Canned(gone)).on(Kind::BlobGet).path("prod/plain"));
    let (code, found) = scene.json(&[&format!("{repository}:v1")]);
    assert_eq!((code, &found["images"][0]["outcome"]), (12, &json!("refused")), "{found:#}");
}

/// The host lists the referrers of other images, so a refusal does not mean that this one has none.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_list_of_referrers_proves_no_missing_signature() {
    let scene = Scene::new().await;
    let (repository, sample) = scene.image("prod/plain", 1).await;
    let image = format!("{repository}:v1");
    assert_eq!(scene.json(&[&image]).0, 12);
    let sign = "https://sigstore.dev/cosign/sign/v1";
    scene.hand.attest(&repository, sample.root(), "", sign, json!({})).await;
    assert_eq!(scene.json(&[&image]).0, 0);
    let refused = Fault::new(Effect::Canned(Canned::new(StatusCode::NOT_FOUND))).on(Kind::Referrers);
    scene.server.faults().add(refused.path(sample.digest().to_string()));
    let (code, found) = scene.json(&[&image]);
    assert_eq!((code, &found["images"][0]["outcome"]), (20, &json!("unavailable")), "{found:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_of_an_index_within_an_index_have_to_be_signed_too() {
    let scene = Scene::new().await;
    let sample = Recipe { seed: 5, ..Recipe::default() }.nested_index();
    put(&scene.server, "prod/nested", &sample, &["v1"]).await;
    let repository: Repository = format!("{}/prod/nested", scene.server.host()).parse().unwrap();
    let image = format!("{repository}:v1");
    let (first, others) = sample.manifests.split_first().unwrap();
    for manifest in others {
        scene.hand.sign(&repository, manifest.digest(), &repository.to_string()).await;
    }
    let ran = scene.verify(&[&image]);
    assert_eq!(ran.code, 12, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("3 of 4 platforms signed"), "the inner index is one: {}", ran.stdout);
    assert!(ran.stdout.contains(&format!("({}): it has no signature", first.digest())), "{}", ran.stdout);
    scene.hand.sign(&repository, first.digest(), &repository.to_string()).await;
    assert_eq!(scene.verify(&[&image]).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_of_another_key_and_one_of_another_image_prove_nothing() {
    let scene = Scene::new().await;
    let (other, _) = scene.image("prod/other", 3).await;
    let (repository, sample) = scene.image("prod/plain", 2).await;
    Hand::new().sign(&repository, sample.digest(), &repository.to_string()).await;
    let image = format!("{repository}:v1");
    let (code, found) = scene.json(&[&image]);
    let entry = &found["images"][0];
    assert_eq!((code, &entry["signatures"]), (12, &json!([])));
    assert_eq!(entry["refused"][0]["kind"], "signature");
    assert!(entry["objections"][0].as_str().unwrap().contains("does not verify"), "{entry:#}");

    // A valid signature, attached to an image that it was not made for.
    let name = other.to_string();
    scene
        .hand
        .sign_at(&other, Recipe { seed: 3, ..Recipe::default() }.image().digest(), sample.digest(), &name)
        .await;
    let (code, found) = scene.json(&[&format!("{other}:v1")]);
    assert_eq!(code, 12, "{found:#}");
    let reason = found["images"][0]["refused"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("about something else") && reason.contains(&sample.digest().to_string()),
        "{reason}"
    );

    // One accepted signature suffices, despite the refused ones.
    scene.hand.sign(&repository, sample.digest(), &repository.to_string()).await;
    let (code, found) = scene.json(&[&image]);
    assert_eq!((code, found["images"][0]["refused"].as_array().unwrap().len()), (0, 1), "{found:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_for_the_name_of_the_image_or_what_users_call_it_and_may_be_in_the_canonical_region() {
    let scene = Scene::new().await;
    let canonical = Server::start(Config::default()).await.unwrap();
    let (repository, sample) = scene.image("prod/images/plain", 2).await;
    put(&canonical, "prod/images/plain", &sample, &["v1"]).await;
    let config = scene.desk.write(
        "config.yaml",
        &format!(
            "production: {{ canonicalHost: '{}', path: prod/images, reference: registry.example }}\n",
            canonical.host()
        ),
    );
    let image = format!("{repository}:v1");
    let flags = ["--registry-config", config.to_str().unwrap(), &image];

    let in_canonical: Repository = format!("{}/prod/images/plain", canonical.host()).parse().unwrap();
    scene.hand.sign(&in_canonical, sample.digest(), "registry.example/other").await;
    let (code, found) = scene.json(&flags);
    assert_eq!((code, &found["images"][0]["signatures"][0]["standing"]), (12, &json!("other-reference")));
    let objection = found["images"][0]["objections"][0].as_str().unwrap();
    assert!(
        objection.contains("registry.example/other") && objection.contains("registry.example/plain"),
        "{objection}"
    );

    scene.hand.sign(&in_canonical, sample.digest(), "registry.example/plain").await;
    let (code, found) = scene.json(&flags);
    assert_eq!(code, 0, "{found:#}");
    assert_eq!(
        scene.json(&[&image]).0,
        12,
        "where nobody says what production is called, that is no name of it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_are_signatures_too_and_what_is_in_the_tag_of_attestations_is_attested() {
    let scene = Scene::new().await;
    let (repository, sample) = scene.image("prod/plain", 2).await;
    let image = format!("{repository}:v1");
    let hand = &scene.hand;
    // An attestation is not a signature, even by the trusted signer.
    hand.attest(&repository, sample.root(), "", PROVENANCE, json!({})).await;
    hand.attest_in_tag(&repository, sample.digest(), sample.digest(), "https://spdx.dev/Document").await;
    hand.attest_in_tag(&repository, sample.digest(), Digest::of(b"other"), PROVENANCE).await;
    let (code, found) = scene.json(&[&image]);
    let attested: Vec<&Value> = found["images"][0]["attestations"].as_array().unwrap().iter().collect();
    assert_eq!((code, attested.len()), (12, 2), "{found:#}");
    assert_eq!(attested[0]["predicateType"], "https://spdx.dev/Document");
    let refused = &found["images"][0]["refused"][0];
    assert_eq!(refused["kind"], "attestation", "{found:#}");
    assert!(refused["reason"].as_str().unwrap().contains("about something else"), "{refused}");

    let over_bytes = hand.signer.message(sample.root().bytes()).await.unwrap().bundle();
    hand.bundle(&repository, sample.root(), over_bytes, "").await;
    let (code, found) = scene.json(&[&image]);
    assert_eq!(code, 0, "{found:#}");
    assert_eq!(found["images"][0]["signatures"][0].get("reference"), None, "it is for the digest");

    let (named, sample) = scene.image("prod/named", 4).await;
    let sign = "https://sigstore.dev/cosign/sign/v1";
    hand.attest(&named, sample.root(), "registry.example/other", sign, json!({})).await;
    let image = format!("{named}:v1");
    assert_eq!(scene.json(&[&image]).1["images"][0]["signatures"][0]["standing"], "other-reference");
    hand.bundle(&named, sample.root(), b"{".to_vec(), sign).await;
    hand.attest(&named, sample.root(), "", sign, json!({})).await;
    let (code, found) = scene.json(&[&image]);
    assert_eq!(code, 0, "{found:#}");
    assert_eq!(found["images"][0]["refused"][0]["kind"], "attestation", "what cannot be read may be one");
}

/// kpromo attributes cosign's signatures with certificates, in both forms, to the signer in the certificate.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn what_cosign_has_signed_is_by_whom_its_certificate_says_and_by_nobody_else() {
    let (sigstore, config) = (Sigstore::shared(), DockerConfig::anonymous());
    let server = Server::start(Config::default()).await.unwrap();
    let sample = Recipe { seed: 1, ..Recipe::default() }.index(2);
    let issuer = sigstore.issuer(Issuer::Usual);
    let by = "releases@example.com";
    for (name, cosign, bundle) in [
        ("prod/tag", Cosign::v2(sigstore, &config), false),
        ("prod/bundle", Cosign::v3(sigstore, &config), true),
    ] {
        put(&server, name, &sample, &["v1"]).await;
        let reference = format!("{}/{name}@{}", server.host(), sample.digest());
        let signing = Signing::keyless(sigstore.token(by));
        let signing = if bundle { signing.bundle(Rekor::V2) } else { signing };
        cosign.sign(&reference, &signing.clone().recursive());
        cosign.attest(&reference, PROVENANCE, &json!({ "buildDefinition": {} }), &signing);

        let root = sigstore.trusted_root();
        let verify = |flags: &[&str]| {
            let json = ["--output", "json", "--trusted-root", root.to_str().unwrap(), &reference];
            verify(&[&json[..], flags].concat())
        };
        let exact = ["--certificate-identity", by, "--certificate-oidc-issuer", issuer];
        let ran = verify(&exact);
        assert_eq!(ran.code, 0, "{name}: {}{}", ran.stderr, ran.stdout);
        let found: Value = serde_json::from_str(&ran.stdout).unwrap();
        let image = &found["images"][0];
        let signer = json!({ "identity": by, "issuer": issuer });
        assert_eq!(image["signatures"][0]["signer"], signer, "{image:#}");
        assert!(image["signatures"][0]["signedAt"].is_string(), "{image:#}");
        assert_eq!(image["platforms"].as_array().unwrap().len(), 2);
        assert_eq!(image["attestations"][0]["predicateType"], PROVENANCE, "{image:#}");
        assert_eq!(image["refused"], json!([]));

        let pattern =
            ["--certificate-identity-regexp", ".*@example[.]com", "--certificate-oidc-issuer-regexp", ".*"];
        assert_eq!(verify(&pattern).code, 0, "{name}");
        let partial = ["--certificate-identity-regexp", "releases", "--certificate-oidc-issuer", issuer];
        assert_eq!(verify(&partial).code, 12, "{name}: an expression has to match the whole");
        let other =
            verify(&["--certificate-identity", by, "--certificate-oidc-issuer", "https://other.example"]);
        assert_eq!(other.code, 12, "{name}");
        assert!(other.stdout.contains("other-signer"), "{name}: {}", other.stdout);
        assert_eq!(verify(&[]).code, 2, "{name}: there is no default outside of Kubernetes");
    }
}
