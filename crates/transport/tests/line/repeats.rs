//! Requests that may be executed twice if they are sent twice.

use bytes::Bytes;
use transport::{Body, Request};

use crate::support::door;
use crate::support::server::{OK, Server, empty};

fn post(server: &Server) -> Request {
    server.post("/").body(Body::Bytes(Bytes::from_static(b"content"))).again_when_refused()
}

#[tokio::test]
async fn a_request_that_may_have_been_executed_is_sent_once() {
    for status in [408, 500, 502, 503, 504, 507, 520] {
        let server = Server::plain([empty(status, ""), OK.to_owned()]).await;
        let answer = door().send(post(&server)).await.unwrap();
        assert_eq!((answer.status().as_u16(), server.received().len()), (status, 1));
    }
    let server = Server::plain([""]).await;
    assert!(door().send(post(&server)).await.is_err());
    assert_eq!(server.received().len(), 1, "the answer was lost");
}

#[tokio::test]
async fn rate_limited_requests_are_retried() {
    for refusal in [empty(429, ""), empty(429, "retry-after: 0\r\n"), empty(503, "retry-after: 0\r\n")] {
        let server = Server::plain([refusal.clone(), OK.to_owned()]).await;
        let answer = door().send(post(&server)).await.unwrap();
        assert_eq!((answer.body(), server.received().len()), (&Bytes::from_static(b"ok"), 2), "{refusal}");
        assert_eq!(server.received()[1].body, b"content");
    }
}
