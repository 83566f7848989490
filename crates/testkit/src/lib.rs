//! External programs for tests: registries and clients of other projects, and a complete Sigstore, with which kpromo has to
//! interoperate.
//!
//! Everything here is for tests, so functions panic instead of returning errors. The messages have the attempted operation and
//! its result. Registries listen on loopback ports that the system chooses, store their data in temporary directories and stop
//! when they are dropped. Clients have only the configuration and the credentials that they are given.
//!
//! All tests of a run share one [`Sigstore`], because it takes seconds to start; `cargo xtask test` starts it. A
//! [`TufRepository`], [`Occurrences`] (a server of Container Analysis) and [`GitHub`] (a server of releases) need no external
//! program, and a [`Forge`] needs only git.
//!
//! A test that uses anything else of this crate is `#[ignore]`d, and `cargo xtask test` runs it:
//!
//! ```no_run
//! use testkit::{Auth, Crane, Distribution, DockerConfig, DockerRegistry};
//!
//! let (old, new) = (DockerRegistry::start(), Distribution::start(Auth::Htpasswd));
//! let config = DockerConfig::new(new.credential());
//! let crane = Crane::new(&config);
//! let (from, to) = (format!("{}/app:v1", old.host()), format!("{}/app:v1", new.host()));
//! crane.copy(&from, &to);
//! assert_eq!(crane.digest(&from), crane.digest(&to));
//! ```

#![expect(clippy::expect_used, clippy::panic, reason = "test helpers report failures by panicking")]

mod client;
mod cosign;
mod crane;
mod crane_registry;
mod credential;
mod distribution;
mod docker_registry;
mod fake_gcs;
mod forge;
mod github;
mod grafeas;
mod issuer;
mod loopback;
mod occurrences;
mod olareg;
mod process;
mod relay;
mod script;
mod service;
mod sigstore;
mod skopeo;
mod slsa_verifier;
mod token;
mod tool;
mod tuf;
mod versity_gw;

pub use cosign::{Cosign, Expected, Form, KeyPair, Signing};
pub use crane::Crane;
pub use crane_registry::CraneRegistry;
pub use credential::{Account, DockerConfig};
pub use distribution::{Auth, Distribution};
pub use docker_registry::DockerRegistry;
pub use fake_gcs::FakeGcs;
pub use forge::{Forge, ForgePull, ForgeQuirks, ForgeRequest};
pub use github::{GitHub, GitHubAsset, GitHubQuirks, GitHubRelease, GitHubRequest};
pub use grafeas::Grafeas;
pub use issuer::Issuer;
pub use loopback::Reply;
pub use occurrences::{Occurrences, OccurrencesFault, OccurrencesRequest};
pub use olareg::Olareg;
pub use relay::{Asked, Fault, Relay, flaky};
pub use script::write_script;
pub use sigstore::{Rekor, Sigstore};
pub use skopeo::Skopeo;
pub use slsa_verifier::{Summary, verify_summary};
pub use token::TokenRequest;
pub use tool::tool;
pub use tuf::{TufRepository, TufRole};
pub use versity_gw::VersityGw;
