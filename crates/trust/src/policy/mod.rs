//! Provenance policies (specification 02, *Phases / Provenance*): whether an image has the attestations that the policy of
//! its source requires.
//!
//! This module is pure. Another module fetches and verifies the attestations. See `docs/design/provenance.md`.

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
