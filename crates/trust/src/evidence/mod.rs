//! What is attached to an image, read and verified: signatures and attestations in cosign's tags, and Sigstore bundles among
//! the referrers. Who may sign is the caller's matter; that somebody has signed, and about what, is found out here.

mod bundle;
mod envelope;
mod fetch;
mod found;
mod room;
mod subject;
mod tag;

pub use bundle::is_bundle;
#[cfg(feature = "fuzzing")]
pub(crate) use envelope::{Content, peek};
pub use fetch::gather;
pub use found::{
    Absent, Claim, Evidence, EvidenceError, FoundAttestation, FoundSignature, Hints, Origin, PREDICATE_TYPE,
    Rejected, SIGN_TYPE, Wanted,
};
pub use room::{Room, Share};
pub use subject::{Means, is_about_content};
