//! The OCI distribution protocol: names, digests, manifests, authentication, reading, writing, copying, attaching.
//!
//! Knows nothing of promotion. Every request goes through [`transport`]'s one door.

mod absent;
mod answer;
mod attach;
mod auth;
mod client;
mod copy;
mod credential;
mod digest;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod link;
mod listing;
mod manifest;
mod name;
mod read;
mod reader;
mod session;
mod text;
mod write;
mod writer;

pub use absent::{Absent, Found};
pub use attach::{
    Appended, AttachedBlob, AttachedTag, Attachment, AttachmentKind, Known, NewLayer, NewReferrer, Referrer,
    Subject, referrers_tag,
};
pub use client::Client;
pub use copy::{
    Copied, Copier, Finished, Graph, IMAGE_DEPTH_MAX, IMAGE_MANIFESTS_MAX, Lane, Node, Observer, Outline,
    SpoolSettings, Step, Target,
};
pub use credential::{Anonymous, Credential, CredentialSource, FoundCredential};
pub use digest::{Algorithm, Digest, Hasher, InvalidDigest};
pub use error::{Error, ErrorKind, Identity, Refusal, RegistryError};
pub use listing::{Listed, ListedManifest, Listing};
pub use manifest::{Descriptor, InvalidManifest, MANIFEST_MAX, Manifest, MediaType, RawManifest};
pub use name::{
    DigestReference, Host, InvalidName, RegistryRoot, Repository, RepositoryPath, Tag, TagReference,
};
pub use read::{BlobStream, Head, Selector};
pub use reader::Reader;
pub use session::HostOptions;
pub use write::{Presence, Upload};
pub use writer::Writer;
