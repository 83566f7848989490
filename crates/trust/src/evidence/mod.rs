//! Reads and verifies the attachments of an image: signatures and attestations in cosign's tags, and Sigstore bundles among
//! the referrers. This module determines who has signed what. The caller decides which signers it accepts.

mod budget;
mod bundle;
mod envelope;
mod fetch;
mod found;
mod subject;
mod tag;

pub use budget::{Budget, ImageBudget};
pub use bundle::is_bundle;
pub(crate) use envelope::unsigned_predicate_type;
#[cfg(feature = "fuzzing")]
pub(crate) use envelope::{Content, peek};
pub use fetch::fetch;
pub use found::{
    Absent, Claim, Evidence, EvidenceError, EvidenceKinds, FoundAttestation, FoundSignature, ListedTags,
    Location, PREDICATE_TYPE, Rejected, SIGN_TYPE,
};
pub use subject::{EvidenceClient, Failures, is_about_content};
pub(crate) use tag::PAYLOAD_MAX;
