//! Helpers for the fuzz targets.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Asserts that a message may be shown in a terminal and a log: it has at most `most` characters, no control characters, and no
/// characters that change the text direction.
///
/// # Panics
/// If the message may not be shown.
pub fn assert_presentable(message: &str, most: usize) {
    let length = message.chars().count();
    assert!(length <= most, "{length} characters, more than {most}: {message:?}");
    let unfit = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!message.contains(unfit), "not fit for a terminal: {message:?}");
}

/// Returns headers with this name and the lines of `data` as their values. Returns `None` if a line is not a valid value.
pub fn headers(name: &HeaderName, data: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        headers.append(name, HeaderValue::from_bytes(line).ok()?);
    }
    Some(headers)
}
