//! The OCI distribution protocol: names, digests, manifests, authentication, reading, writing, copying.
//!
//! Knows nothing of promotion. Every request goes through [`transport`]'s one door.

mod digest;
mod manifest;
mod name;

pub use digest::{Algorithm, Digest, Hasher, InvalidDigest};
pub use manifest::{Descriptor, InvalidManifest, MANIFEST_MAX, Manifest, MediaType, RawManifest};
pub use name::{
    DigestReference, Host, InvalidName, RegistryRoot, Repository, RepositoryPath, Tag, TagReference,
};
