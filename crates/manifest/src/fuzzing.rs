//! Entry points for fuzzing: manifests from bytes, without files.

use super::assembly::Assembly;
use super::contents::Contents;
use super::diagnostics::Diagnostics;
use super::model::{Image, Manifests};
use super::{schema, thin};

/// Reads a plain manifest.
///
/// # Errors
/// If the manifest has any fault: returns all faults.
pub fn plain(bytes: &[u8]) -> Result<Manifests, Diagnostics> {
    let mut assembly = Assembly::default();
    assembly.plain("plain", Contents { file: "plain.yaml".into(), bytes: bytes.to_vec() });
    thin::strict(assembly.finish())
}

/// Reads the `images.yaml` of a thin manifest. Returns the valid images and the faults of the others. The images are `None`
/// if the file has no list of images.
pub fn images(bytes: &[u8]) -> (Option<Vec<Image>>, Diagnostics) {
    let contents = Contents { file: "images.yaml".into(), bytes: bytes.to_vec() };
    let schema::Reading { value, wrong, .. } = schema::images(&contents, None);
    (value, wrong)
}

/// Fixes what lint finds in an images file, or with `is_plain` in a plain manifest. Returns `None` if there is nothing to fix.
///
/// # Errors
/// If the fixed file would have another meaning.
pub fn fix(is_plain: bool, bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    super::lint::fix_bytes(is_plain, bytes)
}
