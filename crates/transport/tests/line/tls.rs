//! Rejected certificates, and servers that speak TLS where plain HTTP is expected or the reverse.

use std::time::Duration;

use transport::{Authorities, Class, Door, Error, ErrorKind, Request, Settings};

use crate::support::server::{OK, Server, empty};
use crate::support::tls::Certificate;
use crate::support::{door, settings};

/// The answer of Go's servers to plain HTTP on a TLS port.
const GO_EXPECTS_TLS: &str =
    "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
/// A part of the answer of Apache.
const APACHE_EXPECTS_TLS: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n<h1>Bad Request</h1><p>Reason: You're speaking \
     plain HTTP to an SSL-enabled server port.<br /></p>";
/// A part of the answer of nginx.
const NGINX_EXPECTS_TLS: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n<html><head><title>400 The plain HTTP request was \
     sent to HTTPS port</title></head></html>";

/// Returns the error of a GET, and the number of connections to the server.
async fn fails(door: &Door, server: &Server, scheme: &str) -> (Error, usize) {
    let request = Request::new(http::Method::GET, server.url_with_scheme(scheme, "/"), "get", Class::Read);
    (door.send(request).await.unwrap_err(), server.connections())
}

#[tokio::test]
async fn a_certificate_of_a_configured_authority_is_accepted() {
    let server = Server::tls(Certificate::Host, [OK]).await;
    assert_eq!(door().send(server.get("/")).await.unwrap().body(), "ok");
}

/// Each reason is in words, followed by its name in the TLS library.
#[tokio::test]
async fn a_rejected_certificate_fails_at_once_and_the_error_says_why() {
    let known = || settings().authorities;
    for (certificate, authorities, texts) in [
        (
            Certificate::Host,
            Authorities::default(),
            ["no trusted authority has signed it", "(UnknownIssuer)"],
        ),
        (Certificate::Expired, known(), ["it has expired: it was valid until ", " GMT (Expired)"]),
        (Certificate::Future, known(), ["it is not valid yet: it is valid from ", " GMT (NotValidYet)"]),
        (Certificate::Misnamed, known(), ["elsewhere.example", "(NotValidForName)"]),
        (Certificate::Authority, known(), ["it is the certificate of an authority", "(CaUsedAsEndEntity)"]),
    ] {
        let server = Server::tls(certificate, [OK]).await;
        let door = Door::open(Settings { authorities, ..settings() }).unwrap();
        let (error, connections) = fails(&door, &server, "https").await;
        let ErrorKind::Certificate(why) = error.kind() else { panic!("{certificate:?}: {error}") };
        assert!(texts.iter().all(|text| why.contains(text)), "{certificate:?}: {why}");
        assert_eq!(connections, 1, "{certificate:?}");
        let advice = error.advice().unwrap();
        let lists_the_authority = advice.contains("list the authority in");
        assert_eq!(
            lists_the_authority,
            !matches!(certificate, Certificate::Authority),
            "{certificate:?}: {advice}"
        );
    }
}

/// A TLS alert says why. Another attempt would have the same result.
#[tokio::test]
async fn a_refused_handshake_fails_at_once_and_the_error_says_why() {
    // A fatal alert of each kind.
    for (alert, why) in [
        ("\x15\x03\x01\0\x02\x02\x46", "the host does not support TLS 1.2 or later ("),
        ("\x15\x03\x01\0\x02\x02\x74", "the host requires a client certificate, and kpromo has none ("),
        ("\x15\x03\x01\0\x02\x02\x70", "the host does not serve this name ("),
        ("\x15\x03\x01\0\x02\x02\x28", "the host accepts none of the offered algorithms, or requires "),
    ] {
        let server = Server::plain([alert]).await;
        let (error, connections) = fails(&door(), &server, "https").await;
        assert!(matches!(error.kind(), ErrorKind::Handshake(text) if text.starts_with(why)), "{error}");
        assert_eq!(connections, 1, "{error}");
    }
}

/// Such a failure is not caused by load, so the requests that queue behind it are not delayed.
#[tokio::test]
async fn all_requests_to_a_host_with_a_wrong_certificate_fail_at_once() {
    let server = Server::tls(Certificate::Misnamed, [OK]).await;
    let door = door();
    let requests = futures_util::future::join_all((0..100).map(|_| door.send(server.get("/"))));
    let outcomes = tokio::time::timeout(Duration::from_secs(30), requests).await.expect("no request rests");
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Certificate(_)), "{error}");
    }
    assert_eq!(server.connections(), 100);
}

/// Go's servers answer a TLS handshake with plain HTTP.
#[tokio::test]
async fn plain_http_where_tls_is_expected_fails_at_once() {
    let server = Server::plain([empty(400, "")]).await;
    let (error, connections) = fails(&door(), &server, "https").await;
    assert!(matches!(error.kind(), ErrorKind::NotTls(_)), "{error}");
    assert_eq!(connections, 1);
}

#[tokio::test]
async fn a_tls_alert_where_plain_http_is_expected_fails_at_once() {
    let server = Server::tls(Certificate::Host, [OK]).await;
    let (error, connections) = fails(&door(), &server, "http").await;
    assert!(matches!(error.kind(), ErrorKind::NotPlainHttp(_)), "{error}");
    assert_eq!(connections, 1);
}

#[tokio::test]
async fn an_answer_that_tls_is_expected_fails_at_once() {
    for answer in [GO_EXPECTS_TLS, APACHE_EXPECTS_TLS, NGINX_EXPECTS_TLS] {
        let server = Server::plain([answer]).await;
        let (error, connections) = fails(&door(), &server, "http").await;
        assert!(matches!(error.kind(), ErrorKind::NotPlainHttp(_)), "{error}");
        assert_eq!(connections, 1);
    }
}

/// For example the body of an answer to `HEAD`, which the next request on the connection receives as its answer.
#[tokio::test]
async fn an_answer_that_is_not_http_is_retried_if_the_host_has_answered_before() {
    let server = Server::plain([OK, "some body that nothing waits for\r\n\r\n", OK]).await;
    let door = door();
    for _ in 0..2 {
        assert_eq!(door.send(server.get("/")).await.unwrap().body(), "ok");
    }
    assert_eq!(server.connections(), 3);
}

/// A 400 means that the server expects TLS only if its body says so.
#[tokio::test]
async fn any_other_400_is_returned_as_the_answer() {
    let other = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n{\"errors\": []}";
    let server = Server::plain([other]).await;
    assert_eq!(door().send(server.get("/")).await.unwrap().status().as_u16(), 400);
}

/// A server that closes the connection without an answer may be about to restart.
#[tokio::test]
async fn a_connection_that_is_closed_without_an_answer_is_retried() {
    for scheme in ["http", "https"] {
        let server = Server::plain([""]).await;
        let (error, connections) = fails(&door(), &server, scheme).await;
        assert!(matches!(error.kind(), ErrorKind::Broken(_) | ErrorKind::Connect(_)), "{error}");
        assert_eq!(connections, 3, "{error}");
    }
}
