//! The names of a manifest's members. Readers in Go take a member in any case, and of several the last; others go by the exact
//! name. A manifest that such readers would understand differently is refused.

use std::fmt;

use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What an object of a manifest is.
#[derive(Clone, Copy)]
enum Kind {
    /// The manifest itself.
    Manifest,
    /// One descriptor, or a list of them.
    Descriptors,
    /// The platform of a descriptor.
    Platform,
    /// Something whose names are free.
    Free,
}

impl Kind {
    /// The members that readers know, each with what it holds (OCI image specification, *Image Manifest*, *Image Index* and
    /// *Content Descriptors*; `fsLayers`: Docker's first schema).
    const fn members(self) -> &'static [(&'static str, Self)] {
        match self {
            Self::Manifest => &[
                ("schemaVersion", Self::Free),
                ("mediaType", Self::Free),
                ("artifactType", Self::Free),
                ("config", Self::Descriptors),
                ("layers", Self::Descriptors),
                ("manifests", Self::Descriptors),
                ("subject", Self::Descriptors),
                ("annotations", Self::Free),
                ("fsLayers", Self::Free),
            ],
            Self::Descriptors => &[
                ("mediaType", Self::Free),
                ("digest", Self::Free),
                ("size", Self::Free),
                ("urls", Self::Free),
                ("annotations", Self::Free),
                ("data", Self::Free),
                ("artifactType", Self::Free),
                ("platform", Self::Platform),
            ],
            Self::Platform => &[
                ("architecture", Self::Free),
                ("os", Self::Free),
                ("os.version", Self::Free),
                ("os.features", Self::Free),
                ("variant", Self::Free),
            ],
            Self::Free => &[],
        }
    }

    /// What a member holds.
    ///
    /// # Errors
    /// The known member from which its name differs in case alone.
    fn of_member(self, name: &str) -> Result<Self, &'static str> {
        let folded = folded(name);
        for (known, kind) in self.members() {
            if name == *known {
                return Ok(*kind);
            }
            if folded == known.to_lowercase() {
                return Err(known);
            }
        }
        Ok(Self::Free)
    }
}

/// A name in the one case that all its cases have: by way of upper case, where `ſ` becomes `S`.
fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

/// Refuses a manifest with members that differ from known ones in case alone.
///
/// # Errors
/// When there is one, or the bytes are not JSON.
pub(super) fn check(bytes: &[u8]) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    Names(Kind::Manifest).deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Reads a value for the names of its members.
struct Names(Kind);

impl<'de> DeserializeSeed<'de> for Names {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            Kind::Free => IgnoredAny::deserialize(deserializer).map(drop),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Names {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            let kind = self.0.of_member(&name).map_err(|known| {
                A::Error::custom(format_args!(
                    "a member is named like `{known}`, in upper and lower case that differ: readers disagree about it"
                ))
            })?;
            members.next_value_seed(Names(kind))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Names(self.0))?.is_some() {}
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
