//! What is attached to promoted images, by whom, and what it amounts to: for whoever uses or audits them.

mod finding;
mod gather;
mod image;
mod judge;
mod statement;
mod text;

pub use finding::{
    Attestation, Audited, Promotion, Record, Refused, RefusedKind, Signature, Signer, Standing, Summary,
};
pub use gather::{AuditError, audit};
pub use image::ImageName;
