//! Trust, identity, signing and verification: bytes in, bundles out.
//!
//! This is the only crate that uses the sigstore-rust crates. It does not access registries. All its requests to Fulcio, Rekor,
//! timestamp authorities and TUF repositories go through [`transport`]'s door. See `docs/design/sigstore.md`.

mod clocks;
mod der;
mod error;
mod google;
mod identity;
mod json;
mod key;
mod legacy;
mod sign;
mod signatory;
mod statement;
#[cfg(test)]
mod testing;
mod trust;
mod verify;

pub use error::{Rejection, Service, SignError, TrustError};
pub use google::{AccountTokens, GoogleCredentials, GooglePlaces};
pub use identity::{
    AUDIENCE, AccessError, AccessTokens, Given, IAM_CREDENTIALS, Identity, IdentityError, IdentityToken,
    InvalidToken, PROJECTED_TOKEN, Sources, TokenSource,
};
pub use key::{SigningKey, VerificationKey};
pub use legacy::{CosignLayer, DSSE_TYPE, SIMPLE_SIGNING_TYPE, SimpleSigning};
pub use sign::{Owner, Signed, Signer, SignerSource};
pub use signatory::Signatory;
pub use statement::{InvalidStatement, STATEMENT_TYPE, Statement, Subject};
pub use trust::{Form, PUBLIC_GOOD, RekorVersion, Services, Trust, TrustSettings};
pub use verify::{BUNDLE_MAX, Verified, Verifier};
