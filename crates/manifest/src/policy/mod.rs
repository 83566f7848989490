//! Provenance policies as manifests declare them (specification 02, *Phases / Provenance*): what must be attested of an image
//! before it is promoted, and for which repositories.
//!
//! Whether an image satisfies its policy is decided elsewhere.

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

/// The most of a text from outside that a reason shows, in characters.
const SHOWN_MAX: usize = 200;

/// A text from outside, for a person: bounded, and nothing that a terminal obeys.
fn shown(text: &str) -> String {
    oci_types::text::shown(text, SHOWN_MAX)
}
