//! The settings of trust.

use std::path::PathBuf;

use url::Url;

use crate::key::VerificationKey;

/// The TUF repository of the public-good instance.
pub const PUBLIC_GOOD: &str = "https://tuf-repo-cdn.sigstore.dev";

/// The sources of trust.
#[derive(Clone, Debug, Default)]
pub struct TrustSettings {
    /// A `trusted_root.json` that replaces the one in the TUF repository.
    pub trusted_root: Option<Vec<u8>>,
    /// A `signing_config.json` that replaces the one in the TUF repository.
    pub signing_config: Option<Vec<u8>>,
    /// The TUF repository. The default is the public-good instance's.
    pub mirror: Option<Url>,
    /// The initial `root.json` of the TUF repository, which is trusted without further checks. It is required for any repository
    /// but the public-good instance's.
    pub initial_root: Option<Vec<u8>>,
    /// The directory for the copy of the TUF repository.
    pub cache: Option<PathBuf>,
    /// A key to verify signatures with, instead of certificates.
    pub verification_key: Option<VerificationKey>,
}
