//! Trust: the signatures and attestations of images, whether they count, the gate that all images pass, and the signatures
//! and attestations that kpromo attaches to promoted images.
//!
//! This crate has no plans and no events. It examines one image at a time, at a location that the caller passes.

pub mod attach;
pub mod audit;
mod config;
mod entries;
pub mod evidence;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod gate;
pub mod policy;
pub mod predicate;
mod problem;
mod production;
mod promoter;
pub mod scan;

pub use config::{SignatureFormat, Signing, SummarySigner, TrustConfig, Verification};
pub use entries::ImageManifests;
pub use problem::{NewAdvice, Problem};
pub use production::Production;
pub use promoter::{CiJob, Promoter};
