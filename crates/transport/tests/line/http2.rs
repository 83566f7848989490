//! HTTP/2 servers that close connections or streams early.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use transport::{Body, Class, Door, Request, Retry, Settings};

use crate::support::http2::Send::{Close, GoAway, GoAwayUnserved, GracefulGoAway, Hang, Head, Piece, Reset};
use crate::support::http2::{Code, SERVED, Send, Server};
use crate::support::{door, impatient, settings};

/// What the server sends instead of serving the request.
const FAULTS: &[&[Send]] = &[
    &[Reset(Code::RefusedStream)],
    &[Reset(Code::InternalError)],
    &[Reset(Code::Cancel)],
    &[Reset(Code::EnhanceYourCalm)],
    &[GoAway(Code::NoError), Close],
    &[GoAway(Code::InternalError), Close],
    &[GoAway(Code::EnhanceYourCalm), Close],
    &[GoAwayUnserved(Code::NoError), Close],
    &[GoAwayUnserved(Code::EnhanceYourCalm), Close],
    &[Close],
    &[Head, Reset(Code::InternalError)],
    &[Head, Piece(b"o", false), Reset(Code::Cancel)],
    &[Head, Piece(b"o", false), GoAway(Code::NoError), Close],
    &[Head, Piece(b"o", false), GoAway(Code::EnhanceYourCalm), Close],
    &[Head, Piece(b"o", false), Close],
];

fn get(server: &Server) -> Request {
    Request::new(Method::GET, server.url.clone(), "get", Class::Read)
}

#[tokio::test]
async fn an_interrupted_http2_read_is_retried() {
    for fault in FAULTS {
        let server = Server::start(&[fault, SERVED]).await;
        let answer = door().send(get(&server)).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!((answer.body(), answer.attempts()), (&Bytes::from_static(b"ok"), 2), "{fault:?}");
        assert_eq!(server.bodies().len(), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn an_interrupted_http2_write_is_retried_with_its_body() {
    for fault in FAULTS {
        let server = Server::start(&[fault, SERVED]).await;
        let put = Request::new(Method::PUT, server.url.clone(), "put", Class::Write)
            .body(Body::Bytes(Bytes::from_static(b"content")));
        let answer = door().send(put).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!((answer.body(), answer.attempts()), (&Bytes::from_static(b"ok"), 2), "{fault:?}");
        assert_eq!(server.bodies(), [b"content", b"content"], "{fault:?}");
    }
}

/// Another attempt on the same connection would not be answered either.
#[tokio::test]
async fn a_request_on_a_dead_connection_is_retried_on_another() {
    let server = Server::start(&[&[Hang], SERVED]).await;
    let retry = Retry { attempts: 6, ..settings().retry };
    let door = Door::open(Settings { retry, ..impatient(Duration::from_secs(1)) }).unwrap();
    assert_eq!(door.send(get(&server)).await.unwrap().body(), "ok");
}

/// A server that shuts down serves the requests that it has accepted.
#[tokio::test]
async fn a_graceful_shutdown_costs_no_attempt() {
    let server =
        Server::start(&[&[GracefulGoAway, Head, Piece(b"ok", true), GoAway(Code::NoError), Close], SERVED])
            .await;
    let door = door();
    for _ in 0..2 {
        let answer = door.send(get(&server)).await.unwrap();
        assert_eq!((answer.body(), answer.attempts()), (&Bytes::from_static(b"ok"), 1));
    }
}
