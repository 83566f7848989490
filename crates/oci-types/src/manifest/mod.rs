//! Manifests: their original bytes, and the content that they reference (OCI image specification, *Image Manifest* and
//! *Image Index*; Docker's *Image Manifest V 2, Schema 2*).

mod media_type;
mod names;
mod wire;

use std::fmt;

use bytes::Bytes;
pub use media_type::{InvalidManifest, MediaType};
pub use wire::{WireDescriptor, WireManifest};

use crate::digest::Digest;
use crate::text::printable;

/// The maximum size of a manifest to read or store, in bytes, as the distribution specification recommends.
pub const MANIFEST_MAX: usize = 4 * 1024 * 1024;

/// The original bytes of a manifest, with its media type and digest.
#[derive(Clone, PartialEq, Eq)]
pub struct RawManifest {
    media_type: MediaType,
    bytes: Bytes,
    digest: Digest,
}

impl RawManifest {
    /// Constructs a manifest without parsing the bytes. Only the SHA-256 digest is computed.
    pub fn new(media_type: MediaType, bytes: Bytes) -> Self {
        let digest = Digest::of(&bytes);
        Self { media_type, bytes, digest }
    }

    /// Returns the media type.
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the SHA-256 digest of the bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Constructs the manifest of an answer. Registries send manifests with any `Content-Type`, so the type is determined by the
    /// `mediaType` of the manifest, or else by the header if it names a type of manifest, or else by the members of the manifest
    /// (OCI image specification, *Guidelines for Artifact Usage*).
    pub fn received(content_type: Option<&str>, bytes: Bytes) -> Self {
        let header = content_type.map(MediaType::parse);
        let named = header.clone().filter(MediaType::is_manifest);
        let wire = WireManifest::parse(&bytes).unwrap_or_default();
        let own = wire.media_type.as_deref().filter(|own| !own.is_empty()).map(MediaType::parse);
        let media_type = match (own, named) {
            // Two contradictory types of manifest are not resolved here: `wire` rejects them.
            (Some(own), Some(named)) if own.is_manifest() && own != named => named,
            (Some(own), _) => own,
            (None, Some(named)) => named,
            (None, None) => wire.kind().or(header).unwrap_or_else(|| MediaType::parse("")),
        };
        Self::new(media_type, bytes)
    }

    /// Parses the references of the manifest. Members that are null, missing or unknown are accepted as long as the parts are
    /// unambiguous.
    ///
    /// # Errors
    /// Returns an error if the type is not supported, if the bytes do not conform to it, or if a descriptor is invalid.
    pub fn parse(&self) -> Result<Manifest, InvalidManifest> {
        let wire = self.wire()?;
        let subject = wire.subject.as_ref().map(Descriptor::new).transpose()?;
        if self.media_type.is_index() {
            let children = Descriptor::all(wire.manifests.iter().flatten())?;
            return Ok(Manifest { children, blobs: Vec::new(), subject });
        }
        let blobs = Descriptor::all(wire.config.iter().chain(wire.layers.iter().flatten()))?;
        Ok(Manifest { children: Vec::new(), blobs, subject })
    }

    /// Parses the members of a manifest, after checking that its type is reliable.
    ///
    /// # Errors
    /// Returns an error if the type is not supported, or if the bytes do not conform to it.
    pub fn wire(&self) -> Result<WireManifest, InvalidManifest> {
        if !self.media_type.is_supported() {
            return Err(InvalidManifest::Unsupported(self.media_type.clone()));
        }
        let wire = WireManifest::parse(&self.bytes).map_err(|error| InvalidManifest::Malformed {
            media_type: self.media_type.clone(),
            problem: printable(&error.to_string(), 200),
        })?;
        let own = wire.media_type.as_deref().filter(|own| !own.is_empty()).map(MediaType::parse);
        if let Some(body) = own.filter(|own| *own != self.media_type) {
            return Err(InvalidManifest::Contradiction { header: self.media_type.clone(), body });
        }
        let has_image_parts = wire.config.is_some() || wire.layers.is_some();
        if has_image_parts && wire.manifests.is_some() {
            return Err(InvalidManifest::Ambiguous);
        }
        let has_wrong_members = if self.media_type.is_index() { has_image_parts } else { !has_image_parts };
        if has_wrong_members {
            let kind = if self.media_type.is_index() { "an index" } else { "an image" };
            let problem = format!("it does not have the members of {kind}");
            return Err(InvalidManifest::Malformed { media_type: self.media_type.clone(), problem });
        }
        Ok(wire)
    }
}

impl fmt::Debug for RawManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {} bytes)", self.digest, self.media_type, self.bytes.len())
    }
}

/// The references of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The manifests of an index, in its order.
    pub children: Vec<Descriptor>,
    /// The configuration and the layers of an image, in its order.
    pub blobs: Vec<Descriptor>,
    /// The manifest that this one refers to, if it is a referrer.
    pub subject: Option<Descriptor>,
}

/// A reference to content (OCI image specification, *Content Descriptors*).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The media type of the content.
    pub media_type: MediaType,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content, in bytes.
    pub size: u64,
    /// Whether the content is available from other servers (`urls`). Such a layer is neither fetched nor pushed.
    pub foreign: bool,
    /// `os/architecture[/variant]`, if the index contains it.
    pub platform: Option<String>,
    /// The manifest that this one attests to, if an index annotates it as an attestation manifest of BuildKit
    /// (`vnd.docker.reference.type` and `vnd.docker.reference.digest`). This is a claim of the client that pushed the index.
    pub attests: Option<Digest>,
}

impl Descriptor {
    fn new(wire: &WireDescriptor) -> Result<Self, InvalidManifest> {
        Ok(Self {
            media_type: MediaType::parse(wire.media_type.as_deref().unwrap_or_default()),
            digest: wire.digest()?,
            size: wire.size,
            foreign: wire.urls.as_ref().is_some_and(|urls| !urls.is_empty()),
            platform: wire.platform(),
            attests: wire.attests(),
        })
    }

    fn all<'a>(wire: impl Iterator<Item = &'a WireDescriptor>) -> Result<Vec<Self>, InvalidManifest> {
        wire.map(Self::new).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

    fn descriptor() -> String {
        format!(r#"{{"mediaType":"a/b","digest":"{}","size":3}}"#, Digest::of(b"abc"))
    }

    fn received(content_type: Option<&str>, text: &str) -> RawManifest {
        RawManifest::received(content_type, Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn the_type_comes_from_the_body_or_else_the_header_or_else_the_members() {
        let own = format!(r#"{{"mediaType":"{INDEX}","manifests":[]}}"#);
        let upper = INDEX.to_uppercase();
        for header in [
            Some("application/json"),
            Some("text/plain; charset=utf-8"),
            None,
            Some(""),
            Some(upper.as_str()),
            Some("application/vnd.oci.image.index.v1+json; charset=utf-8"),
        ] {
            let manifest = received(header, &own);
            assert_eq!(*manifest.media_type(), MediaType::OciIndex, "{header:?}");
            assert!(manifest.parse().unwrap().children.is_empty());
        }
        let untyped = format!(r#"{{"config":{},"layers":[]}}"#, descriptor());
        assert_eq!(*received(Some("text/plain"), &untyped).media_type(), MediaType::OciManifest);
        assert_eq!(
            *received(None, r#"{"schemaVersion":2,"manifests":[]}"#).media_type(),
            MediaType::OciIndex
        );
        let docker = "application/vnd.docker.distribution.manifest.v2+json";
        assert_eq!(*received(Some(docker), &untyped).media_type(), MediaType::DockerManifest);
        assert_eq!(
            *received(None, r#"{"schemaVersion":1,"fsLayers":[]}"#).media_type(),
            MediaType::DockerSchema1
        );
    }

    #[test]
    fn manifests_that_readers_could_take_for_images_or_indexes_are_rejected() {
        let index = format!(r#"{{"mediaType":"{INDEX}","manifests":[]}}"#);
        let refused = received(Some(IMAGE), &index).parse().unwrap_err();
        assert!(matches!(refused, InvalidManifest::Contradiction { .. }), "{refused}");
        let both = format!(r#"{{"manifests":[],"layers":[],"config":{}}}"#, descriptor());
        for kind in [INDEX, IMAGE] {
            assert!(matches!(received(Some(kind), &both).parse(), Err(InvalidManifest::Ambiguous)));
        }
        let layers = format!(r#"{{"layers":[{}]}}"#, descriptor());
        assert!(received(Some(INDEX), &layers).parse().is_err());
        assert!(received(Some(IMAGE), r#"{"manifests":[]}"#).parse().is_err());
    }

    #[test]
    fn null_missing_and_unknown_members_are_accepted() {
        let d = descriptor();
        for (kind, text, blobs, children) in [
            (IMAGE, format!(r#"{{"config":{d},"layers":null}}"#), 1, 0),
            (IMAGE, format!(r#"{{"config":{d}}}"#), 1, 0),
            (IMAGE, format!(r#"{{"config":{d},"layers":[{d},{d}],"artifactType":"","new":{{}}}}"#), 3, 0),
            (IMAGE, format!(r#"{{"config":null,"layers":[{d}],"subject":null,"annotations":null}}"#), 1, 0),
            (INDEX, r#"{"manifests":null}"#.to_owned(), 0, 0),
            (INDEX, r#"{"manifests":[]}"#.to_owned(), 0, 0),
            (INDEX, format!(r#"{{"manifests":[{d},{d}]}}"#), 0, 2),
        ] {
            let parsed =
                received(Some(kind), &text).parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((parsed.blobs.len(), parsed.children.len()), (blobs, children), "{text}");
        }
    }

    /// JSON decoders in Go match members in any case, and the last one wins, so they would read other values than the verified
    /// ones.
    #[test]
    fn members_that_differ_from_known_ones_only_in_case_are_rejected() {
        let d = descriptor();
        let index = |members: &str| format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}",{members}}}"#);
        let child =
            |member: &str| index(&format!(r#""manifests":[{}]"#, d.replace('}', &format!(",{member}}}"))));
        let platform =
            |name: &str| child(&format!(r#""platform":{{"os":"a","architecture":"b","{name}":"c"}}"#));
        for text in [
            index(&format!(r#""manifests":[{d}],"Manifests":[{d}]"#)),
            index(&format!(r#""MANIFESTS":[{d}],"manifests":[{d}]"#)),
            index(&format!(r#""manifests":[],"manife\u017fts":[{d}]"#)),
            index(&format!(r#""manifests":[],"manifeſts":[{d}]"#)),
            index(&format!(r#""Manifests":[{d}]"#)),
            index(r#""manifests":[],"MediaType":"x""#),
            child(r#""Digest":"sha256:x""#),
            child(r#""SIZE":1"#),
            child(r#""urlſ":[]"#),
            platform("OS"),
            platform("Variant"),
            index(&format!(r#""manifests":[],"subject":{}"#, d.replace("digest", "Digest"))),
        ] {
            let refused = received(Some(INDEX), &text).parse().unwrap_err().to_string();
            assert!(refused.contains("only in case"), "{text}: {refused}");
        }
        for text in [
            format!(r#"{{"config":{d},"layers":[],"Layers":[{d}]}}"#),
            format!(r#"{{"config":{d},"Config":{d}}}"#),
            format!(r#"{{"config":{},"layers":[]}}"#, d.replace('}', r#","DIGEST":"x"}"#)),
            format!(r#"{{"config":{d},"layers":[{}]}}"#, d.replace('}', r#","mediatype":"x"}"#)),
        ] {
            assert!(received(Some(IMAGE), &text).parse().is_err(), "{text}");
        }
        // Annotations may have any name.
        let free = d.replace('}', r#","annotations":{"Digest":"x","digest":"y","DIGEST":"z"}}"#);
        received(Some(INDEX), &index(&format!(r#""manifests":[{free}],"annotations":{{"Manifests":"x"}}"#)))
            .parse()
            .unwrap();
    }

    #[test]
    fn platforms_may_lack_any_of_their_members() {
        for (platform, expected) in [
            ("{}", None),
            ("null", None),
            (r#"{"os":"linux"}"#, Some("linux/unknown")),
            (r#"{"os":"linux","architecture":"arm","variant":"v7"}"#, Some("linux/arm/v7")),
            (r#"{"architecture":"arm64","os":"linux","os.version":1,"features":null}"#, Some("linux/arm64")),
            (r#"{"architecture":"arm64","os":"\u001b[2Jlinux\u202e"}"#, Some("[2Jlinux/arm64")),
        ] {
            let child = descriptor().replace('}', &format!(r#","platform":{platform}}}"#));
            let parsed = received(Some(INDEX), &format!(r#"{{"manifests":[{child}]}}"#)).parse().unwrap();
            assert_eq!(parsed.children[0].platform.as_deref(), expected, "{platform}");
        }
    }

    #[test]
    fn attests_requires_both_annotations_of_buildkit() {
        let about = Digest::of(b"image");
        let kind = r#""vnd.docker.reference.type":"attestation-manifest""#;
        let digest = format!(r#""vnd.docker.reference.digest":"{about}""#);
        for (annotations, expected) in [
            (format!("{{{kind},{digest}}}"), Some(about)),
            (format!(r#"{{{kind},{digest},"more":"x","odd":1}}"#), Some(about)),
            (format!("{{{kind}}}"), None),
            (format!("{{{digest}}}"), None),
            (format!(r#"{{"vnd.docker.reference.type":"other",{digest}}}"#), None),
            (format!(r#"{{{kind},"vnd.docker.reference.digest":"sha256:short"}}"#), None),
            (format!(r#"{{{kind},"vnd.docker.reference.digest":["{about}"]}}"#), None),
            ("null".to_owned(), None),
            ("[]".to_owned(), None),
        ] {
            let child = descriptor().replace('}', &format!(r#","annotations":{annotations}}}"#));
            let parsed = received(Some(INDEX), &format!(r#"{{"manifests":[{child}]}}"#)).parse().unwrap();
            assert_eq!(parsed.children[0].attests, expected, "{annotations}");
        }
    }

    #[test]
    fn control_characters_in_a_digest_are_not_displayed() {
        let text = r#"{"manifests":[{"digest":"sha256:\u007f\u001b[2J\u202e","size":1}]}"#;
        let error = received(Some(INDEX), text).parse().unwrap_err().to_string();
        assert!(error.contains("`sha256:[2J` is not a digest"), "{error:?}");
    }

    #[test]
    fn parse_errors_do_not_mention_serde() {
        for text in
            ["<html>", r#"{"manifests":[{"digest":"md5:00","size":1}]}"#, r#"{"manifests":[{"size":1}]}"#]
        {
            let error = received(Some(INDEX), text).parse().unwrap_err().to_string();
            assert!(!error.contains("serde"), "{error}");
        }
    }
}
