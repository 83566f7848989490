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
async fn a_write_follows_307_and_308_on_its_host_with_its_bytes() {
    for status in [307, 308] {
        let server = Server::plain([redirect(status, "/there?state=1"), OK.to_owned()]).await;
        let answer = door().send(server.post("/").follow_on_host().body(bytes())).await.unwrap();
        assert_eq!(answer.body(), "ok");
        let asked = server.asked();
        assert_eq!(asked.len(), 2);
        assert!(asked[1].head.starts_with("POST /there?state=1 "), "{}", asked[1].head);
        assert!(asked.iter().all(|asked| asked.body == b"content"));
    }
}

#[tokio::test]
async fn a_write_does_not_follow_to_another_host() {
    let other = Server::plain([OK]).await;
    for status in [307, 308] {
        let server = Server::plain([redirect(status, other.url("/there").as_str())]).await;
        let answer = door().send(server.post("/").follow_on_host().body(bytes())).await.unwrap();
        assert_eq!((answer.status().as_u16(), server.asked().len()), (status, 1));
    }
    assert_eq!(other.connections(), 0);
}

/// These redirects would turn the request into a GET.
#[tokio::test]
async fn a_write_does_not_follow_what_drops_its_method() {
    for status in [301, 302, 303] {
        let server = Server::plain([redirect(status, "/there"), OK.to_owned()]).await;
        let answer = door().send(server.post("/").follow_on_host().body(bytes())).await.unwrap();
        assert_eq!((answer.status().as_u16(), server.asked().len()), (status, 1));
    }
}

#[tokio::test]
async fn a_stream_is_given_the_redirect_as_its_answer() {
    let server = Server::plain([redirect(307, "/there"), OK.to_owned()]).await;
    let answer = door().send(server.post("/").follow_on_host().body(stream(b"content"))).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.header("location")), (307, Some("/there")));
    assert_eq!(server.asked().len(), 1);
}

/// Signed URLs expire. The first host then signs another one.
#[tokio::test]
async fn a_read_that_the_target_of_a_redirect_refuses_once_is_restarted() {
    for status in [400, 401, 403, 404, 410] {
        let storage = Server::plain([empty(status, ""), OK.to_owned()]).await;
        let registry = Server::plain([redirect(307, storage.url("/signed").as_str())]).await;
        let answer = door().send(registry.get("/blob").follow()).await.unwrap();
        assert_eq!((answer.body(), answer.url().path()), (&Bytes::from_static(b"ok"), "/signed"));
        assert_eq!((registry.asked().len(), storage.asked().len()), (2, 2), "{status}");
    }
}

#[tokio::test]
async fn a_read_that_the_target_of_a_redirect_keeps_refusing_ends_with_that_answer() {
    let storage = Server::plain([empty(403, "")]).await;
    let registry = Server::plain([redirect(307, storage.url("/signed").as_str())]).await;
    let answer = door().send(registry.get("/blob").follow()).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.url().path()), (403, "/signed"));
    assert_eq!((registry.asked().len(), storage.asked().len()), (3, 3));
}

/// Otherwise a redirected read would have fewer attempts than one without redirects.
#[tokio::test]
async fn a_redirect_that_is_followed_is_no_attempt() {
    let storage = Server::plain([empty(500, "")]).await;
    let registry = Server::plain([redirect(307, storage.url("/signed").as_str())]).await;
    let answer = door().send(registry.get("/blob").follow()).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.attempts()), (500, 3));
    assert_eq!((registry.asked().len(), storage.asked().len()), (3, 3));
}

/// Only the URL of a redirect may expire.
#[tokio::test]
async fn a_read_that_the_first_host_refuses_is_not_restarted() {
    let registry = Server::plain([empty(403, "")]).await;
    let answer = door().send(registry.get("/blob").follow()).await.unwrap();
    assert_eq!((answer.status().as_u16(), registry.asked().len()), (403, 1));
}

/// Another attempt leads to the same address.
#[tokio::test]
async fn a_redirect_to_a_name_with_an_address_that_is_not_public_is_not_tried_again() {
    let registry = Server::plain([redirect(307, &format!("https://{}/signed", private_name()))]).await;
    let error = door().send(registry.get("/blob").follow()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Forbidden(_)), "{error}");
    assert_eq!(registry.asked().len(), 1);
}
