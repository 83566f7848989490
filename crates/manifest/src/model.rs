//! The content of promoter manifests after reading.

use std::sync::Arc;

use oci_types::{Digest, RegistryRoot, RepositoryPath, Tag};

use crate::diagnostic::Diagnostic;
use crate::diagnostics::Diagnostics;
use crate::policy::Policies;
use crate::source::Position;

/// The manifests of a run.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// The manifests, ordered by project. In a run over a diff, a project has one manifest for each group of destinations to
    /// which the same images were added.
    pub manifests: Vec<Manifest>,
    /// Parts that may be unintended, and faults that the base commit of a run over a diff also has.
    pub warnings: Vec<Diagnostic>,
    /// The provenance policies that images must satisfy before promotion. They include the policies of manifests that are
    /// left out.
    pub policies: Policies,
    /// The faults of thin manifests, ordered by file and position. The affected entries are not in `manifests`. A run
    /// promotes the rest and exits with code 30; `--parse-only` and `--strict` exit with code 10 (specification 01, *One bad
    /// line does not stop the world*). Always empty for a plain manifest.
    pub rejected: Diagnostics,
}

/// A promoter manifest: one source, its destinations, and the images to promote.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The name of the project: the directory name of a thin manifest, or the file stem of a plain one.
    pub name: Arc<str>,
    /// The name of the images file in messages.
    pub images_file: Arc<str>,
    /// The staging registry.
    pub source: RegistryRoot,
    /// The production registries, each once.
    pub destinations: Vec<Destination>,
    /// The other production registries of the project, to which a run over a diff promotes nothing from this manifest.
    pub unchanged: Vec<Destination>,
    /// The images.
    pub images: Vec<Image>,
}

/// A production registry of a manifest.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The registry.
    pub root: RegistryRoot,
    /// The service account for promotions to this registry. Informational.
    pub service_account: Option<String>,
}

/// An image and its digests to promote.
#[derive(Clone, Debug)]
pub struct Image {
    /// The path of the image's repository below each registry.
    pub name: RepositoryPath,
    /// The digests, in the order of the file.
    pub digests: Vec<DigestTags>,
}

/// A digest and its tags.
#[derive(Clone, Debug)]
pub struct DigestTags {
    /// The digest.
    pub digest: Digest,
    /// The position of the digest in the images file.
    pub position: Position,
    /// The tags and their positions. If empty, the digest is promoted without a tag.
    pub tags: Vec<(Tag, Position)>,
}
