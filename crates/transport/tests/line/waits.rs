//! Slow answers, and requests that pause.

use std::time::Duration;

use bytes::Bytes;
use transport::{Body, Door, ErrorKind, HostSettings, Queue, Request, Settings};

use crate::support::server::{OK, Server, empty};
use crate::support::{door, impatient, stream};

const READ_TIMEOUT: Duration = Duration::from_millis(600);
/// Longer than the timeout of a read.
const LONG: Duration = Duration::from_millis(1_000);

/// Returns a door with this timeout for the answers of all hosts.
fn door_with_answer(answer: Option<Duration>) -> Door {
    let other_hosts = HostSettings { answer, ..HostSettings::default() };
    Door::open(Settings { other_hosts, ..impatient(READ_TIMEOUT) }).unwrap()
}

fn writes(server: &Server) -> [Request; 2] {
    [
        server.post("/").body(Body::Bytes(Bytes::from_static(b"content"))),
        server.post("/").body(stream(b"content")),
    ]
}

/// A registry may take minutes to commit a blob.
#[tokio::test]
async fn a_write_has_a_longer_timeout_than_a_read() {
    let server = Server::slow(LONG, [OK]).await;
    let door = door_with_answer(None);
    for write in writes(&server) {
        let answer = door.send(write).await.unwrap();
        assert_eq!((answer.body(), answer.attempts()), (&Bytes::from_static(b"ok"), 1));
    }
    let error = door.send(server.get("/").once()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { limit, .. } if *limit == READ_TIMEOUT), "{error}");
}

#[tokio::test]
async fn the_answer_timeout_of_a_host_applies_to_reads_and_writes() {
    let server = Server::slow(LONG, [OK]).await;
    let door = door_with_answer(Some(Duration::from_secs(60)));
    for request in writes(&server).into_iter().chain([server.get("/")]) {
        assert_eq!(door.send(request).await.unwrap().attempts(), 1);
    }
    let shorter = Duration::from_millis(300);
    let door = door_with_answer(Some(shorter));
    for write in writes(&server) {
        let error = door.send(write.once()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Timeout { limit, .. } if *limit == shorter), "{error}");
    }
}

/// A request that pauses is not in a queue, but the user waits for it nevertheless.
#[tokio::test]
async fn a_request_between_attempts_counts_as_waiting() {
    let server = Server::plain([empty(500, "retry-after: 30\r\n")]).await;
    let door = door();
    let requests: Vec<_> = (0..2)
        .map(|_| {
            let (door, request) = (door.clone(), server.get("/"));
            tokio::spawn(async move { door.send(request).await })
        })
        .collect();
    let waiting = async {
        loop {
            let queues = door.queues();
            if queues.iter().any(|queue| queue.requests == 2 && !queue.rests.is_zero()) {
                return queues;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let queues =
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("both requests are counted");
    let [Queue { host, rests, refuses, .. }] = &queues[..] else { panic!("{queues:?}") };
    assert_eq!((host, *refuses), (&server.address, false));
    assert!(*rests > Duration::from_secs(5) && *rests <= Duration::from_secs(30), "{rests:?}");

    for request in requests {
        request.abort();
        let _ = request.await;
    }
    assert!(door.queues().is_empty(), "no request waits any more");
}

/// A host counts as silent only while requests wait for its answer.
#[tokio::test]
async fn a_host_is_reported_as_silent_while_requests_wait_for_it() {
    let server = Server::slow(Duration::from_secs(60), [OK]).await;
    let door = door();
    let request = {
        let (door, request) = (door.clone(), server.get("/"));
        tokio::spawn(async move { door.send(request).await })
    };
    let waiting = async {
        while door.silent().get(&server.address).is_none_or(|silent| *silent < Duration::from_millis(200)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("the host is reported as silent");
    request.abort();
    let _ = request.await;
    assert!(door.silent().is_empty());
}

/// Each silence lasts as long as an answer may take, so only a few attempts are made.
#[tokio::test]
async fn a_silent_host_gets_three_attempts() {
    let server = Server::slow(Duration::from_secs(60), [OK]).await;
    let mut settings = impatient(Duration::from_millis(100));
    settings.retry.attempts = 6;
    settings.other_hosts.answer = Some(Duration::from_millis(100));
    let door = Door::open(settings).unwrap();
    for request in [server.get("/"), server.post("/").body(Body::Bytes(Bytes::from_static(b"content")))] {
        let before = server.received().len();
        let error = door.send(request).await.unwrap_err();
        assert!(error.is_silence() && error.to_string().contains("3 attempts"), "{error}");
        assert_eq!(server.received().len() - before, 3);
    }
}

/// The status of a failure is its most important part: the rest of its body does not justify holding a permit for long.
#[tokio::test]
async fn the_body_of_a_failure_is_cut_off_early() {
    let settings = impatient(Duration::from_millis(200));
    for status in [403, 404, 500] {
        let begun = format!("HTTP/1.1 {status} No\r\ncontent-length: 9999\r\n\r\n{{");
        let server = Server::dripping([begun]).await;
        let door = Door::open(settings.clone()).unwrap();
        let outcome =
            tokio::time::timeout(Duration::from_secs(10), door.send(server.get("/"))).await.unwrap();
        match outcome {
            Ok(answer) => {
                assert_eq!(answer.status().as_u16(), status);
                assert!(answer.body().starts_with(b"{x"), "the part that has arrived is kept");
                assert_eq!(answer.attempts(), if status == 500 { 3 } else { 1 });
            }
            Err(error) => {
                assert_eq!(status, 404, "a partial body is not evidence of absence");
                assert!(matches!(error.kind(), ErrorKind::LongBody { .. }), "{error}");
            }
        }
        assert_eq!(server.received().len(), if status == 403 { 1 } else { 3 });
    }
}

#[tokio::test]
async fn a_slow_body_is_requested_three_times() {
    let server = Server::dripping(["HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n"]).await;
    let mut settings = impatient(READ_TIMEOUT);
    settings.retry.attempts = 6;
    settings.timeouts.idle = Duration::from_millis(100);
    let error = Door::open(settings).unwrap().send(server.get("/")).await.unwrap_err();
    assert!(error.to_string().contains("fewer than 1024 bytes of the body arrived within 0.1 s"), "{error}");
    assert_eq!(server.received().len(), 3);
}
