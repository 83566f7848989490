//! The unit of a scan, an image manifest, and the check whether a report is about it.

use std::collections::BTreeSet;

use oci::Digest;

use super::purl::Purl;

/// An image manifest that is scanned: the image itself, or a platform of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The digest of the manifest.
    pub digest: Digest,
    /// The digest of its configuration, which scanners call the image ID. `None` if it is unknown.
    pub config: Option<Digest>,
    /// `os/architecture[/variant]`, if the index states it.
    pub platform: Option<String>,
    /// The indexes of the image that the manifest is a part of.
    pub indexes: Vec<Digest>,
    /// Whether this is the only manifest of the image with this platform.
    pub is_only_of_platform: bool,
}

/// The subject of a report, according to the report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The digests of manifests or indexes that it names.
    pub manifests: BTreeSet<Digest>,
    /// The image ID: the digest of the configuration, or that of a manifest if the engine has no other ID.
    pub image_id: Option<Digest>,
    /// `os/architecture[/variant]` of the image that was scanned.
    pub platform: Option<String>,
}

/// Whether a report is about a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// The report is about the manifest.
    Covers,
    /// The report names an index that lists the manifest, but does not prove which platform was scanned.
    IndexOnly,
    /// The report is about another image.
    OtherImage,
    /// It names no digest at all.
    NamesNothing,
}

impl About {
    /// Whether the report names no digest.
    pub fn names_nothing(&self) -> bool {
        self.manifests.is_empty() && self.image_id.is_none()
    }

    /// Returns whether a report is about a manifest. Only digests prove it, never names.
    pub fn coverage(&self, part: &Part) -> Coverage {
        if self.names_nothing() {
            return Coverage::NamesNothing;
        }
        let is_index = |digest: &Digest| part.indexes.contains(digest);
        if let Some(id) = &self.image_id {
            if Some(*id) == part.config || *id == part.digest {
                return Coverage::Covers;
            }
            // An engine may use an index's digest as the image ID. Any other ID is of another image, even if the report also
            // names the index, because an index lists several images.
            if part.config.is_some() && !is_index(id) {
                return Coverage::OtherImage;
            }
        }
        if self.manifests.contains(&part.digest) {
            return Coverage::Covers;
        }
        if !self.manifests.iter().chain(&self.image_id).any(is_index) {
            return Coverage::OtherImage;
        }
        let is_platform = self.platform.is_some() && self.platform == part.platform;
        if is_platform && part.is_only_of_platform { Coverage::Covers } else { Coverage::IndexOnly }
    }

    /// Adds the digest of an image reference or of a package URL, or a digest alone. Other texts add nothing.
    pub(super) fn add(&mut self, text: &str) {
        self.manifests.extend(digest_in(text));
    }
}

/// Returns the digest in an image reference (`name@sha256:…`), a package URL of the type `oci`, or a digest alone.
pub(super) fn digest_in(text: &str) -> Option<Digest> {
    match Purl::parse(text) {
        Some(purl) => purl.version.filter(|_| purl.kind == "oci")?.parse().ok(),
        None => text.rsplit_once('@').map_or(text, |(_, digest)| digest).parse().ok(),
    }
}

/// Joins the members of a platform, or returns `None` if the report does not state it.
pub(super) fn platform_of(
    os: Option<&str>,
    architecture: Option<&str>,
    variant: Option<&str>,
) -> Option<String> {
    let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    let (os, architecture) = (given(os)?, given(architecture)?);
    Some(match given(variant) {
        Some(variant) => format!("{os}/{architecture}/{variant}"),
        None => format!("{os}/{architecture}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn part() -> Part {
        Part {
            digest: digest("part"),
            config: Some(digest("config")),
            platform: Some("linux/amd64".to_owned()),
            indexes: vec![digest("index")],
            is_only_of_platform: true,
        }
    }

    fn about(manifests: &[&str], image_id: Option<&str>, platform: Option<&str>) -> About {
        About {
            manifests: manifests.iter().map(|name| digest(name)).collect(),
            image_id: image_id.map(digest),
            platform: platform.map(str::to_owned),
        }
    }

    #[test]
    fn coverage_is_determined_by_digests() {
        use Coverage::{Covers, IndexOnly, NamesNothing, OtherImage};
        let amd64 = Some("linux/amd64");
        for (about, expected) in [
            (about(&[], None, amd64), NamesNothing),
            (about(&["part"], None, None), Covers),
            (about(&[], Some("config"), None), Covers),
            (about(&[], Some("part"), None), Covers),
            (about(&["other", "part"], None, None), Covers),
            (about(&["index"], Some("config"), None), Covers),
            (about(&["index"], None, None), IndexOnly),
            (about(&[], Some("index"), None), IndexOnly),
            (about(&["index"], None, amd64), Covers),
            (about(&["index"], Some("index"), amd64), Covers),
            (about(&["index"], None, Some("linux/arm64")), IndexOnly),
            (about(&["other"], None, amd64), OtherImage),
            (about(&[], Some("other"), None), OtherImage),
            // The index, but another platform's image ID: the platform is only claimed.
            (about(&["index"], Some("other config"), amd64), OtherImage),
            (about(&["part"], Some("other config"), None), OtherImage),
        ] {
            assert_eq!(about.coverage(&part()), expected, "{about:?}");
        }
    }

    #[test]
    fn a_platform_of_two_manifests_proves_nothing() {
        let ambiguous = Part { is_only_of_platform: false, ..part() };
        assert_eq!(about(&["index"], None, Some("linux/amd64")).coverage(&ambiguous), Coverage::IndexOnly);
    }

    #[test]
    fn digests_are_found_in_references_and_in_package_urls() {
        let expected = digest("a");
        let hex = expected.hex();
        for text in [
            expected.to_string(),
            format!("registry.example/app@{expected}"),
            format!("registry.example:5000/app:v1@{expected}"),
            format!("pkg:oci/app@sha256%3A{hex}?repository_url=x"),
            format!("pkg:oci/app@{expected}"),
        ] {
            assert_eq!(digest_in(&text), Some(expected), "{text}");
        }
        for text in ["", "app", "app:v1", "app@sha256:12", &format!("pkg:apk/app@{expected}"), "pkg:oci/app"]
        {
            assert_eq!(digest_in(text), None, "{text}");
        }
    }
}
