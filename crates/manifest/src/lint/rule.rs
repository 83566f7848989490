//! The rules of lint.

use crate::diagnostic::Severity;

/// A rule that manifests are checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A manifest or an entry is invalid (specification 01, *Manifests*).
    Invalid,
    /// A part of a manifest is valid but may be unintended.
    Suspicious,
    /// Two entries promote different digests to one tag of one repository.
    Overlap,
    /// A tag has another digest than at the base commit.
    TagMoved,
    /// An edge of the base commit is gone.
    EdgeRemoved,
    /// A project cannot be read at the base commit, so that changes to it are not detected.
    UnreadableBase,
    /// Images are not sorted by name.
    UnsortedImages,
    /// The digests of an image are not sorted by tag.
    UnsortedDigests,
    /// The tags of a digest are not sorted.
    UnsortedTags,
    /// A digest is written without quotes.
    UnquotedDigest,
    /// A field no longer has an effect.
    DeprecatedField,
    /// A registry is written in two ways, or listed twice in one manifest.
    RegistrySpelling,
}

impl Rule {
    /// All rules, in the order of their documentation.
    pub const ALL: [Self; 12] = [
        Self::Invalid,
        Self::Suspicious,
        Self::Overlap,
        Self::TagMoved,
        Self::EdgeRemoved,
        Self::UnreadableBase,
        Self::UnsortedImages,
        Self::UnsortedDigests,
        Self::UnsortedTags,
        Self::UnquotedDigest,
        Self::DeprecatedField,
        Self::RegistrySpelling,
    ];

    /// Returns the name of the rule in messages, output files and flags.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Suspicious => "suspicious",
            Self::Overlap => "overlap",
            Self::TagMoved => "tag-moved",
            Self::EdgeRemoved => "edge-removed",
            Self::UnreadableBase => "unreadable-base",
            Self::UnsortedImages => "unsorted-images",
            Self::UnsortedDigests => "unsorted-digests",
            Self::UnsortedTags => "unsorted-tags",
            Self::UnquotedDigest => "unquoted-digest",
            Self::DeprecatedField => "deprecated-field",
            Self::RegistrySpelling => "registry-spelling",
        }
    }

    /// Returns a sentence that describes what the rule finds.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Invalid => "A manifest or an entry of it is invalid and is not promoted.",
            Self::Suspicious => "A part of a manifest is valid but may be unintended.",
            Self::Overlap => "Two entries promote different digests to the same tag.",
            Self::TagMoved => "A tag has another digest than at the base commit; production tags never move.",
            Self::EdgeRemoved => "The base commit promotes something that is no longer listed.",
            Self::UnreadableBase => {
                "A project cannot be read at the base commit, so that changes to it are not seen."
            }
            Self::UnsortedImages => "Images are not sorted by name.",
            Self::UnsortedDigests => "The digests of an image are not sorted by tag.",
            Self::UnsortedTags => "The tags of a digest are not sorted.",
            Self::UnquotedDigest => "A digest is not quoted.",
            Self::DeprecatedField => "A deprecated field is ignored.",
            Self::RegistrySpelling => {
                "A registry is written in different ways, or listed twice in one manifest."
            }
        }
    }

    /// Returns the usual severity of the rule's findings. A finding of an error that the base commit also has is a warning.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Invalid | Self::Overlap | Self::TagMoved => Severity::Error,
            _ => Severity::Warning,
        }
    }

    /// Returns the rule with this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }
}
