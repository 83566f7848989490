//! Untrusted texts in tables and messages.

/// The maximum length of an untrusted text, in characters.
const SHOWN_MAX: usize = 200;
/// The maximum length of a reason, which contains a location and untrusted texts, in characters.
const REASON_MAX: usize = 800;

/// Formats an untrusted text, such as the name of a package or the reason of a scanner, for a person: bounded, and without
/// control characters.
pub fn shown(text: &str) -> String {
    oci_types::text::shown(text, SHOWN_MAX)
}

/// Formats a reason for a person, as [`shown`] does.
pub(super) fn shown_reason(reason: &str) -> String {
    oci_types::text::shown(reason, REASON_MAX)
}
