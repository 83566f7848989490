//! What promoter manifests say, once they have been read.

use std::sync::Arc;

use oci_types::{Digest, RegistryRoot, RepositoryPath, Tag};

use crate::diagnostic::Diagnostic;
use crate::diagnostics::Diagnostics;
use crate::policy::Policies;
use crate::source::Position;

/// The manifests of a run.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// The manifests in the order of their projects. Limited to what was added, a project has one for each group of
    /// destinations to which the same images were added.
    pub manifests: Vec<Manifest>,
    /// What may not have been meant, and faults that the commit has too that the run is compared with.
    pub warnings: Vec<Diagnostic>,
    /// What must be attested of images before they are promoted, by all manifests, also those that are left out.
    pub policies: Policies,
    /// The faults of thin manifests, ordered by file and place. What they concern is not in `manifests`. A run promotes the
    /// rest and ends with exit code 30; `--parse-only` and `--strict` end with exit code 10 (specification 01, *One bad line
    /// does not stop the world*). Always empty for a plain manifest.
    pub rejected: Diagnostics,
}

/// A promoter manifest: one source, its destinations, and the images that are to go there.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The name of its project: the folder of a thin manifest, the file's name of a plain one.
    pub name: Arc<str>,
    /// The file with its images, as it is shown.
    pub images_file: Arc<str>,
    /// The staging registry.
    pub source: RegistryRoot,
    /// The production registries, each once.
    pub destinations: Vec<Destination>,
    /// The other production registries of the project, to which a run over a diff promotes nothing of this manifest.
    pub unchanged: Vec<Destination>,
    /// The images.
    pub images: Vec<Image>,
}

/// A production registry of a manifest.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The registry.
    pub root: RegistryRoot,
    /// The account that promotes to it: informational.
    pub service_account: Option<String>,
}

/// An image with the digests that are to be promoted.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its repository below the registries.
    pub name: RepositoryPath,
    /// Its digests, in the order of the file.
    pub digests: Vec<DigestTags>,
}

/// A digest and the tags that it gets.
#[derive(Clone, Debug)]
pub struct DigestTags {
    /// The digest.
    pub digest: Digest,
    /// The place of the digest in the file of images.
    pub position: Position,
    /// Its tags and their places. Without any the digest is promoted without a tag.
    pub tags: Vec<(Tag, Position)>,
}
