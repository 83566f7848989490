//! Numbers in human-readable form.

use std::time::Duration;

pub(crate) use oci_types::text::counted;
use oci_types::text::thousands;

/// Formats a number of bytes with a binary unit: `1.5 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes;
    let mut unit = 0;
    // The last division by 1024 is left to the computation of the decimal.
    while value >= 1024 * 1024 && unit + 1 < UNITS.len() {
        value /= 1024;
        unit += 1;
    }
    let tenths = value * 10 / 1024;
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// Formats a number with thousands separators: `987,000`.
pub(crate) fn count(number: impl TryInto<u64>) -> String {
    thousands(number.try_into().unwrap_or(u64::MAX))
}

/// Formats progress: `12 of 980 images`. `units` is a plural, as in events.
pub(crate) fn counted_of(done: usize, all: usize, units: &str) -> String {
    let one = match units.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => units.strip_suffix('s').unwrap_or(units).to_owned(),
    };
    format!("{} of {}", count(done), counted(all, &one))
}

/// Formats a duration: `0.4 s`, `1 min 12 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [bytes(0), bytes(1023), bytes(1024), bytes(1536)],
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB"]
        );
        assert_eq!([bytes(5 << 30), bytes(u64::MAX)], ["5.0 GiB", "16383.9 PiB"]);
        assert_eq!([count(0_u64), count(999_u64), count(987_000_u64)], ["0", "999", "987,000"]);
        let times = [400, 72_000, 7_260_000].map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(times, ["0.4 s", "1 min 12 s", "2 h 1 min"]);
    }
}
