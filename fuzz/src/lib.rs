//! What the targets have in common.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Holds a message to what a terminal and a log may be shown: at most `most` characters, no control character, and none that
/// changes the direction of what follows.
///
/// # Panics
/// When the message is not fit to be shown.
pub fn assert_presentable(message: &str, most: usize) {
    let length = message.chars().count();
    assert!(length <= most, "{length} characters, more than {most}: {message:?}");
    let unfit = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!message.contains(unfit), "not fit for a terminal: {message:?}");
}

/// The headers of a name with the lines of `data` as their values; `None` where a line cannot be the value of a header.
pub fn headers(name: &HeaderName, data: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        headers.append(name, HeaderValue::from_bytes(line).ok()?);
    }
    Some(headers)
}
