//! The content of a trusted root, as used to verify signatures and times.

use sigstore_crypto::Keyring;
use sigstore_trust_root::TrustedRoot;

use crate::error::TrustError;

/// A trusted root, and the keys of its logs.
pub(super) struct TrustedMaterial {
    pub(super) root: TrustedRoot,
    pub(super) logs: Keyring,
}

impl TrustedMaterial {
    /// Extracts the keys of the logs from a trusted root.
    ///
    /// # Errors
    /// Returns an error if a key of a log cannot be used.
    pub(super) fn new(root: TrustedRoot) -> Result<Self, TrustError> {
        let logs = root.rekor_keys().map_err(|error| TrustError::unusable("the trusted root", error))?;
        Ok(Self { root, logs })
    }

    /// Returns whether the root contains a transparency log.
    pub(super) fn has_logs(&self) -> bool {
        !self.root.tlogs.is_empty()
    }
}

/// Reads a `trusted_root.json`.
///
/// # Errors
/// Returns an error if the bytes are not a trusted root.
pub(crate) fn parse_root(json: &[u8]) -> Result<TrustedRoot, TrustError> {
    let unusable = |why: String| TrustError::unusable("the trusted root", why);
    let text = std::str::from_utf8(json).map_err(|error| unusable(error.to_string()))?;
    TrustedRoot::from_json(text).map_err(|error| unusable(error.to_string()))
}
