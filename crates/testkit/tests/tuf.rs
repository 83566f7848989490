//! The TUF repository, read with the client library that kpromo uses: valid metadata is accepted, and each kind of invalid
//! metadata is refused with its own error.

#![expect(clippy::unwrap_used, reason = "test helpers report failures by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use sigstore_tuf::transport::{FetchFuture, Repository};
use sigstore_tuf::{Error, MemoryStore, Updater};
use testkit::{TufRepository, TufRole};

const NAME: &str = "trusted_root.json";

/// A repository over HTTP.
struct Mirror(String);

impl Mirror {
    fn fetch(&self, path: &str) -> Option<Vec<u8>> {
        let mut stream = TcpStream::connect(self.0.strip_prefix("http://").unwrap()).unwrap();
        write!(stream, "GET /{path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        answer.starts_with(b"HTTP/1.1 200 ").then(|| answer.split_off(end + 4))
    }
}

impl Repository for Mirror {
    fn fetch_metadata<'a>(&'a self, name: &'a str, _: u64) -> FetchFuture<'a> {
        Box::pin(async move { Ok(self.fetch(name)) })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, _: u64) -> FetchFuture<'a> {
        Box::pin(async move { Ok(self.fetch(&format!("targets/{path}"))) })
    }
}

/// A client that starts from the first root and stores the metadata that it has verified.
struct Client {
    root: Vec<u8>,
    store: Arc<MemoryStore>,
}

impl Client {
    fn of(repository: &TufRepository) -> Self {
        Self { root: repository.root(1), store: Arc::new(MemoryStore::new()) }
    }

    async fn target(&self, repository: &TufRepository) -> Result<Vec<u8>, Error> {
        let mirror = Mirror(repository.url());
        let mut updater = Updater::new(mirror, &self.root)?.with_store(Arc::clone(&self.store));
        let now = jiff::Timestamp::now();
        updater.refresh(now).await?;
        updater.get_target(NAME, now).await
    }
}

fn repository() -> TufRepository {
    TufRepository::start([(NAME, b"first".to_vec())])
}

#[tokio::test]
async fn a_changed_target_is_read_after_it_is_published() {
    let mut repository = repository();
    let client = Client::of(&repository);
    assert_eq!(client.target(&repository).await.unwrap(), b"first");
    repository.set_target(NAME, b"second".to_vec());
    assert_eq!(client.target(&repository).await.unwrap(), b"first", "not published yet");
    repository.publish();
    assert_eq!(client.target(&repository).await.unwrap(), b"second");
    assert!(repository.requests().contains(&repository.target_path(NAME)));
}

#[tokio::test]
async fn the_keys_of_every_role_can_be_rotated_repeatedly() {
    let mut repository = repository();
    let client = Client::of(&repository);
    for round in ["one", "two"] {
        for role in [TufRole::Root, TufRole::Timestamp, TufRole::Snapshot, TufRole::Targets] {
            repository.rotate(role);
            repository.set_target(NAME, round.as_bytes().to_vec());
            repository.publish();
            assert_eq!(client.target(&repository).await.unwrap(), round.as_bytes(), "{role:?}");
        }
    }
    assert_eq!(
        Client::of(&repository).target(&repository).await.unwrap(),
        b"two",
        "a new client follows all roots"
    );
}

#[tokio::test]
async fn expired_metadata_of_any_role_is_refused() {
    for role in [TufRole::Root, TufRole::Timestamp, TufRole::Snapshot, TufRole::Targets] {
        let mut repository = repository();
        repository.expire(role);
        repository.publish();
        let error = Client::of(&repository).target(&repository).await.unwrap_err();
        assert!(matches!(error, Error::Expired { .. }), "{role:?}: {error}");
    }
}

#[tokio::test]
async fn metadata_of_any_role_that_an_unknown_key_signed_is_refused() {
    for role in [TufRole::Root, TufRole::Timestamp, TufRole::Snapshot, TufRole::Targets] {
        let mut repository = repository();
        repository.forge(role);
        repository.publish();
        let error = Client::of(&repository).target(&repository).await.unwrap_err();
        assert!(matches!(error, Error::ThresholdNotMet { .. }), "{role:?}: {error}");
    }
}

#[tokio::test]
async fn a_rollback_is_refused_by_a_client_that_knows_a_newer_version() {
    let mut repository = repository();
    let client = Client::of(&repository);
    repository.publish();
    client.target(&repository).await.unwrap();
    repository.roll_back();
    let error = client.target(&repository).await.unwrap_err();
    assert!(matches!(error, Error::Rollback { .. }), "{error}");
    Client::of(&repository).target(&repository).await.unwrap();
}

#[tokio::test]
async fn a_target_that_was_tampered_with_is_refused_until_it_is_published_again() {
    let mut repository = repository();
    let path = repository.target_path(NAME);
    repository.tamper(&path, b"other".to_vec());
    let client = Client::of(&repository);
    let error = client.target(&repository).await.unwrap_err();
    assert!(matches!(error, Error::IntegrityMismatch(_)), "{error}");
    repository.publish();
    assert_eq!(client.target(&repository).await.unwrap(), b"first");
}
