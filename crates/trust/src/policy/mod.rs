//! Provenance policies (specification 02, *Phases / Provenance*): what must be attested of an image before it is promoted,
//! for which repositories, and whether it is.
//!
//! All of it is pure: what was attested and by whom is found out elsewhere. See `docs/design/provenance.md`.

mod build_type;
mod evaluate;
mod exemption;
mod image;
mod judge;
mod judgement;
mod predicate;
mod text;

pub use exemption::{claims_exemption, exempt_parts, is_exempt};
pub use image::{Image, Platform, RejectedAttestation, VerifiedAttestation};
pub use judge::judge;
pub use judgement::{AcceptReason, AttestationId, Finding, Judgement, Outsider, Reason, Verdict, Violation};
pub use predicate::{InvalidPredicate, PROVENANCE_TYPES};
