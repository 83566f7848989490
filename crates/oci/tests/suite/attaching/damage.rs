//! Attached content after registries have lost or truncated parts of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use oci::{Anonymous, Client, Digest, Known, MediaType, RawManifest, referrers_tag};
use registry::{Canned, Effect, Fault, Kind};
use transport::{Door, Retry, Settings};

use super::{Scene, list, signature};

/// Returns a client that retries after short pauses.
fn impatient() -> Client {
    let pause = Duration::from_millis(5);
    let retry = Retry { first_pause: pause, longest_pause: pause, ..Retry::default() };
    let door = Door::open(Settings { retry, ..Settings::default() }).unwrap();
    Client::new(door, Arc::new(Anonymous), HashMap::new())
}

/// Layers that a registry has lost or truncated cannot be kept, but they do not prevent a new signature.
#[tokio::test]
async fn a_damaged_signature_tag_is_repaired_and_its_intact_layers_are_kept() {
    let scene = Scene { client: impatient(), ..Scene::new(true).await };
    let (writer, tag) = (scene.writer(), scene.signature_tag());
    let [kept, lost, ours] =
        [("kept", "one"), ("lost", "two"), ("ours", "three")].map(|(a, b)| signature(a, b));
    writer
        .append(&scene.app, &tag, &[kept.clone(), lost.clone(), ours.clone()], Known::Unknown)
        .await
        .unwrap();
    for layer in [&lost, &ours] {
        assert!(scene.server.store().delete_blob(&scene.app.path, Digest::of(&layer.content)).await.unwrap());
    }
    scene.requests();
    let resigned = signature("ours", "four");
    assert!(
        writer
            .append(&scene.app, &tag, std::slice::from_ref(&resigned), Known::Unknown)
            .await
            .unwrap()
            .written
    );
    let checks = scene.server.tally().snapshot().requests(Kind::BlobHead);
    assert_eq!(checks, 3, "after the registry has refused the manifest, each old layer is checked");
    let read = scene.signatures().await;
    assert_eq!(
        read.layers.iter().map(|layer| layer.digest).collect::<Vec<_>>(),
        [&kept, &resigned].map(|l| Digest::of(&l.content))
    );

    let truncated = RawManifest::new(MediaType::OciManifest, read.manifest.bytes().slice(..100));
    scene.server.store().put_manifest(&scene.app.path, Some(&tag), &truncated).await.unwrap();
    writer.append(&scene.app, &tag, std::slice::from_ref(&kept), Known::Unknown).await.unwrap();
    assert_eq!(scene.signatures().await.layers.len(), 1, "the other layers could not be read");
}

#[tokio::test]
async fn a_truncated_list_of_referrers_is_replaced() {
    let scene = Scene::new(false).await;
    let index = RawManifest::new(MediaType::OciIndex, list("").into_bytes()[..20].to_vec().into());
    let tag = referrers_tag(scene.image.digest());
    scene.server.store().put_manifest(&scene.app.path, Some(&tag), &index).await.unwrap();
    let one = scene.writer().attach(&scene.app, &scene.referrer("one"), Known::Unknown).await.unwrap();
    assert_eq!(scene.referrers(None).await.unwrap(), [one]);
}

/// An answer without a digest may have been truncated, so it does not show what the tag names.
#[tokio::test]
async fn a_truncated_transfer_does_not_replace_an_object() {
    for body in ["", r#"{"schemaVersion":2,"layers":"#] {
        let mut scene = Scene { client: impatient(), ..Scene::new(false).await };
        let tag = scene.signature_tag();
        let [kept, new] = [("kept", "one"), ("new", "two")].map(|(a, b)| signature(a, b));
        scene.writer().append(&scene.app, &tag, &[kept], Known::Unknown).await.unwrap();
        scene.writer().attach(&scene.app, &scene.referrer("one"), Known::Unknown).await.unwrap();
        let before = (scene.signatures().await.manifest.digest(), scene.referrers(None).await.unwrap());
        let page = Canned::new(StatusCode::OK)
            .with_body("application/vnd.oci.image.manifest.v1+json", body.to_owned());
        let watch = scene.server.faults().add(Fault::new(Effect::Canned(page)).on(Kind::ManifestGet));
        // A client that has no memory of what it has written.
        scene.client = impatient();
        let writer = scene.writer();
        let appended = writer.append(&scene.app, &tag, std::slice::from_ref(&new), Known::Unknown).await;
        assert!(appended.is_err(), "{body}: {appended:?}");
        let attached = writer.attach(&scene.app, &scene.referrer("two"), Known::Unknown).await;
        assert!(attached.is_err(), "{body}: {attached:?}");
        assert!(watch.struck() > 0);
        scene.server.faults().clear();
        let after = (scene.signatures().await.manifest.digest(), scene.referrers(None).await.unwrap());
        assert_eq!(after, before, "{body}");
    }
}

#[tokio::test]
async fn a_deleted_referrer_is_removed_from_the_list() {
    let scene = Scene { client: impatient(), ..Scene::new(false).await };
    let mut attached = Vec::new();
    for name in ["one", "two"] {
        attached
            .push(scene.writer().attach(&scene.app, &scene.referrer(name), Known::Unknown).await.unwrap());
    }
    scene.server.store().delete_manifest(&scene.app.path, attached[0]).await.unwrap();
    let three = scene.writer().attach(&scene.app, &scene.referrer("three"), Known::Unknown).await.unwrap();
    assert_eq!(scene.referrers(None).await.unwrap(), [attached[1], three]);
}
