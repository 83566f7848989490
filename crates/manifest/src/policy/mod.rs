//! Provenance policies as manifests declare them (specification 02, *Phases / Provenance*): the attestations that an image
//! needs before promotion, and the repositories that a policy applies to.
//!
//! This module does not evaluate policies.

mod draft;
mod policies;
mod rules;
mod signer;
mod source;

pub(crate) use draft::ENTRIES_MAX;
pub use draft::{BuilderSpec, PolicyError, PolicyField, PolicySpec, Problem};
pub use policies::{Policies, PolicyConflict, Relation, place_name};
pub use rules::{BuildLevel, Builder, InvalidRule, Mode, Policy, Uri};
pub use signer::{InvalidPattern, Pattern, SignerPattern};
pub use source::{InvalidSource, SourceRepository, URI_MAX};

/// The maximum length of an untrusted text in a message, in characters.
const SHOWN_MAX: usize = 200;

/// Formats an untrusted text for a message: bounded, and without control characters.
fn shown(text: &str) -> String {
    oci_types::text::shown(text, SHOWN_MAX)
}
