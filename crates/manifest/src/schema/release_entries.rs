//! The schema of lists of releases: `releaseConfigs` (specification 04, *`kpromo gh`*).

use super::reader::{Fields, Reader};
use crate::releases::{GitHubName, ReleaseBucket, ReleaseDirectory, ReleaseEntry, ReleaseTag};
use crate::source::Position;
use crate::tree::{Node, Value};

/// The field of the entries.
const RELEASES: &str = "releaseConfigs";
/// The fields of an entry.
const ENTRY: &[&str] = &["org", "repo", "tags", "includePrereleases", "gcsBucket", "releaseDir"];

impl Reader<'_> {
    /// Reads the entries. An empty file has no entries.
    pub(super) fn releases(&mut self, root: &Node, needs_bucket: bool) -> Vec<ReleaseEntry> {
        let Some(mut fields) = self.fields(root, &[RELEASES]) else { return Vec::new() };
        let items = fields.take(RELEASES).and_then(|node| self.list(node, "entries"));
        items.unwrap_or_default().iter().filter_map(|item| self.release(item, needs_bucket)).collect()
    }

    fn release(&mut self, node: &Node, needs_bucket: bool) -> Option<ReleaseEntry> {
        let mut fields = self.fields(node, ENTRY)?;
        let owner: Option<GitHubName> = self.needed(&mut fields, node, "org");
        let repository: Option<GitHubName> = self.needed(&mut fields, node, "repo");
        let tags = given(&mut fields, "tags").map_or(Some(Vec::new()), |node| self.release_tags(node));
        let include_prereleases =
            given(&mut fields, "includePrereleases").is_some_and(|node| self.unquoted_boolean(node));
        let bucket: Option<ReleaseBucket> = if needs_bucket {
            self.needed(&mut fields, node, "gcsBucket")
        } else {
            given(&mut fields, "gcsBucket").and_then(|node| self.value(node, "`gcsBucket`"))
        };
        let directory = match given(&mut fields, "releaseDir").map(|node| (node, &node.value)) {
            None => Some(ReleaseDirectory::default()),
            Some((node, Value::Text(text))) => self.parse(node.position, text),
            Some((node, _)) => self.value(node, "a `releaseDir`"),
        };
        if needs_bucket && bucket.is_none() {
            return None;
        }
        let Position { line, column } = node.position;
        let origin = format!("{}:{line}:{column}", self.source.file()).into();
        Some(ReleaseEntry {
            owner: owner?,
            repository: repository?,
            tags: tags?,
            include_prereleases,
            bucket: bucket.map(ReleaseBucket::into_url),
            directory: directory?,
            origin,
        })
    }

    /// Reads a required field of an entry.
    fn needed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        fields: &mut Fields<'_>,
        entry: &Node,
        name: &str,
    ) -> Option<T> {
        match fields.take(name) {
            Some(node) => self.value(node, &format!("`{name}`")),
            None => {
                self.wrong(entry.position, format!("the entry has no `{name}`"));
                None
            }
        }
    }

    /// Reads tags without duplicates. Returns `None` if a tag is invalid.
    fn release_tags(&mut self, node: &Node) -> Option<Vec<ReleaseTag>> {
        let (mut tags, mut is_valid) = (Vec::new(), true);
        for item in self.list(node, "tags")? {
            match self.value(item, "a tag") {
                Some(tag) if !tags.contains(&tag) => tags.push(tag),
                Some(_) => {}
                None => is_valid = false,
            }
        }
        is_valid.then_some(tags)
    }
}

/// Takes a field. Null counts as a missing field.
fn given<'n>(fields: &mut Fields<'n>, name: &str) -> Option<&'n Node> {
    fields.take(name).filter(|node| !matches!(node.value, Value::Null))
}
