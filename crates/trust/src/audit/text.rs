//! Untrusted texts in findings.

/// The maximum length of an untrusted text in a finding, in characters.
const SHOWN_MAX: usize = 512;

/// Formats an untrusted text for a message: bounded, and without control characters.
pub(super) fn shown(text: &str) -> String {
    oci_types::text::shown(text, SHOWN_MAX)
}
