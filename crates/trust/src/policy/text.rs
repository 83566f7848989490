//! Untrusted texts in reasons.

/// The maximum length of an untrusted text in a reason, in characters.
const SHOWN_MAX: usize = 200;

/// Formats an untrusted text for a message: bounded, and without control characters.
pub(super) fn shown(text: &str) -> String {
    oci_types::text::shown(text, SHOWN_MAX)
}
