//! The tables of the file.

use redb::TableDefinition;

/// By repository, what it was seen to hold: `Facts`, encoded.
pub(super) const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");
/// By repository and terms, the images that were seen to be finished on these terms: their digests, encoded.
pub(super) const FINISHED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("finished");
/// What the file is.
pub(super) const ABOUT: TableDefinition<'_, &str, &str> = TableDefinition::new("about");
/// The version of the file.
pub(super) const SCHEMA: &str = "kpromo inventory 1";
