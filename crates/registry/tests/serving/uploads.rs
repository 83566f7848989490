//! Uploads and mounts.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use http::Method;
use oci::{Algorithm, Digest, RawManifest};
use registry::{Config, UploadLimits};

use crate::client::{Answer, World, refused, repository};

async fn open(world: &World) -> String {
    let answer = world.client.send(Method::POST, "/v2/app/blobs/uploads/", "").await;
    assert_eq!(answer.status, 202);
    answer.header("location").to_owned()
}

async fn chunk(world: &World, place: &str, range: &str, bytes: &'static str) -> Answer {
    let request = world.client.request(Method::PATCH, place).header("Content-Range", range).body(bytes);
    Answer::of(request).await
}

fn sha512(bytes: &[u8]) -> Digest {
    let mut hasher = Algorithm::Sha512.hasher();
    hasher.update(bytes);
    hasher.finish()
}

#[tokio::test]
async fn a_blob_can_be_uploaded_in_one_put_with_either_digest_algorithm() {
    let world = World::plain().await;
    for digest in [Digest::of(b"content"), sha512(b"content")] {
        let place = open(&world).await;
        let put = world.client.send(Method::PUT, &format!("{place}?digest={digest}"), "content").await;
        assert_eq!((put.status.as_u16(), put.header("location")), (201, &*format!("/v2/app/blobs/{digest}")));
        assert_eq!(&world.client.get(put.header("location")).await.body[..], b"content");
    }
}

#[tokio::test]
async fn a_chunk_must_start_where_the_last_one_ended() {
    let world = World::plain().await;
    let place = open(&world).await;
    assert_eq!(chunk(&world, &place, "0-3", "abcd").await.header("range"), "0-3");
    for (range, bytes) in [("0-3", "abcd"), ("8-11", "ijkl"), ("4-7", "abc"), ("nonsense", "efgh")] {
        let answer = chunk(&world, &place, range, bytes).await;
        assert_eq!((answer.status.as_u16(), answer.header("range")), (416, "0-3"), "{range}");
    }
    let status = world.client.get(&place).await;
    assert_eq!((status.status.as_u16(), status.header("range")), (204, "0-3"), "the upload is unchanged");
    assert_eq!(chunk(&world, &place, "4-7", "efgh").await.status, 202);
    let digest = sha512(b"abcdefghijkl");
    let put = world.client.send(Method::PUT, &format!("{place}?digest={digest}"), "ijkl").await;
    assert_eq!(put.status, 201, "the PUT may carry the last chunk and a digest of the other algorithm");
    assert_eq!(&world.client.get(put.header("location")).await.body[..], b"abcdefghijkl");
    assert_eq!(world.client.get(&place).await.status, 404, "the upload is closed");
}

#[tokio::test]
async fn wrong_content_is_refused_and_discarded() {
    let world = World::plain().await;
    let digest = Digest::of(b"content");
    let place = open(&world).await;
    let put = world.client.send(Method::PUT, &format!("{place}?digest={digest}"), "Content").await;
    assert_eq!(put.refusal(), refused(400, "DIGEST_INVALID"));
    assert!(!world.server.store().has_blob(&repository("app"), &digest));
    let without = world.client.send(Method::PUT, &open(&world).await, "content").await;
    assert_eq!(
        without.refusal(),
        refused(400, "DIGEST_INVALID"),
        "an upload cannot be completed without a digest"
    );
}

#[tokio::test]
async fn an_upload_can_be_cancelled_and_belongs_to_its_repository() {
    let world = World::plain().await;
    let place = open(&world).await;
    let elsewhere = place.replace("/app/", "/other/");
    assert_eq!(
        world.client.send(Method::PATCH, &elsewhere, "x").await.refusal(),
        refused(404, "BLOB_UPLOAD_UNKNOWN")
    );
    assert_eq!(world.client.delete(&place).await.status, 204);
    assert_eq!(
        world.client.send(Method::PATCH, &place, "x").await.refusal(),
        refused(404, "BLOB_UPLOAD_UNKNOWN")
    );
}

#[tokio::test]
async fn uploads_are_limited_in_size_number_and_time() {
    let uploads = UploadLimits { blob_size: 10, open: 2, idle: Duration::from_millis(300) };
    let world = World::new(Config { uploads, ..Config::default() }).await;
    let place = open(&world).await;
    let digest = Digest::of(&[b'x'; 11]);
    let put = world.client.send(Method::PUT, &format!("{place}?digest={digest}"), "xxxxxxxxxxx").await;
    assert_eq!(put.refusal(), refused(413, "SIZE_INVALID"));
    // This body is sent without a `Content-Length`.
    let pieces = stream::iter(["xxxxxx", "xxxxxx"].map(Ok::<_, std::io::Error>));
    let streamed = world.client.send(Method::PATCH, &place, reqwest::Body::wrap_stream(pieces)).await;
    assert_eq!(streamed.refusal(), refused(413, "SIZE_INVALID"));

    open(&world).await;
    let third = world.client.send(Method::POST, "/v2/app/blobs/uploads/", "").await;
    assert_eq!(third.refusal(), refused(429, "TOOMANYREQUESTS"));
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(world.client.get(&place).await.status, 404, "the upload was idle for too long");
    open(&world).await;
}

#[tokio::test]
async fn an_interrupted_body_keeps_the_received_bytes_and_the_upload_can_continue() {
    let world = World::plain().await;
    let place = open(&world).await;
    let breaking = async {
        // The first bytes must be sent before the client breaks off.
        tokio::time::sleep(Duration::from_millis(200)).await;
        Err(std::io::Error::other("gone"))
    };
    let pieces = stream::iter([Ok("abc")]).chain(stream::once(breaking));
    let body = reqwest::Body::wrap_stream(pieces);
    world.client.request(Method::PATCH, &place).body(body).send().await.unwrap_err();
    let mut range = String::new();
    for _ in 0..50 {
        // The server may notice the interruption later than the client. Until then the upload is busy.
        let status = world.client.get(&place).await;
        if status.status == 204 {
            range = status.header("range").to_owned();
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(range, "0-2");
    let put =
        world.client.send(Method::PUT, &format!("{place}?digest={}", Digest::of(b"abcdef")), "def").await;
    assert_eq!(put.status, 201);
}

#[tokio::test]
async fn a_blob_is_mounted_from_a_named_repository_or_from_any() {
    let world = World::plain().await;
    let digest = world.blob(b"content").await;
    let mount = async |repository: &str, query: &str| {
        let target = format!("/v2/{repository}/blobs/uploads/?mount={digest}{query}");
        world.client.send(Method::POST, &target, "").await
    };
    let named = mount("b", "&from=app").await;
    assert_eq!((named.status.as_u16(), named.header("location")), (201, &*format!("/v2/b/blobs/{digest}")));
    assert_eq!(mount("c", "").await.status, 201, "the source is found without `from`");
    let failed = mount("d", "&from=empty").await;
    assert_eq!(failed.status, 202, "a failed mount opens an upload");
    let place = format!("{}?digest={digest}", failed.header("location"));
    assert_eq!(world.client.send(Method::PUT, &place, "content").await.status, 201);
    for name in ["b", "c", "d"] {
        assert!(world.server.store().has_blob(&repository(name), &digest), "{name}");
    }
    let deleted = world.client.delete(&format!("/v2/app/blobs/{digest}")).await;
    assert_eq!(deleted.status, 202);
    assert_eq!(&world.client.get(&format!("/v2/b/blobs/{digest}")).await.body[..], b"content");
}

#[tokio::test]
async fn a_discarding_store_hashes_with_the_announced_algorithm() {
    let world = World::new(Config { storage: registry::Storage::Discard, ..Config::default() }).await;
    let digest = sha512(b"content");
    let late = open(&world).await;
    chunk(&world, &late, "0-3", "cont").await;
    let put = world.client.send(Method::PUT, &format!("{late}?digest={digest}"), "ent").await;
    assert_eq!(put.refusal(), refused(400, "UNSUPPORTED"), "the first bytes were discarded");
    let announced =
        world.client.send(Method::POST, "/v2/app/blobs/uploads/?digest-algorithm=sha512", "").await;
    let announced = announced.header("location").to_owned();
    chunk(&world, &announced, "0-3", "cont").await;
    assert_eq!(
        world.client.send(Method::PUT, &format!("{announced}?digest={digest}"), "ent").await.status,
        201
    );
}

#[tokio::test]
async fn concurrent_pushes_do_not_interfere() {
    let world = World::plain().await;
    let content: &'static [u8] = &[7; 1 << 20];
    let digest = Digest::of(content);
    let push = async || {
        let place = open(&world).await;
        world.client.send(Method::PUT, &format!("{place}?digest={digest}"), content).await.status
    };
    let statuses = futures_util::future::join_all((0..8).map(|_| push())).await;
    assert!(statuses.iter().all(|status| *status == 201), "{statuses:?}");
    let stored = world.server.store().blob(&repository("app"), &digest).await.unwrap().unwrap();
    assert_eq!(stored, content);
    let manifest = RawManifest::new(oci::MediaType::Other("application/x+json".into()), "{}".into());
    let tag = async |number: usize| {
        world.client.put_manifest(&format!("/v2/app/manifests/t{number}"), &manifest).await.status
    };
    let statuses = futures_util::future::join_all((0..8).map(tag)).await;
    assert!(statuses.iter().all(|status| *status == 201), "{statuses:?}");
    assert_eq!(world.server.store().tags(&repository("app")).len(), 8);
}
