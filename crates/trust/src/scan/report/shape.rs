//! The spelling of the members that matter. A member in another case than its format has would be read as absent, and what is absent
//! may look clean.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::input::{Input, InvalidReport, short};

/// The members of an object, and those that have members of their own. Lists have the shape of their entries.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) members: &'static [&'static str],
    pub(super) objects: &'static [(&'static str, Shape)],
}

impl Shape {
    /// Refuses a document that has a member which differs from a known one in its case only.
    pub(super) fn check(self, input: Input<'_>) -> Result<(), InvalidReport> {
        input.seeded(self)
    }
}

impl<'de> DeserializeSeed<'de> for Shape {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shape {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if let Some((_, shape)) = self.objects.iter().find(|(known, _)| *known == name) {
                map.next_value_seed(*shape)?;
                continue;
            }
            map.next_value::<IgnoredAny>()?;
            let mut known = self.objects.iter().map(|(known, _)| known).chain(self.members);
            if let Some(known) = known.find(|known| **known != name && known.eq_ignore_ascii_case(&name)) {
                return Err(A::Error::custom(format!(
                    "unknown member `{}`: the format has `{known}`",
                    short(&name)
                )));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    // What is of another kind than expected is found by the reading of the format.
    fn visit_unit<E>(self) -> Result<(), E> {
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
}
