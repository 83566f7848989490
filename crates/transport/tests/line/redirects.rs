//! Redirects of writes, and redirects to hosts that refuse the request.

use bytes::Bytes;
use transport::{Body, ErrorKind};

use crate::proxies::private_name;
use crate::support::server::{OK, Server, empty, redirect};
use crate::support::{door, stream};

fn bytes() -> Body {
    Body::Bytes(Bytes::from_static(b"content"))
}

#[tokio::test]
async fn a_write_follows_307_and_308_on_its_host_with_its_body() {
    for status in [307, 308] {
        let server = Server::plain([redirect(status, "/there?state=1"), OK.to_owned()]).await;
        let answer = door().send(server.post("/").follow_on_host().body(bytes())).await.unwrap();
        assert_eq!(answer.body(), "ok");
        let received = server.received();
        assert_eq!(received.len(), 2);
        assert!(received[1].head.starts_with("POST /there?state=1 "), "{}", received[1].head);
        assert!(received.iter().all(|received| received.body == b"content"));
    }
}

#[tokio::test]
async fn a_write_does_not_follow_a_redirect_to_another_host() {
    let other = Server::plain([OK]).await;
    for status in [307, 308] {
        let server = Server::plain([redirect(status, other.url("/there").as_str())]).await;
        let answer = door().send(server.post("/").follow_on_host().body(bytes())).await.unwrap();
        assert_eq!((answer.status().as_u16(), server.received().len()), (status, 1));
    }
    assert_eq!(other.connections(), 0);
}

/// These redirects would turn the request into a GET.
#[tokio::test]
async fn a_write_does_not_follow_a_redirect_that_changes_its_method() {
    for status in [301, 302, 303] {
        let server = Server::plain([redirect(status, "/there"), OK.to_owned()]).await;
        let answer = door().send(server.post("/").follow_on_host().body(bytes())).await.unwrap();
        assert_eq!((answer.status().as_u16(), server.received().len()), (status, 1));
    }
}

#[tokio::test]
async fn a_redirect_of_a_stream_is_returned_as_the_answer() {
    let server = Server::plain([redirect(307, "/there"), OK.to_owned()]).await;
    let answer = door().send(server.post("/").follow_on_host().body(stream(b"content"))).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.header("location")), (307, Some("/there")));
    assert_eq!(server.received().len(), 1);
}

/// Signed URLs expire. The first host then signs another one.
#[tokio::test]
async fn a_read_that_the_target_of_a_redirect_refuses_once_is_restarted() {
    for status in [400, 401, 403, 404, 410] {
        let storage = Server::plain([empty(status, ""), OK.to_owned()]).await;
        let registry = Server::plain([redirect(307, storage.url("/signed").as_str())]).await;
        let answer = door().send(registry.get("/blob").follow()).await.unwrap();
        assert_eq!((answer.body(), answer.url().path()), (&Bytes::from_static(b"ok"), "/signed"));
        assert_eq!((registry.received().len(), storage.received().len()), (2, 2), "{status}");
    }
}

#[tokio::test]
async fn a_read_that_the_target_of_a_redirect_keeps_refusing_ends_with_that_answer() {
    let storage = Server::plain([empty(403, "")]).await;
    let registry = Server::plain([redirect(307, storage.url("/signed").as_str())]).await;
    let answer = door().send(registry.get("/blob").follow()).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.url().path()), (403, "/signed"));
    assert_eq!((registry.received().len(), storage.received().len()), (3, 3));
}

/// Otherwise a redirected read would have fewer attempts than one without redirects.
#[tokio::test]
async fn following_a_redirect_is_not_an_attempt() {
    let storage = Server::plain([empty(500, "")]).await;
    let registry = Server::plain([redirect(307, storage.url("/signed").as_str())]).await;
    let answer = door().send(registry.get("/blob").follow()).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.attempts()), (500, 3));
    assert_eq!((registry.received().len(), storage.received().len()), (3, 3));
}

/// Only the URL of a redirect may expire.
#[tokio::test]
async fn a_read_that_the_first_host_refuses_is_not_restarted() {
    let registry = Server::plain([empty(403, "")]).await;
    let answer = door().send(registry.get("/blob").follow()).await.unwrap();
    assert_eq!((answer.status().as_u16(), registry.received().len()), (403, 1));
}

/// Another attempt leads to the same address.
#[tokio::test]
async fn a_redirect_to_a_name_with_a_non_public_address_is_not_retried() {
    let registry = Server::plain([redirect(307, &format!("https://{}/signed", private_name()))]).await;
    let error = door().send(registry.get("/blob").follow()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Forbidden(_)), "{error}");
    assert_eq!(registry.received().len(), 1);
}
