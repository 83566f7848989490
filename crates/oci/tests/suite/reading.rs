//! Reading from registries that conform to the specification.

use std::collections::HashMap;
use std::sync::Arc;

use oci::{
    Anonymous, Client, Credential, CredentialSource, FoundCredential, Host, MediaType, Repository,
    RepositoryPath, Selector,
};
use registry::sample::Recipe;
use registry::{Canned, Config, Effect, Fault, Kind, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use transport::{Door, Secret, Settings};

fn client(credentials: Arc<dyn CredentialSource>) -> Client {
    Client::new(Door::open(Settings::default()).unwrap(), credentials, HashMap::new())
}

fn repository(server: &Server, path: &str) -> Repository {
    Repository { host: server.host().clone(), path: path.parse().unwrap() }
}

#[tokio::test]
async fn all_pages_of_tags_and_repositories_are_read() {
    let server =
        Server::start(Config { page_size: 2.try_into().unwrap(), ..Config::default() }).await.unwrap();
    let sample = Recipe::default().image();
    let tags: Vec<oci::Tag> = (0..7).map(|n| format!("v{n}").parse().unwrap()).collect();
    for name in ["a", "b/c", "d"] {
        sample.put(server.store(), &name.parse().unwrap(), &tags).await.unwrap();
    }
    let reader = client(Arc::new(Anonymous)).reader();
    let listing = reader.listing(&repository(&server, "b/c")).await.unwrap().present().unwrap();
    assert_eq!((listing.tags, listing.manifests), (tags, None));
    assert_eq!(server.tally().snapshot().requests(Kind::TagList), 4);
    let names: Vec<String> = reader
        .catalog(server.host())
        .await
        .unwrap()
        .present()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["a", "b/c", "d"]);
    assert!(reader.listing(&repository(&server, "nothing/here")).await.unwrap().present().is_none());
}

/// The specification only recommends the headers with the digest and media type of a manifest.
#[tokio::test]
async fn a_head_without_digest_is_completed_by_the_manifest_itself() {
    let server = Server::start(Config::default()).await.unwrap();
    let (image, app) = (Recipe::default().image(), repository(&server, "app"));
    let tag = "v1".parse().unwrap();
    image.put(server.store(), &app.path, std::slice::from_ref(&tag)).await.unwrap();
    let bare =
        Canned { status: http::StatusCode::OK, headers: http::HeaderMap::new(), body: bytes::Bytes::new() };
    server.faults().add(Fault::new(Effect::Canned(bare)).on(Kind::ManifestHead));
    let head = client(Arc::new(Anonymous))
        .reader()
        .head(&app, Selector::Tag(&tag))
        .await
        .unwrap()
        .present()
        .unwrap();
    assert_eq!((head.digest, head.media_type), (image.digest(), MediaType::OciManifest));
}

/// Provides a token that a registry accepts as it is.
#[derive(Debug)]
struct AccessToken;

impl CredentialSource for AccessToken {
    fn credential<'a>(
        &'a self,
        _: &'a Host,
        _: Option<&'a RepositoryPath>,
    ) -> futures_util::future::BoxFuture<'a, Result<Option<FoundCredential>, String>> {
        Box::pin(async { Ok(Some(Credential::Bearer(Secret::new("access-token")).from("the test"))) })
    }

    fn places(&self) -> String {
        "the test".to_owned()
    }
}

/// Google's registries require this: no token is requested from the token service for each repository.
#[tokio::test]
async fn an_access_token_is_sent_unchanged_without_a_token_service() {
    let account =
        registry::Account { name: "u".into(), password: "p".into(), access: registry::Access::Full };
    let basic = registry::Authentication::Basic(vec![account]);
    let server =
        Server::start(Config { authentication: basic, request_log: 10, ..Config::default() }).await.unwrap();
    let refused =
        client(Arc::new(AccessToken)).reader().listing(&repository(&server, "app")).await.unwrap_err();
    assert_eq!(refused.status().unwrap().as_u16(), 401);
    assert!(!format!("{refused} {refused:?}").contains("access-token"), "no secret is shown");
    assert_eq!(server.tally().snapshot().total(), 1, "a refused token is not sent again without a new one");
}

/// A broken credential helper causes an error for the requests that need it.
#[derive(Debug)]
struct Broken;

impl CredentialSource for Broken {
    fn credential<'a>(
        &'a self,
        host: &'a Host,
        _: Option<&'a RepositoryPath>,
    ) -> futures_util::future::BoxFuture<'a, Result<Option<FoundCredential>, String>> {
        Box::pin(async move { Err(format!("the helper for {host} has failed")) })
    }

    fn places(&self) -> String {
        "the test".to_owned()
    }
}

#[tokio::test]
async fn credentials_that_cannot_be_read_are_an_error_if_the_host_requires_them() {
    let open = Server::start(Config::default()).await.unwrap();
    let account =
        registry::Account { name: "u".into(), password: "p".into(), access: registry::Access::Full };
    let basic = registry::Authentication::Basic(vec![account]);
    let closed = Server::start(Config { authentication: basic, ..Config::default() }).await.unwrap();
    let reader = client(Arc::new(Broken)).reader();
    let image = Recipe::default().image();
    image.put(open.store(), &"there".parse().unwrap(), &["v1".parse().unwrap()]).await.unwrap();
    assert!(
        reader.listing(&repository(&open, "there")).await.unwrap().is_present(),
        "the host requires no credentials"
    );
    let error = reader.listing(&repository(&open, "app")).await.unwrap_err();
    assert!(
        matches!(error.kind(), oci::ErrorKind::Unproven { .. }),
        "hidden content is not proven absent: {error}"
    );
    let error = reader.listing(&repository(&closed, "app")).await.unwrap_err();
    assert!(error.to_string().contains("has failed"), "{error}");
}

/// Starts a registry that requires a token, with a token service that exchanges refresh tokens for it. Returns its host and its
/// log of requests.
async fn registry_with_token_service() -> (Host, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = Arc::<std::sync::Mutex<Vec<String>>>::default();
    let log = Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 8192];
            let read = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let (status, challenge, body) = if request.starts_with("POST /token") {
                ("200 OK", String::new(), r#"{"access_token":"fresh","expires_in":300}"#)
            } else if request.contains("Bearer fresh") || request.contains("Bearer access-token") {
                ("200 OK", String::new(), r#"{"tags":["v1"]}"#)
            } else {
                let realm =
                    format!("www-authenticate: Bearer realm=\"http://{address}/token\",service=\"s\"\r\n");
                ("401 Unauthorized", realm, "")
            };
            log.lock().unwrap().push(request);
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\n{challenge}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address.to_string().parse().unwrap(), received)
}

/// Provides a refresh token.
#[derive(Debug)]
struct RefreshToken;

impl CredentialSource for RefreshToken {
    fn credential<'a>(
        &'a self,
        _: &'a Host,
        _: Option<&'a RepositoryPath>,
    ) -> futures_util::future::BoxFuture<'a, Result<Option<FoundCredential>, String>> {
        Box::pin(async { Ok(Some(Credential::Identity(Secret::new("again")).from("the test"))) })
    }

    fn places(&self) -> String {
        "the test".to_owned()
    }
}

#[tokio::test]
async fn a_refresh_token_is_exchanged_for_a_token_once() {
    let (host, received) = registry_with_token_service().await;
    let app = Repository { host, path: "app".parse().unwrap() };
    let reader = client(Arc::new(RefreshToken)).reader();
    for _ in 0..2 {
        assert_eq!(reader.listing(&app).await.unwrap().present().unwrap().tags.len(), 1);
    }
    let received = received.lock().unwrap();
    let grants: Vec<&String> = received.iter().filter(|request| request.starts_with("POST")).collect();
    assert_eq!((grants.len(), received.len()), (1, 4), "a challenge, a grant, two listings");
    for part in ["grant_type=refresh_token", "refresh_token=again", "scope=repository%3Aapp%3Apull"] {
        assert!(grants[0].contains(part), "{part}: {}", grants[0]);
    }
}

/// The registry accepts the token; this does not mean that it accepts anonymous requests.
#[tokio::test]
async fn an_access_token_is_sent_with_every_request() {
    let (host, received) = registry_with_token_service().await;
    let app = Repository { host, path: "app".parse().unwrap() };
    let reader = client(Arc::new(AccessToken)).reader();
    for _ in 0..3 {
        reader.listing(&app).await.unwrap().present().unwrap();
    }
    let received = received.lock().unwrap();
    assert_eq!(received.len(), 3, "no request only determines the scheme or fetches a token");
    assert!(received.iter().all(|request| request.contains("Bearer access-token")));
}
