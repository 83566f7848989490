//! Edits manifests: adds tags to digests without changing other lines.
//!
//! An edit inserts bytes at positions of the file's YAML. Comments, order, quotes and line ends are kept; new entries are
//! inserted in the sort order of the file. The result is read again, and refused unless it promotes exactly what the file
//! promoted before and the additions (`docs/design/pull-requests.md`).

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
