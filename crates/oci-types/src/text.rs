//! Untrusted text, sanitized for terminals and logs.

/// Returns at most `most` characters of the start of a text, without control characters and without characters that change the
/// text direction.
pub fn printable(text: &str, most: usize) -> String {
    let is_shown = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(is_shown).take(most).collect()
}

/// Returns the first words of a body that is not the expected JSON, as one line without HTML tags.
pub fn first_words(body: &[u8], most: usize) -> String {
    // More bytes are not needed for this many characters.
    let text = String::from_utf8_lossy(&body[..body.len().min(16 * most)]);
    let mut words = String::new();
    let mut in_mark = false;
    for c in text.chars() {
        match c {
            '<' => in_mark = true,
            '>' if in_mark => {
                in_mark = false;
                words.push(' ');
            }
            c if !in_mark => words.push(c),
            _ => {}
        }
    }
    printable(&words.split_whitespace().collect::<Vec<_>>().join(" "), most)
}

/// Escapes the characters that would change how a terminal displays the surrounding text.
pub fn visible(text: &str) -> String {
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

/// Escapes the first `most` characters as [`visible`] does. An ellipsis marks a truncated text.
pub fn shown(text: &str, most: usize) -> String {
    let mut characters = text.chars();
    let mut shown = visible(&characters.by_ref().take(most).collect::<String>());
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_of_a_page_are_its_text() {
        let page =
            b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head>\n<body>nginx</body></html>";
        assert_eq!(first_words(page, 40), "404 Not Found nginx");
        assert_eq!(first_words(b"404 page not found\n", 40), "404 page not found");
        assert_eq!(first_words(b"", 40), "");
        assert_eq!(first_words(b"\xff\x1b[31mred", 40), "\u{fffd}[31mred");
    }

    #[test]
    fn what_turns_a_line_around_is_left_out() {
        assert_eq!(printable("a\u{202e}b\x07c", 10), "abc");
    }
}
