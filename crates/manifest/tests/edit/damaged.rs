//! Seeds of the fuzz target `image_edits`, with and without small damage: an edit is correct or fails with a reason. It never
//! produces a file that its own check refuses.

use std::path::Path;

use manifest::edit::{Addition, EditError, FileKind, ImagesFile};

use super::{addition, digest};

/// The inserted damage: pieces of YAML that change the meaning of the text after them.
const PIECES: [&str; 14] = ["\n", " ", "  ", "-", "- ", "#", ":", ": ", "'", "\"", "[", "{", "? ", "\r"];

fn additions(file: &ImagesFile) -> Vec<Addition> {
    let mut targets = vec![("m/new".to_owned(), digest('5'))];
    for image in file.images().first().into_iter().chain(file.images().last()) {
        let listed = image.digests.first().map(|row| row.digest.to_string());
        targets
            .extend(listed.into_iter().chain([digest('5')]).map(|digest| (image.name.to_string(), digest)));
    }
    targets.iter().map(|(image, digest)| addition(image, digest, "v1.5.0")).collect()
}

/// Edits and formats a file, if it is valid. Returns the number of edits.
fn edit(text: &str) -> usize {
    let mut edits = 0;
    for kind in [FileKind::Images, FileKind::Plain] {
        let Ok(file) = ImagesFile::parse("images.yaml", text.into(), Some(kind)) else { continue };
        for addition in additions(&file) {
            match file.add(std::slice::from_ref(&addition)) {
                Ok(edited) => {
                    edits += 1;
                    assert!(edited.file.add(&[addition]).unwrap().added.is_empty(), "{text}");
                }
                Err(EditError::Moves(_) | EditError::Unsupported { .. }) => {}
                Err(error) => panic!("{addition:?}: {error}\n{text}"),
            }
        }
        match file.format() {
            Ok(formatted) => assert_eq!(formatted.format().unwrap().bytes(), formatted.bytes(), "{text}"),
            Err(EditError::Unsupported { .. }) => {}
            Err(error) => panic!("formatting: {error}\n{text}"),
        }
    }
    edits
}

#[test]
fn a_damaged_file_is_edited_correctly_or_not_at_all() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus-seeds/image_edits");
    let mut seeds = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(edit(&text) > 0, "{text}");
        seeds += 1;
        // The first lines contain all notations of a file.
        let text: String = text.lines().take(10).map(|line| format!("{line}\n")).collect();
        let places = text.char_indices().map(|(at, _)| at).filter(|at| {
            // Skip positions within a digest, which are all alike.
            !text[..*at].ends_with(|c: char| c.is_ascii_hexdigit())
                || !text[*at..].starts_with(|c: char| c.is_ascii_hexdigit())
        });
        for at in places.collect::<Vec<_>>() {
            for piece in PIECES {
                edit(&format!("{}{piece}{}", &text[..at], &text[at..]));
            }
            edit(&format!("{}{}", &text[..at], text[at..].chars().skip(1).collect::<String>()));
        }
    }
    assert!(seeds > 5);
}
