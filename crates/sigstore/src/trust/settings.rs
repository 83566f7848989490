//! What trust is loaded from.

use std::path::PathBuf;

use url::Url;

use crate::key::VerificationKey;

/// The TUF repository of the public-good instance.
pub const PUBLIC_GOOD: &str = "https://tuf-repo-cdn.sigstore.dev";

/// What trust is loaded from.
#[derive(Clone, Debug, Default)]
pub struct TrustSettings {
    /// A `trusted_root.json`, instead of the one in the TUF repository.
    pub trusted_root: Option<Vec<u8>>,
    /// A `signing_config.json`, instead of the one in the TUF repository.
    pub signing_config: Option<Vec<u8>>,
    /// The TUF repository. Without one it is that of the public-good instance.
    pub mirror: Option<Url>,
    /// The first `root.json` of the TUF repository, which is trusted as it is. Another repository than the public-good
    /// instance's needs one.
    pub initial_root: Option<Vec<u8>>,
    /// Where what was got through TUF is kept.
    pub cache: Option<PathBuf>,
    /// A key that signatures are verified with, instead of certificates.
    pub verification_key: Option<VerificationKey>,
}
