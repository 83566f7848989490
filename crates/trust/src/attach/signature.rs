//! The signature of an image: a layer of its `.sig` tag, or a bundle (specification 02, *Sign*).

use std::collections::BTreeMap;

use bytes::Bytes;
use oci::NewLayer;
use serde_json::json;
use sigstore::{SIMPLE_SIGNING_TYPE, SignError, Signer, SimpleSigning, Statement};

use super::error::{AttachError, sha256};
use super::image::ProductionImage;
use crate::evidence::SIGN_TYPE;

/// The field of a signature that states the version of its creator.
const VERSION: &str = "org.kubernetes.kpromo.version";

/// The content that is signed for an image.
#[derive(Debug)]
pub struct Signature {
    payload: Vec<u8>,
    statement: Statement,
    sha256: String,
}

impl Signature {
    /// Creates the content of an image's signature. `version` is the version of the promoter.
    ///
    /// # Errors
    /// If signatures do not support the algorithm of the image's digest.
    pub fn new(place: &ProductionImage<'_>, version: &str) -> Result<Self, AttachError> {
        let sha256 = sha256(place.digest)?;
        let predicate = BTreeMap::from([(VERSION.to_owned(), format!("kpromo-{version}"))]);
        let payload = SimpleSigning::new(place.reference, &place.digest.to_string(), predicate).to_json();
        let statement = Statement::about(place.reference, &sha256, SIGN_TYPE, json!({}));
        Ok(Self { payload, statement, sha256 })
    }

    /// Returns the bytes of a `.sig` layer. They are the same for the same image, name and version.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Signs, and returns a layer for the image's `.sig` tag.
    pub async fn layer(&self, signer: &Signer) -> Result<NewLayer, SignError> {
        let signed = signer.message(&self.payload).await?;
        Ok(NewLayer {
            media_type: SIMPLE_SIGNING_TYPE.to_owned(),
            content: Bytes::copy_from_slice(&self.payload),
            annotations: signed.annotations(),
        })
    }

    /// Signs, and returns a bundle.
    pub async fn bundle(&self, signer: &Signer) -> Result<Vec<u8>, SignError> {
        Ok(signer.statement(&self.statement, &self.sha256).await?.bundle())
    }
}
