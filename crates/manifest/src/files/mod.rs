//! Manifests of files: which files to copy from one object store to others (specification 04, *Manifests of files*).
//!
//! A project has one file with its stores, and one or more files with the names and hashes of the files to copy. All faults of
//! all files are reported in one run, each with its position.

mod conflicts;
mod load;
mod model;
mod store_url;
mod tree;

pub use load::{load_file_entries, load_file_manifests};
pub(crate) use model::Stores;
pub use model::{
    FileEntry, FileManifests, FileName, FileProject, Filestore, InvalidFileName, InvalidSha256, Sha256,
};
pub use store_url::{InvalidStoreUrl, Scheme, StoreUrl};
pub use tree::load_file_tree;
