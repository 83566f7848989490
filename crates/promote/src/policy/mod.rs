//! Provenance policies (specification 02, *Phases / Provenance*): what must be attested of an image before it is promoted,
//! for which repositories, and whether it is.
//!
//! All of it is pure: what was attested and by whom is found out elsewhere. See `docs/design/provenance.md`.

mod build_type;
mod draft;
mod exemption;
mod image;
mod judge;
mod judgement;
pub(crate) mod policies;
mod predicate;
mod rules;
mod source;
mod weigh;

pub(crate) use draft::ENTRIES_MAX;
pub use draft::{BuilderDraft, Draft, Flaw, Part, Problem};
pub use exemption::{claims_exemption, exempt_parts, is_exempt};
pub use image::{Image, Platform, RejectedAttestation, VerifiedAttestation};
pub use judge::judge;
pub use judgement::{AttestationId, Fault, Finding, Grounds, Judgement, Outsider, Reason, Verdict};
pub use policies::{Policies, PolicyConflict, Relation};
pub use predicate::{InvalidPredicate, PROVENANCE_TYPES};
pub use rules::{BuildLevel, Builder, InvalidRule, Mode, Policy, Uri};
pub use source::{InvalidSource, SourceRepository};

/// The most of a text from outside that a reason shows, in characters.
const SHOWN_MAX: usize = 200;

/// A text from outside, for a person: bounded, and nothing that a terminal obeys.
fn shown(text: &str) -> String {
    crate::text::shown(text, SHOWN_MAX)
}
