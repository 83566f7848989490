//! Trust from a TUF repository on loopback: updates are used, forgeries are not, and the last valid copy replaces an unusable
//! repository until the copy expires.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sigstore::{Form, SigningKey, Trust, TrustError, TrustSettings};
use sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;
use tempfile::TempDir;
use testkit::{TufRepository, TufRole};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::server::{Answer, Server};
use crate::support::stack::{door, impatient_door};

const CONFIG: &str = "signing_config.v0.2.json";
const ROLES: [TufRole; 4] = [TufRole::Root, TufRole::Timestamp, TufRole::Snapshot, TufRole::Targets];

/// A signing configuration that is identified by the name of its Fulcio.
fn config(name: &str) -> Vec<u8> {
    let service = |url: &str| {
        json!([{ "url": url, "majorApiVersion": 1, "operator": "test",
                 "validFor": { "start": "2024-01-01T00:00:00Z" } }])
    };
    json!({
        "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
        "caUrls": service(&format!("https://{name}.example")), "rekorTlogUrls": service("https://rekor.example"),
        "rekorTlogConfig": { "selector": "ANY" }, "tsaConfig": { "selector": "ANY" },
    })
    .to_string()
    .into_bytes()
}

/// A repository whose configuration is called `first`.
fn repository() -> TufRepository {
    let root = SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes().to_vec();
    TufRepository::start([("trusted_root.json", root), (CONFIG, config("first"))])
}

/// A repository, and a client that has cached its first answer.
struct Known {
    repository: TufRepository,
    cache: TempDir,
    root: Vec<u8>,
}

impl Known {
    async fn new() -> Self {
        let repository = repository();
        let this = Self { root: repository.root(1), repository, cache: tempfile::tempdir().unwrap() };
        assert_eq!(this.asked().await.unwrap(), "first");
        this
    }

    fn settings(&self) -> TrustSettings {
        settings(&self.repository, Some(self.cache.path()))
    }

    /// Returns the configuration of a new run, from the repository or the cache.
    async fn asked(&self) -> Result<String, TrustError> {
        asked(&Trust::new(door(), self.settings()).unwrap()).await
    }

    /// Returns the configuration of a run without a cache.
    async fn asked_anew(&self) -> Result<String, TrustError> {
        let settings =
            TrustSettings { cache: None, initial_root: Some(self.root.clone()), ..self.settings() };
        asked(&Trust::new(door(), settings).unwrap()).await
    }

    /// Publishes another configuration without authorization.
    fn publish_evil(&mut self) {
        self.repository.set_target(CONFIG, config("evil"));
        self.repository.publish();
    }
}

fn settings(repository: &TufRepository, cache: Option<&Path>) -> TrustSettings {
    TrustSettings {
        mirror: Some(repository.url().parse().unwrap()),
        initial_root: Some(repository.root(1)),
        cache: cache.map(Path::to_owned),
        ..TrustSettings::default()
    }
}

/// Returns the name of the trusted configuration. The trusted root must exist too.
async fn asked(trust: &Trust) -> Result<String, TrustError> {
    trust.verifier().await?;
    let fulcio = trust.services(Form::Bundle).await?.fulcio.unwrap();
    Ok(fulcio.host_str().unwrap().trim_end_matches(".example").to_owned())
}

/// Records the log of this thread while the guard lives.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt().with_writer(self.clone()).with_ansi(false).finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn warns(&self, words: &str) -> bool {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().any(|line| line.contains("WARN") && line.contains(words))
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_repository_is_read_once_and_only_when_it_is_needed() {
    let repository = repository();
    let trust = Trust::new(door(), settings(&repository, None)).unwrap();
    assert_eq!(repository.requests(), [""; 0], "the repository is read only on demand");
    assert_eq!(asked(&trust).await.unwrap(), "first");
    // One request each: the next root, which does not exist; timestamp, snapshot and targets; both files.
    let number = repository.requests().len();
    assert_eq!(number, 6, "{:?}", repository.requests());
    let clone = trust.clone();
    let (one, other) = tokio::join!(asked(&trust), asked(&clone));
    assert_eq!((one.unwrap().as_str(), other.unwrap().as_str()), ("first", "first"));
    assert_eq!(repository.requests().len(), number);
    assert!(Arc::ptr_eq(&trust.verifier().await.unwrap(), &clone.verifier().await.unwrap()));
}

#[tokio::test]
async fn a_repository_that_fails_is_requested_once_for_all_edges() {
    let server = Server::start(|_| Answer::status(503, ""));
    let settings = TrustSettings { mirror: Some(server.url()), ..settings(&repository(), None) };
    let trust = Trust::new(door(), settings).unwrap();
    let (one, other) = tokio::join!(trust.verifier(), trust.services(Form::Bundle));
    let (one, other) = (one.unwrap_err().to_string(), other.unwrap_err().to_string());
    assert_eq!(one, other);
    assert_eq!(trust.verifier().await.unwrap_err().to_string(), one);
    assert_eq!(server.count(), 3, "one request, with three attempts of the door");
}

#[tokio::test]
async fn complete_settings_need_no_request() {
    let repository = repository();
    let given = || TrustSettings {
        trusted_root: Some(SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes().to_vec()),
        signing_config: Some(config("given")),
        ..settings(&repository, None)
    };
    let key = Some(SigningKey::generate().unwrap().verification_key());
    let by_key = TrustSettings { verification_key: key, trusted_root: None, ..given() };
    for settings in [given(), by_key] {
        assert_eq!(asked(&Trust::new(door(), settings).unwrap()).await.unwrap(), "given");
    }
    assert_eq!(repository.requests(), [""; 0]);
}

#[tokio::test]
async fn the_next_run_uses_newly_published_metadata_including_new_keys() {
    let mut known = Known::new().await;
    known.repository.set_target(CONFIG, config("second"));
    let before = known.repository.requests().len();
    assert_eq!(known.asked().await.unwrap(), "first", "not published yet");
    let asked: Vec<_> = known.repository.requests().split_off(before);
    assert_eq!(asked, ["2.root.json", "timestamp.json"], "the other files are read from the cache");
    known.repository.publish();
    assert_eq!(known.asked().await.unwrap(), "second");
    for role in ROLES {
        known.repository.rotate(role);
    }
    known.repository.set_target(CONFIG, config("third"));
    known.repository.publish();
    assert_eq!(known.asked().await.unwrap(), "third");
    assert_eq!(known.asked_anew().await.unwrap(), "third");
}

/// Damages a repository, and checks that a client with a valid copy uses it with a warning and that a client without one trusts
/// nothing.
async fn check_fallback(damage: impl Fn(&mut Known), words: &str) {
    let mut known = Known::new().await;
    damage(&mut known);
    let log = Log::default();
    {
        let _guard = log.listen();
        assert_eq!(known.asked().await.unwrap(), "first");
    }
    assert!(log.warns("cannot be used") && log.warns("trusting the copy in"), "{:?}", log.0);
    assert_eq!(known.asked().await.unwrap(), "first", "no part of the invalid update was cached");
    let error = known.asked_anew().await.unwrap_err().to_string();
    assert!(error.contains(&known.repository.url()) && error.contains(words), "{error}");
}

#[tokio::test]
async fn unsigned_metadata_of_any_role_is_never_trusted() {
    for role in ROLES {
        check_fallback(
            |known| {
                known.repository.forge(role);
                known.publish_evil();
            },
            "",
        )
        .await;
    }
}

#[tokio::test]
async fn expired_metadata_of_any_role_is_not_trusted() {
    for role in ROLES {
        check_fallback(
            |known| {
                known.repository.expire(role);
                known.publish_evil();
            },
            "expired",
        )
        .await;
    }
}

#[tokio::test]
async fn a_file_that_was_tampered_with_is_not_trusted() {
    for target in ["trusted_root.json", CONFIG] {
        check_fallback(
            |known| {
                known.repository.set_target(CONFIG, config("other"));
                known.repository.set_target("trusted_root.json", b"other".to_vec());
                known.repository.publish();
                let path = known.repository.target_path(target);
                known.repository.tamper(&path, config("evil"));
            },
            "",
        )
        .await;
    }
}

#[tokio::test]
async fn a_rolled_back_repository_is_not_used() {
    let mut known = Known::new().await;
    known.repository.set_target(CONFIG, config("second"));
    known.repository.publish();
    assert_eq!(known.asked().await.unwrap(), "second");
    known.repository.roll_back();
    let log = Log::default();
    {
        let _guard = log.listen();
        assert_eq!(known.asked().await.unwrap(), "second");
    }
    assert!(log.warns("trusting the copy in"));
}

#[tokio::test]
async fn a_repository_that_recovers_is_used_again() {
    let mut known = Known::new().await;
    known.repository.expire(TufRole::Timestamp);
    known.publish_evil();
    assert_eq!(known.asked().await.unwrap(), "first");
    known.repository.set_expiry(TufRole::Timestamp, "2999-01-01T00:00:00Z");
    known.repository.set_target(CONFIG, config("second"));
    known.repository.publish();
    assert_eq!(known.asked().await.unwrap(), "second");
}

#[tokio::test]
async fn the_cached_copy_replaces_a_repository_that_fails_or_hangs() {
    let known = Known::new().await;
    for answer in [Answer::status(503, ""), Answer::status(404, ""), Answer::ok("garbage"), Answer::Silence] {
        // The directory in the cache depends on the URL, so the copy is copied there.
        let server = Server::start(move |_| answer.clone());
        let address = server.url().authority().replace(':', "_3a");
        let own = known.repository.url().trim_start_matches("http://").replace(':', "_3a");
        copy(&known.cache.path().join(own), &known.cache.path().join(address));
        let settings = TrustSettings { mirror: Some(server.url()), ..known.settings() };
        let trust = Trust::new(impatient_door(), settings.clone()).unwrap();
        assert_eq!(asked(&trust).await.unwrap(), "first");
        let settings = TrustSettings { cache: None, ..settings };
        let error = asked(&Trust::new(impatient_door(), settings).unwrap()).await.unwrap_err();
        assert!(matches!(error, TrustError::Tuf { .. }), "{error}");
        assert!(error.to_string().contains(server.url().authority()), "{error}");
    }
}

/// Copies a directory recursively.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Returns the files in a directory, recursively.
fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_broken_cache_is_ignored() {
    let known = Known::new().await;
    let kept = files(known.cache.path());
    assert!(!kept.is_empty());
    for file in &kept {
        for garbage in ["", "garbage", "{}"] {
            std::fs::write(file, garbage).unwrap();
            assert_eq!(known.asked().await.unwrap(), "first", "{} is {garbage:?}", file.display());
        }
    }
}

#[tokio::test]
async fn a_cache_of_another_repository_is_not_trusted() {
    let known = Known::new().await;
    let mut evil = repository();
    evil.set_target(CONFIG, config("evil"));
    evil.publish();
    let own = tempfile::tempdir().unwrap();
    assert_eq!(asked(&Trust::new(door(), settings(&evil, Some(own.path()))).unwrap()).await.unwrap(), "evil");
    // Replaces the valid copy with this content, while its URL no longer answers.
    let gone = Server::start(|_| Answer::status(503, ""));
    let directory = known.cache.path().join(gone.url().authority().replace(':', "_3a"));
    copy(&own.path().join(evil.url().trim_start_matches("http://").replace(':', "_3a")), &directory);
    let settings = TrustSettings { mirror: Some(gone.url()), ..known.settings() };
    let error = asked(&Trust::new(impatient_door(), settings).unwrap()).await.unwrap_err();
    assert!(matches!(error, TrustError::Tuf { .. }), "{error}");
}

#[tokio::test]
async fn a_copy_that_has_expired_is_not_trusted() {
    let mut repository = repository();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(8);
    repository.set_expiry(TufRole::Timestamp, &soon.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    repository.publish();
    let cache = tempfile::tempdir().unwrap();
    let settings = settings(&repository, Some(cache.path()));
    assert_eq!(asked(&Trust::new(door(), settings.clone()).unwrap()).await.unwrap(), "first");
    while jiff::Timestamp::now() <= soon {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let error = asked(&Trust::new(door(), settings).unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
}

#[tokio::test]
async fn a_private_repository_needs_its_own_initial_root() {
    let (repository, other) = (repository(), repository());
    let without = TrustSettings { initial_root: None, ..settings(&repository, None) };
    let error = Trust::new(door(), without).unwrap_err().to_string();
    assert!(error.contains("--tuf-root"), "{error}");
    let with_another = TrustSettings { initial_root: Some(other.root(1)), ..settings(&repository, None) };
    let error = asked(&Trust::new(door(), with_another).unwrap()).await.unwrap_err();
    assert!(matches!(error, TrustError::Tuf { .. }), "{error}");
    for garbage in ["", "garbage", "{}"] {
        let settings = TrustSettings { initial_root: Some(garbage.into()), ..settings(&repository, None) };
        let error = asked(&Trust::new(door(), settings).unwrap()).await.unwrap_err();
        assert!(matches!(error, TrustError::Tuf { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_repository_without_a_signing_configuration_is_usable_for_verification() {
    let root = SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes().to_vec();
    let repository = TufRepository::start([("trusted_root.json", root)]);
    let trust = Trust::new(door(), settings(&repository, None)).unwrap();
    trust.verifier().await.unwrap();
    let error = trust.services(Form::Bundle).await.unwrap_err().to_string();
    assert!(error.contains("--signing-config"), "{error}");
    let neither = TufRepository::start([("something.json", b"{}".to_vec())]);
    let trust = Trust::new(door(), settings(&neither, None)).unwrap();
    assert!(matches!(trust.verifier().await, Err(TrustError::Tuf { .. })));
}

#[tokio::test]
async fn unusable_files_are_reported_immediately() {
    let mut twice: Value = serde_json::from_str(SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
    twice["tlogs"] = json!("none");
    for bad in [b"".to_vec(), b"garbage".to_vec(), b"\xff".to_vec(), twice.to_string().into_bytes()] {
        let root = TrustSettings { trusted_root: Some(bad.clone()), ..TrustSettings::default() };
        let config = TrustSettings { signing_config: Some(bad), ..TrustSettings::default() };
        for (settings, what) in [(root, "the trusted root"), (config, "the signing configuration")] {
            let error = Trust::new(door(), settings).unwrap_err().to_string();
            assert!(error.starts_with(what), "{error}");
        }
    }
    let root = Some(SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes().to_vec());
    let trust = Trust::new(door(), TrustSettings { trusted_root: root, ..TrustSettings::default() }).unwrap();
    let error = trust.services(Form::Bundle).await.unwrap_err().to_string();
    assert!(
        error.contains("--signing-config"),
        "a private trusted root is not combined with public services: {error}"
    );
}
