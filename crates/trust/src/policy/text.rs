//! Texts from outside, as reasons show them.

/// The most of a text from outside that a reason shows, in characters.
const SHOWN_MAX: usize = 200;

/// A text from outside, for a person: bounded, and nothing that a terminal obeys.
pub(super) fn shown(text: &str) -> String {
    oci_types::text::shown(text, SHOWN_MAX)
}
