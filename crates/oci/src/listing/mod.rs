//! The content of a repository, as its registry lists it (distribution specification, *Listing Tags*; Google's extension).

mod decode;

use std::collections::HashMap;

pub(crate) use decode::Decoder;
use oci_types::Digest;
use oci_types::MediaType;
use oci_types::Tag;

/// An entry of a list, reported as its bytes arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// A tag.
    Tag(Tag),
    /// The registry lists manifests too, so a manifest that is not listed does not exist.
    Manifests,
    /// A manifest, with or without tags.
    Manifest(ListedManifest),
    /// The next component of the name of repositories below this one, as Google's registries list them. It is not checked.
    Child(Box<str>),
    /// A name that is neither a valid tag nor a valid digest, so that it cannot be requested: its first characters, escaped for
    /// display.
    Invalid(Box<str>),
    /// The list starts again, because its registry interrupted it. All earlier entries are void.
    Restarted,
}

/// A manifest as Google's registries list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedManifest {
    /// The digest.
    pub digest: Digest,
    /// The media type.
    pub media_type: MediaType,
    /// The tags that name it.
    pub tags: Vec<Tag>,
    /// When it was uploaded, in milliseconds since 1970, if the registry says so.
    pub uploaded: Option<i64>,
}

/// The tags of a repository and, if the registry lists them, all its manifests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// All tags, in the order of the registry.
    pub tags: Vec<Tag>,
    /// All manifests by digest; `None` if the registry lists only tags.
    pub manifests: Option<HashMap<Digest, ListedManifest>>,
}

impl Listing {
    /// Adds an entry of a list.
    pub(crate) fn take(&mut self, listed: Listed) {
        match listed {
            Listed::Tag(tag) => self.tags.push(tag),
            Listed::Manifests => drop(self.manifests.get_or_insert_default()),
            Listed::Manifest(manifest) => {
                self.manifests.get_or_insert_default().insert(manifest.digest, manifest);
            }
            Listed::Child(_) | Listed::Invalid(_) => {}
            Listed::Restarted => *self = Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(page: &str) -> Result<Listing, String> {
        let mut listing = Listing::default();
        let mut decoder = Decoder::new();
        decoder.push(page.to_owned().into(), &mut |listed| listing.take(listed))?;
        decoder.finish(&mut |_| ())?;
        Ok(listing)
    }

    #[test]
    fn googles_extension_is_read_if_it_is_present() {
        let plain = listing(r#"{"name":"a","tags":["v1","-bad"]}"#).unwrap();
        assert_eq!((plain.tags.len(), plain.manifests), (1, None));

        let digest = Digest::of(b"x");
        let google = listing(&format!(
            r#"{{"child":["b"],"name":"a","tags":["v1"],"manifest":{{"{digest}":{{"imageSizeBytes":"12","mediaType":
            "application/vnd.oci.image.index.v1+json","tag":["v1"],"timeCreatedMs":"0","timeUploadedMs":"1700000000000"}},"md5:x":{{}}}}}}"#
        ));
        let manifests = google.unwrap().manifests.unwrap();
        assert_eq!(manifests.len(), 1, "a name that is not a digest is left out");
        assert_eq!(manifests[&digest].media_type, MediaType::OciIndex);
        assert_eq!(manifests[&digest].tags, ["v1".parse().unwrap()]);
        assert_eq!(manifests[&digest].uploaded, Some(1_700_000_000_000));
    }

    #[test]
    fn null_tags_are_an_empty_list_and_html_is_an_error() {
        assert_eq!(listing(r#"{"name":"a","tags":null}"#).unwrap(), Listing::default());
        assert!(listing("<html>").is_err());
    }
}
