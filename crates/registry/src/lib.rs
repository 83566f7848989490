//! An embedded OCI registry: the whole distribution API on a loopback address, in memory or on disk.
//!
//! It serves tests, benchmarks and the demo. It conforms to the specification, and it can be made to behave like real
//! registries: with or without the referrers API, Google's listing, pages, tokens ([`Config`]); slow, under a quota or broken
//! in chosen ways ([`Faults`]); with the deviations of particular registries ([`quirks`]). It counts requests ([`Tally`]).
//! Its content can be written and inspected without HTTP ([`Store`], [`sample`]).
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use registry::{Config, Server, sample};
//!
//! let server = Server::start(Config::default()).await?;
//! let image = sample::Recipe { seed: 1, ..Default::default() }.index(4);
//! image.put(server.store(), &"team/app".parse()?, &["v1".parse()?]).await?;
//! println!("{}/team/app:v1 is {}", server.host(), image.digest());
//! server.stop().await;
//! # Ok(())
//! # }
//! ```

mod accounts;
mod api;
mod auth;
mod body;
mod config;
mod connection;
mod endpoint;
mod error;
mod faults;
mod headers;
pub mod quirks;
mod request_body;
pub mod sample;
mod server;
mod store;
mod tally;

pub use accounts::{Access, Account, Authentication, Tokens};
pub use config::{Config, Storage, UploadLimits};
pub use error::ErrorCode;
pub use faults::{Allowance, Canned, Effect, Fault, Faults, Quota, Sequence, Watch, Window};
pub use server::{Server, StartError};
pub use store::{Holder, MissingPart, Part, Store, StoreError};
pub use tally::{Kind, Logged, Snapshot, Tally};
