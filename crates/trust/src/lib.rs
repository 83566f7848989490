//! Trust: what is attached to images and whether it proves anything, the gate that all images pass, and what is attached to
//! promoted images.
//!
//! Knows no plan and no events: it looks at one image at a time, and is told where.

pub mod attach;
pub mod audit;
mod config;
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

pub use config::{SignatureFormat, Signing, SummarySigner, TrustConfig, Verification};
pub use problem::{NewAdvice, Problem};
pub use production::Production;
pub use promoter::{CiJob, Promoter};
