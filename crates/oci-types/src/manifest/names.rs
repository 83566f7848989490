//! Checks of member names in manifests. JSON decoders in Go match members in any case, and the last match wins; other decoders
//! require the exact name. A manifest that such decoders would read differently is rejected.

use std::fmt;

use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The kind of an object in a manifest.
#[derive(Clone, Copy)]
enum Kind {
    /// The manifest itself.
    Manifest,
    /// One descriptor, or a list of descriptors.
    Descriptors,
    /// The platform of a descriptor.
    Platform,
    /// An object with arbitrary member names.
    Free,
}

impl Kind {
    /// Returns the members that decoders know, each with its kind (OCI image specification, *Image Manifest*, *Image Index* and
    /// *Content Descriptors*; `fsLayers` is from Docker's first schema).
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

    /// Returns the kind of a member.
    ///
    /// # Errors
    /// Returns the known member whose name differs in case alone.
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

/// Folds the case of a name. The conversion goes by way of upper case, where `ſ` becomes `S`.
fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

/// Rejects a manifest with members whose names differ from known ones in case alone.
///
/// # Errors
/// Returns an error if there is such a member, or if the bytes are not JSON.
pub(super) fn check(bytes: &[u8]) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    Names(Kind::Manifest).deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Deserializes a value to check the names of its members.
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
