//! Foreign texts in tables and messages.

/// The maximum length of a foreign text, in characters.
const SHOWN_MAX: usize = 200;
/// The maximum length of a reason, which has a place and foreign texts in it, in characters.
const REASON_MAX: usize = 800;

/// Formats a foreign text, such as the name of a package or the reason of a scanner, for a person: bounded, and without control
/// characters.
pub fn shown(foreign: &str) -> String {
    oci_types::text::shown(foreign, SHOWN_MAX)
}

/// Formats a reason for a person, as [`shown`] does.
pub(super) fn shown_reason(reason: &str) -> String {
    oci_types::text::shown(reason, REASON_MAX)
}
