//! The behaviour of the door towards a server with predefined answers.

#![allow(clippy::unwrap_used, reason = "tests report failures by panicking")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use transport::{Body, Class, Door, ErrorKind, HostSettings, Opened, Request, Retry, Settings, Timeouts};
use url::Url;

/// A server that returns its answers in turn, repeats the last one forever, and records its requests.
struct Server {
    address: String,
    received: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let received = Arc::<Mutex<Vec<String>>>::default();
        let (log, answers) =
            (Arc::clone(&received), answers.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>());
        tokio::spawn(async move {
            for number in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let answer = answers[number.min(answers.len() - 1)].clone();
                let log = Arc::clone(&log);
                tokio::spawn(async move {
                    let mut head = vec![0; 8192];
                    let read = stream.read(&mut head).await.unwrap_or(0);
                    log.lock().unwrap().push(String::from_utf8_lossy(&head[..read]).into_owned());
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                    // Reads the rest of the request: closing the connection earlier would reset it, and the client could lose
                    // the answer.
                    while stream.read(&mut head).await.is_ok_and(|read| read > 0) {}
                });
            }
        });
        Self { address, received }
    }

    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    fn get(&self, path: &str) -> Request {
        Request::new(Method::GET, self.url(path), "get", Class::Read)
    }

    fn received(&self) -> usize {
        self.received.lock().unwrap().len()
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
const SLOW_DOWN: &str =
    "HTTP/1.1 429 Slow\r\nretry-after: 30\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

fn settings() -> Settings {
    let retry = Retry { attempts: 3, first_pause: Duration::from_millis(5), ..Retry::default() };
    Settings { retry, ..Settings::default() }
}

fn door() -> Door {
    Door::open(settings()).unwrap()
}

#[tokio::test]
async fn temporary_failures_are_retried_and_counted() {
    let server = Server::start(&[BUSY, "", OK]).await;
    let door = door();
    let response = door.send(server.get("/")).await.unwrap();
    assert_eq!((response.status().as_u16(), response.attempts()), (200, 3));
    assert_eq!(response.into_body(), "ok");
    let tally = door.tally().remove(&server.address).unwrap();
    assert_eq!(
        (tally.total(), tally.retried, tally.faults, tally.refused, tally.unanswered, tally.received),
        (3, 2, 1, 0, 1, 2)
    );
}

#[tokio::test]
async fn the_last_answer_is_returned_when_the_budget_is_used_up() {
    let server = Server::start(&[BUSY]).await;
    let response = door().send(server.get("/")).await.unwrap();
    assert_eq!((response.status().as_u16(), server.received()), (503, 3));
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let refused = "HTTP/1.1 429 Slow\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let server = Server::start(&[refused, OK]).await;
    let started = Instant::now();
    assert!(door().send(server.get("/")).await.unwrap().status().is_success());
    assert!(started.elapsed() >= Duration::from_secs(1));
}

/// A stream can be sent only once, and a request that is marked with `once` must not be sent twice.
#[tokio::test]
async fn requests_that_must_not_be_repeated_are_sent_once() {
    let server = Server::start(&[BUSY]).await;
    assert_eq!(door().send(server.get("/").once()).await.unwrap().attempts(), 1);
    let stream = Box::pin(futures_util::stream::iter([Ok(Bytes::from_static(b"abc"))]));
    let put = Request::new(Method::PUT, server.url("/"), "put", Class::Write)
        .body(Body::Stream { length: 3, stream });
    assert_eq!(door().send(put).await.unwrap().status().as_u16(), 503);
    assert_eq!(server.received(), 2);
    assert!(server.received.lock().unwrap()[1].contains("content-length: 3"), "the length is announced");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let started = Instant::now();
    let timeouts = Timeouts { answer: Duration::from_millis(300), ..Timeouts::default() };
    let door = Door::open(Settings { timeouts, ..settings() }).unwrap();
    let error = door.send(Request::new(Method::GET, url, "get", Class::Read)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{error}");
    assert!(error.to_string().contains("3 attempts"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn credentials_are_not_sent_to_another_host_after_a_redirect() {
    let other = Server::start(&[OK]).await;
    let answer = format!(
        "HTTP/1.1 307 There\r\nlocation: {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        other.url("/x")
    );
    let server = Server::start(&[&answer]).await;
    let mut secret = HeaderValue::from_static("Bearer hush");
    secret.set_sensitive(true);
    let request = server.get("/").follow().header(header::AUTHORIZATION, secret);
    assert_eq!(door().send(request).await.unwrap().url().path(), "/x");
    assert!(server.received.lock().unwrap()[0].contains("hush"));
    assert!(!other.received.lock().unwrap()[0].contains("hush"));
}

#[tokio::test]
async fn redirects_to_non_public_addresses_are_refused() {
    for place in [
        "http://169.254.169.254/token",
        "http://10.0.0.1/",
        "https://192.168.0.1/",
        "https://[fd00::1]/",
        "file:///etc/passwd",
    ] {
        let answer = format!(
            "HTTP/1.1 302 There\r\nlocation: {place}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        let server = Server::start(&[&answer]).await;
        let error = door().send(server.get("/").follow()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Forbidden(_)), "{place}: {error}");
    }
}

#[tokio::test]
async fn plain_http_requires_a_loopback_host_or_configuration() {
    let url = Url::parse("http://registry.invalid/").unwrap();
    let request = || Request::new(Method::GET, url.clone(), "get", Class::Read).once();
    assert!(matches!(door().send(request()).await.unwrap_err().kind(), ErrorKind::Forbidden(_)));
    let plain = HostSettings { plain_http: true, ..HostSettings::default() };
    let hosts = [("registry.invalid".to_owned(), plain)].into();
    let door = Door::open(Settings { hosts, ..settings() }).unwrap();
    // The request is sent now, and the host does not exist.
    assert!(matches!(door.send(request()).await.unwrap_err().kind(), ErrorKind::Connect(_)));
}

#[tokio::test]
async fn concurrent_requests_stay_within_the_limit_of_the_host() {
    let server = Server::start(&[OK]).await;
    let one = HostSettings { concurrency: 1, ..HostSettings::default() };
    let door = Door::open(Settings { other_hosts: one, ..settings() }).unwrap();
    let Opened::Body(first) = door.stream(server.get("/")).await.unwrap() else { panic!("expected a body") };
    let second = tokio::time::timeout(Duration::from_millis(200), door.send(server.get("/"))).await;
    assert!(second.is_err(), "the body of the first answer still holds the permit");
    drop(first);
    assert!(door.send(server.get("/")).await.is_ok());
}

/// An answer that a caller keeps blocks no other request, whatever its status.
#[tokio::test]
async fn an_answer_holds_no_permit_at_its_host() {
    let denied = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 4\r\nconnection: close\r\n\r\nwho?";
    let server = Server::start(&[denied, OK]).await;
    let one = HostSettings { concurrency: 1, ..HostSettings::default() };
    let door = Door::open(Settings { other_hosts: one, ..settings() }).unwrap();
    let held = door.send(server.get("/")).await.unwrap();
    let second = tokio::time::timeout(Duration::from_secs(20), door.send(server.get("/"))).await;
    assert_eq!(second.expect("the second request does not wait for the first").unwrap().body(), "ok");
    assert_eq!((held.status().as_u16(), &held.body()[..]), (401, &b"who?"[..]));
}

/// A truncated body is requested again. If all attempts fail, the error of the last one is returned.
#[tokio::test]
async fn a_truncated_body_is_requested_again() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nok";
    let server = Server::start(&[cut, OK]).await;
    let answer = door().send(server.get("/")).await.unwrap();
    assert_eq!((answer.body(), answer.attempts()), (&Bytes::from_static(b"ok"), 2));
    let server = Server::start(&[cut]).await;
    let error = door().send(server.get("/")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Broken(_)), "{error}");
    assert_eq!(server.received(), 3);
}

/// While the content to send is delayed, the host is not the cause of the silence. If the content fails, the error says so.
#[tokio::test]
async fn a_slow_or_failing_source_is_not_attributed_to_the_host() {
    let server = Server::start(&[OK]).await;
    let timeouts = Timeouts { answer: Duration::from_millis(200), ..Timeouts::default() };
    let answer = Some(Duration::from_millis(200));
    let other_hosts = HostSettings { answer, ..HostSettings::default() };
    let door = Door::open(Settings { timeouts, other_hosts, ..settings() }).unwrap();
    let put = |stream| {
        Request::new(Method::PUT, server.url("/"), "put", Class::Write)
            .body(Body::Stream { length: 6, stream })
    };
    let slow = futures_util::stream::unfold(0, |piece| async move {
        tokio::time::sleep(Duration::from_millis(if piece == 1 { 1000 } else { 0 })).await;
        (piece < 2).then_some((Ok(Bytes::from_static(b"abc")), piece + 1))
    });
    assert_eq!(door.send(put(Box::pin(slow))).await.unwrap().status().as_u16(), 200);

    let broken = [Ok(Bytes::from_static(b"abc")), Err(std::io::Error::other("the source broke"))];
    let error = door.send(put(Box::pin(futures_util::stream::iter(broken)))).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Content(why) if why == "the source broke"), "{error}");
}

#[tokio::test]
async fn a_redirect_to_a_metadata_service_is_refused_even_if_it_is_configured() {
    let metadata = Server::start(&[OK]).await;
    let answer = format!(
        "HTTP/1.1 307 There\r\nlocation: {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        metadata.url("/computeMetadata/v1/token")
    );
    let server = Server::start(&[&answer]).await;
    let plain = HostSettings { plain_http: true, ..HostSettings::default() };
    let hosts = [(metadata.address.clone(), plain.clone()), ("169.254.169.254".to_owned(), plain)].into();
    let metadata_hosts = vec![metadata.address.clone()];
    let door = Door::open(Settings { hosts, metadata_hosts, ..settings() }).unwrap();
    let error = door.send(server.get("/").follow()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Forbidden(_)), "{error}");
    assert_eq!(metadata.received(), 0);
    let link_local = "HTTP/1.1 307 There\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let server = Server::start(&[link_local]).await;
    let error = door.send(server.get("/").follow()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Forbidden(_)), "{error}");
}

/// A host that asks for a rest, a request without answer, and an incomplete body are reported as long as they last.
#[tokio::test]
async fn stalled_requests_are_reported_while_they_stall() {
    let begun = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok";
    let server = Server::start(&[begun]).await;
    let (silent, busy) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Server::start(&[SLOW_DOWN]).await);
    let hanging = Url::parse(&format!("http://{}/hangs?secret", silent.local_addr().unwrap())).unwrap();
    let door = door();
    let request = {
        let door = door.clone();
        tokio::spawn(async move { door.send(Request::new(Method::GET, hanging, "get", Class::Read)).await })
    };
    let refused = {
        let (door, request) = (door.clone(), busy.get("/"));
        tokio::spawn(async move { door.send(request).await })
    };
    let body = door.stream(server.get("/body")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;

    let mut named: Vec<String> =
        door.stalled(Duration::from_millis(300)).into_iter().map(|s| s.what).collect();
    named.sort();
    assert_eq!(named.len(), 2, "{named:?}");
    assert!(named.iter().any(|what| what.ends_with("/body")), "{named:?}");
    assert!(named.iter().any(|what| what.ends_with("/hangs?…")), "the query is hidden: {named:?}");
    let queues = door.queues();
    assert_eq!((queues.len(), queues[0].host.as_str(), queues[0].requests), (1, busy.address.as_str(), 1));
    assert!(queues[0].rests > Duration::from_secs(20));

    drop(body);
    request.abort();
    refused.abort();
    let _ = (request.await, refused.await);
    assert!(door.stalled(Duration::ZERO).is_empty());
    assert!(door.queues().is_empty(), "no request waits any more");
}

/// A host that is down is given up for all requests at once, rather than for each request after its own attempts.
#[tokio::test]
async fn all_waiting_requests_fail_when_their_host_is_given_up() {
    let server = Server::start(&[BUSY]).await;
    let one = HostSettings { patience: Duration::from_millis(300), ..HostSettings::default() };
    let door = Door::open(Settings { other_hosts: one, ..settings() }).unwrap();
    let answers = futures_util::future::join_all((0..200).map(|_| door.send(server.get("/")))).await;
    let given_up = answers.iter().filter_map(|answer| answer.as_ref().err());
    let given_up: Vec<String> = given_up.map(ToString::to_string).collect();
    assert!(given_up.len() > 150, "{} of 200", given_up.len());
    assert!(given_up[0].contains(": gave up after "), "{}", given_up[0]);
    assert!(given_up[0].ends_with("; last: 503 Service Unavailable"), "{}", given_up[0]);
    assert!(server.received() < 50, "{} requests were sent", server.received());
}

/// A server may begin its answer before the operation has completed, and send white space in the meantime.
#[tokio::test]
async fn a_patient_request_waits_for_a_body_that_arrives_slowly() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = vec![0; 8192];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n").await;
                for _ in 0..10 {
                    let _ = stream.write_all(b" ").await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                let _ = stream.write_all(b"ok").await;
            });
        }
    });
    let timeouts = Timeouts { idle: Duration::from_millis(300), ..Timeouts::default() };
    let door = Door::open(Settings { timeouts, ..settings() }).unwrap();
    let post = || Request::new(Method::POST, url.clone(), "post", Class::Write).once();
    let error = door.send(post()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::SlowBody { .. }), "{error}");
    let answer = door.send(post().patient()).await.unwrap();
    assert_eq!(answer.body().trim_ascii(), b"ok");
}
