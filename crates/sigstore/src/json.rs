//! JSON in which names within an object are unique. If a name occurs twice, one reader takes the first value and another the
//! last, so that two readers would see different signed content (RFC 8259, section 4).

use std::collections::HashSet;

use oci_types::json::{NameRules, check_names};

/// Checks that bytes are JSON in which names are unique within each object, at every depth.
///
/// # Errors
/// Returns an error if the bytes are not JSON, or if a name occurs twice in an object.
pub(crate) fn names_are_unique(bytes: &[u8]) -> Result<(), serde_json::Error> {
    check_names(bytes, Unique)
}

/// Each name at most once in an object.
#[derive(Clone, Copy)]
struct Unique;

impl NameRules for Unique {
    type Seen = HashSet<String>;

    fn member(self, name: &str, seen: &mut HashSet<String>) -> Result<Option<Self>, String> {
        if seen.insert(name.to_owned()) {
            return Ok(Some(self));
        }
        Err(format!("the name `{}` is repeated in one object", crate::error::bounded(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_name_is_refused_at_every_depth() {
        for good in ["{}", "[]", "1", "-1.5", "null", "\"a\"", r#"{"a":{"a":[{"a":1},{"a":2}]},"b":true}"#] {
            names_are_unique(good.as_bytes()).unwrap();
        }
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"[[{"x":[{"a":1,"b":2,"a":3}]}]]"#,
            // The same name, with an escape sequence.
            r#"{"predicate":{"a":1,"\u0061":2}}"#,
        ] {
            let error = names_are_unique(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("is repeated"), "{bad}: {error}");
        }
    }

    #[test]
    fn bytes_that_are_not_json_are_rejected() {
        for bad in ["", "{", "{} {}", "nul", &"[".repeat(100_000)] {
            assert!(names_are_unique(bad.as_bytes()).is_err(), "{bad:.20}");
        }
    }
}
