//! Untrusted text, sanitized for terminals and logs.

/// Whether a character changes how the surrounding text is displayed, or is not displayed at all: control characters, characters that
/// change the text direction, line separators, zero-width spaces, and tag characters.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns at most `most` characters of the start of a text, without control characters and without other characters that are
/// hidden or that change the text direction.
pub fn printable(text: &str, most: usize) -> String {
    text.chars().filter(|c| !is_hidden(*c)).take(most).collect()
}

/// Returns the first words of a body that is not the expected JSON, as one line without HTML tags.
pub fn first_words(body: &[u8], most: usize) -> String {
    // Only a prefix of the body is read, so that the work is bounded.
    let text = String::from_utf8_lossy(&body[..body.len().min(16 * most)]);
    let mut words = String::new();
    let mut in_tag = false;
    for c in text.chars() {
        match c {
            '<' => in_tag = true,
            '>' if in_tag => {
                in_tag = false;
                words.push(' ');
            }
            c if !in_tag => words.push(c),
            _ => {}
        }
    }
    printable(&words.split_whitespace().collect::<Vec<_>>().join(" "), most)
}

/// Escapes the characters that would change how a terminal displays the surrounding text.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
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

/// Returns a number with thousands separators, and the unit in the number that agrees with it: `1 image`, `2,000 repositories`.
/// `one` is a regular English noun in the singular; of several words, the last one is the noun.
pub fn counted(number: impl TryInto<u64>, one: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    if number == 1 {
        return format!("1 {one}");
    }
    let is_vowel = |c: char| "aeiou".contains(c);
    let plural = match one.strip_suffix('y') {
        Some(stem) if !stem.ends_with(is_vowel) => format!("{stem}ies"),
        _ => format!("{one}s"),
    };
    format!("{} {plural}", thousands(number))
}

/// Returns the name that was probably meant by an unknown word: the most similar one, if it differs by at most two letters that are
/// missing, added, replaced or swapped, and by at most one in a word of up to four letters.
pub fn nearest<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    /// Longer words are not misspelled names, and the time of a comparison grows with the length.
    const LONGEST: usize = 100;
    let length = word.chars().take(LONGEST + 1).count();
    let most = match length {
        0..=1 => return None,
        2..=4 => 1,
        5..=LONGEST => 2,
        _ => return None,
    };
    let near = names.into_iter().map(|name| (strsim::osa_distance(word, name), name));
    near.filter(|(distance, _)| *distance <= most).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Returns a number with thousands separators: `987,000`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noun_agrees_with_its_number() {
        assert_eq!([counted(0_u64, "image"), counted(1_u64, "image")], ["0 images", "1 image"]);
        assert_eq!(counted(2_000_usize, "repository"), "2,000 repositories");
        assert_eq!([counted(1_usize, "entry"), counted(3_usize, "day")], ["1 entry", "3 days"]);
        assert_eq!(counted(2_usize, "known vulnerability"), "2 known vulnerabilities");
        assert_eq!(thousands(987_654_321), "987,654,321");
    }

    #[test]
    fn a_misspelled_name_is_found_and_another_word_is_not() {
        let near = |word: &str| nearest(word, ["name", "image", "images", "cip", "run", "registries"]);
        assert_eq!([near("nmae"), near("cpi"), near("imags")], [Some("name"), Some("cip"), Some("image")]);
        assert_eq!([near("regitsries"), near("registry")], [Some("registries"), None]);
        assert_eq!([near("vuln"), near(""), near("r"), near("nme")], [None, None, None, Some("name")]);
        assert_eq!(near(&"registries".repeat(1000)), None);
    }

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
    fn characters_that_change_the_text_direction_are_removed() {
        assert_eq!(printable("a\u{202e}b\x07c", 10), "abc");
    }
}
