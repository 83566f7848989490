//! Promoter manifests: what is wished, and where each wish stands.
//!
//! Plain (registries and images in one file) or thin (a pair of files a project). Reading collects all errors of all files,
//! each with its place.

mod contents;
mod declared;
mod diagnostic;
mod diff;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod schema;
mod source;
mod thin;
mod tree;

use std::sync::Arc;

use oci::{Digest, RegistryRoot, RepositoryPath, Tag};

use crate::policy::Policies;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use diff::{Base, DiffError, checkout, keep_added, limit_to_added, prow_base};
pub use source::Position;
pub use thin::{load_plain, load_thin};

/// The manifests of a run.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// In the order of their projects.
    pub manifests: Vec<Manifest>,
    /// What a person should know, and that stops nothing.
    pub warnings: Vec<Diagnostic>,
    /// Errors of the entries and projects that were left out: everything else is promoted, and the run fails.
    pub rejected: Diagnostics,
    /// What must be attested of images before they are promoted: also by manifests of which nothing is promoted in this run.
    pub policies: Policies,
}

/// A promoter manifest: one source, its destinations, and the images that are to go there.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The name of its project: the folder of a thin manifest, the file's name of a plain one.
    pub name: Arc<str>,
    /// The file that its images stand in, as it is shown.
    pub images_file: Arc<str>,
    /// Where images are read.
    pub source: RegistryRoot,
    /// Where they are written, each once.
    pub destinations: Vec<Destination>,
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
    pub digests: Vec<Wish>,
}

/// A digest and the tags it is to have.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The digest.
    pub digest: Digest,
    /// Where it stands.
    pub position: Position,
    /// Its tags and where they stand; none: promoted without a tag.
    pub tags: Vec<(Tag, Position)>,
}
