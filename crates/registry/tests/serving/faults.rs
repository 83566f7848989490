//! Each effect of a fault, as a client sees it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, Method, StatusCode};
use oci::Digest;
use registry::{Allowance, Canned, Effect, ErrorCode, Fault, Kind, Quota, Sequence, Window};

use crate::client::{World, refused, repository};

/// Returns a world with a blob of 100,000 bytes and a fault that strikes reads of it, and the path of the blob.
async fn struck(effect: Effect) -> (World, String) {
    let world = World::plain().await;
    let digest = world.blob(&[7; 100_000]).await;
    world.server.faults().add(Fault::new(effect).on(Kind::BlobGet));
    (world, format!("/v2/app/blobs/{digest}"))
}

/// Reads a body. Returns how many bytes arrive and how the body ends. After a pause of `pause_max`, it counts as endless.
async fn read(world: &World, target: &str, pause_max: Duration) -> (usize, Ended) {
    let response = world.client.request(Method::GET, target).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut pieces = response.bytes_stream();
    let mut length = 0;
    loop {
        match tokio::time::timeout(pause_max, pieces.next()).await {
            Err(_) => return (length, Ended::Never),
            Ok(None) => return (length, Ended::Properly),
            Ok(Some(Err(_))) => return (length, Ended::Broken),
            Ok(Some(Ok(piece))) => length += piece.len(),
        }
        if length > 5_000_000 {
            return (length, Ended::Never);
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Properly,
    Broken,
    Never,
}

const PAUSE_MAX: Duration = Duration::from_millis(300);

#[tokio::test]
async fn latency_delays_every_response_until_it_is_removed() {
    let world = World::plain().await;
    world.server.faults().set_latency(Duration::from_millis(200));
    let start = Instant::now();
    world.client.get("/v2/").await;
    assert!(start.elapsed() >= Duration::from_millis(200));
    world.server.faults().set_latency(Duration::ZERO);
    let start = Instant::now();
    world.client.get("/v2/").await;
    assert!(start.elapsed() < Duration::from_millis(150));
}

#[tokio::test]
async fn a_quota_refuses_excess_requests_until_it_is_changed() {
    let world = World::plain().await;
    let retry_after = Some(Duration::from_millis(1500));
    let writes = Allowance { per_second: 0.001, burst: 1, retry_after };
    world.server.faults().set_quota(Quota::Separate { reads: None, writes: Some(writes) });
    let open = async || world.client.send(Method::POST, "/v2/app/blobs/uploads/", "body").await;
    assert_eq!(open().await.status, 202);
    let refusal = open().await;
    assert_eq!(refusal.refusal(), refused(429, "TOOMANYREQUESTS"));
    assert_eq!(refusal.header("retry-after"), "2", "whole seconds, rounded up");
    assert_eq!(world.client.get("/v2/").await.status, 200, "reads have no limit");
    let tally = world.server.tally().snapshot();
    assert_eq!((tally.requests(Kind::UploadOpen), tally.refused(Kind::UploadOpen)), (2, 1));
    assert_eq!(tally.total_refused(), 1);

    let shared = Allowance { per_second: 0.001, burst: 1, retry_after: None };
    world.server.faults().set_quota(Quota::Shared(shared));
    assert_eq!(world.client.get("/v2/").await.status, 200);
    let refusal = world.client.get("/v2/").await;
    assert_eq!((refusal.status.as_u16(), refusal.headers.contains_key("retry-after")), (429, false));
    world.server.faults().set_quota(Quota::Unlimited);
    assert_eq!(open().await.status, 202);
}

#[tokio::test]
async fn a_status_fault_replaces_the_response_the_given_number_of_times() {
    let world = World::plain().await;
    let status = Effect::Status {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: ErrorCode::Unavailable,
        retry_after: Some(Duration::from_secs(3)),
    };
    let watch = world.server.faults().add(Fault::new(status).on(Kind::UploadOpen).times(1));
    let open = async || world.client.send(Method::POST, "/v2/app/blobs/uploads/", "").await;
    let refusal = open().await;
    assert_eq!(refusal.refusal(), refused(503, "UNAVAILABLE"));
    assert_eq!(refusal.header("retry-after"), "3");
    assert_eq!(open().await.status, 202);
    assert_eq!(watch.struck(), 1);
}

#[tokio::test]
async fn a_reset_breaks_the_connection_before_the_request_is_processed() {
    let world = World::plain().await;
    world.server.faults().add(Fault::new(Effect::Reset).on(Kind::UploadOpen).times(1));
    let target = format!("/v2/app/blobs/uploads/?digest={}", Digest::of(b"x"));
    let error = world.client.request(Method::POST, &target).body("x").send().await.unwrap_err();
    assert!(error.is_request(), "{error:?}");
    let cause = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
        .find_map(|error| error.downcast_ref::<std::io::Error>());
    assert_eq!(cause.map(std::io::Error::kind), Some(std::io::ErrorKind::ConnectionReset), "{error:?}");
    assert!(!world.server.store().has_blob(&repository("app"), &Digest::of(b"x")));
    assert_eq!(world.client.send(Method::POST, &target, "x").await.status, 201, "once");
}

#[tokio::test]
async fn a_request_with_a_lost_response_is_processed() {
    let world = World::plain().await;
    world.server.faults().add(Fault::new(Effect::LostAnswer).on(Kind::UploadOpen));
    let target = format!("/v2/app/blobs/uploads/?digest={}", Digest::of(b"x"));
    world.client.request(Method::POST, &target).body("x").send().await.unwrap_err();
    assert!(world.server.store().has_blob(&repository("app"), &Digest::of(b"x")));
}

#[tokio::test]
async fn a_cut_body_announces_its_length_and_ends_early() {
    for after in [0, 30_000] {
        let (world, target) = struck(Effect::Cut { after }).await;
        let response = world.client.request(Method::GET, &target).send().await.unwrap();
        assert_eq!(response.headers()["content-length"], "100000");
        drop(response);
        assert_eq!(read(&world, &target, Duration::from_secs(5)).await, (after as usize, Ended::Broken));
    }
}

#[tokio::test]
async fn a_corrupt_body_has_the_right_length_and_a_wrong_byte() {
    let (world, target) = struck(Effect::Corrupt).await;
    let answer = world.client.get(&target).await;
    assert_eq!(answer.body.len(), 100_000);
    assert_ne!(answer.body[..], [7; 100_000]);
    assert_eq!(answer.body[1..], [7; 99_999]);
}

#[tokio::test]
async fn a_slow_body_arrives_slowly_and_completely() {
    let (world, target) = struck(Effect::Slow { bytes_per_second: 200_000 }).await;
    let start = Instant::now();
    assert_eq!(read(&world, &target, Duration::from_secs(5)).await, (100_000, Ended::Properly));
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(450) && took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn a_hanging_request_is_never_answered() {
    let (world, target) = struck(Effect::Hang).await;
    let request = world.client.request(Method::GET, &target).send();
    assert!(tokio::time::timeout(PAUSE_MAX, request).await.is_err());
    assert_eq!(world.client.get("/v2/").await.status, 200, "other requests are served");
}

#[tokio::test]
async fn a_hanging_body_stops_midway() {
    let (world, target) = struck(Effect::HangBody { after: 30_000 }).await;
    assert_eq!(read(&world, &target, PAUSE_MAX).await, (30_000, Ended::Never));
}

#[tokio::test]
async fn an_endless_body_continues_until_the_client_disconnects() {
    let (world, target) = struck(Effect::Endless).await;
    let (length, ended) = read(&world, &target, Duration::from_secs(5)).await;
    assert!(length > 5_000_000 && ended == Ended::Never, "{length} {ended:?}");
}

#[tokio::test]
async fn a_canned_response_can_have_any_content() {
    let world = World::plain().await;
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "text/html".parse().unwrap());
    headers.insert("location", "http://elsewhere.example/".parse().unwrap());
    let canned = Canned { status: StatusCode::FOUND, headers, body: Bytes::from_static(b"<html>") };
    let fault = Fault::new(Effect::Canned(canned)).on(Kind::TagList).path("/app/");
    world.server.faults().add(fault);
    let answer = world.client.get("/v2/app/tags/list").await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (302, &b"<html>"[..]));
    assert_eq!(answer.header("location"), "http://elsewhere.example/");
    assert_eq!(world.client.get("/v2/other/tags/list").await.status, 404);
    world.server.faults().clear();
    assert_eq!(world.client.get("/v2/app/tags/list").await.status, 404);
}

#[tokio::test]
async fn the_first_fault_that_strikes_is_the_only_one() {
    let world = World::plain().await;
    let status = |code: u16| Effect::Status {
        status: code.try_into().unwrap(),
        code: ErrorCode::Unknown,
        retry_after: None,
    };
    world.server.faults().add(Fault::new(status(500)).times(1));
    world.server.faults().add(Fault::new(status(502)).skip(1));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(world.client.get("/v2/").await.status.as_u16());
    }
    assert_eq!(statuses, [500, 200, 502, 502]);
}

#[tokio::test]
async fn a_window_of_a_quota_refuses_excess_requests() {
    let world = World::plain().await;
    let window = Window { requests: 2, length: Duration::from_secs(3600), retry_after: None };
    world.server.faults().set_quota(Quota::PerWindow(window));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(world.client.get("/v2/").await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test]
async fn a_sequence_counts_the_requests_of_several_servers_and_strikes_exactly_one() {
    let (one, other) = (World::plain().await, World::plain().await);
    let sequence = Sequence::default();
    one.server.faults().count_with(&sequence);
    other.server.faults().count_with(&sequence);
    let effect =
        Effect::Status { status: StatusCode::BAD_GATEWAY, code: ErrorCode::Unknown, retry_after: None };
    sequence.strike(3, effect);
    let mut statuses = Vec::new();
    for world in [&one, &other, &one, &other, &one] {
        statuses.push(world.client.get("/v2/").await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 502, 200, 200]);
    assert_eq!(sequence.count(), 5);
}

/// Tests interrupt a run before or after a request is processed: they wait for the request and drop the client.
#[tokio::test]
async fn a_sequence_pauses_a_request_before_or_after_it_is_processed() {
    for (effect, done) in [(Effect::Hang, false), (Effect::HangAnswer, true)] {
        let world = World::plain().await;
        let sequence = Sequence::default();
        world.server.faults().count_with(&sequence);
        sequence.strike(2, effect);
        world.client.get("/v2/").await;
        let target = format!("/v2/app/blobs/uploads/?digest={}", Digest::of(b"x"));
        let upload = world.client.request(Method::POST, &target).body("x").send();
        let reached = async { if done { sequence.served(2).await } else { sequence.arrived(2).await } };
        tokio::select! {
            answer = upload => panic!("the request is answered: {answer:?}"),
            () = reached => {}
        }
        assert_eq!(world.server.store().has_blob(&repository("app"), &Digest::of(b"x")), done);
        assert_eq!(world.client.get("/v2/").await.status, 200, "the next request is served");
    }
}
