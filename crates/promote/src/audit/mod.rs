//! What is attached to promoted images, by whom, and what it amounts to: for whoever uses or audits them.

mod finding;
mod gather;
mod image;
mod judge;
mod predicate;

pub use finding::{
    Attestation, Audited, Promotion, Record, Refused, RefusedKind, Signature, Signer, Standing, Summary,
};
pub use gather::{AuditError, audit};
pub use image::ImageName;
pub use predicate::{PROMOTION_TYPE, SUMMARY_TYPE};

/// The most of a text from outside that a finding holds, in characters.
const SHOWN_MAX: usize = 512;

/// A text from outside, for a person: bounded, and nothing that a terminal obeys.
fn shown(text: &str) -> String {
    oci_types::text::shown(text, SHOWN_MAX)
}
