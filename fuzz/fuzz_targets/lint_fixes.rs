//! The fixes of lint. A fixed file promotes the same images, has the same comments and errors, and needs no further fix. A fix
//! that its final check refuses is a bug of the rule.

#![no_main]

use libfuzzer_sys::fuzz_target;
use manifest::fuzzing::{fix, images, plain};

/// Returns what an images file promotes: the names, digests and tags, sorted.
fn promoted(bytes: &[u8]) -> Vec<String> {
    let (found, _) = images(bytes);
    let mut promoted = Vec::new();
    for image in found.unwrap_or_default() {
        for entry in image.digests {
            let mut tags: Vec<_> = entry.tags.iter().map(|(tag, _)| tag.as_str()).collect();
            tags.sort_unstable();
            promoted.push(format!("{} {} {tags:?}", image.name, entry.digest));
        }
    }
    promoted.sort();
    promoted
}

/// Counts the bytes of a text without quotes and white space, by value.
fn letters(bytes: &[u8]) -> [usize; 256] {
    let mut letters = [0; 256];
    bytes
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace() && **byte != b'"')
        .for_each(|byte| letters[usize::from(*byte)] += 1);
    letters
}

fuzz_target!(|data: &[u8]| {
    for is_plain in [false, true] {
        let fixed = fix(is_plain, data).unwrap_or_else(|problem| panic!("{problem}"));
        let Some(fixed) = fixed else { continue };
        assert_eq!(letters(&fixed), letters(data), "a fix only moves and quotes text");
        if is_plain {
            assert_eq!(plain(data).is_ok(), plain(&fixed).is_ok());
        } else {
            assert_eq!(promoted(&fixed), promoted(data));
        }
        assert_eq!(fix(is_plain, &fixed), Ok(None), "nothing is left to fix");
    }
});
