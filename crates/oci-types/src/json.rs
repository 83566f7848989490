//! Checks of the member names of JSON objects, at every depth, before a document is read: a document that readers would interpret
//! differently must be rejected.

use std::fmt;

use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Rules for the names of one object, and of the objects in its members.
pub trait NameRules: Copy {
    /// What is known about an object from the members that were read so far.
    type Seen: Default;

    /// Checks the next name of an object. Returns the rules for the objects in the member's value, or `None` if any name is
    /// allowed there. The items of a list have the rules of the list.
    ///
    /// # Errors
    /// Returns the error message if the document must be rejected.
    fn member(self, name: &str, seen: &mut Self::Seen) -> Result<Option<Self>, String>;
}

/// Checks the names of a document.
///
/// # Errors
/// Returns an error if the bytes are not JSON, or if a name violates the rules.
pub fn check_names(bytes: &[u8], rules: impl NameRules) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    Names(Some(rules)).deserialize(&mut json)?;
    json.end()
}

/// Checks the names of a value that a deserializer reads.
///
/// # Errors
/// Returns an error if the value cannot be read, or if a name violates the rules.
pub fn check_names_of<'de, D: Deserializer<'de>>(json: D, rules: impl NameRules) -> Result<(), D::Error> {
    Names(Some(rules)).deserialize(json)
}

/// Reads a value to check the names in it, and discards it.
struct Names<R>(Option<R>);

impl<'de, R: NameRules> DeserializeSeed<'de> for Names<R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            None => IgnoredAny::deserialize(deserializer).map(drop),
            Some(_) => deserializer.deserialize_any(self),
        }
    }
}

impl<'de, R: NameRules> Visitor<'de> for Names<R> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = R::Seen::default();
        while let Some(name) = members.next_key::<String>()? {
            let rules = match self.0 {
                Some(rules) => rules.member(&name, &mut seen).map_err(A::Error::custom)?,
                None => None,
            };
            members.next_value_seed(Self(rules))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Self(self.0))?.is_some() {}
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
