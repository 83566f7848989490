//! The images of a manifest. An invalid entry is left out. It is never promoted in part if that could change its meaning.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use oci_types::{Digest, RegistryRoot, RepositoryPath, Tag};

use super::super::model::{DigestTags, Image};
use super::super::source::Position;
use super::super::tree::{Node, Value};
use super::reader::Reader;

/// The tags of a digest, with their positions.
type Tags = Vec<(Tag, Position)>;

/// One entry of a `dmap`.
struct Row<'n> {
    digest: Digest,
    position: Position,
    /// `None` if it is ambiguous which tags the manifest means.
    tags: Option<Tags>,
    /// The YAML node of the tags.
    written: &'n Node,
}

impl Reader<'_> {
    /// Reads a list of images. Each name must fit below all `roots`. Returns `None` if the node is not a list.
    pub(super) fn images(&mut self, node: &Node, roots: &[&RegistryRoot]) -> Option<Vec<Image>> {
        let items = self.list(node, "images")?;
        let images = items.iter().filter_map(|item| self.entry(item, |reader| reader.image(item, roots)));
        Some(images.collect())
    }

    fn image(&mut self, node: &Node, roots: &[&RegistryRoot]) -> Option<Image> {
        let errors = self.wrong.count();
        let mut fields = self.fields(node, &["name", "dmap"])?;
        // A misspelled or repeated field may change the meaning of the others.
        let is_clear = self.wrong.count() == errors;
        let (name, dmap) = (fields.take("name"), fields.take("dmap"));
        if name.is_none() {
            self.wrong(node.position, "the image has no `name`");
        }
        let path = name.and_then(|name| {
            let path = self.value(name, "an image's `name`")?;
            self.fits(&path, name.position, roots).then_some(path)
        });
        let mut doubtful = Vec::new();
        let digests = match dmap {
            Some(dmap) => self.digests(name, dmap, &mut doubtful),
            None => {
                self.no_digests(node.position, "the image has no `dmap`");
                None
            }
        };
        let (name, mut digests) = (path?, digests.unwrap_or_default());
        if !is_clear {
            doubtful.append(&mut digests);
        }
        if !doubtful.is_empty() {
            self.doubtful.push(Image { name: name.clone(), digests: doubtful });
        }
        (!digests.is_empty()).then_some(Image { name, digests })
    }

    /// Checks that an image's name is short enough for all registries, and reports it otherwise.
    fn fits(&mut self, path: &RepositoryPath, position: Position, roots: &[&RegistryRoot]) -> bool {
        let Some(root) = roots.iter().find(|root| root.repository(path).is_err()) else { return true };
        let message = format!("below {root} this name makes a repository name of more than 255 characters");
        self.wrong(position, message);
        false
    }

    /// Reads the digests of the image with this `name`. Returns `None` if the node is not a mapping. Both entries of a digest whose
    /// tags are ambiguous are added to `doubtful`.
    fn digests(
        &mut self,
        name: Option<&Node>,
        node: &Node,
        doubtful: &mut Vec<DigestTags>,
    ) -> Option<Vec<DigestTags>> {
        let pairs = self.pairs(node, "a mapping of digests to tags")?;
        if pairs.is_empty() {
            self.no_digests(node.position, "`dmap` is empty: it names no digests to promote");
        }
        let mut places = HashMap::with_capacity(pairs.len());
        let mut rows: Vec<Row<'_>> = Vec::with_capacity(pairs.len());
        for (key, written) in pairs {
            let row = self.entry((name, key, written), |reader| {
                let digest = reader.digest(key);
                let tags = reader.tags(name, key, written);
                Some(Row { digest: digest?, position: key.position, tags, written })
            });
            let Some(row) = row else { continue };
            match places.entry(row.digest) {
                Entry::Vacant(place) => {
                    place.insert(rows.len());
                    rows.push(row);
                }
                Entry::Occupied(place) => {
                    let first = &mut rows[*place.get()];
                    let known = [first.tags.clone(), row.tags.clone()].into_iter().flatten().flatten();
                    let tags: Tags = known.collect();
                    self.repeated(name, first, &row);
                    if first.tags.is_none() {
                        doubtful.push(DigestTags { digest: first.digest, position: first.position, tags });
                    }
                }
            }
        }
        let listed = rows.into_iter().filter_map(|Row { digest, position, tags, .. }| {
            Some(DigestTags { digest, position, tags: tags? })
        });
        Some(listed.collect())
    }

    /// Reports a repeated digest. If its tags differ between the two entries, the manifest is ambiguous and neither entry is
    /// read.
    fn repeated(&mut self, name: Option<&Node>, first: &mut Row<'_>, second: &Row<'_>) {
        let sorted = |tags: &Option<Tags>| {
            let tags = tags.as_ref()?;
            let mut tags: Vec<Tag> = tags.iter().map(|(tag, _)| tag.clone()).collect();
            tags.sort();
            Some(tags)
        };
        self.entry((name, first.digest, first.written, second.written), |reader| {
            let help = reader.first_place(first.position);
            let message = format!("the digest {} is listed twice", second.digest);
            reader.wrong_with_help(second.position, &message, &help);
        });
        // An entry with an invalid tag agrees with no other entry, because the intended tag is unknown.
        let is_whole = |row: &Row<'_>| match (&row.written.value, &row.tags) {
            (Value::List(written), Some(tags)) => written.len() == tags.len(),
            (Value::Null, Some(_)) => true,
            _ => false,
        };
        let agree = is_whole(first) && is_whole(second) && sorted(&first.tags) == sorted(&second.tags);
        if !agree {
            first.tags = None;
        }
    }

    fn digest(&mut self, node: &Node) -> Option<Digest> {
        match self.value(node, "a digest")? {
            digest @ Digest::Sha256(_) => Some(digest),
            other @ Digest::Sha512(_) => {
                let message = format!(
                    "`{other}` is not a SHA-256 digest, and images are promoted by \
                 SHA-256"
                );
                self.wrong(node.position, message);
                None
            }
        }
    }

    /// Reads the tags of a digest, each once, without the invalid ones. Returns `None` if the node is not a list, or if all
    /// tags are invalid: such a digest was not meant to be promoted without a tag.
    fn tags(&mut self, name: Option<&Node>, digest: &Node, node: &Node) -> Option<Tags> {
        let items = self.list(node, "tags")?;
        let mut seen = HashSet::new();
        let mut tags = Vec::with_capacity(items.len());
        for item in items {
            let tag = self.entry((name, digest, item), |reader| reader.value::<Tag>(item, "a tag"));
            let Some(tag) = tag else { continue };
            if seen.insert(tag.clone()) {
                tags.push((tag, item.position));
            }
        }
        (items.is_empty() || !tags.is_empty()).then_some(tags)
    }
}
