//! The tables of the cache file.

use redb::TableDefinition;

/// The facts about each repository: `Facts`, encoded.
pub(super) const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");
/// The digests of the images that were seen to be complete, encoded, by repository and cache key.
pub(super) const FINISHED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("finished");
/// The description of the file, which holds its schema version.
pub(super) const ABOUT: TableDefinition<'_, &str, &str> = TableDefinition::new("about");
/// The schema version of the file.
pub(super) const SCHEMA: &str = "kpromo inventory 1";
