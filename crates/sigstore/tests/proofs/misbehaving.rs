//! Services that fail, hang, or answer unexpectedly: nothing is signed, and the error names the service, its URL and its answer.

use std::sync::{Arc, Mutex};

use jiff::SignedDuration;
use serde_json::Value;
use sigstore::{Identity, Rejection, Service, Services, SignError, Signer, Sources};
use testkit::{Issuer, Rekor};
use transport::{Door, Secret};

use crate::support::authority::{Authority, Wanted, answer, key_of};
use crate::support::bundle::flipped;
use crate::support::handmade::{Key, Log};
use crate::support::server::{self, Answer, Request, Server};
use crate::support::stack::{SIGNER, impatient_door, services, signer_at, sigstore, verifier, verifier_with};

const EACH: [Service; 3] = [Service::Fulcio, Service::Rekor, Service::TimestampAuthority];

/// Returns the services with this one at another URL.
fn with(service: Service, server: &Server) -> Services {
    let mut services = services(Rekor::V1);
    match service {
        Service::Fulcio => services.fulcio = Some(server.url()),
        Service::Rekor => services.rekor[0].0 = server.url(),
        Service::TimestampAuthority => services.timestamp_authorities = vec![server.url()],
    }
    services
}

fn url_of(service: Service) -> &'static str {
    match service {
        Service::Fulcio => sigstore().fulcio(),
        Service::Rekor => sigstore().rekor(Rekor::V1),
        Service::TimestampAuthority => sigstore().timestamps(),
    }
}

fn signer_through(door: Door, services: Services) -> Signer {
    let sources = Sources { value: Some(Secret::new(sigstore().token(SIGNER))), ..Sources::default() };
    Signer::with_identity(door.clone(), Identity::new(sources, door), services, verifier())
}

async fn error(service: Service, server: &Server) -> SignError {
    let error = signer_at(with(service, server), verifier()).message(b"message").await.unwrap_err();
    assert!(!error.to_string().contains("eyJ"), "the error contains a token: {error}");
    error
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_failing_service_is_retried_and_then_reported_with_its_answer() {
    for service in EACH {
        let server =
            Server::start(|_| Answer::status(503, r#"{"code":14,"message":"come \u001b[31mback later"}"#));
        let error = error(service, &server).await;
        assert_eq!(server.count(), 3, "one request for each attempt of the door");
        assert!(error.is_temporary(), "{error}");
        let text = error.to_string();
        assert!(
            matches!(error, SignError::Refused { service: refused, status: 503, .. } if refused == service),
            "{text}"
        );
        let expected = format!("{service} at {}", server.url());
        assert!(text.starts_with(&expected) && text.ends_with("answered 503: come [31mback later"), "{text}");
    }
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_service_that_recovers_causes_no_error() {
    for service in EACH {
        let (url, first) = (url_of(service).parse().unwrap(), Mutex::new(true));
        let server = Server::start(move |asked| match std::mem::take(&mut *first.lock().unwrap()) {
            true => Answer::status(500, ""),
            false => Answer::AsIs(server::forward(&url, asked)),
        });
        signer_at(with(service, &server), verifier()).message(b"message").await.unwrap();
        assert_eq!(server.count(), 2, "{service}");
    }
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_refused_request_to_a_service_is_not_retried() {
    for service in EACH {
        let server = Server::start(|_| Answer::status(400, "no"));
        let error = error(service, &server).await;
        assert_eq!(server.count(), 1);
        assert!(!error.is_temporary() && error.to_string().ends_with("answered 400"), "{error}");
    }
}

/// Thousands of signatures do not wait for the same failure one after another.
#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_certificate_that_is_unavailable_is_requested_once_for_all_signatures() {
    let server = Server::start(|_| Answer::status(503, ""));
    let signer = signer_at(with(Service::Fulcio, &server), verifier());
    let messages = (0_u32..20).map(u32::to_be_bytes);
    let signed = futures_util::future::join_all(messages.map(async |message| signer.message(&message).await));
    let errors: Vec<String> =
        signed.await.into_iter().map(|signed| signed.unwrap_err().to_string()).collect();
    assert!(errors.iter().all(|error| error.contains("answered 503")), "{errors:?}");
    assert_eq!(server.count(), 3, "the attempts of the door are not repeated for each signature");
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_service_that_does_not_answer_times_out_and_is_named() {
    for service in EACH {
        let server = Server::start(|_| Answer::Silence);
        let signer = signer_through(impatient_door(), with(service, &server));
        let error = signer.message(b"message").await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, SignError::Unreachable { .. }) && error.is_temporary(), "{text}");
        assert!(text.contains(&service.to_string()) && text.contains(server.url().as_str()), "{text}");
        assert!(text.contains("no answer within"), "{text}");
    }
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn answers_of_services_are_bounded_and_validated() {
    for service in EACH {
        for garbage in ["", "garbage", "{}", "[]", "{\"a\":{}}", "\0\u{1}\u{2}"] {
            let server = Server::start(move |_| Answer::ok(garbage));
            let error = error(service, &server).await;
            assert!(
                matches!(&error, SignError::Answer { service: bad, .. } if *bad == service),
                "{service} with {garbage:?}: {error}"
            );
            assert!(error.to_string().contains(server.url().as_str()), "{error}");
            assert_eq!(server.count(), 1, "a malformed answer is not retried");
        }
        let server = Server::start(|_| Answer::ok(vec![b' '; 5 << 20]));
        let error = error(service, &server).await.to_string();
        let words = [service.to_string(), server.url().to_string(), "larger than".to_owned()];
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_certificate_of_another_identity_or_for_another_key_is_not_used() {
    let no_certificate_log = || verifier_with(|root| root["ctlogs"] = serde_json::json!([]));
    let sign = async |fulcio: &Server| {
        signer_at(with(Service::Fulcio, fulcio), no_certificate_log()).message(b"message").await
    };
    sign(&Authority::trusted().serve(vec![Wanted::default()])).await.unwrap();
    let other = sigstore().issuer(Issuer::Other);
    for wanted in [
        Wanted { email: "somebody@example.com".to_owned(), ..Wanted::default() },
        Wanted { issuer: other.to_owned(), ..Wanted::default() },
    ] {
        let (email, issuer) = (wanted.email.clone(), wanted.issuer.clone());
        let error = sign(&Authority::trusted().serve(vec![wanted])).await.unwrap_err();
        assert!(matches!(error, SignError::WrongSignatory { .. }), "{error}");
        assert!(
            error.to_string().starts_with(&format!("{email} ({issuer}) has signed instead of {SIGNER}")),
            "{error}"
        );
    }
    let for_another = Server::start(|asked| {
        assert!(!key_of(asked).is_empty());
        answer([Authority::trusted().issue(&Key::new().public(), &Wanted::default())])
    });
    let error = sign(&for_another).await.unwrap_err();
    assert!(matches!(error, SignError::Answer { service: Service::Fulcio, .. }), "{error}");
    assert!(error.to_string().contains("another key"), "{error}");
    let by_a_stranger = Authority::stranger().serve(vec![Wanted::default()]);
    let error = sign(&by_a_stranger).await.unwrap_err();
    assert!(matches!(error, SignError::Unverified(Rejection::SomeoneElses(_))), "{error}");
}

/// Starts a server that repeats the answer to its first request.
fn stuck(url: &str) -> Server {
    let (url, first) = (url.parse().unwrap(), Mutex::new(None));
    Server::start(move |asked: &Request| {
        let mut first = first.lock().unwrap();
        Answer::AsIs(first.get_or_insert_with(|| server::forward(&url, asked)).clone())
    })
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn an_entry_or_a_timestamp_of_another_signature_is_not_used() {
    for service in [Service::Rekor, Service::TimestampAuthority] {
        let server = stuck(url_of(service));
        let signer = signer_at(with(service, &server), verifier());
        signer.message(b"message").await.unwrap();
        let error = signer.message(b"message").await.unwrap_err();
        assert!(matches!(&error, SignError::Answer { service: bad, .. } if *bad == service), "{error}");
        assert!(error.to_string().contains(server.url().as_str()), "{error}");
    }
    let second = stuck(sigstore().rekor(Rekor::V2));
    let mut services = services(Rekor::V2);
    services.rekor[0].0 = second.url();
    let signer = signer_at(services, verifier());
    signer.message(b"message").await.unwrap();
    let error = signer.message(b"message").await.unwrap_err();
    assert!(matches!(error, SignError::Answer { service: Service::Rekor, .. }), "{error}");
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn an_entry_that_the_trusted_log_has_not_made_is_not_used() {
    let server = Server::before(sigstore().rekor(Rekor::V1), |_, answer| {
        let mut entries: Value = serde_json::from_slice(&answer).unwrap();
        for entry in entries.as_object_mut().unwrap().values_mut() {
            let promise = &mut entry["verification"]["signedEntryTimestamp"];
            *promise = flipped(promise, 0);
        }
        entries.to_string().into_bytes()
    });
    let error = error(Service::Rekor, &server).await;
    assert!(matches!(&error, SignError::Unverified(Rejection::Invalid(_))), "{error}");
    let text = error.to_string();
    assert!(text.contains("promise") && text.contains(&format!("Rekor at {}", server.url())), "{text}");
    let strangers = Arc::new(sigstore::Verifier::with_root(&Log::new().root()).unwrap());
    let error = signer_at(services(Rekor::V1), strangers).message(b"message").await.unwrap_err();
    assert!(matches!(error, SignError::Unverified(Rejection::Invalid(_))), "{error}");
}

/// The answer to the first request is lost; the second request reports that the entry exists.
#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn an_entry_whose_answer_was_lost_is_found_again() {
    let (url, first) = (sigstore().rekor(Rekor::V1).parse().unwrap(), Mutex::new(true));
    let server = Server::start(move |asked| {
        let answer = server::forward(&url, asked);
        match std::mem::take(&mut *first.lock().unwrap()) {
            true => Answer::status(502, ""),
            false => Answer::AsIs(answer),
        }
    });
    signer_at(with(Service::Rekor, &server), verifier()).message(b"message").await.unwrap();
    let lines: Vec<_> = server.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(lines[..2], ["POST /api/v1/log/entries", "POST /api/v1/log/entries"]);
    assert!(lines[2].starts_with("GET /api/v1/log/entries/") && lines.len() == 3, "{lines:?}");
    let nowhere = Server::start(|_| Answer::status(409, "{}"));
    let error = error(Service::Rekor, &nowhere).await;
    assert!(error.to_string().contains("names no entry"), "{error}");
}

/// Signatures that are logged after the certificate expired are made again once, with a new certificate.
#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_signature_that_was_logged_too_late_is_made_again() {
    let over = Wanted::good_for(SignedDuration::from_secs(-1));
    let verifier = || verifier_with(|root| root["ctlogs"] = serde_json::json!([]));
    let fulcio = Authority::trusted().serve(vec![over.clone(), Wanted::default()]);
    signer_at(with(Service::Fulcio, &fulcio), verifier()).message(b"message").await.unwrap();
    assert_eq!(fulcio.count(), 2);
    let fulcio = Authority::trusted().serve(vec![over]);
    let error = signer_at(with(Service::Fulcio, &fulcio), verifier()).message(b"message").await.unwrap_err();
    assert!(matches!(error, SignError::Unverified(_)), "{error}");
    assert_eq!(fulcio.count(), 2, "only one more certificate is requested");
}
