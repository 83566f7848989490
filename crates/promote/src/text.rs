//! Texts from outside, as a person may be shown them.

/// A text without the characters that would change how a terminal shows what stands around it.
pub(crate) fn visible(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// The same of its first `most` characters.
pub(crate) fn shown(text: &str, most: usize) -> String {
    let mut characters = text.chars();
    let mut shown = visible(&characters.by_ref().take(most).collect::<String>());
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}
