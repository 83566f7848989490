//! The gate: what was found of an image, and whether it passes (specification 02, *One gate*).
//!
//! [`examine`] alone makes an [`Assessment`], and `Assessment::pass` alone makes a [`Passed`], which everything asks for that
//! promotes, signs, records or summarises.

mod assessment;
mod examine;
mod parts;
mod staged;

pub use assessment::{Assessment, Passed, Refused, Signatures, rank};
pub use examine::examine;
pub use staged::{Source, Staged};
