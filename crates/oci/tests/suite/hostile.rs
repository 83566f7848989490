//! Registries with invalid or malicious answers: each answer causes a clear error, in bounded time and memory, and no request
//! goes to a forbidden host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use oci::{
    Anonymous, Client, Copied, Copier, Credential, CredentialSource, Digest, ErrorKind, FoundCredential,
    Graph, Host, Lane, Presence, Reader, Repository, RepositoryPath, Selector, SpoolSettings, Target,
};
use registry::sample::{Recipe, Sample};
use registry::{Authentication, Canned, Config, Effect, Fault, Kind, Server, Tokens};
use transport::{Door, Retry, Secret, Settings, Timeouts};

/// A client that stops after two attempts and two seconds of silence.
fn client_with(credentials: Arc<dyn CredentialSource>) -> Client {
    let retry = Retry { attempts: 2, first_pause: Duration::from_millis(1), ..Retry::default() };
    let silence = Duration::from_secs(2);
    let timeouts =
        Timeouts { connect: silence, answer: silence, idle: silence, whole: Duration::from_secs(5) };
    let door = Door::open(Settings { retry, timeouts, ..Settings::default() }).unwrap();
    Client::new(door, credentials, HashMap::new())
}

/// A registry with one image, and a client.
struct Scene {
    server: Server,
    client: Client,
    repository: Repository,
    image: Sample,
}

impl Scene {
    async fn new() -> Self {
        Self::of(Config::default(), client_with(Arc::new(Anonymous))).await
    }

    async fn of(config: Config, client: Client) -> Self {
        let server = Server::start(config).await.unwrap();
        let repository = Repository { host: server.host().clone(), path: "team/app".parse().unwrap() };
        let image = Recipe { layer_size: 100_000, ..Recipe::default() }.image();
        let tags: Vec<_> = (0..5).map(|n| format!("v{n}").parse().unwrap()).collect();
        image.put(server.store(), &repository.path, &tags).await.unwrap();
        Self { server, client, repository, image }
    }

    fn reader(&self) -> Reader {
        self.client.reader()
    }

    fn strike(&self, kind: Kind, effect: Effect) -> registry::Watch {
        self.server.faults().add(Fault::new(effect).on(kind))
    }

    fn answer(&self, kind: Kind, status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        let status = StatusCode::from_u16(status).unwrap();
        self.strike(kind, Effect::Canned(Canned { status, headers, body: body.into() }));
    }

    async fn manifest(&self) -> Result<oci::RawManifest, oci::Error> {
        self.reader().manifest(&self.repository, Selector::Digest(self.image.digest())).await
    }

    async fn layer(&self) -> Result<Bytes, oci::Error> {
        let layer = self.image.blobs.iter().max_by_key(|blob| blob.len()).unwrap();
        self.reader().blob(&self.repository, Digest::of(layer), layer.len() as u64).whole().await
    }

    /// Copies an image of this scene.
    async fn copy(&self, graph: &Graph, target: Target) -> Result<Copied, oci::Error> {
        let copier = Copier::new(self.client.writer(), SpoolSettings::default());
        let result = Mutex::new(None);
        let finished = |_, outcome| *result.lock().unwrap() = Some(outcome);
        copier.copy(graph, &self.repository, &[target], Lane::Common, &|_| {}, &finished).await;
        result.into_inner().unwrap().expect("the target has a result")
    }

    /// Requests an upload of a blob that the repository does not have.
    async fn open_upload(&self) -> Result<Presence, oci::Error> {
        self.client.writer().mount_or_open(&self.repository, Digest::of(b"new"), None).await
    }
}

/// The maximum time of all operations in this file.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, Box::pin(work)).await.expect("the operation ends in bounded time")
}

#[tokio::test]
async fn a_manifest_that_does_not_match_its_digest_is_refused() {
    let scene = Scene::new().await;
    let watch = scene.strike(Kind::ManifestGet, Effect::Corrupt);
    let error = scene.manifest().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WrongDigest { .. }), "{error}");
    assert!(
        error.to_string().contains(&scene.repository.to_string()),
        "the error names the repository: {error}"
    );
    assert_eq!(watch.struck(), 1, "wrong content is not requested again");
}

#[tokio::test]
async fn a_head_with_an_unexpected_digest_is_refused() {
    let scene = Scene::new().await;
    let other = Digest::of(b"other").to_string();
    let headers = [
        ("docker-content-digest", other.as_str()),
        ("content-type", "application/vnd.oci.image.manifest.v1+json"),
    ];
    scene.answer(Kind::ManifestHead, 200, &headers, "");
    let which = Selector::Digest(scene.image.digest());
    let error = scene.reader().head(&scene.repository, which).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WrongDigest { .. }), "{error}");
}

#[tokio::test]
async fn a_blob_with_wrong_bytes_is_refused() {
    let scene = Scene::new().await;
    let watch = scene.strike(Kind::BlobGet, Effect::Corrupt);
    let error = scene.layer().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WrongDigest { .. }), "{error}");
    assert_eq!(watch.struck(), 1);
}

#[tokio::test]
async fn a_blob_that_is_longer_or_shorter_than_its_descriptor_is_refused() {
    let scene = Scene::new().await;
    let layer = scene.image.blobs.iter().max_by_key(|blob| blob.len()).unwrap();
    for wrong in [layer.len() as u64 - 1, layer.len() as u64 + 1] {
        let error =
            scene.reader().blob(&scene.repository, Digest::of(layer), wrong).whole().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::WrongSize { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_interrupted_blob_is_resumed() {
    let scene = Scene::new().await;
    scene.server.faults().add(Fault::new(Effect::Cut { after: 60_000 }).on(Kind::BlobGet).times(1));
    assert_eq!(scene.layer().await.unwrap().len(), 100_000);
    assert_eq!(scene.server.tally().snapshot().blob_bytes_out, 100_000, "no byte is sent twice");
}

#[tokio::test]
async fn html_is_neither_a_listing_nor_a_manifest_nor_a_token() {
    let html = "<html><body>Sign in</body></html>";
    let scene = Scene::new().await;
    scene.answer(Kind::TagList, 200, &[("content-type", "text/html")], html);
    let error = scene.reader().listing(&scene.repository).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Malformed(_)), "{error}");

    scene.answer(Kind::ManifestGet, 200, &[("content-type", "text/html")], html);
    let tag = "v1".parse().unwrap();
    let error = scene.reader().manifest(&scene.repository, Selector::Tag(&tag)).await.unwrap_err();
    assert!(error.to_string().contains("expected a manifest"), "{error}");

    let scene = Scene::of(with_tokens(), client_with(Arc::new(User))).await;
    scene.answer(Kind::Token, 200, &[], html);
    let error = scene.reader().listing(&scene.repository).await.unwrap_err();
    assert!(error.to_string().contains("token"), "{error}");
}

#[tokio::test]
async fn a_page_that_links_to_itself_is_an_error() {
    let scene = Scene::new().await;
    let link = ("link", "</v2/team/app/tags/list?n=1000&last=v1>; rel=\"next\"");
    scene.answer(Kind::TagList, 200, &[link], r#"{"name":"team/app","tags":["v1"]}"#);
    let error = soon(scene.reader().listing(&scene.repository)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Malformed(_)), "{error}");
    assert!(scene.server.tally().snapshot().total() <= 3);
}

/// Each page has a new tag, and refers to a new page.
#[tokio::test]
async fn endless_pages_are_an_error() {
    let scene = Scene::new().await;
    for page in 0..2_100 {
        let link = format!("</v2/team/app/tags/list?page={}>; rel=\"next\"", page + 1);
        let headers = [(http::header::LINK, link.parse().unwrap())].into_iter().collect();
        let body = Bytes::from(format!(r#"{{"tags":["t{page}"]}}"#));
        let canned = Canned { status: StatusCode::OK, headers, body };
        scene.server.faults().add(Fault::new(Effect::Canned(canned)).on(Kind::TagList).times(1));
    }
    let error = soon(scene.reader().listing(&scene.repository)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unreasonable(_)), "{error}");
}

#[tokio::test]
async fn a_link_to_another_host_is_not_followed() {
    let (scene, other) = (Scene::new().await, Scene::new().await);
    let link = format!("<http://{}/v2/team/app/tags/list>; rel=\"next\"", other.server.host());
    scene.answer(Kind::TagList, 200, &[("link", &link)], r#"{"tags":["v1"]}"#);
    let error = scene.reader().listing(&scene.repository).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ForeignHost { header: "Link", .. }), "{error}");
    assert_eq!(other.server.tally().snapshot().total(), 0);
}

#[tokio::test]
async fn an_upload_is_not_sent_to_another_host() {
    let (scene, other) = (Scene::new().await, Scene::new().await);
    let location = format!("http://{}/v2/team/app/blobs/uploads/1", other.server.host());
    scene.answer(Kind::Mount, 202, &[("location", &location)], "");
    let error = scene.open_upload().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ForeignHost { header: "Location", .. }), "{error}");
    assert_eq!(other.server.tally().snapshot().total(), 0);
}

/// Provides a password for every host.
#[derive(Debug)]
struct User;

impl CredentialSource for User {
    fn credential<'a>(
        &'a self,
        _: &'a Host,
        _: Option<&'a RepositoryPath>,
    ) -> futures_util::future::BoxFuture<'a, Result<Option<FoundCredential>, String>> {
        let credential = Credential::Basic { user: "user".to_owned(), password: Secret::new("hush") };
        Box::pin(async { Ok(Some(credential.from("the test"))) })
    }

    fn places(&self) -> String {
        "the test".to_owned()
    }
}

fn with_tokens() -> Config {
    let account = registry::Account {
        name: "user".to_owned(),
        password: "hush".to_owned(),
        access: registry::Access::Full,
    };
    let tokens = Tokens {
        accounts: vec![account],
        anonymous_pull: false,
        lifetime: Duration::from_secs(60),
        service: "test".to_owned(),
    };
    Config { authentication: Authentication::Token(tokens), ..Config::default() }
}

#[tokio::test]
async fn credentials_do_not_go_to_a_token_service_on_another_host() {
    let other = Scene::of(with_tokens(), client_with(Arc::new(Anonymous))).await;
    let scene = Scene::of(Config::default(), client_with(Arc::new(User))).await;
    let challenge = format!("Bearer realm=\"http://{}/token\",service=\"test\"", other.server.host());
    scene.answer(Kind::TagList, 401, &[("www-authenticate", &challenge)], "");
    let error = scene.reader().listing(&scene.repository).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ForeignTokenRealm { .. }), "{error}");
    assert!(error.advice().unwrap().contains("tokenHosts"));
    assert_eq!(other.server.tally().snapshot().total(), 0);
}

/// The same challenge is followed if the configuration names the host.
#[tokio::test]
async fn credentials_go_to_a_token_service_that_is_configured() {
    let other = Server::start(with_tokens()).await.unwrap();
    let server = Server::start(Config::default()).await.unwrap();
    let options = oci::HostOptions { token_hosts: vec![other.host().clone()], ..oci::HostOptions::default() };
    let door = Door::open(Settings::default()).unwrap();
    let client = Client::new(door, Arc::new(User), HashMap::from([(server.host().clone(), options)]));
    let challenge = format!("Bearer realm=\"http://{}/token\",service=\"test\"", other.host());
    let headers = [(http::header::WWW_AUTHENTICATE, challenge.parse().unwrap())].into_iter().collect();
    let canned = Canned { status: StatusCode::UNAUTHORIZED, headers, body: Bytes::new() };
    server.faults().add(Fault::new(Effect::Canned(canned)).times(1));
    let repository = Repository { host: server.host().clone(), path: "team/app".parse().unwrap() };
    assert!(client.reader().listing(&repository).await.unwrap().present().is_none());
    assert_eq!(other.tally().snapshot().requests(Kind::Token), 1);
}

#[tokio::test]
async fn a_manifest_of_a_hundred_megabytes_is_not_read() {
    let scene = Scene::new().await;
    let body = Bytes::from(vec![b' '; 100 << 20]);
    scene.answer(
        Kind::ManifestGet,
        200,
        &[("content-type", "application/vnd.oci.image.manifest.v1+json")],
        body,
    );
    let error = scene.manifest().await.unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
}

#[tokio::test]
async fn a_redirect_loop_is_an_error() {
    let scene = Scene::new().await;
    scene.answer(Kind::ManifestGet, 307, &[("location", "/v2/team/app/manifests/round-and-round")], "");
    let error = scene.manifest().await.unwrap_err();
    assert!(error.to_string().contains("too many"), "{error}");
    assert_eq!(scene.server.tally().snapshot().total(), 6, "five are followed");
}

/// The redirect is followed without the credentials.
#[tokio::test]
async fn a_redirected_blob_is_read_without_credentials() {
    let elsewhere = Scene::new().await;
    let scene = Scene::of(with_tokens(), client_with(Arc::new(User))).await;
    // The other registry requires no credentials.
    let layer = scene.image.blobs.iter().max_by_key(|blob| blob.len()).unwrap();
    let location = format!("http://{}/v2/team/app/blobs/{}", elsewhere.server.host(), Digest::of(layer));
    scene.reader().listing(&scene.repository).await.unwrap();
    scene.answer(Kind::BlobGet, 307, &[("location", &location)], "");
    assert_eq!(scene.layer().await.unwrap(), *layer);
    assert_eq!(elsewhere.server.tally().snapshot().requests(Kind::BlobGet), 1);
}

/// Storage services include the refused request in their answer, with the complete signed URL.
#[tokio::test]
async fn only_the_code_of_a_redirected_answer_is_shown() {
    for (body, code) in [
        (
            "<Error><Code>SignatureDoesNotMatch</Code><Resource>/hush/hush?sig=hush</Resource></Error>",
            "SignatureDoesNotMatch",
        ),
        (r#"{"errors": [{"code": "DENIED", "message": "hush"}]}"#, "DENIED"),
        ("<Error><Code>hush 1</Code></Error> hush", "403"),
        (r#"{"errors": [{"code": "hush1", "message": "hush"}]}"#, "403"),
    ] {
        let (scene, elsewhere) = (Scene::new().await, Scene::new().await);
        let location =
            format!("http://{}/v2/team/app/blobs/{}?sig=hush", elsewhere.server.host(), Digest::of(b"x"));
        scene.answer(Kind::BlobGet, 307, &[("location", &location)], "");
        elsewhere.answer(Kind::BlobGet, 403, &[], body);
        let error = scene.layer().await.unwrap_err().to_string();
        assert!(error.contains(code) && !error.contains("hush"), "{error}");
    }
}

#[tokio::test]
async fn an_unsupported_challenge_is_reported_as_such() {
    let scene = Scene::new().await;
    let challenge = r#"Bearer realm="ftp://tokens.example/t",service="x""#;
    scene.answer(Kind::ManifestGet, 401, &[("www-authenticate", challenge)], "");
    let error = scene.manifest().await.unwrap_err();
    assert!(
        error.to_string().contains("challenge is not understood: its realm is a URL of `ftp`"),
        "{error}"
    );
    assert!(!error.advice().unwrap().contains("docker login"), "{error}");
}

#[tokio::test]
async fn credentials_that_a_registry_echoes_are_masked() {
    let scene = Scene::of(Config::default(), client_with(Arc::new(User))).await;
    let found = User.credential(scene.server.host(), None).await.unwrap().unwrap();
    let Credential::Basic { user, password } = found.credential else { panic!("expected a password") };
    let encoded = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("{user}:{}", password.reveal()),
    );
    let message = format!("not with Basic {encoded}, nor {encoded}, nor {}", password.reveal());
    for body in
        [serde_json::json!({ "errors": [{ "code": "DENIED", "message": message }] }).to_string(), message]
    {
        scene.answer(Kind::ManifestGet, 403, &[], body);
        let error = scene.manifest().await.unwrap_err().to_string();
        assert!(error.contains("not with"), "{error}");
        assert!(!error.contains(&encoded) && !error.contains(password.reveal()), "{error}");
    }
}

#[tokio::test]
async fn missing_and_endless_answers_are_given_up() {
    for effect in [Effect::Hang, Effect::HangBody { after: 10 }, Effect::Endless] {
        let scene = Scene::new().await;
        scene.strike(Kind::ManifestGet, effect.clone());
        scene.strike(Kind::BlobGet, effect.clone());
        soon(scene.manifest()).await.unwrap_err();
        soon(scene.layer()).await.unwrap_err();
    }
}

/// A body that arrives too slowly counts as stalled, even if it never pauses for long.
#[tokio::test]
async fn a_very_slow_body_is_given_up() {
    let scene = Scene::new().await;
    scene.strike(Kind::BlobGet, Effect::Slow { bytes_per_second: 100 });
    let error = soon(scene.layer()).await.unwrap_err();
    assert!(error.to_string().contains("fewer than 1024 bytes of the body arrived"), "{error}");
}

/// The answer to a write may take minutes, so only a few attempts are made if none of them is answered.
#[tokio::test]
async fn an_upload_that_is_never_answered_is_sent_three_times() {
    let timeouts = Timeouts { answer: Duration::from_millis(200), ..Timeouts::default() };
    let retry = Retry { first_pause: Duration::from_millis(1), ..Retry::default() };
    let door = Door::open(Settings { retry, timeouts, ..Settings::default() }).unwrap();
    let client = Client::new(door, Arc::new(Anonymous), HashMap::new());
    let (source, destination) = (Scene::of(Config::default(), client).await, Scene::new().await);
    let image = Recipe { seed: 9, layers: 1, ..Recipe::default() }.image();
    image.put(source.server.store(), &source.repository.path, &[]).await.unwrap();
    let layer = image.blobs.iter().max_by_key(|blob| blob.len()).unwrap();
    let hang = Fault::new(Effect::Hang).on(Kind::UploadPut).path(Digest::of(layer).hex());
    let watch = destination.server.faults().add(hang);
    let graph = Graph::read(&source.reader(), &source.repository.at(image.digest())).await.unwrap();
    let target =
        Target { repository: destination.repository.clone(), tags: Vec::new(), present: Default::default() };
    let error = soon(source.copy(&graph, target)).await.unwrap_err();
    assert!(error.to_string().contains("no answer within 1 s"), "{error}");
    assert_eq!(watch.struck(), 3);
}

#[tokio::test]
async fn an_index_with_a_wrong_size_of_a_child_is_refused() {
    let scene = Scene::new().await;
    let sample = Recipe { seed: 5, ..Recipe::default() }.index(2);
    let repository = &scene.repository;
    sample.put(scene.server.store(), &repository.path, &[]).await.unwrap();
    let child = &sample.manifests[0];
    let wrong = String::from_utf8(sample.root().bytes().to_vec()).unwrap();
    let size = format!("\"size\":{}", child.bytes().len());
    let wrong = wrong.replacen(&size, "\"size\":1", 1);
    let wrong = oci::RawManifest::new(sample.root().media_type().clone(), wrong.into());
    scene.server.store().put_manifest(&repository.path, None, &wrong).await.unwrap();
    let error = Graph::read(&scene.reader(), &repository.at(wrong.digest())).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WrongSize { expected: 1, .. }), "{error}");
}

/// If a registry reports another digest for a manifest, it receives no further tag.
#[tokio::test]
async fn a_destination_that_reports_another_digest_is_an_error() {
    let (source, destination) = (Scene::new().await, Scene::new().await);
    let other = Digest::of(b"other").to_string();
    destination.answer(Kind::ManifestPut, 201, &[("docker-content-digest", &other)], "");
    let graph = Graph::read(&source.reader(), &source.repository.at(source.image.digest())).await.unwrap();
    let repository = Repository { path: "team/new".parse().unwrap(), ..destination.repository.clone() };
    let target = Target { repository, tags: vec!["v1".parse().unwrap()], present: Default::default() };
    let result = source.copy(&graph, target).await;
    assert!(matches!(result.unwrap_err().kind(), ErrorKind::WrongDigest { .. }));
}

/// A host that refuses whole blobs as too large receives them in chunks, without any configuration.
#[tokio::test]
async fn a_host_that_requires_chunks_receives_chunks() {
    let (source, destination) = (Scene::new().await, Scene::new().await);
    let headers = HeaderMap::new();
    let refused = Canned { status: StatusCode::PAYLOAD_TOO_LARGE, headers, body: Bytes::new() };
    let image = Recipe { seed: 9, layers: 1, layer_size: 20 << 20, ..Recipe::default() }.image();
    let layer = image.blobs.iter().max_by_key(|blob| blob.len()).unwrap();
    let fault =
        Fault::new(Effect::Canned(refused)).on(Kind::UploadPut).path(Digest::of(layer).hex()).times(1);
    destination.server.faults().add(fault);
    image.put(source.server.store(), &source.repository.path, &[]).await.unwrap();
    let graph = Graph::read(&source.reader(), &source.repository.at(image.digest())).await.unwrap();
    let target =
        Target { repository: destination.repository.clone(), tags: Vec::new(), present: Default::default() };
    let result = source.copy(&graph, target).await;
    assert!(result.is_ok(), "{result:?}");
    assert!(
        destination.server.tally().snapshot().requests(Kind::UploadPatch) >= 2,
        "20 MiB are two chunks of at most 16 MiB"
    );
    assert!(destination.server.store().missing_parts().await.unwrap().is_empty());
}
