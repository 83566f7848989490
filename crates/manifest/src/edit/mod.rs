//! Edits manifests: adds tags of digests, and changes no other line.
//!
//! An edit inserts bytes at positions of the file's YAML. Comments, order, quotes and line ends stay; new entries are put where
//! they belong in the order of the file. The result is read again, and it is refused unless it promotes what the file promoted
//! before and the additions (`docs/design/pull-requests.md`).

mod addition;
mod check;
mod error;
mod file;
mod flow;
mod format;
mod insert;
mod lines;
mod place;
mod style;

pub use addition::{Addition, FileKind};
pub use error::{EditError, TagMove};
pub use file::{Edited, ImagesFile, new_overlaps};
