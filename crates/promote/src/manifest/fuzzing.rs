//! Manifests from bytes, without files.

use super::contents::Contents;
use super::declared::Loaded;
use super::{Diagnostics, Image, Manifests, schema};

/// Reads a plain manifest.
///
/// # Errors
/// All that is wrong with it.
pub fn plain(bytes: &[u8]) -> Result<Manifests, Diagnostics> {
    let contents = Contents { file: "plain.yaml".into(), bytes: bytes.to_vec() };
    let loaded = schema::plain("plain", &contents)?;
    let mut wrong = Diagnostics::default();
    let manifests = Loaded::join(vec![loaded], Vec::new(), &mut wrong);
    wrong.or(manifests)
}

/// Reads the `images.yaml` of a thin manifest.
///
/// # Errors
/// All that is wrong with it.
pub fn images(bytes: &[u8]) -> Result<Vec<Image>, Diagnostics> {
    schema::images(&Contents { file: "images.yaml".into(), bytes: bytes.to_vec() }, None)
}
