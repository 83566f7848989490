//! Connections to stores: the door, the endpoints and the credentials.

use std::ffi::OsString;
use std::sync::Arc;

use files::{GcsSettings, GoogleTokens, S3Settings, Settings, Stores};
use manifest::files::{Scheme, StoreUrl};
use sigstore::{AccessTokens, IAM_CREDENTIALS};
use transport::{Door, Settings as DoorSettings};
use url::Url;

use crate::config::Config;
use crate::connect::{Connection, connect_with};
use crate::credentials::{StorageTokens, s3_settings};
use crate::environment::Environment;

/// The origin of Google Cloud Storage.
const GCS: &str = "https://storage.googleapis.com";

/// The connection to stores.
pub(crate) struct Connected {
    pub(super) stores: Stores,
    pub(super) door: Door,
    /// The settings of the door.
    pub(super) settings: DoorSettings,
    caller: Arc<dyn AccessTokens>,
    /// Whether Google Cloud Storage is an emulator, which gets no credentials.
    is_emulated: bool,
    path: Option<OsString>,
}

impl Connected {
    /// Opens the door.
    ///
    /// # Errors
    /// If the configuration or the environment cannot be used.
    pub(crate) fn new(config: &Config, environment: &Environment) -> Result<Self, String> {
        Self::with(config, environment, |_| ())
    }

    /// Opens the door, with changes of the configured settings.
    ///
    /// # Errors
    /// If the configuration or the environment cannot be used.
    pub(crate) fn with(
        config: &Config,
        environment: &Environment,
        change: impl FnOnce(&mut DoorSettings),
    ) -> Result<Self, String> {
        let Connection { door, settings, keychain, .. } =
            connect_with(config, environment, change).map_err(|error| error.to_string())?;
        let emulator = environment.storage_emulator.as_deref();
        let endpoint =
            emulator.map_or_else(|| Url::parse(GCS).map_err(|error| error.to_string()), emulator_url)?;
        // An error is reported only if a store needs them.
        let (s3, without_s3) = match s3_settings(&environment.aws) {
            Ok(settings) => (settings, None),
            Err(why) => (S3Settings::default(), Some(why)),
        };
        let stores = Stores::new(door.clone(), Settings { gcs: GcsSettings { endpoint }, s3 });
        let stores = match without_s3 {
            Some(why) => stores.without_s3(why),
            None => stores,
        };
        Ok(Self {
            stores,
            door,
            settings,
            caller: keychain,
            is_emulated: emulator.is_some(),
            path: environment.places.path.clone(),
        })
    }

    /// Returns the opener of stores.
    pub(crate) fn stores(&self) -> &Stores {
        &self.stores
    }

    /// Returns the door.
    pub(crate) fn door(&self) -> &Door {
        &self.door
    }

    /// Returns the caller's own tokens for a store of Google Cloud Storage, which the caller must have: by Google's default
    /// credentials, or else by gcloud.
    pub(crate) fn own_tokens(&self, url: &StoreUrl) -> Option<Arc<dyn GoogleTokens>> {
        if url.scheme() != Scheme::Gcs || self.is_emulated {
            return None;
        }
        Some(Arc::new(StorageTokens::of_caller_or_gcloud(Arc::clone(&self.caller), self.path.clone())))
    }

    /// Returns the tokens for a store of Google Cloud Storage: those of an account, or the caller's own.
    pub(super) fn tokens(&self, url: &StoreUrl, account: Option<&str>) -> Option<Arc<dyn GoogleTokens>> {
        if url.scheme() != Scheme::Gcs || self.is_emulated {
            return None;
        }
        let caller = Arc::clone(&self.caller);
        Some(Arc::new(match account {
            None => StorageTokens::of_caller(caller),
            Some(account) => StorageTokens::of_account(
                self.door.clone(),
                caller,
                IAM_CREDENTIALS,
                account,
                self.path.clone(),
            ),
        }))
    }
}

/// Returns the origin of an emulator: a URL, or a host and a port.
fn emulator_url(text: &str) -> Result<Url, String> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url =
        Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    let mut url = url.ok_or_else(|| "STORAGE_EMULATOR_HOST is not a host or a URL".to_owned())?;
    // Some tools have the path of the API in it.
    url.set_path("/");
    url.set_query(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulator_is_a_host_or_a_url() {
        for text in ["localhost:4443", "http://localhost:4443", "http://localhost:4443/storage/v1/"] {
            assert_eq!(emulator_url(text).unwrap().as_str(), "http://localhost:4443/", "{text}");
        }
        assert!(emulator_url("ftp://x").is_err() && emulator_url("http://").is_err());
    }
}
