//! Blobs, manifests and referrers.

use bytes::Bytes;
use http::Method;
use oci::{Digest, MANIFEST_MAX, MediaType, RawManifest};
use registry::sample::Recipe;
use registry::{Config, Holder, Part, Storage};
use serde_json::json;

use crate::client::{Answer, World, refused, repository};

#[tokio::test]
async fn a_blob_is_served_whole_and_in_parts() {
    let world = World::plain().await;
    let digest = world.blob(b"0123456789").await;
    let path = format!("/v2/app/blobs/{digest}");

    let head = world.client.head(&path).await;
    assert_eq!((head.status.as_u16(), head.header("content-length"), head.body.len()), (200, "10", 0));
    assert_eq!(head.header("accept-ranges"), "bytes");

    let whole = world.client.get(&path).await;
    assert_eq!((whole.status.as_u16(), &whole.body[..]), (200, &b"0123456789"[..]));
    assert_eq!(whole.header("docker-content-digest"), digest.to_string());

    let part = world.client.request(Method::GET, &path).header("Range", "bytes=3-5");
    let part = Answer::of(part).await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &b"345"[..]));
    assert_eq!(part.header("content-range"), "bytes 3-5/10");

    let outside = Answer::of(world.client.request(Method::GET, &path).header("Range", "bytes=10-")).await;
    assert_eq!((outside.status.as_u16(), outside.header("content-range")), (416, "bytes */10"));
}

#[tokio::test]
async fn absent_content_is_refused_with_its_error_code() {
    let world = World::plain().await;
    let digest = Digest::of(b"absent");
    for (path, expected) in [
        (format!("/v2/app/blobs/{digest}"), refused(404, "BLOB_UNKNOWN")),
        (format!("/v2/app/manifests/{digest}"), refused(404, "MANIFEST_UNKNOWN")),
        ("/v2/app/manifests/absent".to_owned(), refused(404, "MANIFEST_UNKNOWN")),
        ("/v2/app/tags/list".to_owned(), refused(404, "NAME_UNKNOWN")),
        ("/v2/app/blobs/uploads/absent".to_owned(), refused(404, "BLOB_UPLOAD_UNKNOWN")),
        ("/v2/app/blobs/sha256:zz".to_owned(), refused(400, "DIGEST_INVALID")),
        ("/v2/app/manifests/-x".to_owned(), refused(400, "NAME_INVALID")),
        ("/v2/App/manifests/x".to_owned(), refused(400, "NAME_INVALID")),
        ("/v2/a/..%2fb/tags/list".to_owned(), refused(400, "NAME_INVALID")),
        ("/v3/".to_owned(), refused(404, "UNSUPPORTED")),
    ] {
        assert_eq!(world.client.get(&path).await.refusal(), expected, "{path}");
    }
    let posted = world.client.send(Method::POST, "/v2/", "").await;
    assert_eq!(posted.refusal(), refused(405, "UNSUPPORTED"));
}

#[tokio::test]
async fn an_image_is_pushed_and_pulled_by_tag_and_digest_byte_for_byte() {
    let world = World::plain().await;
    let index = Recipe::default().index(2);
    for blob in &index.blobs {
        let target = format!("/v2/app/blobs/uploads/?digest={}", Digest::of(blob));
        assert_eq!(world.client.send(Method::POST, &target, blob.clone()).await.status, 201);
    }
    for manifest in &index.manifests {
        let target = format!("/v2/app/manifests/{}", manifest.digest());
        assert_eq!(world.client.put_manifest(&target, manifest).await.status, 201);
    }
    let put = world.client.put_manifest("/v2/app/manifests/v1", index.root()).await;
    assert_eq!(put.header("location"), format!("/v2/app/manifests/{}", index.digest()));

    for reference in
        ["v1".to_owned(), index.digest().to_string(), index.digest().to_string().replace(':', "%3A")]
    {
        let answer = world.client.get(&format!("/v2/app/manifests/{reference}")).await;
        assert_eq!(answer.body, index.root().bytes());
        assert_eq!(answer.header("content-type"), index.root().media_type().as_str());
        assert_eq!(answer.header("docker-content-digest"), index.digest().to_string());
        let head = world.client.head(&format!("/v2/app/manifests/{reference}")).await;
        assert_eq!(head.header("content-length"), index.root().bytes().len().to_string());
    }
    assert_eq!(world.server.store().missing_parts().await.unwrap(), []);
}

#[tokio::test]
async fn a_manifest_with_wrong_parts_digest_or_media_type_is_refused() {
    let world = World::plain().await;
    let image = Recipe::default().image();
    let index = Recipe::default().index(1);
    for manifest in [image.root(), index.root()] {
        let answer = world.client.put_manifest("/v2/app/manifests/v1", manifest).await;
        assert_eq!(
            answer.refusal(),
            refused(400, "MANIFEST_BLOB_UNKNOWN"),
            "its parts are missing: {manifest:?}"
        );
    }
    assert!(world.server.store().tags(&repository("app")).is_empty(), "a refused manifest leaves no tag");

    let elsewhere = format!("/v2/app/manifests/{}", Digest::of(b"another"));
    let answer = world.client.put_manifest(&elsewhere, image.root()).await;
    assert_eq!(answer.refusal(), refused(400, "DIGEST_INVALID"));

    let mislabelled = RawManifest::new(MediaType::OciIndex, image.root().bytes().clone());
    let answer = world.client.put_manifest("/v2/app/manifests/v1", &mislabelled).await;
    assert_eq!(answer.refusal(), refused(400, "MANIFEST_INVALID"), "header and body differ");

    let broken = RawManifest::new(MediaType::OciManifest, Bytes::from_static(b"{\"config\": 1}"));
    let answer = world.client.put_manifest("/v2/app/manifests/v1", &broken).await;
    assert_eq!(answer.refusal(), refused(400, "MANIFEST_INVALID"));

    let html = RawManifest::new(MediaType::Other("text/html".into()), Bytes::from_static(b"<html>"));
    let answer = world.client.put_manifest("/v2/app/manifests/v1", &html).await;
    assert_eq!(answer.refusal(), refused(400, "MANIFEST_INVALID"));

    let large = RawManifest::new(MediaType::OciManifest, vec![b' '; MANIFEST_MAX + 1].into());
    let answer = world.client.put_manifest("/v2/app/manifests/v1", &large).await;
    assert_eq!(answer.refusal(), refused(413, "SIZE_INVALID"));
}

#[tokio::test]
async fn foreign_layers_and_subjects_need_not_exist() {
    let world = World::plain().await;
    let store = world.server.store();
    let foreign = Recipe::default().image_with_foreign_layer();
    let absent = Recipe { seed: 9, ..Recipe::default() }.image();
    let referrer = Recipe::default().referrer(absent.root(), "application/vnd.example");
    for sample in [&foreign, &referrer] {
        for blob in &sample.blobs {
            store.put_blob(&repository("app"), blob.clone()).await.unwrap();
        }
        assert_eq!(world.client.put_manifest("/v2/app/manifests/v1", sample.root()).await.status, 201);
    }
    assert_eq!(store.missing_parts().await.unwrap(), []);
}

#[tokio::test]
async fn a_manifest_pushed_by_sha512_keeps_that_digest() {
    let world = World::plain().await;
    let mut hasher = oci::Algorithm::Sha512.hasher();
    let manifest = json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(), "manifests": [] });
    let manifest = RawManifest::new(MediaType::OciIndex, manifest.to_string().into());
    hasher.update(manifest.bytes());
    let digest = hasher.finish();
    let put = world.client.put_manifest(&format!("/v2/app/manifests/{digest}?tag=a&tag=b"), &manifest).await;
    assert_eq!((put.status.as_u16(), put.header("docker-content-digest")), (201, &*digest.to_string()));
    let tags: Vec<_> = put.headers.get_all("oci-tag").iter().map(|tag| tag.to_str().unwrap()).collect();
    assert_eq!(tags, ["a", "b"]);
    let got = world.client.get("/v2/app/manifests/b").await;
    assert_eq!(got.header("docker-content-digest"), digest.to_string());
}

#[tokio::test]
async fn tags_manifests_with_their_tags_and_blobs_can_be_deleted() {
    let world = World::plain().await;
    let (store, app) = (world.server.store(), repository("app"));
    let image = Recipe::default().image();
    image.put(store, &app, &["a".parse().unwrap(), "b".parse().unwrap()]).await.unwrap();

    assert_eq!(world.client.delete("/v2/app/manifests/a").await.status, 202);
    assert!(store.has_manifest(&app, &image.digest()), "only the tag is deleted");
    assert_eq!(world.client.get("/v2/app/manifests/a").await.status, 404);
    assert_eq!(world.client.delete(&format!("/v2/app/manifests/{}", image.digest())).await.status, 202);
    assert!(store.tags(&app).is_empty(), "the tags of a deleted manifest are deleted with it");
    let blob = format!("/v2/app/blobs/{}", Digest::of(&image.blobs[0]));
    assert_eq!(world.client.delete(&blob).await.status, 202);
    assert_eq!(world.client.head(&blob).await.status, 404);
    for path in ["/v2/app/manifests/a", &blob] {
        assert_eq!(world.client.delete(path).await.status, 404, "{path} is already deleted");
    }
}

#[tokio::test]
async fn referrers_are_listed_filtered_and_paged() {
    let page_size = 2.try_into().unwrap();
    let world = World::new(Config { page_size, ..Config::default() }).await;
    let (store, app) = (world.server.store(), repository("app"));
    let image = Recipe::default().image();
    image.put(store, &app, &[]).await.unwrap();
    let kinds = ["application/vnd.a", "application/vnd.a", "application/vnd.b"];
    for (seed, kind) in kinds.iter().enumerate() {
        let recipe = Recipe { seed: seed as u64, ..Recipe::default() };
        let referrer = recipe.referrer(image.root(), kind);
        for blob in &referrer.blobs {
            store.put_blob(&app, blob.clone()).await.unwrap();
        }
        let target = format!("/v2/app/manifests/{}", referrer.digest());
        let put = world.client.put_manifest(&target, referrer.root()).await;
        assert_eq!(put.header("oci-subject"), image.digest().to_string());
    }
    let path = format!("/v2/app/referrers/{}", image.digest());
    let first = world.client.get(&path).await;
    assert_eq!(first.header("content-type"), MediaType::OciIndex.as_str());
    assert_eq!(first.json()["manifests"].as_array().unwrap().len(), 2);
    let next = first.header("link").split(['<', '>']).nth(1).unwrap().to_owned();
    let second = world.client.get(&next).await;
    assert_eq!(second.json()["manifests"].as_array().unwrap().len(), 1);
    assert!(!second.headers.contains_key("link"));

    let filtered = world.client.get(&format!("{path}?artifactType=application%2Fvnd.b")).await;
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    let found = filtered.json();
    assert_eq!(found["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(found["manifests"][0]["artifactType"], "application/vnd.b");

    let digest = found["manifests"][0]["digest"].as_str().unwrap().to_owned();
    world.client.delete(&format!("/v2/app/manifests/{digest}")).await;
    let filtered = world.client.get(&format!("{path}?artifactType=application%2Fvnd.b")).await;
    assert_eq!(filtered.json()["manifests"], json!([]), "a deleted referrer is not listed");
}

#[tokio::test]
async fn without_the_referrers_api_the_registry_answers_404() {
    let world = World::new(Config { referrers_api: false, ..Config::default() }).await;
    let (store, app) = (world.server.store(), repository("app"));
    let image = Recipe::default().image();
    let referrer = Recipe::default().referrer(image.root(), "application/vnd.a");
    referrer.put(store, &app, &[]).await.unwrap();
    let put = world.client.put_manifest("/v2/app/manifests/v1", referrer.root()).await;
    assert!(!put.headers.contains_key("oci-subject"), "the header would announce the API");
    assert_eq!(world.client.get(&format!("/v2/app/referrers/{}", image.digest())).await.status, 404);
}

#[tokio::test]
async fn a_discarding_store_knows_its_blobs_and_keeps_its_manifests() {
    let world = World::new(Config { storage: Storage::Discard, ..Config::default() }).await;
    let image = Recipe::default().image();
    for blob in &image.blobs {
        let target = format!("/v2/app/blobs/uploads/?digest={}", Digest::of(blob));
        assert_eq!(world.client.send(Method::POST, &target, blob.clone()).await.status, 201);
        let head = world.client.head(&format!("/v2/app/blobs/{}", Digest::of(blob))).await;
        assert_eq!(head.header("content-length"), blob.len().to_string());
    }
    let wrong = format!("/v2/app/blobs/uploads/?digest={}", Digest::of(b"another"));
    assert_eq!(
        world.client.send(Method::POST, &wrong, "this").await.refusal(),
        refused(400, "DIGEST_INVALID")
    );
    assert_eq!(world.client.put_manifest("/v2/app/manifests/v1", image.root()).await.status, 201);
    assert_eq!(world.client.get("/v2/app/manifests/v1").await.body, image.root().bytes());
    let blob = world.client.get(&format!("/v2/app/blobs/{}", Digest::of(&image.blobs[0]))).await;
    assert_eq!(blob.refusal(), refused(405, "UNSUPPORTED"));
}

#[tokio::test]
async fn missing_parts_reports_the_missing_parts_of_every_index_and_image() {
    let world = World::plain().await;
    let (store, app) = (world.server.store(), repository("app"));
    let index = Recipe { layers: 1, ..Recipe::default() }.index(1);
    store.put_manifest(&app, Some(&"v1".parse().unwrap()), index.root()).await.unwrap();
    let missing = store.missing_parts().await.unwrap();
    let child = index.manifests[0].digest();
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].holder, Holder::Manifest(index.digest()));
    assert_eq!(missing[0].part, Part::Manifest(child));

    store.put_manifest(&app, None, &index.manifests[0]).await.unwrap();
    let missing: Vec<_> = store.missing_parts().await.unwrap().into_iter().map(|m| m.part).collect();
    let blobs = index.manifests[0].parse().unwrap().blobs;
    assert_eq!(missing, [Part::Blob(blobs[0].digest), Part::Blob(blobs[1].digest)]);

    let broken = RawManifest::new(MediaType::OciManifest, Bytes::from_static(b"{}"));
    store.put_manifest(&app, None, &broken).await.unwrap();
    let missing = store.missing_parts().await.unwrap();
    assert!(missing.iter().any(|m| matches!(m.part, Part::Content(_))), "{missing:?}");
}
