//! The OCI distribution protocol: names, digests, manifests, authentication, reading, writing, copying, attaching.
//!
//! This crate does not depend on promotion. Every request goes through the door of [`transport`].

mod absent;
mod answer;
mod attach;
mod auth;
mod client;
mod copy;
mod credential;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod link;
mod listing;
mod read;
mod reader;
mod session;
mod write;
mod writer;

pub use absent::{Absent, Found};
pub use attach::{
    Appended, AttachedBlob, Attachment, Known, NewLayer, NewReferrer, Referrer, Referrers, Subject,
};
pub use client::Client;
pub use copy::{
    Copied, Copier, Finished, Graph, IMAGE_DEPTH_MAX, IMAGE_MANIFESTS_MAX, Lane, Node, Observer, Outline,
    SpoolSettings, Step, Target, wanted_bytes,
};
pub use credential::{Anonymous, Credential, CredentialSource, FoundCredential};
pub use error::{Error, ErrorKind, Identity, Refusal, RegistryError};
pub use listing::{Listed, ListedManifest, Listing};
pub use oci_types::text::{counted, visible};
pub use oci_types::{
    Algorithm, AttachedTag, AttachmentKind, Descriptor, Digest, DigestReference, Hasher, Host, InvalidDigest,
    InvalidManifest, InvalidName, MANIFEST_MAX, Manifest, MediaType, RawManifest, RegistryRoot, Repository,
    RepositoryPath, Tag, TagReference, referrers_tag,
};
pub use read::{BlobStream, Head, Selector};
pub use reader::Reader;
pub use session::HostOptions;
pub use write::{Presence, Upload};
pub use writer::Writer;
