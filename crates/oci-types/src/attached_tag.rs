//! Tags of attached content: cosign's tag scheme, and the fallback tag for registries without a referrers API.

use std::fmt;

use crate::digest::Digest;
use crate::name::Tag;

/// The maximum number of hexadecimal digits of a digest in the referrers tag schema.
const FALLBACK_DIGITS: usize = 64;

/// The content of a cosign tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttachmentKind {
    /// Signatures, `.sig`.
    Signature,
    /// Attestations, `.att`.
    Attestation,
    /// SBOMs, `.sbom`.
    Sbom,
}

impl AttachmentKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Signature, Self::Attestation, Self::Sbom];

    /// Returns the suffix of the tag, without the dot.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Signature => "sig",
            Self::Attestation => "att",
            Self::Sbom => "sbom",
        }
    }
}

/// The cosign tag of an image: `sha256-<64 hexadecimal digits>.sig`, `.att` or `.sbom`.
///
/// A SHA-512 digest has no such tag: it would exceed the maximum length of a tag.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttachedTag {
    hash: [u8; 32],
    kind: AttachmentKind,
}

impl AttachedTag {
    /// Returns the tag for content that is attached to the image with this digest; `None` if the digest has no such tag.
    pub const fn new(digest: Digest, kind: AttachmentKind) -> Option<Self> {
        match digest {
            Digest::Sha256(hash) => Some(Self { hash, kind }),
            Digest::Sha512(_) => None,
        }
    }

    /// Parses a tag; `None` if it does not belong to this scheme.
    pub fn parse(tag: &Tag) -> Option<Self> {
        let (name, suffix) = tag.as_str().rsplit_once('.')?;
        let kind = AttachmentKind::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
        let hex = name.strip_prefix("sha256-")?;
        Self::new(format!("sha256:{hex}").parse().ok()?, kind)
    }

    /// Returns the digest of the image that the content is attached to.
    pub const fn digest(&self) -> Digest {
        Digest::Sha256(self.hash)
    }

    /// Returns the kind of the content.
    pub const fn kind(&self) -> AttachmentKind {
        self.kind
    }

    /// Returns the tag.
    pub fn tag(&self) -> Tag {
        valid_tag(&self.to_string())
    }
}

impl fmt::Display for AttachedTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256-{}.{}", self.digest().hex(), self.kind.suffix())
    }
}

impl fmt::Debug for AttachedTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns the tag of the list of an image's referrers for registries that maintain no such list (distribution specification,
/// *Referrers Tag Schema*): `sha256-<64 hexadecimal digits>`. For a SHA-512 digest it contains the first 64 digits.
pub fn referrers_tag(subject: Digest) -> Tag {
    let mut hex = subject.hex();
    hex.truncate(FALLBACK_DIGITS);
    valid_tag(&format!("{}-{hex}", subject.algorithm().name()))
}

fn valid_tag(text: &str) -> Tag {
    #[expect(
        clippy::expect_used,
        reason = "an algorithm, at most 64 digits and a suffix always form a valid tag"
    )]
    text.parse().expect("the tag of a digest is valid")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_has_the_tag_of_cosign() {
        let hex = Digest::of(b"").hex();
        for (kind, suffix) in [
            (AttachmentKind::Signature, "sig"),
            (AttachmentKind::Attestation, "att"),
            (AttachmentKind::Sbom, "sbom"),
        ] {
            let attached = AttachedTag::new(Digest::of(b""), kind).unwrap();
            assert_eq!(attached.tag().as_str(), format!("sha256-{hex}.{suffix}"));
            assert_eq!(AttachedTag::parse(&attached.tag()), Some(attached));
            assert_eq!((attached.digest(), attached.kind()), (Digest::of(b""), kind));
        }
    }

    #[test]
    fn other_tags_are_not_cosign_tags() {
        let hex = Digest::of(b"").hex();
        for text in [
            "v1.sig",
            "sig",
            &format!("sha256-{hex}"),
            &format!("sha256-{hex}.SIG"),
            &format!("sha256-{hex}.sig.sig"),
            &format!("sha256-{}.sig", hex.to_uppercase()),
            &format!("sha256-{}.sig", &hex[1..]),
            &format!("sha512-{hex}.sig"),
            &format!("x-sha256-{hex}.sig"),
        ] {
            assert_eq!(AttachedTag::parse(&text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn a_sha512_digest_has_a_referrers_tag_but_no_cosign_tag() {
        let long: Digest = format!("sha512:{}{}", "ab".repeat(32), "cd".repeat(32)).parse().unwrap();
        assert_eq!(referrers_tag(long).as_str(), format!("sha512-{}", "ab".repeat(32)));
        assert_eq!(AttachedTag::new(long, AttachmentKind::Signature), None);
        assert_eq!(referrers_tag(Digest::of(b"")).as_str(), format!("sha256-{}", Digest::of(b"").hex()));
    }

    proptest! {
        /// A tag that parses as a cosign tag is formatted unchanged.
        #[test]
        fn a_parsed_tag_is_formatted_unchanged(text in "sha(256|512)-[0-9a-fA-F]{62,66}\\.(sig|att|sbom|x)") {
            let tag: Tag = text.parse().unwrap();
            if let Some(attached) = AttachedTag::parse(&tag) { prop_assert_eq!(attached.tag(), tag); }
        }
    }
}
