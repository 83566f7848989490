//! Manifests of files as YAML, in the style of the Go tool.

use std::fmt::Write as _;
use std::io::{self, Write};

use manifest::files::{FileEntry, Sha256};

/// An entry of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name of the file.
    pub name: String,
    /// The SHA-256 of the content.
    pub sha256: Sha256,
}

impl From<&FileEntry> for Entry {
    fn from(entry: &FileEntry) -> Self {
        Self { name: entry.name.to_string(), sha256: entry.sha256 }
    }
}

/// Writes entries as a manifest: `files:`, or `{}` if there are none.
///
/// # Errors
/// If the writer fails.
pub fn write_files(entries: &[Entry], mut to: impl Write) -> io::Result<()> {
    if entries.is_empty() {
        return to.write_all(b"{}\n");
    }
    to.write_all(b"files:\n")?;
    for Entry { name, sha256 } in entries {
        write!(to, "- name: {}\n  sha256: {}\n", scalar(name), hash(sha256))?;
    }
    Ok(())
}

/// Writes a hash, with quotes if YAML could read it as a number.
fn hash(sha256: &Sha256) -> String {
    let text = sha256.to_string();
    if resolves(&text) { format!("\"{text}\"") } else { text }
}

/// Formats a string as a YAML scalar: plain if possible, otherwise quoted like the Go tool does.
fn scalar(text: &str) -> String {
    if !text.chars().all(is_printable) {
        return double_quoted(text);
    }
    if resolves(text) {
        // YAML would parse the plain scalar as another type.
        return double_quoted(text);
    }
    if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

/// Returns whether a character needs no escape in YAML (YAML 1.2, *Character Set*) and is not a line break in any version.
fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if !is_printable(c) => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns whether a string can be a plain scalar in a block (YAML 1.2, *Plain Style*).
fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let second = text.chars().nth(1);
    let starts = match first {
        '-' | '?' | ':' => second.is_some_and(|c| c != ' '),
        ',' | '[' | ']' | '{' | '}' | '#' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`'
        | '=' => false,
        _ => true,
    };
    starts
        && !text.starts_with(' ')
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.starts_with("---")
        && !text.starts_with("...")
}

/// Returns whether any YAML version in use resolves a plain scalar to another type than a string.
fn resolves(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan", ".inf", "-.inf",
        "+.inf", "<<", "=",
    ];
    WORDS.contains(&text.to_ascii_lowercase().as_str()) || is_number(text) || is_date(text)
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = digits.strip_prefix(prefix) {
            return !digits.is_empty() && digits.chars().all(|c| c == '_' || c.is_digit(radix));
        }
    }
    let starts = digits.chars().next().is_some_and(|c| c.is_ascii_digit() || c == '.');
    // Sexagesimal numbers of YAML 1.1: `12:30:45`.
    let is_sexagesimal =
        digits.contains(':') && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, ':' | '.' | '_'));
    let number: String = digits.chars().filter(|c| *c != '_').collect();
    starts
        && (is_sexagesimal || (number.parse::<f64>().is_ok() && number.chars().any(|c| c.is_ascii_digit())))
}

/// Returns whether a string begins like a date of YAML 1.1: `2020-01-01`.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let is_digits = |part: Option<&str>, least: usize, most: usize| {
        part.is_some_and(|part| {
            (least..=most).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_digit())
        })
    };
    let (year, month) = (parts.next(), parts.next());
    let day = parts.next().map(|rest| rest.split(['T', 't', ' ']).next().unwrap_or_default());
    is_digits(year, 4, 4) && is_digits(month, 1, 2) && is_digits(day, 1, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values were recorded from the Go tool.
    #[test]
    fn scalars_are_plain_and_quoted_where_yaml_needs_it() {
        for (text, written) in [
            ("\"dq\"", "'\"dq\"'"),
            ("#hash", "'#hash'"),
            ("*star", "'*star'"),
            ("- dash", "'- dash'"),
            (".dotfile", ".dotfile"),
            ("0x1f", "\"0x1f\""),
            ("1.0", "\"1.0\""),
            ("2020-01-01", "\"2020-01-01\""),
            ("@at", "'@at'"),
            ("colon: inside", "'colon: inside'"),
            ("null", "\"null\""),
            ("quote'd", "quote'd"),
            ("trailing ", "'trailing '"),
            ("yes", "\"yes\""),
            ("~", "\"~\""),
            ("ünïcode", "ünïcode"),
            ("v1.0/linux/amd64/tool", "v1.0/linux/amd64/tool"),
            ("with space/a b.txt", "with space/a b.txt"),
            ("1e3", "\"1e3\""),
            ("1_000", "\"1_000\""),
            ("12:30:45", "\"12:30:45\""),
            ("a\tb", "\"a\\tb\""),
            ("-a", "-a"),
            ("1.21.1", "1.21.1"),
            ("end:", "'end:'"),
            ("it's #1", "'it''s #1'"),
            ("a\u{fffe}b", "\"a\\ufffeb\""),
            ("a\u{ffff}b", "\"a\\uffffb\""),
        ] {
            assert_eq!(scalar(text), written, "{text}");
        }
    }

    #[test]
    fn a_hash_that_looks_like_a_number_is_quoted() {
        let digits = "12".repeat(32);
        assert_eq!(hash(&digits.parse().unwrap()), format!("\"{digits}\""));
        let exponent = format!("{}1e34", "1234567890".repeat(6));
        assert_eq!(hash(&exponent.parse().unwrap()), format!("\"{exponent}\""));
        let plain = "905fef7b0658ff5d266140d1cea1eb5b414393b4d0c7897b05beae78678395c3";
        assert_eq!(hash(&plain.parse().unwrap()), plain);
    }

    #[test]
    fn no_entries_are_an_empty_mapping() {
        let mut text = Vec::new();
        write_files(&[], &mut text).unwrap();
        assert_eq!(text, b"{}\n");
    }
}
