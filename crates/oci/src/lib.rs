//! The OCI distribution protocol: names, digests, manifests, authentication, reading, writing, copying, attaching.
//!
//! Knows nothing of promotion. Every request goes through [`transport`]'s one door.

mod attach;
mod auth;
mod blob;
mod client;
mod copy;
mod credential;
mod digest;
mod error;
mod listing;
mod manifest;
mod name;
mod read;
mod write;

pub use attach::{
    Appended, AttachedBlob, AttachedTag, Attachment, AttachmentKind, Known, NewLayer, NewReferrer, Referrer,
    Subject, referrers_tag,
};
pub use blob::BlobStream;
pub use client::{Client, HostOptions};
pub use copy::{
    Copied, Copier, Finished, Graph, IMAGE_DEPTH_MAX, IMAGE_MANIFESTS_MAX, Lane, Node, Observer,
    SpoolSettings, Step, Target,
};
pub use credential::{Anonymous, Credential, CredentialSource, FoundCredential};
pub use digest::{Algorithm, Digest, Hasher, InvalidDigest};
pub use error::{Error, ErrorKind, Refusal, RegistryError};
pub use listing::{Listed, ListedManifest, Listing};
pub use manifest::{Descriptor, InvalidManifest, MANIFEST_MAX, Manifest, MediaType, RawManifest};
pub use name::{
    DigestReference, Host, InvalidName, RegistryRoot, Repository, RepositoryPath, Tag, TagReference,
};
pub use read::{Head, Reader, Selector};
pub use write::{Content, Presence, Upload, Writer};
