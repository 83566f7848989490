//! Signatories.

use std::fmt;

/// The signatory of something, as proven by a signature that verifies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Signatory {
    /// The holder of a Fulcio certificate.
    Certificate {
        /// The OpenID issuer that vouches for the identity.
        issuer: String,
        /// The identity: an e-mail address or a URI.
        subject: String,
    },
    /// The holder of the verifier's own key.
    Key {
        /// The SHA-256 digest of the public key's DER, in hexadecimal.
        fingerprint: String,
    },
}

impl Signatory {
    /// Returns the issuer and the identity of a certificate holder, or `None` for a key holder.
    pub fn identity(&self) -> Option<(&str, &str)> {
        match self {
            Self::Certificate { issuer, subject } => Some((issuer, subject)),
            Self::Key { .. } => None,
        }
    }
}

impl fmt::Display for Signatory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate { issuer, subject } => write!(f, "{subject} ({issuer})"),
            Self::Key { fingerprint } => write!(f, "the key {}", &fingerprint[..fingerprint.len().min(16)]),
        }
    }
}
