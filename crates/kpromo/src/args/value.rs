//! Parsers of values.

use std::ffi::OsString;
use std::fmt::Display;
#[cfg(feature = "embedded-registry")]
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::SignedDuration;

/// The value name of boolean flags, which are parsed like those of Go.
pub(super) const BOOL: &str = "BOOL";

// An empty value counts as not set, because in scripts it usually comes from an unset variable.

/// Returns a path, or `None` if it is empty.
pub(super) fn path(text: Option<OsString>) -> Option<PathBuf> {
    text.filter(|text| !text.is_empty()).map(PathBuf::from)
}

/// Returns whether a path stands for standard input or standard output.
pub(super) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// Returns a text, or `None` if it is empty.
pub(super) fn text(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Parses a boolean like Go's `strconv.ParseBool`.
pub(super) fn go_bool() -> impl TypedValueParser<Value = bool> {
    PossibleValuesParser::new([
        "true", "false", "t", "f", "1", "0", "T", "F", "TRUE", "FALSE", "True", "False",
    ])
    .map(|text| matches!(text.as_str(), "true" | "t" | "1" | "T" | "TRUE" | "True"))
}

/// Parses a number of bytes with a Kubernetes unit: Ki, Mi, Gi, Ti.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text[digits.len()..].trim_end_matches('B') {
        "" => Some(0),
        "Ki" => Some(10),
        "Mi" => Some(20),
        "Gi" => Some(30),
        "Ti" => Some(40),
        _ => None,
    };
    let bytes =
        digits.parse::<u64>().ok().zip(shift).and_then(|(number, shift)| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| "expected a number of bytes, such as 500Mi or 2Gi".to_owned())
}

/// Parses a percentage.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    let percent = text.parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
    percent.ok_or_else(|| "expected a number from 0 to 100".to_owned())
}

/// Parses a whole number in a range.
pub(super) fn whole<N>(from: N, to: N) -> impl Fn(&str) -> Result<N, String> + Clone
where
    N: Copy + PartialOrd + Display + FromStr + Send + Sync,
{
    move |text| {
        let number = text.parse().ok().filter(|number| (from..=to).contains(number));
        number.ok_or_else(|| format!("expected a whole number from {from} to {to}"))
    }
}

/// Parses a whole number, which may be negative.
pub(super) fn integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| "expected a whole number".to_owned())
}

/// Parses an address to listen on.
#[cfg(feature = "embedded-registry")]
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an IP address and a port, such as 127.0.0.1:5000".to_owned())
}

/// Parses a duration such as `2h 30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    time(text)
        .ok_or_else(|| "expected a duration with its unit, such as 90s or 2h 30m".to_owned())
        .and_then(positive)
}

/// Parses a number of seconds, or a duration such as `2m 30s`.
pub(super) fn seconds_or_duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map(SignedDuration::from_secs).ok();
    let time = seconds.or_else(|| time(text));
    time.ok_or_else(|| "expected a duration in seconds or with its unit, such as 90 or 2m".to_owned())
        .and_then(positive)
}

fn time(text: &str) -> Option<SignedDuration> {
    text.parse().ok()
}

fn positive(time: SignedDuration) -> Result<Duration, String> {
    let time = Duration::try_from(time).ok().filter(|time| !time.is_zero());
    time.ok_or_else(|| "expected a duration greater than zero".to_owned())
}
