//! Checks of member names in manifests. JSON decoders in Go match members in any case, and the last match wins; other decoders
//! require the exact name. A manifest that such decoders would read differently is rejected.

use crate::json::{NameRules, check_names};

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
    /// Returns the known member whose name differs only in case.
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

/// Folds the case of a name. The name is converted to upper case first, where `ſ` becomes `S`.
fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

/// Rejects a manifest with members whose names differ from known ones only in case.
///
/// # Errors
/// Returns an error if there is such a member, or if the bytes are not JSON.
pub(super) fn check(bytes: &[u8]) -> Result<(), serde_json::Error> {
    check_names(bytes, Kind::Manifest)
}

impl NameRules for Kind {
    type Seen = ();

    fn member(self, name: &str, (): &mut ()) -> Result<Option<Self>, String> {
        match self.of_member(name) {
            Ok(Self::Free) => Ok(None),
            Ok(kind) => Ok(Some(kind)),
            Err(known) => {
                Err(format!("a member differs from `{known}` only in case: readers disagree about it"))
            }
        }
    }
}
