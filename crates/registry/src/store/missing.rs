//! A check that every image is complete.

use std::fmt;

use oci::{Digest, RawManifest, RepositoryPath, Tag};

use super::{RepositoryIndex, Store, StoreError};

/// A manifest or blob that is referred to but missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingPart {
    /// The repository.
    pub repository: RepositoryPath,
    /// What refers to it.
    pub holder: Holder,
    /// What is missing.
    pub part: Part,
}

/// What refers to a missing part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A tag.
    Tag(Tag),
    /// A manifest or an index.
    Manifest(Digest),
}

/// A missing part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A manifest.
    Manifest(Digest),
    /// A blob.
    Blob(Digest),
    /// The content of the manifest itself, which does not parse. The value is the reason.
    Content(String),
}

impl fmt::Display for MissingPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Holder::Tag(tag) => write!(f, "{}:{tag}", self.repository)?,
            Holder::Manifest(digest) => write!(f, "{}@{digest}", self.repository)?,
        }
        match &self.part {
            Part::Manifest(digest) => write!(f, " lacks the manifest {digest}"),
            Part::Blob(digest) => write!(f, " lacks the blob {digest}"),
            Part::Content(reason) => write!(f, " cannot be read: {reason}"),
        }
    }
}

impl Store {
    /// Returns everything that a tag, manifest or index refers to and that is not in its repository. The result is empty if every
    /// image is complete.
    ///
    /// Foreign layers and the subjects of referrers are not required. Manifests of unknown media types are not checked. Changes
    /// during the check may or may not be included.
    ///
    /// # Errors
    /// If an operation of the file system fails.
    pub async fn missing_parts(&self) -> Result<Vec<MissingPart>, StoreError> {
        let mut missing = Vec::new();
        for repository in self.repositories() {
            let manifests: Vec<_> = {
                let index = self.index();
                let Some(names) = index.repository(&repository) else { continue };
                missing.extend(dangling_tags(&repository, names));
                names.manifests.iter().map(|(digest, entry)| (*digest, entry.clone())).collect()
            };
            for (digest, entry) in manifests.into_iter().filter(|(_, entry)| entry.media_type.is_supported())
            {
                let lacks = |part| MissingPart {
                    repository: repository.clone(),
                    holder: Holder::Manifest(digest),
                    part,
                };
                let bytes = self.manifest_bytes(digest, &entry).await?;
                if !digest.names(&bytes) {
                    missing.push(lacks(Part::Content("its content does not match its digest".to_owned())));
                    continue;
                }
                match RawManifest::new(entry.media_type, bytes).parse() {
                    Ok(parts) => {
                        let gone = self.index().lacking(&repository, &parts);
                        missing.extend(gone.into_iter().map(|part| {
                            let is_child = parts.children.iter().any(|child| child.digest == part);
                            lacks(if is_child { Part::Manifest(part) } else { Part::Blob(part) })
                        }));
                    }
                    Err(error) => missing.push(lacks(Part::Content(error.to_string()))),
                }
            }
        }
        Ok(missing)
    }
}

fn dangling_tags<'a>(
    repository: &'a RepositoryPath,
    names: &'a RepositoryIndex,
) -> impl Iterator<Item = MissingPart> + 'a {
    names.tags.iter().filter(|(_, digest)| !names.manifests.contains_key(digest)).map(|(tag, digest)| {
        MissingPart {
            repository: repository.clone(),
            holder: Holder::Tag(tag.clone()),
            part: Part::Manifest(*digest),
        }
    })
}
