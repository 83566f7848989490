//! The promotion of files between object stores: Google Cloud Storage, S3 and directories.
//!
//! A run has typed phases: [`read`] reads the state of the stores, [`plan`] decides what to do, [`Confirmed::when`] grants write
//! access, and [`carry_out`] copies. Only the last can write. [`describe_directory`] creates a manifest of a directory.
//!
//! A [`Store`] can be used on its own: [`StoreRead`] and [`StoreWrite`] are its two interfaces, [`look`] returns which files it
//! has, and [`transfer()`] writes content to several stores. Every request goes through [`transport::Door`]. This crate uses
//! neither the terminal nor the environment. See `docs/design/files.md`.

mod compare;
mod decide;
mod directory;
mod error;
mod event;
mod hash;
mod object;
mod phase;
mod report;
mod stores;
mod summary;
mod transfer;
mod yaml;

pub use compare::{has_content, is_written};
pub use decide::{DestinationState, Mode, SourceState, Verdict, decide};
pub use directory::{Described, DirectoryError, describe_directory, merge};
pub use error::{Error, ErrorKind};
pub use event::{Event, Operation, Phase, Run};
pub use hash::{Hasher, Hashes};
pub use object::{Attributes, Object, SHA256_METADATA, StoredMd5};
pub use phase::{
    CarriedOut, Confirmed, Conflict, Decision, Edge, GivenUp, Opened, Options, Plan, Presence, ReadStores,
    Readers, Writers, carry_out, look, open_stores, plan, read,
};
pub use report::{CopiedFile, Ending, FailedFile, Report, ReportBuilder, Totals};
pub use run::Observer;
pub use stores::{
    AwsKeys, Condition, Content, GcsSettings, GoogleTokens, Page, PartUpload, S3Settings, Settings, Store,
    StoreRead, StoreWrite, Stores, Upload, Warnings, Written,
};
pub use summary::Summary;
pub use transfer::{PART, SMALL_MAX, Source, Target, memory, put_stream, read_all, transfer};
pub use yaml::{Entry, write_files};
