//! Lint: checks manifests for reviews, without network access. It finds everything that reading finds, and also changes that must
//! not be promoted, and violations of style.
//!
//! Each group of rules has a file: `style` has the rules about one file, `spelling` the rule about the registries of all files,
//! and `changes` the rules about edges.

mod blocks;
mod changes;
mod finding;
pub(crate) mod fix;
pub(crate) mod flaw;
pub(crate) mod layout;
mod linter;
pub(crate) mod order;
mod rule;
mod spelling;
mod style;
mod target;
pub(crate) mod text;

pub use finding::{Edit, Finding, Related};
#[cfg(feature = "fuzzing")]
pub(super) use fix::fix_bytes;
pub use linter::{FixedFile, Linted, lint};
pub use rule::Rule;
pub use target::{Target, targets};
