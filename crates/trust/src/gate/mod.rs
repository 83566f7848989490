//! The gate: the assessment of an image, and whether the image passes (specification 02, *One gate*).
//!
//! Only [`examine()`] creates an [`Assessment`] of an image that has a staging repository ([`Assessment::without_staging`] is for
//! those that `kpromo sigcheck` signs without manifests), and only `Assessment::pass` creates a [`Passed`]. Every function that
//! promotes, signs, records or summarises an image requires a [`Passed`].

mod assessment;
mod examine;
mod parts;
mod staged;

pub use assessment::{Assessment, Passed, Refused, Signatures, rank};
pub use examine::examine;
pub use staged::{Source, Staged};
