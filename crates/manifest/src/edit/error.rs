//! Errors of edits.

use std::fmt;
use std::sync::Arc;

use oci_types::Digest;

use super::addition::Addition;
use crate::diagnostics::Diagnostics;
use crate::source::Position;

/// The reason why a file is not edited. The file does not change.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EditError {
    /// The file has faults.
    #[error("the manifest has errors; correct them first")]
    Invalid(Diagnostics),
    /// Tags would move.
    #[error("{}", shown(.0))]
    Moves(Vec<TagMove>),
    /// The file has YAML notation that cannot be edited.
    #[error("{file} cannot be edited: {reason}")]
    Unsupported {
        /// The name of the file.
        file: Arc<str>,
        /// The reason.
        reason: &'static str,
    },
    /// The edited file would differ from the expected result. This is a bug in the edit.
    #[error(
        "{file}: the edited file would {why}; the file stays as it is. Edit it by hand, and please report this"
    )]
    Refused {
        /// The name of the file.
        file: Arc<str>,
        /// The difference.
        why: &'static str,
    },
}

/// A tag that would move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagMove {
    /// The requested addition.
    pub addition: Addition,
    /// The digest that has the tag.
    pub listed: Digest,
    /// Where the tag is listed: the file and the position. `None` if another addition has the tag.
    pub place: Option<(Arc<str>, Position)>,
}

impl fmt::Display for TagMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { addition: Addition { image, digest, tag }, listed, place } = self;
        match place {
            Some((file, Position { line, column })) => write!(
                f,
                "{image}:{tag} is {listed} ({file}:{line}:{column}) and cannot become {digest}: production tags never move"
            ),
            None => write!(f, "{image}:{tag} cannot be both {listed} and {digest}"),
        }
    }
}

fn shown(moves: &[TagMove]) -> String {
    moves.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
