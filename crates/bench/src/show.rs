//! Numbers in a readable form.

/// An empty cell.
pub(crate) const NONE: &str = "–";

/// Formats a count: `12,345`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number without its fraction.
pub(crate) fn whole(number: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts, shown as such")]
    count(number.round() as u64)
}

/// Formats a time: `12.3 s`, with more decimal places for shorter times.
pub(crate) fn seconds(number: f64) -> String {
    if number < 10.0 { format!("{number:.2} s") } else { format!("{number:.1} s") }
}

/// Formats bytes in units of 10⁶: `1,234 MB`, with a decimal place below ten.
pub(crate) fn megabytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal place")]
    megabytes_of(bytes as f64)
}

/// As [`megabytes`], for a floating-point number.
pub(crate) fn megabytes_of(bytes: f64) -> String {
    let megabytes = bytes / 1e6;
    if megabytes < 10.0 { format!("{megabytes:.1} MB") } else { format!("{} MB", whole(megabytes)) }
}

/// Formats a number between 0 and 1: `0.71 %`.
pub(crate) fn percent(part: f64) -> String {
    let percent = part * 100.0;
    if percent == 0.0 || percent >= 10.0 { format!("{percent:.0} %") } else { format!("{percent:.2} %") }
}

/// Formats a quotient: `1.25`.
pub(crate) fn ratio(quotient: f64) -> String {
    format!("{quotient:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated_by_commas() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (30_360, "30,360"), (1_234_567, "1,234,567")]
        {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn small_numbers_have_more_decimal_places() {
        assert_eq!((seconds(2.345), seconds(23.45)), ("2.35 s".to_owned(), "23.4 s".to_owned()));
        assert_eq!(
            (megabytes(1_500_000), megabytes(1_407_000_000)),
            ("1.5 MB".to_owned(), "1,407 MB".to_owned())
        );
        assert_eq!(
            (percent(0.0), percent(0.0071), percent(0.5)),
            ("0 %".to_owned(), "0.71 %".to_owned(), "50 %".to_owned())
        );
    }
}
