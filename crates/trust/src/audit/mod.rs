//! Audits promoted images for users and auditors: the attachments, their signers, and whether they count.

mod auditor;
mod finding;
mod image;
mod judge;
mod statement;
mod text;
mod verdict;

pub use auditor::{AuditError, audit};
pub use finding::{
    Attestation, Audited, Promotion, Record, Refused, RefusedKind, Signature, SignatureStatus, Signer,
    Summary,
};
pub use image::ImageName;
pub use verdict::{Explanation, RecordVerdict, SignatureVerdict, explain};
