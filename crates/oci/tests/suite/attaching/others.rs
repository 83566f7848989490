//! Attaching content at registries of other projects, which have no referrers API.

use oci::{Digest, Host, Known, Repository, Selector, Tag};
use testkit::{Auth, Distribution, DockerRegistry};

use super::{BUNDLE, Scene, signature};

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn other_registries_keep_attached_content() {
    let (old, new) = (DockerRegistry::start(), Distribution::start(Auth::None));
    for host in [old.host(), new.host()] {
        attach_to(host).await;
    }
}

async fn attach_to(host: &Host) {
    let scene = Scene::new(true).await;
    let (reader, writer) = (scene.reader(), scene.writer());
    let there = Repository { host: host.clone(), path: scene.app.path.clone() };
    // An image without a subject is copied like attached content.
    let image = reader
        .attachment(&scene.app, Selector::Digest(scene.image.digest()))
        .await
        .unwrap()
        .present()
        .unwrap();
    let tag: Tag = "v1".parse().unwrap();
    writer.copy_attachment(&scene.app, &there, &image, Some(&tag), 1 << 20, Known::Unknown).await.unwrap();

    let subject = scene.image.digest();
    let one = writer.attach(&there, &scene.referrer("one"), Known::Unknown).await.unwrap();
    let two = writer.attach(&there, &scene.referrer("two"), Known::Unknown).await.unwrap();
    writer.attach(&there, &scene.referrer("one"), Known::Unknown).await.unwrap();
    let found = reader.referrers(&there, subject, Some(BUNDLE), Known::Unknown).await.unwrap();
    let digests: Vec<Digest> = found.iter().map(|referrer| referrer.digest).collect();
    assert_eq!(digests, [one, two], "{host}");
    assert_eq!(found[0].annotations["name"], "one");
    let read = reader.referrer(&there, subject, &found[1]).await.unwrap().present().unwrap();
    assert_eq!(read.layers[0].digest, Digest::of(b"two"));

    let signatures = scene.signature_tag();
    for name in ["one", "two", "one"] {
        writer.append(&there, &signatures, &[signature("payload", name)], Known::Unknown).await.unwrap();
    }
    let read = reader.attachment(&there, Selector::Tag(&signatures)).await.unwrap().present().unwrap();
    assert_eq!(read.layers.len(), 2, "{host}");
    writer
        .copy_attachment(&there, &scene.app, &read, Some(&signatures), 1 << 20, Known::Unknown)
        .await
        .unwrap();
    assert_eq!(scene.signatures().await, read, "both registries have the same content");
}
