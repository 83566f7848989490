//! A trusted root and a signing configuration from a TUF repository, kept on disk, with a copy in this binary for whoever
//! cannot reach it.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use sigstore_trust_root::{SIGSTORE_PRODUCTION_SIGNING_CONFIG, SIGSTORE_PRODUCTION_TRUSTED_ROOT};
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{FileStore, Repository, StoreRepository, Updater};
use transport::{Class, Door, Request};
use url::Url;

use super::cache::Draft;
use super::{PUBLIC_GOOD, TrustSettings};
use crate::error::{TrustError, bounded};

/// The first root of the public-good instance's repository that this binary trusts; TUF leads from it to the newest.
const PUBLIC_GOOD_ROOT: &[u8] = include_bytes!("public_good_root.json");
const TRUSTED_ROOT: &str = "trusted_root.json";
const SIGNING_CONFIG: &str = "signing_config.v0.2.json";
/// The longest that a repository may take. There is a copy for whoever cannot reach it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a TUF repository holds.
#[derive(Debug)]
pub(super) struct Material {
    pub(super) trusted_root: Vec<u8>,
    /// Where it says one.
    pub(super) signing_config: Option<Vec<u8>>,
}

/// The newest that is to be had: from the repository, else from the cache while it has not expired, else, of the public-good
/// instance, from this binary.
pub(super) async fn load(door: &Door, settings: &TrustSettings) -> Result<Material, TrustError> {
    let mirror = match &settings.mirror {
        Some(mirror) => mirror.clone(),
        None => Url::parse(PUBLIC_GOOD).map_err(|error| TrustError::unusable("the TUF mirror", error))?,
    };
    let asked = Mirror { door: door.clone(), base: slashed(mirror.clone()) };
    load_from(asked, &mirror, settings).await
}

async fn load_from(
    asked: impl Repository + 'static,
    mirror: &Url,
    settings: &TrustSettings,
) -> Result<Material, TrustError> {
    let initial = settings.initial_root.as_deref().unwrap_or(PUBLIC_GOOD_ROOT);
    let folder = settings.cache.as_ref().map(|cache| cache.join(folder_name(mirror)));
    let draft = folder.as_ref().map(|folder| Draft::over(FileStore::new(folder)));
    let online = async {
        tokio::time::timeout(PATIENCE, update(asked, initial, draft.clone()))
            .await
            .map_err(|_| format!("it did not answer within {} s", PATIENCE.as_secs()))?
    };
    let why = match online.await {
        Ok(material) => {
            if let Some(draft) = &draft {
                draft.keep();
            }
            return Ok(material);
        }
        Err(why) => why,
    };
    let shown = transport::shown(mirror);
    if let Some(folder) = &folder
        && let Ok(material) = kept(FileStore::new(folder), initial).await
    {
        tracing::warn!(
            "the TUF repository {shown} gave nothing ({why}): trusting the copy in {}",
            folder.display()
        );
        return Ok(material);
    }
    if settings.mirror.is_none() && settings.initial_root.is_none() {
        tracing::warn!("the TUF repository {shown} gave nothing ({why}): trusting the copy in this program");
        return Ok(embedded());
    }
    Err(TrustError::Tuf { mirror: shown, why })
}

/// The copy in a folder, verified as the repository's own; nothing there is changed.
async fn kept(folder: FileStore, initial: &[u8]) -> Result<Material, String> {
    update(StoreRepository::new(folder.clone()), initial, Some(Draft::over(folder))).await
}

/// The copy in this binary.
fn embedded() -> Material {
    Material {
        trusted_root: SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes().to_vec(),
        signing_config: Some(SIGSTORE_PRODUCTION_SIGNING_CONFIG.as_bytes().to_vec()),
    }
}

/// Follows the repository's metadata from the first root to both files.
async fn update(
    repository: impl Repository + 'static,
    initial: &[u8],
    draft: Option<Draft>,
) -> Result<Material, String> {
    let now = jiff::Timestamp::now();
    let mut updater = Updater::new(repository, initial).map_err(|error| chain(&error))?;
    if let Some(draft) = draft {
        updater = updater.with_store(draft);
    }
    updater.refresh(now).await.map_err(|error| chain(&error))?;
    let trusted_root = updater.get_target(TRUSTED_ROOT, now).await.map_err(|error| chain(&error))?;
    // A repository may be for verifying alone.
    let signing_config = match updater.get_target_info(SIGNING_CONFIG, now).await {
        Ok(Some(_)) => Some(updater.get_target(SIGNING_CONFIG, now).await.map_err(|error| chain(&error))?),
        Ok(None) => None,
        Err(error) => return Err(chain(&error)),
    };
    Ok(Material { trusted_root, signing_config })
}

/// A TUF repository behind the door.
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
            // The store of the public-good instance says 403 of what is not there.
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

/// The folder of a mirror in the cache.
fn folder_name(mirror: &Url) -> String {
    let text = format!("{}{}", mirror.authority(), mirror.path().trim_end_matches('/'));
    text.chars().map(|c| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' }).collect()
}

/// A URL that paths can be joined to.
fn slashed(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    url
}

/// An error with its causes.
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
    use super::*;
    use crate::trust::{Form, Services, services};
    use crate::verify::Verifier;

    #[test]
    fn the_copy_in_this_binary_says_whom_to_trust_and_where_to_sign() {
        let Material { trusted_root, signing_config } = embedded();
        Verifier::with_root(&trusted_root).unwrap();
        let config = services::parse(&signing_config.unwrap()).unwrap();
        for form in [Form::Bundle, Form::Layer] {
            let services = Services::select(&config, form).unwrap();
            assert_eq!(services.fulcio.unwrap().host_str(), Some("fulcio.sigstore.dev"), "{form:?}");
            assert!(!services.rekor.is_empty(), "{form:?}");
        }
    }

    /// A repository that fails at once, or never answers.
    #[derive(Clone, Copy)]
    enum Bad {
        Fails,
        Hangs,
    }

    impl Repository for Bad {
        fn fetch_metadata<'a>(&'a self, _: &'a str, _: u64) -> FetchFuture<'a> {
            match self {
                Self::Fails => Box::pin(async { Err(sigstore_tuf::Error::transport("out of order")) }),
                Self::Hangs => Box::pin(std::future::pending()),
            }
        }

        fn fetch_target<'a>(&'a self, path: &'a str, most: u64) -> FetchFuture<'a> {
            self.fetch_metadata(path, most)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_reach_the_public_instance_trusts_the_copy_in_this_binary_and_no_other_repository_has_one()
     {
        let mirror = Url::parse(PUBLIC_GOOD).unwrap();
        for (bad, why) in [(Bad::Fails, "out of order"), (Bad::Hangs, "did not answer within 20 s")] {
            let public = TrustSettings::default();
            let material = load_from(bad, &mirror, &public).await.unwrap();
            assert_eq!(material.trusted_root, SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes());
            let own = TrustSettings {
                mirror: Some(mirror.clone()),
                initial_root: Some(PUBLIC_GOOD_ROOT.to_vec()),
                ..TrustSettings::default()
            };
            let other_root = TrustSettings { mirror: None, ..own.clone() };
            for settings in [own, other_root] {
                let error = load_from(bad, &mirror, &settings).await.unwrap_err().to_string();
                assert!(error.contains(PUBLIC_GOOD) && error.contains(why), "{error}");
            }
        }
    }

    #[test]
    fn the_first_root_is_one_that_a_client_can_begin_with() {
        let mirror = Mirror {
            door: Door::open(transport::Settings::default()).unwrap(),
            base: Url::parse(PUBLIC_GOOD).unwrap(),
        };
        assert!(Updater::new(mirror, PUBLIC_GOOD_ROOT).is_ok());
    }

    #[test]
    fn each_mirror_has_a_folder_of_its_own_within_the_cache() {
        let name = |url: &str| folder_name(&Url::parse(url).unwrap());
        assert_eq!(name("https://tuf.example:8443/a/b/"), "tuf.example_8443_a_b");
        let all = ["https://a.example", "https://a.example/b", "https://a.example:1", "https://b.example"];
        let names: std::collections::BTreeSet<_> = all.iter().map(|url| name(url)).collect();
        assert_eq!(names.len(), all.len());
        assert!(!name("https://a.example/../../etc").contains('/'));
    }
}
