//! Trust, identity, signing and verification: bytes in, bundles out.
//!
//! The only crate that knows the sigstore-rust crates, and one that knows no registry. Whatever it asks of Fulcio, Rekor, a
//! timestamp authority or a TUF repository goes through [`transport`]'s one door. See `docs/design/sigstore.md`.

mod identity;
mod signer;
mod statement;

pub use identity::{
    AUDIENCE, AccessTokens, Given, IAM_CREDENTIALS, Identity, IdentityError, IdentityToken, InvalidToken,
    PROJECTED_TOKEN, Sources, TokenSource,
};
pub use signer::{InvalidPattern, Pattern, Signatory, SignerPattern};
pub use statement::{InvalidStatement, STATEMENT_TYPE, Statement, Subject};
