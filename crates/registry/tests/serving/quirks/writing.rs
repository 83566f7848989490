//! Uploads, mounts, manifests.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use oci::{Digest, MediaType, RawManifest};
use registry::ErrorCode;
use registry::quirks::{DigestHeader, LostUploads, PartsUnknown, Redirect, Rejection, Writing};

use super::rejection;
use crate::client::{Answer, World, refused, repository};

const UPLOADS: &str = "/v2/app/blobs/uploads/";
const TAG: &str = "/v2/app/manifests/v1";

async fn world(writing: Writing) -> World {
    let world = World::plain().await;
    world.server.quirks().change(|quirks| quirks.writing = writing);
    world
}

/// A manifest without parts.
fn manifest(text: &'static str) -> RawManifest {
    RawManifest::new(MediaType::Other("application/x+json".into()), text.into())
}

async fn open(world: &World) -> Answer {
    world.client.send(Method::POST, UPLOADS, "").await
}

/// Completes an upload with a blob.
async fn complete(world: &World, location: &str, bytes: &'static [u8]) -> Answer {
    world.client.send(Method::PUT, &format!("{location}?digest={}", Digest::of(bytes)), bytes).await
}

#[tokio::test]
async fn mounts_can_be_refused_while_uploads_are_accepted() {
    let world =
        world(Writing { mounts: Some(rejection(StatusCode::BAD_REQUEST)), ..Writing::default() }).await;
    let digest = world.blob(b"content").await;
    let mount = format!("/v2/other/blobs/uploads/?mount={digest}&from=app");
    assert_eq!(world.client.send(Method::POST, &mount, "").await.status, 400);
    assert_eq!(world.client.send(Method::POST, "/v2/other/blobs/uploads/", "").await.status, 202);
}

#[tokio::test]
async fn accepted_writes_answer_with_the_given_status() {
    let world = world(Writing {
        patch_status: Some(StatusCode::NO_CONTENT),
        blob_status: Some(StatusCode::OK),
        manifest_status: Some(StatusCode::ACCEPTED),
        ..Writing::default()
    })
    .await;
    let location = open(&world).await.header("location").to_owned();
    assert_eq!(world.client.send(Method::PATCH, &location, "ab").await.status, 204);
    assert_eq!(world.client.put_manifest(TAG, &manifest("{}")).await.status, 202);
    let other = open(&world).await.header("location").to_owned();
    assert_eq!(complete(&world, &other, b"x").await.status, 200);
    assert!(world.server.store().has_blob(&repository("app"), &Digest::of(b"x")));
    assert_eq!(complete(&world, &other, b"y").await.status, 404, "failures keep their status");
}

#[tokio::test]
async fn the_digest_of_a_write_can_be_missing_or_wrong() {
    for (digest_header, header_value) in
        [(DigestHeader::Missing, None), (DigestHeader::Wrong, Some(Digest::of(b"something else")))]
    {
        let world = world(Writing { digest_header, ..Writing::default() }).await;
        let answer = world.client.put_manifest(TAG, &manifest("{}")).await;
        let header = answer.headers.get("docker-content-digest").map(|value| value.to_str().unwrap());
        assert_eq!(header.map(str::to_owned), header_value.map(|digest| digest.to_string()));
    }
}

#[tokio::test]
async fn every_nth_upload_is_lost() {
    let rejection = Rejection::new(StatusCode::CONFLICT, ErrorCode::BlobUploadInvalid);
    let world =
        world(Writing { lost_uploads: Some(LostUploads { every: 2, rejection }), ..Writing::default() })
            .await;
    let (lost, kept) = (open(&world).await, open(&world).await);
    let refusal = complete(&world, lost.header("location"), b"x").await.refusal();
    assert_eq!(refusal, refused(409, "BLOB_UPLOAD_INVALID"));
    assert_eq!(complete(&world, kept.header("location"), b"x").await.status, 201);
}

#[tokio::test]
async fn each_manifest_is_refused_the_given_number_of_times() {
    let rejection = Rejection::new(StatusCode::NOT_FOUND, ErrorCode::ManifestBlobUnknown);
    let world =
        world(Writing { parts_unknown: Some(PartsUnknown { times: 1, rejection }), ..Writing::default() })
            .await;
    for target in [TAG, "/v2/app/manifests/v2"] {
        let refusal = world.client.put_manifest(target, &manifest("{}")).await.refusal();
        assert_eq!(refusal, refused(404, "MANIFEST_BLOB_UNKNOWN"));
        assert_eq!(world.client.put_manifest(target, &manifest("{}")).await.status, 201);
    }
}

#[tokio::test]
async fn tags_that_exist_can_be_immutable() {
    let world =
        world(Writing { immutable_tags: Some(rejection(StatusCode::CONFLICT)), ..Writing::default() }).await;
    assert_eq!(world.client.put_manifest(TAG, &manifest("{}")).await.status, 201);
    for content in ["{}", "{ }"] {
        assert_eq!(world.client.put_manifest(TAG, &manifest(content)).await.status, 409);
    }
    let by_digest = format!("/v2/app/manifests/{}", manifest("{ }").digest());
    assert_eq!(world.client.put_manifest(&by_digest, &manifest("{ }")).await.status, 201);
}

#[tokio::test]
async fn conditional_writes_follow_the_quirk() {
    let world = world(Writing { conditional: true, ..Writing::default() }).await;
    let put = async |header: &str, value: &str, content: &'static str| {
        let manifest = manifest(content);
        let request = world
            .client
            .request(Method::PUT, TAG)
            .header(header, value)
            .header("Content-Type", manifest.media_type().as_str())
            .body(manifest.bytes().clone());
        Answer::of(request).await.status.as_u16()
    };
    assert_eq!(put("If-None-Match", "*", "{}").await, 201);
    assert_eq!(put("If-None-Match", "*", "{ }").await, 412);
    assert_eq!(put("If-Match", &format!("\"{}\"", Digest::of(b"other")), "{ }").await, 412);
    assert_eq!(put("If-Match", &format!("\"{}\"", Digest::of(b"{}")), "{ }").await, 201);
    world.server.quirks().clear();
    assert_eq!(put("If-None-Match", "*", "{  }").await, 201, "conditions are ignored by default");
}

#[tokio::test]
async fn a_body_that_is_too_large_closes_the_connection() {
    let world = world(Writing { body_max: Some(10), ..Writing::default() }).await;
    let location = open(&world).await.header("location").to_owned();
    assert_eq!(world.client.send(Method::PATCH, &location, "0123456789").await.status, 202);
    let body = vec![0; 16 << 20];
    let sent = world.client.request(Method::PATCH, &location).body(body).send().await;
    if let Ok(answer) = sent {
        assert_eq!(answer.status(), 413);
    }
    assert!(world.server.tally().snapshot().bytes_in < 1000, "the body was not read");
}

#[tokio::test]
async fn monolithic_uploads_can_be_refused() {
    let world =
        world(Writing { monolithic: Some(rejection(StatusCode::BAD_REQUEST)), ..Writing::default() }).await;
    let location = open(&world).await.header("location").to_owned();
    assert_eq!(complete(&world, &location, b"x").await.status, 400);
    assert_eq!(world.client.send(Method::PATCH, &location, "x").await.status, 202);
    let ended = format!("{location}?digest={}", Digest::of(b"x"));
    assert_eq!(world.client.send(Method::PUT, &ended, "").await.status, 201);
}

#[tokio::test]
async fn locations_follow_the_quirk() {
    let location = Some("{base}{path}?state=a b".to_owned());
    let world = world(Writing { location, ..Writing::default() }).await;
    let answer = open(&world).await;
    let header_value = answer.header("location");
    let start = format!("http://{}{UPLOADS}", world.server.host());
    assert!(header_value.starts_with(&start) && header_value.ends_with("?state=a b"), "{header_value}");
    let id = header_value.strip_prefix(&start).unwrap().split('?').next().unwrap();
    let patched = world.client.send(Method::PATCH, &format!("{UPLOADS}{id}?state=a%20b"), "x").await;
    assert_eq!((patched.status.as_u16(), patched.header("location")), (202, header_value));
}

#[tokio::test]
async fn writes_can_be_redirected_first() {
    let redirect = Redirect { status: StatusCode::PERMANENT_REDIRECT, to: "{base}{target}".to_owned() };
    let world = world(Writing { redirect: Some(redirect), ..Writing::default() }).await;
    let answer = open(&world).await;
    assert_eq!(answer.status, 308);
    let there = format!("{UPLOADS}?redirected=1");
    assert_eq!(answer.header("location"), format!("http://{}{there}", world.server.host()));
    assert_eq!(world.client.send(Method::POST, &there, "").await.status, 202);
}

#[tokio::test]
async fn writes_to_new_repositories_can_be_refused() {
    let rejection = Rejection::new(StatusCode::NOT_FOUND, ErrorCode::NameUnknown);
    let world = world(Writing { create_first: Some(rejection), ..Writing::default() }).await;
    assert_eq!(open(&world).await.refusal(), refused(404, "NAME_UNKNOWN"));
    world.blob(b"made by other means").await;
    assert_eq!(open(&world).await.status, 202);
}

#[tokio::test]
async fn commits_can_be_delayed() {
    let commit = Duration::from_millis(200);
    let world = world(Writing { commit, ..Writing::default() }).await;
    let start = Instant::now();
    assert_eq!(world.client.put_manifest(TAG, &manifest("{}")).await.status, 201);
    assert!(start.elapsed() >= commit);
}
