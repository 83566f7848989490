//! Parsing of tag lists while their bytes arrive. Google's lists have about 20 MB, and 22 of them are read at once.

use actson::feeder::JsonFeeder;
use actson::options::JsonParserOptionsBuilder;
use actson::{JsonEvent, JsonParser};
use bytes::Bytes;
use oci_types::Digest;
use oci_types::MediaType;
use oci_types::Tag;
use oci_types::text::shown;

use super::{Listed, ListedManifest};

/// The maximum nesting depth of a list. Known lists have four levels.
const DEPTH_MAX: usize = 32;
/// The maximum length of one name or value, in bytes. The decoder keeps no more than this of a list.
const TOKEN_MAX: usize = 64 * 1024;
/// The maximum number of tags of one manifest.
const TAGS_MAX: usize = 100_000;
/// How much of an invalid name is reported, in characters.
const NAME_SHOWN: usize = 80;

/// Decodes one page of a list, piece by piece.
pub(crate) struct Decoder {
    parser: JsonParser<Piece>,
    place: Place,
    /// The field whose value comes next.
    field: Field,
    /// The digest of the current manifest; `None` if its key is not a digest, since such a manifest cannot be requested.
    digest: Option<Digest>,
    media_type: MediaType,
    tags: Vec<Tag>,
    /// When the current manifest was uploaded, in milliseconds since 1970.
    uploaded: Option<i64>,
    /// Where the last event ended, in bytes from the start of the page.
    last_event: usize,
    /// Whether the page has a member that makes it a list: `tags`, which may be null, or `manifest`.
    is_list: bool,
}

/// The position of the decoder in the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    Page,
    Tags,
    Manifests,
    Manifest,
    TagsOfManifest,
    Children,
    /// In a value that is skipped, at this nesting depth.
    Skipped {
        levels: usize,
        within_manifest: bool,
    },
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Tags,
    Manifests,
    Children,
    MediaType,
    Uploaded,
    Other,
}

/// The bytes that have arrived but are not parsed yet.
#[derive(Default)]
struct Piece {
    bytes: Bytes,
    at: usize,
    last: bool,
}

impl JsonFeeder for Piece {
    fn has_input(&self) -> bool {
        self.at < self.bytes.len()
    }

    fn is_done(&self) -> bool {
        self.last && !self.has_input()
    }

    fn next_input(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        byte
    }
}

impl Decoder {
    pub(crate) fn new() -> Self {
        let options = JsonParserOptionsBuilder::default().with_max_depth(DEPTH_MAX).build();
        Self {
            parser: JsonParser::new_with_options(Piece::default(), options),
            place: Place::Start,
            field: Field::Other,
            digest: None,
            media_type: MediaType::parse(""),
            tags: Vec::new(),
            uploaded: None,
            last_event: 0,
            is_list: false,
        }
    }

    /// Parses the next bytes of the page, and passes the entries that they complete to `give`.
    ///
    /// # Errors
    /// Returns what is wrong if this is not a list of tags.
    pub(crate) fn push(&mut self, bytes: Bytes, give: &mut dyn FnMut(Listed)) -> Result<(), String> {
        self.parser.feeder = Piece { bytes, at: 0, last: false };
        self.read(give)
    }

    /// Ends the page.
    ///
    /// # Errors
    /// Returns what is wrong if the page is incomplete.
    pub(crate) fn finish(mut self, give: &mut dyn FnMut(Listed)) -> Result<(), String> {
        self.parser.feeder = Piece { last: true, ..Piece::default() };
        self.read(give)?;
        match self.place {
            Place::End if self.is_list => Ok(()),
            Place::End => Err("it has no `tags`".to_owned()),
            _ => Err("it ends too early".to_owned()),
        }
    }

    fn read(&mut self, give: &mut dyn FnMut(Listed)) -> Result<(), String> {
        loop {
            let event = self.parser.next_event().map_err(|error| error.to_string())?;
            let read = self.parser.parsed_bytes();
            if read - self.last_event > TOKEN_MAX {
                return Err(format!("one of its values has more than {TOKEN_MAX} bytes"));
            }
            match event {
                None | Some(JsonEvent::NeedMoreInput) => return Ok(()),
                Some(event) => {
                    self.last_event = read;
                    self.take(event, give)?;
                }
            }
        }
    }

    fn take(&mut self, event: JsonEvent, give: &mut dyn FnMut(Listed)) -> Result<(), String> {
        use JsonEvent as E;
        self.place = match (self.place, event) {
            (Place::Start, E::StartObject) => Place::Page,
            (Place::Page, E::EndObject) => Place::End,
            (Place::Page, E::FieldName) => {
                self.field = match self.text()? {
                    "tags" => Field::Tags,
                    "manifest" => Field::Manifests,
                    "child" => Field::Children,
                    _ => Field::Other,
                };
                self.is_list |= matches!(self.field, Field::Tags | Field::Manifests);
                Place::Page
            }
            (Place::Page, value) => match (self.field, value) {
                (Field::Tags, E::StartArray) => Place::Tags,
                (Field::Manifests, E::StartObject) => {
                    give(Listed::Manifests);
                    Place::Manifests
                }
                (Field::Children, E::StartArray) => Place::Children,
                (Field::Tags | Field::Manifests | Field::Children, E::ValueNull) => Place::Page,
                (Field::Tags, _) => return Err("`tags` is not a list".to_owned()),
                (Field::Manifests, _) => return Err("`manifest` is not an object".to_owned()),
                (Field::Children, _) => return Err("`child` is not a list".to_owned()),
                (_, value) => skip(value, false),
            },
            (Place::Tags, E::ValueString) => {
                let name = self.text()?;
                give(name.parse().map_or_else(|_| invalid(name), Listed::Tag));
                Place::Tags
            }
            (Place::Tags, E::EndArray) => Place::Page,
            (Place::Children, E::ValueString) => {
                give(Listed::Child(self.text()?.into()));
                Place::Children
            }
            (Place::Children, E::EndArray) => Place::Page,
            (Place::Manifests, E::FieldName) => {
                let name = self.text()?;
                let digest = name.parse();
                if digest.is_err() {
                    give(invalid(name));
                }
                self.digest = digest.ok();
                Place::Manifests
            }
            (Place::Manifests, E::StartObject) => {
                self.media_type = MediaType::parse("");
                self.tags.clear();
                self.uploaded = None;
                Place::Manifest
            }
            (Place::Manifests, E::EndObject) => Place::Page,
            (Place::Manifest, E::FieldName) => {
                self.field = match self.text()? {
                    "mediaType" => Field::MediaType,
                    "tag" => Field::Tags,
                    "timeUploadedMs" => Field::Uploaded,
                    _ => Field::Other,
                };
                Place::Manifest
            }
            (Place::Manifest, E::EndObject) => {
                if let Some(digest) = self.digest.take() {
                    let (media_type, tags) = (self.media_type.clone(), std::mem::take(&mut self.tags));
                    let uploaded = self.uploaded;
                    give(Listed::Manifest(ListedManifest { digest, media_type, tags, uploaded }));
                }
                Place::Manifests
            }
            (Place::Manifest, value) => match (self.field, value) {
                (Field::Tags, E::StartArray) => Place::TagsOfManifest,
                (Field::MediaType, E::ValueString) => {
                    self.media_type = MediaType::parse(self.text()?);
                    Place::Manifest
                }
                // Google writes the number as a string. Values that are not an integer are ignored.
                (Field::Uploaded, E::ValueString | E::ValueInt) => {
                    self.uploaded = self.text()?.parse().ok();
                    Place::Manifest
                }
                (Field::Tags | Field::MediaType, E::ValueNull) => Place::Manifest,
                (Field::Tags, _) => return Err("`tag` of a manifest is not a list".to_owned()),
                (Field::MediaType, _) => return Err("`mediaType` of a manifest is not text".to_owned()),
                (_, value) => skip(value, true),
            },
            (Place::TagsOfManifest, E::ValueString) => {
                if self.tags.len() == TAGS_MAX {
                    return Err(format!("a manifest has more than {TAGS_MAX} tags"));
                }
                let name = self.text()?;
                match name.parse() {
                    Ok(tag) => self.tags.push(tag),
                    Err(_) => give(invalid(name)),
                }
                Place::TagsOfManifest
            }
            (Place::TagsOfManifest, E::EndArray) => Place::Manifest,
            (Place::Skipped { levels, within_manifest }, event) => match event {
                E::StartObject | E::StartArray => Place::Skipped { levels: levels + 1, within_manifest },
                E::EndObject | E::EndArray if levels == 1 => after(within_manifest),
                E::EndObject | E::EndArray => Place::Skipped { levels: levels - 1, within_manifest },
                _ => Place::Skipped { levels, within_manifest },
            },
            (place, _) => return Err(format!("its {} have the wrong type", place.parts())),
        };
        Ok(())
    }

    fn text(&self) -> Result<&str, String> {
        self.parser.current_str().map_err(|error| error.to_string())
    }
}

/// Reports a name that cannot be requested.
fn invalid(name: &str) -> Listed {
    Listed::Invalid(shown(name, NAME_SHOWN).into())
}

/// Returns the position after the start of a value that is skipped.
fn skip(value: JsonEvent, within_manifest: bool) -> Place {
    match value {
        JsonEvent::StartObject | JsonEvent::StartArray => Place::Skipped { levels: 1, within_manifest },
        _ => after(within_manifest),
    }
}

/// Returns the position after a value that was skipped.
fn after(within_manifest: bool) -> Place {
    if within_manifest { Place::Manifest } else { Place::Page }
}

impl Place {
    /// Describes the content that is expected at a position, for error messages.
    fn parts(self) -> &'static str {
        match self {
            Self::Tags | Self::TagsOfManifest => "tags",
            Self::Manifests | Self::Manifest => "manifests",
            Self::Children => "child repositories",
            Self::Start | Self::Page | Self::Skipped { .. } | Self::End => "contents",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    /// The same page as another decoder parses it.
    #[derive(Deserialize)]
    struct Page {
        #[serde(default)]
        tags: Option<Vec<String>>,
        #[serde(default)]
        manifest: Option<HashMap<String, Entry>>,
        #[serde(default)]
        child: Option<Vec<String>>,
    }

    #[derive(Deserialize)]
    struct Entry {
        #[serde(default, rename = "mediaType")]
        media_type: String,
        #[serde(default)]
        tag: Vec<String>,
        #[serde(default, rename = "timeUploadedMs")]
        uploaded: serde_json::Value,
    }

    fn decode(pieces: &[&[u8]]) -> Result<Vec<Listed>, String> {
        let (mut decoder, mut found) = (Decoder::new(), Vec::new());
        for piece in pieces {
            decoder.push(Bytes::copy_from_slice(piece), &mut |listed| found.push(listed))?;
        }
        decoder.finish(&mut |listed| found.push(listed))?;
        Ok(found)
    }

    fn decode_with_serde(text: &str) -> Result<Vec<Listed>, serde_json::Error> {
        let page: Page = serde_json::from_str(text)?;
        let one = |name: String| name.parse().map_or_else(|_| invalid(&name), Listed::Tag);
        let mut found: Vec<Listed> = page.tags.unwrap_or_default().into_iter().map(one).collect();
        found.extend(page.child.into_iter().flatten().map(|child| Listed::Child(child.into())));
        if let Some(manifests) = page.manifest {
            found.push(Listed::Manifests);
            found.extend(manifests.into_iter().flat_map(|(digest, entry)| {
                let media_type = MediaType::parse(&entry.media_type);
                let (tags, wrong): (Vec<String>, Vec<String>) =
                    entry.tag.into_iter().partition(|name| name.parse::<Tag>().is_ok());
                let tags = tags.iter().flat_map(|name| name.parse()).collect();
                let mut all: Vec<Listed> = wrong.iter().map(|name| invalid(name)).collect();
                let uploaded = match &entry.uploaded {
                    serde_json::Value::String(text) => text.parse().ok(),
                    other => other.as_i64(),
                };
                all.push(match digest.parse() {
                    Ok(digest) => Listed::Manifest(ListedManifest { digest, media_type, tags, uploaded }),
                    Err(_) => invalid(&digest),
                });
                all
            }));
        }
        Ok(found)
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z0-9._-]{0,12}",
            "\\PC{0,8}",
            Just("application/vnd.oci.image.index.v1+json".to_owned())
        ]
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            (-1e9..1e9_f64).prop_map(Into::into),
            text().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                proptest::collection::hash_map(text(), inner, 0..4)
                    .prop_map(|fields| fields.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    /// Generates a list of tags with additional fields that the decoder must skip.
    fn page() -> impl Strategy<Value = serde_json::Value> {
        let tags = || proptest::collection::vec(text(), 0..4).prop_map(serde_json::Value::from);
        let digest = prop_oneof![any::<[u8; 4]>().prop_map(|bytes| Digest::of(&bytes).to_string()), text(),];
        let uploaded = prop_oneof![any::<i64>().prop_map(|time| time.to_string().into()), json()];
        let entry = (text(), tags(), json(), uploaded).prop_map(|(media_type, tag, other, uploaded)| {
            serde_json::json!({ "mediaType": media_type, "tag": tag, "layerId": other, "timeUploadedMs": uploaded })
        });
        let manifests = proptest::collection::btree_map(digest, entry, 0..4)
            .prop_map(|entries| entries.into_iter().collect::<serde_json::Map<_, _>>().into());
        let fields = (
            proptest::option::of(prop_oneof![8 => tags(), 1 => Just(serde_json::Value::Null)]),
            proptest::option::of(prop_oneof![8 => manifests, 1 => Just(serde_json::Value::Null)]),
            proptest::option::of(prop_oneof![8 => tags(), 1 => Just(serde_json::Value::Null)]),
            json(),
        );
        fields.prop_map(|(tags, manifest, child, other)| {
            let mut page = serde_json::Map::new();
            page.insert("quota".to_owned(), other);
            page.extend(child.map(|child| ("child".to_owned(), child)));
            page.extend(tags.map(|tags| ("tags".to_owned(), tags)));
            page.extend(manifest.map(|manifest| ("manifest".to_owned(), manifest)));
            page.into()
        })
    }

    fn sorted(mut found: Vec<Listed>) -> Vec<String> {
        found.sort_by_key(|listed| format!("{listed:?}"));
        found.iter().map(|listed| format!("{listed:?}")).collect()
    }

    proptest! {
        #[test]
        fn the_decoder_agrees_with_another_decoder(page in page()) {
            let text = page.to_string();
            let expected = decode_with_serde(&text).unwrap();
            if page.get("tags").is_none() && page.get("manifest").is_none() {
                prop_assert!(decode(&[text.as_bytes()]).is_err(), "a page without tags is not a list of tags");
                return Ok(());
            }
            prop_assert_eq!(sorted(decode(&[text.as_bytes()]).unwrap()), sorted(expected));
        }

        #[test]
        fn the_division_of_a_page_into_pieces_does_not_matter(
            page in prop_oneof![page(), json()],
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let text = page.to_string();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            prop_assert_eq!(decode(&pieces), decode(&[text.as_bytes()]));
        }

        #[test]
        fn random_bytes_are_rejected_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(text) = std::str::from_utf8(&bytes) && decode_with_serde(text).is_ok() {
                return Ok(());
            }
            prop_assert!(decode(&[&bytes]).is_err());
        }
    }

    #[test]
    fn an_incomplete_page_is_rejected() {
        let whole = br#"{"tags":["v1"],"manifest":{}}"#;
        assert!(decode(&[whole]).is_ok());
        for length in 0..whole.len() {
            assert!(decode(&[&whole[..length]]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn overlong_values_and_deep_nesting_are_rejected() {
        let long = format!(r#"{{"tags":["{}"]}}"#, "a".repeat(TOKEN_MAX));
        assert!(decode(&[long.as_bytes()]).unwrap_err().contains("bytes"));
        let unfinished = format!(r#"{{"tags":["{}"#, "a".repeat(2 * TOKEN_MAX));
        let (mut decoder, mut give) = (Decoder::new(), |_| {});
        assert!(decoder.push(Bytes::from(unfinished), &mut give).is_err(), "before the value ends");
        let deep = format!(r#"{{"quota":{}"#, "[".repeat(DEPTH_MAX));
        assert!(decode(&[deep.as_bytes()]).is_err());
    }

    #[test]
    fn child_repositories_are_a_list_of_names() {
        let child = |name: &str| Listed::Child(name.into());
        let page = |children: &str| decode(&[format!(r#"{{"child":{children},"tags":[]}}"#).as_bytes()]);
        assert_eq!(
            page(r#"["a","B/.."]"#),
            Ok(vec![child("a"), child("B/..")]),
            "names are not checked here"
        );
        assert_eq!(page("null"), Ok(Vec::new()));
        for wrong in ["{}", "7", r#""a""#, "[7]", r#"[["a"]]"#] {
            assert!(page(wrong).is_err(), "{wrong}");
        }
        assert!(decode(&[br#"{"child":["a"]}"#]).is_err(), "a page without `tags` is not a list of tags");
    }
}
