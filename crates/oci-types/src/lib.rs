//! The basic types of OCI registries: names, digests, manifests, tags of attached content, and untrusted text.
//!
//! This crate sends no request, reads no file and uses no clock. The crate `oci` implements the protocol with these types and
//! re-exports them.

mod attached_tag;
mod digest;
pub mod json;
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
