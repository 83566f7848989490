//! Edits of files that list images. Existing entries are promoted as before, a repeated edit changes nothing, and every character
//! is kept. An edit that its final check refuses is a bug.
#![no_main]

use fuzz::assert_presentable;
use libfuzzer_sys::fuzz_target;
use manifest::edit::{Addition, EditError, FileKind, ImagesFile};

/// The maximum length of an error, in characters. It may list several faults.
const ERROR_MAX: usize = 20_000;

/// Returns tags to add to a file: to images and digests that it has, and to new ones.
fn additions(file: &ImagesFile) -> Vec<Addition> {
    let new_digest = format!("sha256:{}", "5".repeat(64)).parse().unwrap();
    let images = file.images();
    let mut additions = Vec::new();
    for image in images.first().into_iter().chain(images.last()) {
        let digests = image.digests.first().into_iter().chain(image.digests.last()).map(|row| row.digest);
        additions.extend(digests.chain([new_digest]).map(|digest| (image.name.clone(), digest)));
    }
    additions.push(("m/new".parse().unwrap(), new_digest));
    let tags = ["0", "v1.5.0", "z"];
    let tagged = additions.into_iter().flat_map(|(image, digest)| {
        tags.map(|tag| Addition { image: image.clone(), digest, tag: tag.parse().unwrap() })
    });
    tagged.collect()
}

/// Returns what a file promotes, sorted.
fn promoted(file: &ImagesFile) -> Vec<(String, String, String)> {
    let rows = file.images().iter().flat_map(|image| image.digests.iter().map(move |row| (image, row)));
    let tags = rows.flat_map(|(image, row)| {
        row.tags.iter().map(|(tag, _)| (image.name.to_string(), row.digest.to_string(), tag.to_string()))
    });
    let mut all: Vec<_> = tags.collect();
    all.sort();
    all.dedup();
    all
}

/// Returns the characters of a file without white space and without those of an empty list, mapping or null, which an edit may
/// replace.
fn characters(file: &ImagesFile) -> Vec<u8> {
    let is_kept = |byte: &u8| !byte.is_ascii_whitespace() && !b"[]{}~nulNUL".contains(byte);
    file.bytes().iter().copied().filter(is_kept).collect()
}

fn is_subsequence(part: &[u8], whole: &[u8]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|byte| whole.any(|other| other == byte))
}

fn check(error: &EditError) {
    assert!(!matches!(error, EditError::Refused { .. } | EditError::Invalid(_)), "{error}");
    assert_presentable(&error.to_string().replace('\n', " "), ERROR_MAX);
}

fuzz_target!(|data: &[u8]| {
    for kind in [FileKind::Images, FileKind::Plain] {
        let Ok(file) = ImagesFile::parse("images.yaml", data.to_vec(), Some(kind)) else { continue };
        for addition in additions(&file) {
            match file.add(&[addition.clone()]) {
                Ok(edited) => {
                    let mut expected = promoted(&file);
                    expected.push((
                        addition.image.to_string(),
                        addition.digest.to_string(),
                        addition.tag.to_string(),
                    ));
                    expected.sort();
                    expected.dedup();
                    assert_eq!(promoted(&edited.file), expected);
                    assert!(
                        is_subsequence(&characters(&file), &characters(&edited.file)),
                        "a character is lost"
                    );
                    let again = edited.file.add(&[addition]).unwrap();
                    assert_eq!(again.file.bytes(), edited.file.bytes());
                }
                Err(error) => check(&error),
            }
        }
        match file.format() {
            Ok(formatted) => {
                assert_eq!(promoted(&formatted), promoted(&file));
                assert_eq!(
                    formatted.format().unwrap().bytes(),
                    formatted.bytes(),
                    "formatting is idempotent"
                );
            }
            Err(error) => check(&error),
        }
    }
});
