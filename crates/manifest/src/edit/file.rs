//! A file that lists images, and its edits.

use std::path::Path;
use std::sync::Arc;

use super::addition::{Addition, FileKind};
use super::check::{self, Promotes, listed};
use super::error::{EditError, TagMove};
use super::format;
use super::insert;
use crate::contents::Contents;
use crate::edge::{Edges, Overlap};
use crate::lint::flaw::Change;
use crate::model::{Image, Manifests};

/// A file that lists images.
#[derive(Clone, Debug)]
pub struct ImagesFile {
    contents: Contents,
    kind: FileKind,
    images: Vec<Image>,
}

/// A file with its changes.
#[derive(Clone, Debug)]
pub struct Edited {
    /// The new content.
    pub file: ImagesFile,
    /// The additions that the file did not have before, ordered by image, digest and tag.
    pub added: Vec<Addition>,
}

impl ImagesFile {
    /// Reads a file of at most 16 MiB. Without a `kind`, a file that is a mapping is a plain manifest.
    ///
    /// # Errors
    /// If the file cannot be read, or has any fault: returns all faults.
    pub fn read(path: &Path, kind: Option<FileKind>) -> Result<Self, EditError> {
        Self::new(Contents::read(path).map_err(|fault| EditError::Invalid(fault.into()))?, kind)
    }

    /// Interprets the content of a file, which has the name `file` in messages.
    ///
    /// # Errors
    /// If the content has any fault: returns all faults.
    pub fn parse(file: &str, bytes: Vec<u8>, kind: Option<FileKind>) -> Result<Self, EditError> {
        Self::new(Contents { file: Arc::from(file), bytes }, kind)
    }

    fn new(contents: Contents, kind: Option<FileKind>) -> Result<Self, EditError> {
        let kind = kind.unwrap_or_else(|| check::kind_of(&contents));
        let images = check::images(kind, &contents)?;
        Ok(Self { contents, kind, images })
    }

    /// Returns the kind of the file.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// Returns the content.
    pub fn bytes(&self) -> &[u8] {
        &self.contents.bytes
    }

    /// Returns the images in the order of the file.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// Adds tags, except those that the file already has.
    ///
    /// # Errors
    /// If a tag would move to another digest; if the file has notation that cannot be edited; or if the result would not have
    /// exactly the expected promotions, which is a bug in the edit.
    pub fn add(&self, additions: &[Addition]) -> Result<Edited, EditError> {
        let mut expected = listed(&self.images);
        let mut added = additions.to_vec();
        added.sort();
        added.dedup();
        self.refuse_moves(&added)?;
        added.retain(|addition| !expected.has(addition));
        let mut text = self.text()?.to_owned();
        for addition in &added {
            let changes =
                insert::changes(&text, self.kind, addition).map_err(|reason| self.unsupported(reason))?;
            text = applied(&text, changes);
            expected.add(addition);
        }
        // Aliases may repeat the changed entry, so that an edit changes more than one entry.
        let file = self.checked(text, &expected).map_err(|error| match error {
            EditError::Refused { .. } if insert::has_anchors(&self.contents.bytes) => {
                self.unsupported("entries that YAML aliases repeat would change too")
            }
            error => error,
        })?;
        Ok(Edited { file, added })
    }

    /// Returns the tags that this file has and an earlier file does not have, ordered by image, digest and tag. `None` if a
    /// promotion of the earlier file is missing.
    pub fn added_since(&self, before: &Self) -> Option<Vec<Addition>> {
        listed(&self.images).since(&listed(&before.images))
    }

    /// Returns the reformatted file: images by name, digests by their smallest tag, tags sorted, each digest on one line.
    /// Comments stay above or beside their entries.
    ///
    /// # Errors
    /// If a comment would be lost, or if the result would have other promotions.
    pub fn format(&self) -> Result<Self, EditError> {
        let text = self.text()?;
        let formatted = format::formatted(text, self.kind).map_err(|reason| self.unsupported(reason))?;
        self.checked(formatted, &listed(&self.images))
    }

    fn text(&self) -> Result<&str, EditError> {
        std::str::from_utf8(&self.contents.bytes).map_err(|_| self.unsupported("it is not UTF-8 text"))
    }

    fn unsupported(&self, reason: &'static str) -> EditError {
        EditError::Unsupported { file: Arc::clone(&self.contents.file), reason }
    }

    /// Rejects additions of a tag that has another digest in the file or in another addition.
    fn refuse_moves(&self, additions: &[Addition]) -> Result<(), EditError> {
        let mut moves = Vec::new();
        for addition in additions {
            let others = self.images.iter().filter(|image| image.name == addition.image);
            let others = others.flat_map(|image| &image.digests).filter(|row| row.digest != addition.digest);
            let place = others.filter_map(|row| {
                let (_, position) = row.tags.iter().find(|(tag, _)| *tag == addition.tag)?;
                Some((row.digest, Some((Arc::clone(&self.contents.file), *position))))
            });
            let twins = additions.iter().filter(|other| {
                (&other.image, &other.tag) == (&addition.image, &addition.tag)
                    && other.digest < addition.digest
            });
            let twins = twins.map(|other| (other.digest, None));
            moves.extend(place.chain(twins).map(|(listed, place)| TagMove {
                addition: addition.clone(),
                listed,
                place,
            }));
        }
        if moves.is_empty() { Ok(()) } else { Err(EditError::Moves(moves)) }
    }

    /// Returns the file with new content, which must have the expected promotions and the same comments.
    fn checked(&self, text: String, expected: &Promotes) -> Result<Self, EditError> {
        let contents = Contents { file: Arc::clone(&self.contents.file), bytes: text.into_bytes() };
        let images = check::verify(self.kind, &self.contents, &contents, expected)
            .map_err(|why| EditError::Refused { file: Arc::clone(&self.contents.file), why })?;
        Ok(Self { contents, kind: self.kind, images })
    }
}

/// Returns the overlaps that the edit of a project's images file would add to the manifests: references with two digests
/// (specification 01, *Plan*).
pub fn new_overlaps(manifests: &Manifests, project: &str, edited: &ImagesFile) -> Vec<Overlap> {
    let mut after = manifests.clone();
    for manifest in after.manifests.iter_mut().filter(|manifest| &*manifest.name == project) {
        manifest.images = edited.images.clone();
    }
    let Err(overlaps) = Edges::new(&after) else { return Vec::new() };
    let before = Edges::new(manifests).err().unwrap_or_default();
    let is_same = |a: &Overlap, b: &Overlap| {
        a.reference == b.reference && (a.first.0, a.second.0) == (b.first.0, b.second.0)
    };
    overlaps.into_iter().filter(|new| !before.iter().any(|old| is_same(new, old))).collect()
}

/// Applies changes that do not touch the same bytes.
fn applied(text: &str, mut changes: Vec<Change>) -> String {
    changes.sort_by_key(|change| change.range.start);
    let mut new = String::with_capacity(text.len() + 256);
    let mut at = 0;
    for change in changes {
        new.push_str(&text[at..change.range.start]);
        new.push_str(&change.text);
        at = change.range.end;
    }
    new.push_str(&text[at..]);
    new
}
