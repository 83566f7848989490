//! The nouns of OCI registries: names, digests, manifests, tags that attach things to images, and foreign text.
//!
//! Pure: no request, no file, no clock. The crate `oci` speaks the protocol with them and re-exports them.

mod attached_tag;
mod digest;
mod manifest;
mod name;
pub mod text;

pub use attached_tag::{AttachedTag, AttachmentKind, referrers_tag};
pub use digest::{Algorithm, Digest, Hasher, InvalidDigest};
pub use manifest::{
    Descriptor, InvalidManifest, MANIFEST_MAX, Manifest, MediaType, RawManifest, WireDescriptor, WireManifest,
};
pub use name::{
    DigestReference, Host, InvalidName, RegistryRoot, Repository, RepositoryPath, Tag, TagReference,
};
