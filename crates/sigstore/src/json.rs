//! JSON in which names within an object are unique. If a name occurs twice, one reader takes the first value and another the
//! last, so that two readers would see different signed content (RFC 8259, section 4).

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Checks that bytes are JSON in which names are unique within each object, at every depth.
///
/// # Errors
/// Returns an error if the bytes are not JSON, or if a name occurs twice in an object.
pub(crate) fn names_are_unique(bytes: &[u8]) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    (&mut json).deserialize_any(Any)?;
    json.end()
}

/// Any value. It is parsed and discarded.
struct Any;

impl<'de> DeserializeSeed<'de> for Any {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if names.contains(&name) {
                let shown = crate::error::bounded(&name);
                return Err(A::Error::custom(format_args!("the name `{shown}` stands twice in one object")));
            }
            names.insert(name);
            map.next_value_seed(Self)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_twice_is_refused_at_every_depth() {
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
            assert!(error.contains("stands twice"), "{bad}: {error}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for bad in ["", "{", "{} {}", "nul", &"[".repeat(100_000)] {
            assert!(names_are_unique(bad.as_bytes()).is_err(), "{bad:.20}");
        }
    }
}
