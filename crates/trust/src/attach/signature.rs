//! The signature of an image: a layer of its `.sig` tag, or a bundle (specification 02, *Sign*).

use std::collections::BTreeMap;

use bytes::Bytes;
use oci::NewLayer;
use serde_json::json;
use sigstore::{SIMPLE_SIGNING_TYPE, SignError, Signer, SimpleSigning, Statement};

use super::error::{AttachError, sha256};
use super::image::ProductionImage;
use crate::evidence::SIGN_TYPE;

/// What a signature tells of the program that made it.
const VERSION: &str = "org.kubernetes.kpromo.version";

/// What is signed of an image.
#[derive(Debug)]
pub struct Signature {
    payload: Vec<u8>,
    statement: Statement,
    sha256: String,
}

impl Signature {
    /// The signature that the promoter of a version gives an image.
    ///
    /// # Errors
    /// When the image's digest is of an algorithm that signatures do not know.
    pub fn new(place: &ProductionImage<'_>, version: &str) -> Result<Self, AttachError> {
        let sha256 = sha256(place.digest)?;
        let said = BTreeMap::from([(VERSION.to_owned(), format!("kpromo-{version}"))]);
        let payload = SimpleSigning::new(place.reference, &place.digest.to_string(), said).to_json();
        let statement = Statement::about(place.reference, &sha256, SIGN_TYPE, json!({}));
        Ok(Self { payload, statement, sha256 })
    }

    /// The bytes of a `.sig` layer: the same for the same image, name and version.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Signs: a layer for the image's `.sig` tag.
    pub async fn layer(&self, signer: &Signer) -> Result<NewLayer, SignError> {
        let signed = signer.message(&self.payload).await?;
        Ok(NewLayer {
            media_type: SIMPLE_SIGNING_TYPE.to_owned(),
            content: Bytes::copy_from_slice(&self.payload),
            annotations: signed.annotations(),
        })
    }

    /// Signs: a bundle.
    pub async fn bundle(&self, signer: &Signer) -> Result<Vec<u8>, SignError> {
        Ok(signer.statement(&self.statement, &self.sha256).await?.bundle())
    }
}
