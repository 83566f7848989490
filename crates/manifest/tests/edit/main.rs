//! Edits of manifests: the additions are made, and nothing else changes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod cases;
mod damaged;
mod format;
mod random;

use manifest::edit::{Addition, EditError, Edited, ImagesFile};

/// Returns a digest that consists of one repeated character.
pub(crate) fn digest(fill: char) -> String {
    format!("sha256:{}", fill.to_string().repeat(64))
}

pub(crate) fn addition(image: &str, digest: &str, tag: &str) -> Addition {
    Addition { image: image.parse().unwrap(), digest: digest.parse().unwrap(), tag: tag.parse().unwrap() }
}

/// Writes digests in full: `<a>` is the digest of `a`s.
pub(crate) fn full(text: &str) -> String {
    let mut text = text.to_owned();
    for fill in "0123456789abcdef".chars() {
        text = text.replace(&format!("<{fill}>"), &digest(fill));
    }
    text
}

pub(crate) fn file(text: &str) -> ImagesFile {
    ImagesFile::parse("images.yaml", full(text).into_bytes(), None).unwrap()
}

pub(crate) fn add(text: &str, additions: &[(&str, char, &str)]) -> Result<Edited, EditError> {
    let additions: Vec<Addition> =
        additions.iter().map(|(image, fill, tag)| addition(image, &digest(*fill), tag)).collect();
    file(text).add(&additions)
}

pub(crate) fn text(file: &ImagesFile) -> &str {
    std::str::from_utf8(file.bytes()).unwrap()
}
