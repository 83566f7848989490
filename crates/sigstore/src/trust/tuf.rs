//! A trusted root and a signing configuration from a TUF repository. A copy is kept on disk. This binary also contains a copy of
//! the public-good instance's files, for machines that cannot reach the repository.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sigstore_trust_root::{SIGSTORE_PRODUCTION_SIGNING_CONFIG, SIGSTORE_PRODUCTION_TRUSTED_ROOT};
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{FileStore, MetadataStore as _, Repository, StoreRepository, Updater};
use transport::{Class, Door, Request};
use url::Url;

use super::cache::Draft;
use super::settings::{PUBLIC_GOOD, TrustSettings};
use crate::error::{TrustError, bounded};

/// The initial root of the public-good instance's repository. An update verifies the latest root from it.
const PUBLIC_GOOD_ROOT: &[u8] = include_bytes!("public_good_root.json");
const TRUSTED_ROOT: &str = "trusted_root.json";
const SIGNING_CONFIG: &str = "signing_config.v0.2.json";
/// The time limit of an update. If it is exceeded, the copies serve as a fallback.
const PATIENCE: Duration = Duration::from_secs(20);

/// The content of a TUF repository.
#[derive(Debug)]
pub(super) struct Material {
    pub(super) trusted_root: Vec<u8>,
    /// The signing configuration, if the repository contains one.
    pub(super) signing_config: Option<Vec<u8>>,
}

/// A copy in this binary of the repository's content at build time.
struct Embedded {
    material: Material,
    /// The version of the repository's root at that time.
    root_version: u64,
}

impl Embedded {
    /// Returns the copy of the public-good instance's repository.
    fn public_good() -> Self {
        let material = Material {
            trusted_root: SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes().to_vec(),
            signing_config: Some(SIGSTORE_PRODUCTION_SIGNING_CONFIG.as_bytes().to_vec()),
        };
        Self { material, root_version: version(PUBLIC_GOOD_ROOT).unwrap_or_default() }
    }
}

/// Why a repository provided nothing.
#[derive(Debug)]
enum Failure {
    /// The repository is unreachable or empty. This is not a sign of an attack.
    Unreachable(String),
    /// The content does not verify: it is forged, rolled back, expired or broken.
    Unverified(String),
}

impl Failure {
    fn why(&self) -> &str {
        match self {
            Self::Unreachable(why) | Self::Unverified(why) => why,
        }
    }
}

impl From<sigstore_tuf::Error> for Failure {
    fn from(error: sigstore_tuf::Error) -> Self {
        let why = chain(&error);
        match error {
            sigstore_tuf::Error::Transport { .. } => Self::Unreachable(why),
            _ => Self::Unverified(why),
        }
    }
}

/// Loads the latest files: from the repository, or else from the copy on disk while it has not expired, or else, if the
/// repository is the public-good instance's and unreachable, from this binary.
pub(super) async fn load(door: &Door, settings: &TrustSettings) -> Result<Material, TrustError> {
    let mirror = match &settings.mirror {
        Some(mirror) => mirror.clone(),
        None => Url::parse(PUBLIC_GOOD).map_err(|error| TrustError::unusable("the TUF mirror", error))?,
    };
    let is_public_good = settings.mirror.is_none() && settings.initial_root.is_none();
    let asked = Mirror { door: door.clone(), base: slashed(mirror.clone()) };
    load_from(asked, &mirror, settings, is_public_good.then(Embedded::public_good)).await
}

async fn load_from(
    asked: impl Repository + 'static,
    mirror: &Url,
    settings: &TrustSettings,
    embedded: Option<Embedded>,
) -> Result<Material, TrustError> {
    let initial = settings.initial_root.as_deref().unwrap_or(PUBLIC_GOOD_ROOT);
    let directory = settings.cache.as_ref().map(|cache| cache.join(directory_name(mirror)));
    let draft = directory.as_ref().map(|directory| Draft::over(FileStore::new(directory)));
    let now = Timestamp::now();
    let online = tokio::time::timeout(PATIENCE, update(asked, initial, draft.clone(), now));
    let silent = || Failure::Unreachable(format!("it did not answer within {} s", PATIENCE.as_secs()));
    let failure = match online.await.unwrap_or_else(|_| Err(silent())) {
        Ok(material) => {
            if let Some(draft) = &draft {
                draft.keep();
            }
            return Ok(material);
        }
        Err(failure) => failure,
    };
    let (shown, why) = (transport::shown(mirror), failure.why());
    if let Some(directory) = &directory
        && let Ok(material) = kept(FileStore::new(directory), initial, now).await
    {
        tracing::warn!(
            "the TUF repository {shown} cannot be used ({why}): trusting the copy in {}",
            directory.display()
        );
        return Ok(material);
    }
    match (&failure, embedded) {
        (Failure::Unreachable(_), Some(embedded)) => {
            Ok(unreachable(&shown, why, directory.as_deref(), initial, embedded).await)
        }
        // Content that does not verify may be an attack that tries to restore keys that are no longer trusted.
        _ => Err(TrustError::Tuf { mirror: shown, why: why.to_owned() }),
    }
}

/// Returns the fallback for an unreachable repository without a valid copy on disk: the expired copy on disk if its root is at
/// least as new as the one in this binary, or else the copy in this binary. An attacker who blocks the repository therefore
/// cannot restore keys that it has replaced.
async fn unreachable(
    shown: &str,
    why: &str,
    directory: Option<&Path>,
    initial: &[u8],
    embedded: Embedded,
) -> Material {
    if let Some(directory) = directory
        && let Some((material, root_version)) = expired(&FileStore::new(directory), initial).await
        && root_version >= embedded.root_version
        && material.trusted_root != embedded.material.trusted_root
    {
        tracing::warn!(
            "the TUF repository {shown} cannot be used ({why}): trusting the copy in {}, which has \
             expired, since the copy in this program may be older",
            directory.display()
        );
        return material;
    }
    tracing::warn!("the TUF repository {shown} cannot be used ({why}): trusting the copy in this program");
    embedded.material
}

/// Loads the copy in a directory with the same verification as for the repository. The directory is not changed.
async fn kept(directory: FileStore, initial: &[u8], now: Timestamp) -> Result<Material, Failure> {
    update(StoreRepository::new(directory.clone()), initial, Some(Draft::over(directory)), now).await
}

/// Loads the copy in a directory, verified as of the time before it expired, and the version of its root.
async fn expired(directory: &FileStore, initial: &[u8]) -> Option<(Material, u64)> {
    let file = |name: &str| directory.load(name).ok().flatten();
    let root = file("root.json");
    let root = root.as_deref().unwrap_or(initial);
    let others = ["timestamp.json", "snapshot.json", "targets.json"].map(file);
    let mut end = expiry(root)?;
    for other in others {
        end = end.min(expiry(&other?)?);
    }
    let before = end.saturating_sub(SignedDuration::from_secs(1)).ok()?;
    Some((kept(directory.clone(), initial, before).await.ok()?, version(root)?))
}

/// Returns the expiration time in metadata.
fn expiry(metadata: &[u8]) -> Option<Timestamp> {
    signed(metadata)?.get("expires")?.as_str()?.parse().ok()
}

/// Returns the version in metadata.
fn version(metadata: &[u8]) -> Option<u64> {
    signed(metadata)?.get("version")?.as_u64()
}

fn signed(metadata: &[u8]) -> Option<Value> {
    let mut metadata: Value = serde_json::from_slice(metadata).ok()?;
    Some(metadata.get_mut("signed")?.take())
}

/// Follows the repository's metadata from the initial root to both files.
async fn update(
    repository: impl Repository + 'static,
    initial: &[u8],
    draft: Option<Draft>,
    now: Timestamp,
) -> Result<Material, Failure> {
    let mut updater = Updater::new(repository, initial)?;
    if let Some(draft) = draft {
        updater = updater.with_store(draft);
    }
    updater.refresh(now).await?;
    let trusted_root = updater.get_target(TRUSTED_ROOT, now).await?;
    // A repository may be for verification only, without a signing configuration.
    let signing_config = match updater.get_target_info(SIGNING_CONFIG, now).await? {
        Some(_) => Some(updater.get_target(SIGNING_CONFIG, now).await?),
        None => None,
    };
    Ok(Material { trusted_root, signing_config })
}

/// A TUF repository that is accessed through the door.
struct Mirror {
    door: Door,
    base: Url,
}

impl Mirror {
    async fn fetch(&self, path: &str, most: u64) -> sigstore_tuf::Result<Option<Vec<u8>>> {
        let failed = |error: Arc<dyn std::error::Error + Send + Sync>| {
            sigstore_tuf::Error::transport(error.to_string())
        };
        let url = self.base.join(path).map_err(|error| failed(Arc::new(error)))?;
        let request = Request::new(Method::GET, url, "tuf", Class::Read).follow().limit(most);
        let answer = self.door.send(request).await.map_err(|error| failed(Arc::new(error)))?;
        match answer.status() {
            StatusCode::OK => Ok(Some(answer.body().to_vec())),
            // The public-good instance's storage answers 403 for a missing file.
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(None),
            status => Err(sigstore_tuf::Error::transport(format!("{path}: {status}"))),
        }
    }
}

impl Repository for Mirror {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(self.fetch(name, max_length))
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(async move { self.fetch(&format!("targets/{path}"), max_length).await })
    }
}

/// Returns the name of a mirror's directory in the cache. It differs for all mirrors: each other byte is two hexadecimal digits.
fn directory_name(mirror: &Url) -> String {
    let text = format!("{}{}", mirror.authority(), mirror.path().trim_end_matches('/'));
    let each = text.bytes().map(|byte| match byte {
        b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
        other => format!("_{other:02x}"),
    });
    each.collect()
}

/// Returns a URL that paths can be joined to.
fn slashed(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    url
}

/// Returns the text of an error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    bounded(&text)
}

#[cfg(test)]
mod tests {
    use testkit::{TufRepository, TufRole};

    use super::*;
    use crate::trust::{Form, Services, services};
    use crate::verify::Verifier;

    #[test]
    fn the_embedded_copy_contains_a_trusted_root_and_services() {
        let Material { trusted_root, signing_config } = Embedded::public_good().material;
        Verifier::with_root(&trusted_root).unwrap();
        let config = services::parse(&signing_config.unwrap()).unwrap();
        for form in [Form::Bundle, Form::Layer] {
            let services = Services::select(&config, form).unwrap();
            assert_eq!(services.fulcio.unwrap().host_str(), Some("fulcio.sigstore.dev"), "{form:?}");
            assert!(!services.rekor.is_empty(), "{form:?}");
        }
    }

    /// A repository that fails immediately, never answers, has no files, or answers with unsigned content.
    #[derive(Clone, Copy)]
    enum Bad {
        Fails,
        Hangs,
        HasNothing,
        Forges,
    }

    impl Repository for Bad {
        fn fetch_metadata<'a>(&'a self, _: &'a str, _: u64) -> FetchFuture<'a> {
            match self {
                Self::Fails => Box::pin(async { Err(sigstore_tuf::Error::transport("out of order")) }),
                Self::Hangs => Box::pin(std::future::pending()),
                Self::HasNothing => Box::pin(async { Ok(None) }),
                Self::Forges => Box::pin(async { Ok(Some(b"{}".to_vec())) }),
            }
        }

        fn fetch_target<'a>(&'a self, path: &'a str, most: u64) -> FetchFuture<'a> {
            self.fetch_metadata(path, most)
        }
    }

    fn public_good() -> Url {
        Url::parse(PUBLIC_GOOD).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_embedded_copy_replaces_an_unreachable_repository() {
        let mirror = public_good();
        for (bad, why) in [
            (Bad::Fails, "out of order"),
            (Bad::Hangs, "did not answer within 20 s"),
            (Bad::HasNothing, "timestamp.json not found"),
        ] {
            let public = TrustSettings::default();
            let material = load_from(bad, &mirror, &public, Some(Embedded::public_good())).await.unwrap();
            assert_eq!(material.trusted_root, SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes());
            let error = load_from(bad, &mirror, &public, None).await.unwrap_err().to_string();
            assert!(error.contains(PUBLIC_GOOD) && error.contains(why), "{error}");
        }
    }

    #[tokio::test]
    async fn the_embedded_copy_does_not_replace_a_repository_that_does_not_verify() {
        let public = TrustSettings::default();
        let embedded = Some(Embedded::public_good());
        let error = load_from(Bad::Forges, &public_good(), &public, embedded).await.unwrap_err();
        assert!(matches!(error, TrustError::Tuf { .. }), "{error}");
    }

    #[test]
    fn the_embedded_copy_has_the_version_of_the_initial_root() {
        assert_eq!(Embedded::public_good().root_version, version(PUBLIC_GOOD_ROOT).unwrap());
        assert!(Embedded::public_good().root_version > 1);
    }

    /// Returns the trusted root of a run with an expired copy on disk, for an embedded copy whose root has this version.
    async fn with_expired_copy(bad: Bad, embedded_root: u64) -> Result<Vec<u8>, TrustError> {
        let mut repository = TufRepository::start([(TRUSTED_ROOT, b"kept".to_vec())]);
        repository.rotate(TufRole::Timestamp);
        repository.publish();
        let cache = tempfile::tempdir().unwrap();
        let mirror: Url = repository.url().parse().unwrap();
        let settings = TrustSettings {
            mirror: Some(mirror.clone()),
            initial_root: Some(repository.root(1)),
            cache: Some(cache.path().to_owned()),
            ..TrustSettings::default()
        };
        let soon = Timestamp::now() + SignedDuration::from_secs(3);
        repository.set_expiry(TufRole::Timestamp, &soon.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        repository.publish();
        let door = Door::open(transport::Settings::default()).unwrap();
        load(&door, &settings).await.unwrap();
        while Timestamp::now() <= soon {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let material = Material { trusted_root: b"embedded".to_vec(), signing_config: None };
        let embedded = Embedded { material, root_version: embedded_root };
        load_from(bad, &mirror, &settings, Some(embedded)).await.map(|material| material.trusted_root)
    }

    #[tokio::test]
    async fn an_expired_copy_is_replaced_only_by_a_newer_embedded_copy() {
        assert_eq!(with_expired_copy(Bad::Fails, 3).await.unwrap(), b"embedded");
        for root_version in [1, 2] {
            assert_eq!(with_expired_copy(Bad::Fails, root_version).await.unwrap(), b"kept", "{root_version}");
        }
    }

    #[tokio::test]
    async fn an_expired_copy_is_not_used_if_the_repository_does_not_verify() {
        for root_version in [1, 3] {
            let error = with_expired_copy(Bad::Forges, root_version).await.unwrap_err();
            assert!(matches!(error, TrustError::Tuf { .. }), "{error}");
        }
    }

    #[test]
    fn the_initial_root_is_valid() {
        let mirror = Mirror {
            door: Door::open(transport::Settings::default()).unwrap(),
            base: Url::parse(PUBLIC_GOOD).unwrap(),
        };
        assert!(Updater::new(mirror, PUBLIC_GOOD_ROOT).is_ok());
    }

    #[test]
    fn each_mirror_has_its_own_directory_in_the_cache() {
        let name = |url: &str| directory_name(&Url::parse(url).unwrap());
        assert_eq!(name("https://tuf.example:8443/a/b/"), "tuf.example_3a8443_2fa_2fb");
        let all = [
            "https://a.example",
            "https://a.example/b/c",
            "https://a.example/b_c",
            "https://a.example:1",
            "https://b.example",
        ];
        let names: std::collections::BTreeSet<_> = all.iter().map(|url| name(url)).collect();
        assert_eq!(names.len(), all.len());
        assert!(!name("https://a.example/../../etc").contains('/'));
    }
}
