//! Lists, manifests, blobs, referrers.

use std::time::Duration;

use http::{Method, StatusCode};
use oci::Digest;
use registry::quirks::{FirstPage, Head, Ranges, Reading, ReferrersList};
use registry::sample::{Recipe, Sample};
use registry::{Canned, Config};
use serde_json::{Value, json};

use super::rejection;
use crate::client::{Answer, World, refused, repository};

/// Returns a world with pages of two tags and these quirks, and its image, which has three tags.
async fn world(reading: Reading) -> (World, Sample) {
    let world = World::new(Config { page_size: 2.try_into().unwrap(), ..Config::default() }).await;
    let image = Recipe::default().image();
    let tags = ["a", "b", "c"].map(|tag| tag.parse().unwrap());
    image.put(world.server.store(), &repository("app"), &tags).await.unwrap();
    world.server.quirks().change(|quirks| quirks.reading = reading);
    (world, image)
}

async fn tags(world: &World, query: &str) -> (Value, Option<String>) {
    let answer = world.client.get(&format!("/v2/app/tags/list{query}")).await;
    let link = answer.headers.get("link").map(|link| link.to_str().unwrap().to_owned());
    (answer.json()["tags"].clone(), link)
}

#[tokio::test]
async fn tag_lists_can_be_replaced() {
    let page = Canned::new(StatusCode::OK).with_body("text/html", "<html>");
    let (world, _) = world(Reading { tags: Some(page), ..Reading::default() }).await;
    let answer = world.client.get("/v2/app/tags/list").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "text/html"));
    assert_eq!(&answer.body[..], b"<html>");
}

#[tokio::test]
async fn a_repository_without_tags_can_be_unknown() {
    let (world, image) = world(Reading { untagged_is_unknown: true, ..Reading::default() }).await;
    image.put(world.server.store(), &repository("untagged"), &[]).await.unwrap();
    let answer = world.client.get("/v2/untagged/tags/list").await;
    assert_eq!(answer.refusal(), refused(404, "NAME_UNKNOWN"));
    let target = format!("/v2/untagged/manifests/{}", image.digest());
    assert_eq!(world.client.head(&target).await.status, 200);
    assert_eq!(world.client.get("/v2/app/tags/list").await.status, 200);
}

#[tokio::test]
async fn links_follow_the_quirk() {
    let link = Some("{base}{path}?x=1,2&{query}; rel=next".to_owned());
    let (world, _) = world(Reading { link, ..Reading::default() }).await;
    let host = world.server.host();
    let expected = format!("http://{host}/v2/app/tags/list?x=1,2&n=2&last=b; rel=next");
    assert_eq!(tags(&world, "").await.1, Some(expected));
    assert_eq!(tags(&world, "?last=b").await, (json!(["c"]), None), "the last page has no link");
}

#[tokio::test]
async fn first_pages_can_be_empty_or_null() {
    for (first_page, list) in [(FirstPage::Empty, json!([])), (FirstPage::Null, Value::Null)] {
        let (world, _) = world(Reading { first_page, ..Reading::default() }).await;
        let (first, link) = tags(&world, "?n=2").await;
        assert_eq!(first, list);
        assert_eq!(link.as_deref(), Some("</v2/app/tags/list?last=>; rel=\"next\""));
        assert_eq!(tags(&world, "?last=").await.0, json!(["a", "b"]));
    }
}

#[tokio::test]
async fn tags_can_be_repeated_on_a_page_and_on_the_next() {
    let (world, _) = world(Reading { repeated_tags: true, ..Reading::default() }).await;
    assert_eq!(tags(&world, "").await.0, json!(["a", "a", "b", "b"]));
    assert_eq!(tags(&world, "?last=b").await.0, json!(["b", "c", "c"]));
}

#[tokio::test]
async fn page_sizes_can_be_refused() {
    let page_size_refused = Some(rejection(StatusCode::BAD_REQUEST));
    let (world, _) = world(Reading { page_size_refused, ..Reading::default() }).await;
    assert_eq!(world.client.get("/v2/app/tags/list?n=1000").await.status, 400);
    assert_eq!(tags(&world, "").await.0, json!(["a", "b"]));
}

#[tokio::test]
async fn head_of_a_manifest_can_lack_the_digest_or_the_length() {
    let (world, image) = world(Reading { head: Head::WithoutDigest, ..Reading::default() }).await;
    let target = "/v2/app/manifests/a";
    let answer = world.client.head(target).await;
    assert_eq!((answer.status.as_u16(), answer.headers.contains_key("docker-content-digest")), (200, false));
    assert_eq!(world.client.get(target).await.header("docker-content-digest"), image.digest().to_string());
    world.server.quirks().change(|quirks| quirks.reading.head = Head::EmptyLength);
    let answer = world.client.head(target).await;
    assert_eq!((answer.header("content-length"), answer.status.as_u16()), ("0", 200));
}

#[tokio::test]
async fn manifest_types_follow_the_quirk() {
    let own = "application/vnd.oci.image.manifest.v1+json";
    let upper = own.to_uppercase();
    let charset = format!("{own}; charset=utf-8");
    let cases = [
        ("application/json", Some("application/json")),
        ("{TYPE}", Some(upper.as_str())),
        ("{type}; charset=utf-8", Some(charset.as_str())),
        ("", None),
    ];
    for (template, expected) in cases {
        let manifest_type = Some(template.to_owned());
        let (world, _) = world(Reading { manifest_type, ..Reading::default() }).await;
        let answer = world.client.get("/v2/app/manifests/a").await;
        let header_value = answer.headers.get("content-type").map(|value| value.to_str().unwrap());
        assert_eq!(header_value, expected);
    }
}

#[tokio::test]
async fn lists_of_referrers_follow_the_quirk() {
    let (world, image) = world(Reading::default()).await;
    let referrer = Recipe::default().referrer(image.root(), "application/x");
    referrer.put(world.server.store(), &repository("app"), &[]).await.unwrap();
    let list = async |shape| {
        world.server.quirks().change(|quirks| quirks.reading.referrers_list = shape);
        world.client.get(&format!("/v2/app/referrers/{}", image.digest())).await.json()
    };
    assert_eq!(list(ReferrersList::Own).await["manifests"][0]["artifactType"], "application/x");
    assert_eq!(list(ReferrersList::Null).await["manifests"], Value::Null);
    assert_eq!(list(ReferrersList::WithoutMediaType).await.get("mediaType"), None);
    let entries = list(ReferrersList::WithoutArtifactType).await["manifests"].clone();
    assert_eq!((entries[0]["digest"].is_string(), entries[0].get("artifactType")), (true, None));
    let refusal = Canned::new(StatusCode::NOT_ACCEPTABLE);
    world.server.quirks().change(|quirks| quirks.reading.referrers = Some(refusal));
    assert_eq!(world.client.get(&format!("/v2/app/referrers/{}", image.digest())).await.status, 406);
}

async fn part(world: &World, target: &str) -> Answer {
    Answer::of(world.client.request(Method::GET, target).header("Range", "bytes=3-4")).await
}

#[tokio::test]
async fn ranges_follow_the_quirk() {
    let (world, _) = world(Reading::default()).await;
    let target = format!("/v2/app/blobs/{}", world.blob(b"0123456").await);
    let cases = [
        (Ranges::Honoured, 206, &b"34"[..], Some("bytes 3-4/7")),
        (Ranges::Ignored, 200, b"0123456", None),
        (Ranges::FromStart, 206, b"0123456", Some("bytes 0-6/7")),
        (Ranges::Mislabelled, 206, b"0123456", Some("bytes 3-4/7")),
    ];
    for (ranges, status, body, header_value) in cases {
        world.server.quirks().change(|quirks| quirks.reading.ranges = ranges);
        let answer = part(&world, &target).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (status, body), "{ranges:?}");
        let range = answer.headers.get("content-range").map(|value| value.to_str().unwrap());
        assert_eq!(range, header_value, "{ranges:?}");
    }
    let refused = Ranges::Refused(rejection(StatusCode::BAD_REQUEST));
    world.server.quirks().change(|quirks| quirks.reading.ranges = refused);
    assert_eq!(part(&world, &target).await.status, 400);
    assert_eq!(world.client.get(&target).await.status, 200, "without a range");
}

#[tokio::test]
async fn blobs_can_claim_an_encoding_and_be_redirected() {
    let (world, _) = world(Reading { content_encoding: Some("gzip"), ..Reading::default() }).await;
    let target = format!("/v2/app/blobs/{}", world.blob(b"plain").await);
    let answer = world.client.get(&target).await;
    assert_eq!((answer.header("content-encoding"), &answer.body[..]), ("gzip", &b"plain"[..]));

    let location = Some("{base}{target}?signature=x".to_owned());
    world.server.quirks().change(|quirks| quirks.reading.blob_location = location);
    let answer = world.client.get(&target).await;
    let signed = format!("{target}?signature=x");
    assert_eq!(answer.status, 307);
    assert_eq!(answer.header("location"), format!("http://{}{signed}", world.server.host()));
    assert_eq!(&world.client.get(&signed).await.body[..], b"plain");
}

#[tokio::test]
async fn reads_can_lag_behind_writes() {
    let (world, image) = world(Reading { lag: Duration::from_secs(3600), ..Reading::default() }).await;
    let other = Recipe { layers: 0, ..Recipe::default() }.image();
    let put = async |target: &str| world.client.put_manifest(target, other.root()).await.status;
    other.put(world.server.store(), &repository("elsewhere"), &[]).await.unwrap();
    for blob in &other.blobs {
        let target = format!("/v2/app/blobs/uploads/?digest={}", Digest::of(blob));
        assert_eq!(world.client.send(Method::POST, &target, blob.clone()).await.status, 201);
        assert_eq!(world.client.head(&format!("/v2/app/blobs/{}", Digest::of(blob))).await.status, 404);
    }
    assert_eq!(put("/v2/app/manifests/a").await, 201);
    assert_eq!(put("/v2/app/manifests/d").await, 201);
    assert_eq!(world.client.head(&format!("/v2/app/manifests/{}", other.digest())).await.status, 404);
    assert_eq!(world.client.head("/v2/app/manifests/d").await.status, 404);
    let before = world.client.head("/v2/app/manifests/a").await;
    assert_eq!(
        before.header("docker-content-digest"),
        image.digest().to_string(),
        "the digest before the write"
    );
    assert_eq!(tags(&world, "?last=b").await.0, json!(["c"]));

    world.server.quirks().change(|quirks| quirks.reading.lag = Duration::from_nanos(1));
    let after = world.client.head("/v2/app/manifests/a").await;
    assert_eq!(
        after.header("docker-content-digest"),
        other.digest().to_string(),
        "the digest after the write"
    );
    assert_eq!(tags(&world, "?last=b").await.0, json!(["c", "d"]));
}
