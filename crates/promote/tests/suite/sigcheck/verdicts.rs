//! Verdicts about signatures and records. The table compares with recorded cases of the Go tool (v4.5.1), which checks only the
//! name in a certificate. The tests use keys in place of identities.

use std::collections::BTreeMap;

use bytes::Bytes;
use manifest::policy::{Mode, Policies};
use oci::{AttachmentKind, Known, MediaType, NewLayer, RawManifest, RegistryRoot};
use promote::sigcheck::{Findings, Naming, Wanted};
use registry::sample::{Recipe, Sample};
use registry::{Effect, ErrorCode, Fault};
use serde_json::json;
use sigstore::{DSSE_TYPE, SIMPLE_SIGNING_TYPE};
use trust::SignatureFormat;
use trust::audit::{RecordVerdict, SignatureVerdict};

use crate::sigcheck::scene::{ALL, Scene, findings};
use crate::support::hand::{Hand, append, attach_annotated};
use crate::support::signer::RECORD;
use crate::support::{google, tag, unsatisfied};

/// The self-signed certificate of the recorded case `garbage-signature-accepted`. It names the expected identity, but no trusted
/// authority has issued it.
const SELF_MADE: &str = "-----BEGIN CERTIFICATE-----
MIIBMzCB2aADAgECAgEHMAoGCCqGSM49BAMCMAAwHhcNMjYwMTAxMDAwMDAwWhcN
MjYwMTAxMDAxMDAwWjAAMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE/7inDE3T
1CzU9KMtNN+CxIb0fBSnHK9MHlFbyQ+/IfCWqx9XXtQLXytc6hsVrX+CpWfzwIRY
urxH3OF6D2/7QaNEMEIwQAYDVR0RAQH/BDYwNIEya3JlbC10cnVzdEBrOHMtcmVs
ZW5nLXByb2QuaWFtLmdzZXJ2aWNlYWNjb3VudC5jb20wCgYIKoZIzj0EAwIDSQAw
RgIhAOBtvfOZowbihJoIFyFPUq5pfcs218fwpPFCXa6OmCVTAiEAtyhtIiRAGYwX
x90OM4d+CB0id1hCQ3en9z4vgMeQApY=
-----END CERTIFICATE-----
";

fn sample(seed: u64) -> Sample {
    Recipe { seed, ..Recipe::default() }.image()
}

async fn verdict(scene: &Scene) -> Findings {
    let checked = scene.check(&ALL, &Naming::default()).await;
    let [image] = &checked[..] else { panic!("{checked:?}") };
    image.result.clone().unwrap()
}

/// The attachment of a recorded case.
enum Attached {
    Nothing,
    Ours,
    OursAsAnother,
    OursAboutAnother,
    Theirs,
    Layer(&'static [(&'static str, &'static str)]),
    NoLayers,
}

#[tokio::test]
async fn signatures_that_the_go_tool_accepts_are_verified() {
    use SignatureVerdict as V;
    let garbage =
        &[("dev.cosignproject.cosign/signature", "AAAA"), ("dev.sigstore.cosign/certificate", SELF_MADE)];
    let no_certificate = &[("dev.cosignproject.cosign/signature", "AAAA")];
    for (case, attached, go_accepts, expected) in [
        ("unsigned", Attached::Nothing, false, V::Missing),
        ("signed-on-canonical-only", Attached::Ours, true, V::Ok),
        // The Go tool checks only the name in the certificate. Here, no trusted authority has issued the certificate.
        ("garbage-signature-accepted", Attached::Layer(garbage), true, V::OtherIdentity),
        // For the Go tool, a signature without a certificate does not count.
        ("key-signature", Attached::Layer(no_certificate), false, V::OtherIdentity),
        ("no-layers", Attached::NoLayers, false, V::Invalid),
        ("other-identity", Attached::Theirs, false, V::OtherIdentity),
        // The Go tool checks neither the name nor the digest in the payload.
        ("other reference", Attached::OursAsAnother, true, V::OtherReference),
        ("other digest", Attached::OursAboutAnother, true, V::Invalid),
    ] {
        let mut scene = Scene::of(google(), SignatureFormat::Tag).await;
        let image = sample(1);
        scene.stage("app", &image, &["v1"]).await;
        scene.promote_unsigned().await;
        let (repository, store) = (scene.repository("app"), scene.world.production[0].store());
        let add = async |layer: NewLayer| {
            append(&repository, image.digest(), AttachmentKind::Signature, &[layer]).await;
        };
        let sig = tag(&format!("sha256-{}.sig", image.digest().hex()));
        match attached {
            Attached::Nothing => {}
            Attached::Ours => add(scene.identity.layer("registry.example/app", image.digest()).await).await,
            Attached::OursAsAnother => {
                add(scene.identity.layer("registry.example/other", image.digest()).await).await;
            }
            Attached::OursAboutAnother => {
                add(scene.identity.layer("registry.example/app", sample(2).digest()).await).await;
            }
            Attached::Theirs => add(Hand::new().signature(image.digest()).await).await,
            Attached::Layer(annotations) => {
                let pairs = annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
                let (media_type, content) = (SIMPLE_SIGNING_TYPE.to_owned(), Bytes::from_static(b"x"));
                add(NewLayer { media_type, content, annotations: pairs.collect() }).await;
            }
            Attached::NoLayers => {
                let config = store.put_blob(&repository.path, Bytes::from_static(b"{}")).await.unwrap();
                let manifest = json!({
                    "schemaVersion": 2, "mediaType": MediaType::OciManifest.as_str(), "layers": [],
                    "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 },
                });
                let manifest = RawManifest::new(MediaType::OciManifest, manifest.to_string().into());
                store.put_manifest(&repository.path, Some(&sig), &manifest).await.unwrap();
            }
        }
        let found = verdict(&scene).await;
        assert_eq!(found.signature, Some(expected), "{case}: {found:?}");
        assert_eq!(found.record, RecordVerdict::Missing, "{case}: the image has no record");
        let differs = go_accepts != (expected == V::Ok);
        let expects_to_differ =
            ["garbage-signature-accepted", "other reference", "other digest"].contains(&case);
        assert_eq!(differs, expects_to_differ, "{case}");
        let is_explained = expected == V::Ok || expected == V::Missing || !found.details.is_empty();
        assert!(is_explained, "{case}: {found:?}");
        // Every case is repaired.
        let after = scene.repair(&ALL, &scene.manifests()).await;
        assert_eq!(findings(&after), Vec::<String>::new(), "{case}");
    }
}

/// The records of March 2026: unsigned attestations in `.att` tags.
#[tokio::test]
async fn an_unsigned_record_is_reported_and_replaced_by_a_signed_one() {
    let statement = |digest: &str| {
        json!({
            "_type": "https://in-toto.io/Statement/v1", "predicateType": RECORD, "predicate": {},
            "subject": [{ "name": "registry.example/app", "digest": { "sha256": digest } }],
        })
        .to_string()
    };
    let envelope = |statement: &str| {
        use base64::Engine as _;
        let payload = base64::engine::general_purpose::STANDARD.encode(statement);
        json!({ "payloadType": "application/vnd.in-toto+json", "payload": payload, "signatures": [] })
            .to_string()
    };
    for is_envelope in [false, true] {
        let mut scene = Scene::of(google(), SignatureFormat::Auto).await;
        let image = sample(1);
        scene.stage("app", &image, &["v1"]).await;
        scene.promote_unsigned().await;
        let content = statement(&image.digest().hex());
        let (media_type, content) = match is_envelope {
            true => (DSSE_TYPE, envelope(&content)),
            false => ("application/vnd.in-toto+json", content),
        };
        let layer = NewLayer {
            media_type: media_type.to_owned(),
            content: content.into(),
            annotations: BTreeMap::new(),
        };
        append(&scene.repository("app"), image.digest(), AttachmentKind::Attestation, &[layer]).await;
        let found = verdict(&scene).await;
        assert_eq!(
            (found.signature, found.record),
            (Some(SignatureVerdict::Missing), RecordVerdict::Unsigned)
        );
        let name = format!("sha256-{}.att, layer 1: it is not signed", image.digest().hex());
        assert!(found.details.iter().any(|detail| detail.ends_with(&name)), "{found:?}");
        let after = scene.repair(&ALL, &scene.manifests()).await;
        assert_eq!(findings(&after), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_record_that_does_not_verify_is_invalid_and_a_record_by_others_does_not_count() {
    let mut scene = Scene::of(google(), SignatureFormat::Tag).await;
    let (image, stranger) = (sample(1), Hand::new());
    scene.stage("app", &image, &["v1"]).await;
    scene.promote_unsigned().await;
    let (repository, root) = (scene.repository("app"), image.root());
    attach_annotated(&repository, root, RECORD, stranger.bundle(image.digest(), RECORD).await).await;
    let found = verdict(&scene).await;
    assert_eq!(found.record, RecordVerdict::Missing, "{found:?}");
    attach_annotated(&repository, root, RECORD, Bytes::from_static(b"{}")).await;
    let found = verdict(&scene).await;
    assert_eq!(found.record, RecordVerdict::Invalid, "{found:?}");
    assert!(!found.details.is_empty());
    let listed = scene.world.fresh_client().reader();
    let before = listed.referrers(&repository, image.digest(), None, Known::Unknown).await.unwrap();
    assert_eq!(findings(&scene.repair(&ALL, &scene.manifests()).await), Vec::<String>::new());
    let after = listed.referrers(&repository, image.digest(), None, Known::Unknown).await.unwrap();
    assert!(
        before.iter().all(|one| after.contains(one)) && after.len() == before.len() + 1,
        "our record is added to theirs"
    );
}

/// Parts of an index without a signature are reported.
#[tokio::test]
async fn a_part_without_a_signature_is_reported() {
    let mut scene = Scene::of(google(), SignatureFormat::Both).await;
    let index = Recipe::default().index(2);
    scene.stage("app", &index, &["v1"]).await;
    scene.promote().await;
    let part = index.manifests[0].digest();
    let (repository, store) = (scene.repository("app"), scene.world.production[0].store());
    store.delete_tag(&repository.path, &tag(&format!("sha256-{}.sig", part.hex()))).await.unwrap();
    let found = verdict(&scene).await;
    assert_eq!((found.signature, found.record), (Some(SignatureVerdict::Ok), RecordVerdict::Ok));
    let [named] = &found.parts[..] else { panic!("{found:?}") };
    assert_eq!((named.digest, named.signature), (part, SignatureVerdict::Missing));
    assert_eq!(named.platform.as_deref(), Some("linux/amd64"));
}

/// Without manifests, images are signed and no record is written, because their source is unknown. With manifests, only the
/// images that they name are repaired.
#[tokio::test]
async fn manifests_determine_which_images_are_repaired() {
    let mut scene = Scene::of(google(), SignatureFormat::Auto).await;
    let (named, unnamed) = (Recipe { seed: 1, ..Recipe::default() }.index(2), sample(2));
    scene.stage("named", &named, &["v1"]).await;
    scene.promote_unsigned().await;
    let store = scene.world.production[0].store();
    unnamed.put(store, &scene.repository("unnamed").path, &[tag("v1")]).await.unwrap();
    let of = |images: &[promote::sigcheck::CheckedImage], name: &str| {
        let image =
            images.iter().find(|image| image.reference == format!("registry.example/{name}")).unwrap();
        image.result.clone().unwrap()
    };
    let images = scene.repair(&ALL, &scene.manifests()).await;
    assert!(of(&images, "named").is_ok(), "{images:?}");
    let found = of(&images, "unnamed");
    assert_eq!((found.signature, found.record), (Some(SignatureVerdict::Missing), RecordVerdict::Missing));
    assert!(found.not_repaired.as_ref().is_some_and(|why| why.contains("no manifest names it")), "{found:?}");

    let images = scene.repair(&ALL, &Naming::default()).await;
    assert!(of(&images, "named").is_ok());
    let found = of(&images, "unnamed");
    assert_eq!((found.signature, found.record), (Some(SignatureVerdict::Ok), RecordVerdict::Missing));
    assert!(found.not_repaired.as_ref().is_some_and(|why| why.contains("--thin-manifest-dir")), "{found:?}");
}

/// The gate applies to repairs too: an image that does not satisfy its policy is not signed.
#[tokio::test]
async fn images_that_do_not_pass_their_policy_are_not_repaired() {
    let mut scene = Scene::of(google(), SignatureFormat::Auto).await;
    scene.stage("app", &Recipe::default().index(2), &["v1"]).await;
    scene.promote_unsigned().await;
    let source: RegistryRoot = format!("{}/staging", scene.world.staging.host()).parse().unwrap();
    let mut manifests = scene.world.manifests();
    manifests.policies = Policies::new(&[(&source, Some(unsatisfied(Mode::Require)))]).unwrap();
    let naming = Naming { manifests: Some(manifests) };
    scene.world.reset_tallies();
    let images = scene.repair(&ALL, &naming).await;
    let found = images[0].result.clone().unwrap();
    assert_eq!(found.signature, Some(SignatureVerdict::Missing));
    assert!(found.not_repaired.as_ref().is_some_and(|why| why.contains("did not pass")), "{found:?}");
    assert_eq!(scene.world.writes(), 0);
}

/// One image that cannot be read is reported, and the others are repaired.
#[tokio::test]
async fn one_bad_image_does_not_end_the_run() {
    let mut scene = Scene::of(google(), SignatureFormat::Auto).await;
    for (seed, name) in [(1, "bad"), (2, "good")] {
        scene.stage(name, &sample(seed), &["v1"]).await;
    }
    scene.promote_unsigned().await;
    let denied =
        Effect::Status { status: http::StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    let manifest = format!("prod/bad/manifests/{}", sample(1).digest());
    scene.world.production[0].faults().add(Fault::new(denied).path(manifest));
    let images = scene.repair(&ALL, &scene.manifests()).await;
    let (bad, good): (Vec<_>, Vec<_>) = images.iter().partition(|image| image.reference.ends_with("/bad"));
    assert!(good[0].is_ok());
    assert!(bad[0].result.as_ref().unwrap_err().error.contains("403"), "{bad:?}");
}

/// Only named images are repaired, and others are not checked.
#[tokio::test]
async fn only_named_images_are_repaired() {
    let mut scene = Scene::of(google(), SignatureFormat::Auto).await;
    for (seed, name) in [(1, "one"), (2, "two")] {
        scene.stage(name, &sample(seed), &["v1", "v2"]).await;
    }
    scene.promote_unsigned().await;
    for name in ["registry.example/one:v2".to_owned(), format!("registry.example/one@{}", sample(1).digest())]
    {
        let wanted = Wanted::Named(vec![name.parse().unwrap()]);
        let images = scene.repair(&wanted, &scene.manifests()).await;
        assert_eq!((images.len(), findings(&images)), (1, Vec::new()));
    }
    let reader = scene.world.fresh_client().reader();
    let records = scene.identity.statements(&reader, &scene.repository("one"), sample(1).digest()).await;
    let record = records.iter().find(|record| record.predicate_type == RECORD).unwrap();
    assert_eq!(record.predicate["tags"], json!(["v1", "v2"]), "the record has all tags");
    let images = scene.check(&ALL, &scene.manifests()).await;
    assert_eq!(images.iter().filter(|image| image.is_ok()).count(), 1);
}
