//! The server itself: counting, starting, stopping.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use oci::Digest;
use registry::{Config, Effect, Fault, Kind, Logged, Server, StartError};

use crate::client::World;

#[tokio::test]
async fn every_request_and_every_byte_is_counted_by_kind() {
    let world = World::plain().await;
    let digest = world.blob(b"0123456789").await;
    let client = &world.client;
    client.get(&format!("/v2/app/blobs/{digest}")).await;
    client.head(&format!("/v2/app/blobs/{digest}")).await;
    client.send(Method::POST, &format!("/v2/b/blobs/uploads/?mount={digest}&from=app"), "").await;
    let place = client.send(Method::POST, "/v2/app/blobs/uploads/", "").await;
    let place = format!("{}?digest={}", place.header("location"), Digest::of(b"12345"));
    client.send(Method::PUT, &place, "12345").await;
    let absent = client.get("/v2/app/manifests/absent").await;
    client.get("/elsewhere").await;

    let tally = world.server.tally().snapshot();
    let counted: Vec<_> = Kind::ALL.iter().filter(|kind| tally.requests(**kind) > 0).collect();
    let kinds = [
        Kind::ManifestGet,
        Kind::BlobHead,
        Kind::BlobGet,
        Kind::Mount,
        Kind::UploadOpen,
        Kind::UploadPut,
        Kind::Other,
    ];
    assert_eq!(counted, kinds.iter().collect::<Vec<_>>());
    assert_eq!((tally.total(), tally.writes(), tally.total_refused()), (7, 3, 0));
    assert_eq!((tally.bytes_in, tally.blob_bytes_out), (5, 10));
    assert!(tally.bytes_out >= 10 + absent.body.len() as u64);

    world.server.tally().reset();
    assert_eq!(world.server.tally().snapshot().total(), 0);
    assert_eq!(world.server.tally().snapshot().blob_bytes_out, 0);
}

#[tokio::test]
async fn the_maximum_of_concurrent_requests_is_recorded() {
    let world = World::plain().await;
    world.server.faults().set_latency(Duration::from_millis(200));
    futures_util::future::join_all((0..5).map(|_| world.client.get("/v2/"))).await;
    assert_eq!(world.server.tally().snapshot().most_in_flight, 5);
}

#[tokio::test]
async fn the_log_keeps_the_latest_requests() {
    let world = World::new(Config { request_log: 2, ..Config::default() }).await;
    world.client.get("/v2/").await;
    world.client.get("/v2/app/tags/list?n=1").await;
    world.server.faults().add(Fault::new(Effect::Reset));
    world.client.request(Method::GET, "/v2/").send().await.unwrap_err();
    let logged = |target: &str, status: Option<u16>| Logged {
        method: Method::GET,
        target: target.to_owned(),
        status: status.map(|status| StatusCode::from_u16(status).unwrap()),
    };
    assert_eq!(
        world.server.tally().log(),
        [logged("/v2/app/tags/list?n=1", Some(404)), logged("/v2/", None)]
    );
}

#[tokio::test]
async fn servers_are_independent() {
    let (one, two) = (World::plain().await, World::plain().await);
    let digest = one.blob(b"content").await;
    assert_eq!(one.client.head(&format!("/v2/app/blobs/{digest}")).await.status, 200);
    assert_eq!(two.client.head(&format!("/v2/app/blobs/{digest}")).await.status, 404);
    assert_eq!(two.server.tally().snapshot().total(), 1);
}

#[tokio::test]
async fn the_error_names_an_address_in_use() {
    let world = World::plain().await;
    let listen = world.server.address();
    let error = Server::start(Config { listen, ..Config::default() }).await.unwrap_err();
    assert!(
        matches!(error, StartError::Listen { .. }) && error.to_string().contains(&listen.to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn stopping_completes_requests_in_flight_and_accepts_no_more() {
    let world = World::plain().await;
    world.server.faults().set_latency(Duration::from_millis(300));
    let World { server, client } = world;
    let (answer, ()) = tokio::join!(client.get("/v2/"), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.stop().await;
    });
    assert_eq!(answer.status, 200);
    client.request(Method::GET, "/v2/").send().await.unwrap_err();
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_hanging_request() {
    let World { server, client } = World::plain().await;
    server.faults().add(Fault::new(Effect::Hang));
    let start = Instant::now();
    let (answer, ()) = tokio::join!(client.request(Method::GET, "/v2/").send(), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.stop().await;
    });
    answer.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn dropping_a_server_stops_it() {
    let World { server, client } = World::plain().await;
    assert_eq!(client.get("/v2/").await.status, 200);
    drop(server);
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.request(Method::GET, "/v2/").send().await.unwrap_err();
}
