//! Standard input, which can be read once.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Reads standard input to its end. `max` is in bytes.
///
/// # Errors
/// Returns what is wrong: it cannot be read, is larger, or was read for another flag.
pub(crate) fn standard_input(max: u64) -> Result<Vec<u8>, String> {
    static WAS_READ: AtomicBool = AtomicBool::new(false);
    if WAS_READ.swap(true, Relaxed) {
        return Err("another flag already reads it: only one flag can have the value -".to_owned());
    }
    bounded(std::io::stdin().lock(), max)
}

fn bounded(input: impl Read, max: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = input.take(max.saturating_add(1)).read_to_end(&mut bytes);
    match read {
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(length) if length as u64 > max => Err(format!("larger than {max} bytes")),
        Ok(_) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_allowed() {
        assert_eq!(bounded(&b"four"[..], 4).unwrap(), b"four");
        assert!(bounded(std::io::repeat(0), 4).unwrap_err().contains("larger than 4 bytes"));
    }
}
