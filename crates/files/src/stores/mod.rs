//! Object stores, behind one interface for reading and one for writing.

mod answer;
mod content;
mod gcs;
mod local;
mod s3;
mod store;
mod warnings;

use std::sync::Arc;

pub use content::Content;
pub use gcs::{GcsSettings, GoogleTokens};
use manifest::files::{Scheme, StoreUrl};
pub use s3::{AwsKeys, S3Settings};
pub use store::{Condition, Page, PartUpload, StoreRead, StoreWrite, Upload, Written};
use transport::Door;
pub use warnings::Warnings;

use crate::error::{Error, ErrorKind};

/// The settings for stores.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Google Cloud Storage.
    pub gcs: GcsSettings,
    /// S3.
    pub s3: S3Settings,
}

/// A store. A clone is the same store.
#[derive(Clone, Debug)]
pub struct Store(Arc<dyn StoreWrite>);

impl Store {
    /// Returns the read interface.
    pub fn reader(&self) -> &dyn StoreRead {
        &*self.0
    }

    /// Returns the write interface. A promotion gets it only through [`Confirmed`](crate::Confirmed).
    pub fn writer(&self) -> &dyn StoreWrite {
        &*self.0
    }

    pub(crate) fn shared(&self) -> Arc<dyn StoreWrite> {
        Arc::clone(&self.0)
    }
}

/// Opens stores.
#[derive(Clone, Debug)]
pub struct Stores {
    door: Door,
    settings: Settings,
    /// Why S3 cannot be used.
    without_s3: Option<String>,
    warnings: Warnings,
}

impl Stores {
    /// Creates the opener. Sends no request.
    pub fn new(door: Door, settings: Settings) -> Self {
        Self { door, settings, without_s3: None, warnings: Warnings::default() }
    }

    /// Makes it an error to open an S3 store. `why` says what is wrong with the settings, without secrets.
    pub fn without_s3(mut self, why: String) -> Self {
        self.without_s3 = Some(why);
        self
    }

    /// Sets the receiver of warnings about stores that are opened afterwards.
    pub fn with_warnings(mut self, warnings: Warnings) -> Self {
        self.warnings = warnings;
        self
    }

    /// Opens a store. `tokens` is for Google Cloud Storage; without it, requests are anonymous.
    ///
    /// # Errors
    /// If the store cannot be used: the bucket of S3 does not exist, or the directory does not.
    pub async fn open(&self, url: &StoreUrl, tokens: Option<Arc<dyn GoogleTokens>>) -> Result<Store, Error> {
        if let Some(why) = self.without_s3.as_ref().filter(|_| url.scheme() == Scheme::S3) {
            return Err(Error::new(format!("opening {url}"), ErrorKind::Credentials(why.clone())));
        }
        let (door, url, warnings) = (self.door.clone(), url.clone(), self.warnings.clone());
        Ok(Store(match url.scheme() {
            Scheme::Gcs => Arc::new(gcs::Gcs::new(door, url, &self.settings.gcs, tokens, warnings)),
            Scheme::S3 => Arc::new(s3::S3::open(door, url, &self.settings.s3, warnings).await?),
            Scheme::File => Arc::new(local::Local::new(url)),
        }))
    }
}
