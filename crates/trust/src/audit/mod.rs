//! What is attached to promoted images, by whom, and what it amounts to: for whoever uses or audits them.

mod auditor;
mod finding;
mod image;
mod judge;
mod statement;
mod text;

pub use auditor::{AuditError, audit};
pub use finding::{
    Attestation, Audited, Promotion, Record, Refused, RefusedKind, Signature, SignatureStatus, Signer,
    Summary,
};
pub use image::ImageName;
