//! Lists of tags. Splitting the input does not change the result. Accepted input is JSON, and the result agrees with another
//! decoder and is not larger than the input. Errors may be shown.
#![no_main]

use std::collections::BTreeMap;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use oci::fuzzing::listing;
use oci::{Digest, Listed, MediaType, Tag};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The page as another decoder reads it. That decoder refuses repeated members.
#[derive(Deserialize)]
struct Page {
    tags: Option<Vec<String>>,
    manifest: Option<BTreeMap<String, Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    tag: Option<Vec<String>>,
}

fn tags(names: Option<Vec<String>>) -> Vec<Tag> {
    names.into_iter().flatten().filter_map(|name| name.parse().ok()).collect()
}

/// Splits a page. Each of `cuts` is the length of one piece.
fn pieces(cuts: &[u8], mut page: Bytes) -> Vec<Bytes> {
    let mut pieces: Vec<Bytes> =
        cuts.iter().map(|cut| page.split_to(usize::from(*cut).min(page.len()))).collect();
    pieces.push(page);
    pieces
}

fn check_against(page: &Page, found: &[Listed]) {
    let expected = tags(page.tags.clone());
    let listed: Vec<&Tag> = found
        .iter()
        .filter_map(|listed| if let Listed::Tag(tag) = listed { Some(tag) } else { None })
        .collect();
    assert_eq!(listed, expected.iter().collect::<Vec<_>>());
    let lists_manifests = found.contains(&Listed::Manifests);
    assert_eq!(lists_manifests, page.manifest.is_some());
    for (digest, entry) in page.manifest.iter().flatten() {
        let Ok(digest) = digest.parse::<Digest>() else { continue };
        let found = found.iter().rev().find_map(|listed| match listed {
            Listed::Manifest(manifest) if manifest.digest == digest => Some(manifest),
            _ => None,
        });
        let manifest = found.expect("every manifest is listed");
        assert_eq!(manifest.media_type, MediaType::parse(entry.media_type.as_deref().unwrap_or_default()));
        assert_eq!(manifest.tags, tags(entry.tag.clone()));
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((count, data)) = data.split_first() else { return };
    let (cuts, page) = data.split_at(usize::from(count % 8).min(data.len()));
    let page = Bytes::copy_from_slice(page);
    let whole = listing([page.clone()]);
    assert_eq!(listing(pieces(cuts, page.clone())), whole, "splitting the input changes the result");
    match whole {
        Ok(found) => {
            let count: usize = found
                .iter()
                .map(|listed| match listed {
                    Listed::Manifest(manifest) => 1 + manifest.tags.len(),
                    _ => 1,
                })
                .sum();
            assert!(count <= page.len(), "the result is larger than the input");
            serde_json::from_slice::<IgnoredAny>(&page).expect("accepted input is JSON");
            if let Ok(expected) = serde_json::from_slice::<Page>(&page) {
                check_against(&expected, &found);
            }
        }
        Err(error) => fuzz::assert_presentable(&error, 300),
    }
});
