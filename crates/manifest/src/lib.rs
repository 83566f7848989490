//! Promoter manifests: the images to promote, each with its position in the manifest file.
//!
//! A manifest is plain (registries and images in one file) or thin (a pair of files per project). Reading collects all errors
//! of all files, each with its position. In thin trees, invalid entries are left out and the rest is read. [`Edges`] expands
//! manifests to single promotions. A diff against a commit keeps only the added edges.
//!
//! This crate reads files and runs the `git` command. It sends no requests and has no asynchronous code.

mod assembly;
mod contents;
mod declared;
mod diagnostic;
mod diagnostics;
mod diff;
mod edge;
pub mod edit;
pub mod files;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod intern;
pub mod lint;
mod model;
pub mod policy;
pub mod releases;
mod schema;
mod source;
mod thin;
mod tree;

pub use diagnostic::{Diagnostic, Severity};
pub use diagnostics::Diagnostics;
pub use diff::{
    Base, Checkout, DiffError, GIT_REDIRECTIONS, checkout, keep_added, limit_to_added, prow_base,
};
pub use edge::{Edge, Edges, ImageId, Overlap, SharedImages};
pub use intern::{Id, Interner};
pub use model::{Destination, DigestTags, Image, Manifest, Manifests};
pub use source::Position;
pub use thin::{PLAIN_MAX, load_plain, load_thin, read_plain};
