//! Changes during a run: tokens that expire, and sources that fail, are slow or disappear.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::google::Times;
use crate::identity::service::Answer;

/// A server that never answers does not apply. A server that starts a Google answer and stops is broken.
#[tokio::test]
async fn requests_to_a_metadata_service_that_hangs_time_out() {
    let (projected, _directory) = written(&token_of("projected@x.y", HOUR));
    for head in ["", "HTTP/1.1 200 OK\r\nmetadata-flavor: Google\r\ncontent-length: 9\r\n\r\n{"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            stream.write_all(head.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        });
        let sources = Sources { projected: Some(projected.clone()), ..machine(&host) };
        let mut identity = identity(sources);
        identity.metadata.as_mut().unwrap().times =
            Times { total: Duration::from_secs(2), ..Times::default() };
        match identity.token().await {
            Ok(token) => assert!(token.identity() == "projected@x.y" && head.is_empty(), "{head}"),
            Err(error) => assert!(error.to_string().contains("within 2 s") && !head.is_empty(), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_token_is_reused_while_it_is_valid_for_more_than_five_minutes() {
    let answers = |seconds| -> Vec<Answer> {
        vec![("200 OK", "", json!({"token": token_of(SIGNER, seconds)}).to_string())]
    };
    for (seconds, requests) in [(HOUR, 1), (240, 3)] {
        let service = Service::start(answers(seconds)).await;
        let identity = identity(google(&service));
        let (a, b) = tokio::join!(identity.token(), identity.token());
        for token in [a, b, identity.token().await] {
            assert_eq!(token.unwrap().identity(), SIGNER);
        }
        assert_eq!(service.asked().len(), requests, "{seconds} s");
    }
}

#[tokio::test]
async fn a_renewed_token_replaces_the_expiring_one() {
    let answer = |seconds| ("200 OK", "", json!({"token": token_of(SIGNER, seconds)}).to_string());
    let service = Service::start(vec![answer(120), answer(HOUR)]).await;
    let identity = identity(google(&service));
    let first = identity.token().await.unwrap();
    let second = identity.token().await.unwrap();
    assert!(second.expires() > first.expires());
    assert_eq!(identity.token().await.unwrap().expires(), second.expires());
    assert_eq!(service.asked().len(), 2);
}

#[tokio::test]
async fn a_run_signs_with_a_single_identity() {
    let (file, _directory) = written(&token_of("first@x.y", HOUR));
    let identity = identity(given(Given::file(&file)));
    assert_eq!(identity.token().await.unwrap().identity(), "first@x.y");
    fs::write(&file, token_of("second@x.y", HOUR)).unwrap();
    let error = identity.token().await.unwrap_err();
    assert!(matches!(error, IdentityError::Changed { .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("`first@x.y (") && error.contains("`second@x.y ("), "{error}");
}

#[tokio::test]
async fn a_source_that_disappears_is_not_replaced_by_the_next() {
    let gone = ("404 Not Found", FLAVOR, String::new());
    let service = Service::start(vec![("200 OK", FLAVOR, token_of("machine@x.y", 120)), gone]).await;
    let (projected, _directory) = written(&token_of("machine@x.y", HOUR));
    let identity = identity(Sources { projected: Some(projected), ..machine(&service.address) });
    identity.token().await.unwrap();
    let error = identity.token().await.unwrap_err();
    assert!(matches!(error, IdentityError::Unavailable { from: TokenSource::GoogleMachine, .. }), "{error}");
}

#[tokio::test]
async fn a_permanent_failure_is_remembered_for_a_while() {
    let service = Service::answering("403 Forbidden", "").await;
    let identity = identity(google(&service));
    let errors = [identity.token().await.unwrap_err(), identity.token().await.unwrap_err()];
    assert_eq!(errors[0], errors[1]);
    assert_eq!(service.asked().len(), 1);
    identity.failed().as_mut().unwrap().1 = Instant::now();
    identity.token().await.unwrap_err();
    assert_eq!(service.asked().len(), 2, "the failure has expired");
    identity.try_again();
    identity.token().await.unwrap_err();
    assert_eq!(service.asked().len(), 3, "`try_again` forgets the failure");
}

#[tokio::test]
async fn a_temporary_failure_is_not_remembered() {
    let good = ("200 OK", "", json!({"token": token_of(SIGNER, HOUR)}).to_string());
    for status in ["503 Service Unavailable", "502 Bad Gateway", "500 Internal Server Error"] {
        let service = Service::start(vec![(status, "", String::new()), good.clone()]).await;
        let identity = identity(google(&service));
        let error = identity.token().await.unwrap_err();
        assert!(
            matches!(error, IdentityError::TemporarilyUnavailable { from: TokenSource::GoogleAccount, .. }),
            "{error}"
        );
        assert_eq!(identity.token().await.unwrap().identity(), SIGNER);
    }
    let unused = Service::unused_address().await;
    let sources = Sources {
        iam_credentials: format!("http://{unused}"),
        ..google(&Service::answering("200 OK", "").await)
    };
    assert!(identity(sources).token().await.unwrap_err().is_temporary());
    for status in ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found"] {
        let service = Service::answering(status, "").await;
        assert!(!identity(google(&service)).token().await.unwrap_err().is_temporary(), "{status}");
    }
}

/// This happens when a pod has just started.
#[tokio::test]
async fn missing_first_answers_of_the_metadata_service_are_retried() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        // The first connection hangs, the second is closed, the third gets a server error, and the fourth gets the answer.
        let (_first, _) = listener.accept().await.unwrap();
        drop(listener.accept().await.unwrap());
        for answer in
            ["HTTP/1.1 503 Not Yet\r\nmetadata-flavor: Google\r\ncontent-length: 0\r\n\r\n".to_owned(), {
                let token = token_of("machine@x.y", HOUR);
                format!("HTTP/1.1 200 OK\r\n{FLAVOR}content-length: {}\r\n\r\n{token}", token.len())
            }]
        {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
            let _ = stream.read(&mut [0; 1]).await;
        }
    });
    let mut identity = identity(machine(&host));
    let millis = Duration::from_millis;
    identity.metadata.as_mut().unwrap().times =
        Times { attempt: millis(500), pause: millis(10), ..Times::default() };
    assert_eq!(identity.token().await.unwrap().identity(), "machine@x.y");
}

#[tokio::test]
async fn a_metadata_service_that_stops_answering_has_failed_temporarily() {
    let token = token_of("machine@x.y", 120);
    let service = Service::start(vec![("200 OK", FLAVOR, token)]).await;
    let mut identity = identity(machine(&service.address));
    identity.token().await.unwrap();
    identity.metadata = Some(Metadata::new(door(), Service::unused_address().await, false));
    let error = identity.token().await.unwrap_err();
    assert!(
        matches!(error, IdentityError::TemporarilyUnavailable { from: TokenSource::GoogleMachine, .. }),
        "{error}"
    );
}
