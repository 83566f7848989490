//! The schema of manifests of files: `filestores` and `files` (specification 04, *Manifests of files*).

use std::collections::HashMap;

use super::reader::Reader;
use crate::files::{FileEntry, FileName, Filestore, Scheme, Sha256, StoreUrl, Stores};
use crate::source::Position;
use crate::tree::{Node, Value};

/// The field of the stores.
pub(super) const FILESTORES: &str = "filestores";
/// The field of the files.
pub(super) const FILES: &str = "files";

impl Reader<'_> {
    /// Reads the file of stores.
    pub(super) fn stores(&mut self, root: &Node) -> Stores {
        let Some(mut fields) = self.fields(root, &[FILESTORES, FILES]) else { return Stores::default() };
        if let Some(files) = fields.take(FILES) {
            self.wrong(
                files.position,
                "the file with `filestores` holds no `files`: these are in files of their own",
            );
        }
        let node = fields.take(FILESTORES);
        let Some(items) = node.map_or(Some(&[][..]), |node| self.list(node, FILESTORES)) else {
            return Stores::default();
        };
        let place = node.map_or(root.position, |node| node.position);
        if items.is_empty() {
            self.wrong(place, "`filestores` is missing or empty");
            return Stores::default();
        }
        let errors = self.wrong.count();
        let entries: Vec<(Filestore, bool)> = items.iter().filter_map(|item| self.filestore(item)).collect();
        // An invalid entry may be the missing source or destination.
        let is_clear = self.wrong.count() == errors;
        self.sort_stores(entries, place, is_clear)
    }

    fn sort_stores(&mut self, entries: Vec<(Filestore, bool)>, place: Position, is_clear: bool) -> Stores {
        let mut stores = Stores::default();
        let mut destinations: Vec<Filestore> = Vec::new();
        for (store, is_source) in entries {
            if !is_source {
                destinations.push(store);
            } else if stores.source.is_some() {
                self.wrong(
                    store.position,
                    format!("{} also has `src: true`: files come from one filestore", store.url),
                );
            } else {
                stores.source = Some(store);
            }
        }
        match &stores.source {
            None if is_clear => {
                self.wrong(place, "no filestore has `src: true`: the source of the files is unknown");
            }
            Some(source) if destinations.is_empty() && is_clear => {
                self.wrong(place, format!("{} is the only filestore: there is no destination", source.url));
            }
            _ => {}
        }
        for store in destinations {
            let source = stores.source.as_ref().filter(|source| source.url == store.url);
            if source.is_some() {
                self.wrong(store.position, format!("the destination {} is also the source", store.url));
            } else if let Some(first) = stores.destinations.iter().find(|other| other.url == store.url) {
                let line = first.position.line;
                self.wrong(
                    store.position,
                    format!("the destination {} is listed twice, first in line {line}", store.url),
                );
            } else {
                stores.destinations.push(store);
            }
        }
        stores
    }

    /// Reads an entry of `filestores`, and whether it is the source.
    fn filestore(&mut self, node: &Node) -> Option<(Filestore, bool)> {
        let mut fields = self.fields(node, &["base", "service-account", "src"])?;
        let account = fields.take("service-account").filter(|node| !matches!(node.value, Value::Null));
        let service_account =
            account.and_then(|node| self.text(node, "a `service-account`")).map(|text| text.as_ref().into());
        let is_source = fields.take("src").is_some_and(|node| self.unquoted_boolean(node));
        let Some(base) = fields.take("base") else {
            self.wrong(node.position, "the filestore has no `base`");
            return None;
        };
        let url: StoreUrl = self.value(base, "a filestore's `base`")?;
        if url.scheme() == Scheme::File && url.path().is_empty() {
            self.wrong(base.position, "files are not promoted from or to the root of the file system");
            return None;
        }
        let manifest = self.source.file().clone();
        Some((Filestore { url, service_account, manifest, position: node.position }, is_source))
    }

    /// Reads `true` or `false`. Quoted text is an error, as in the Go tool.
    pub(super) fn unquoted_boolean(&mut self, node: &Node) -> bool {
        let Position { line, column } = node.position;
        let first = self.source.line(line).chars().nth(column.saturating_sub(1) as usize);
        if matches!(first, Some('"' | '\'')) {
            self.wrong(node.position, "expected `true` or `false`, without quotes");
            return false;
        }
        self.boolean(node)
    }

    /// Reads a file with entries. The names must be short enough for all of `stores`.
    pub(super) fn file_entries(&mut self, root: &Node, stores: &[&StoreUrl]) -> Vec<FileEntry> {
        let Some(mut fields) = self.fields(root, &[FILES, FILESTORES]) else { return Vec::new() };
        if let Some(stores) = fields.take(FILESTORES) {
            self.wrong(
                stores.position,
                "a file with `files` holds no `filestores`: these are in a file of their own",
            );
        }
        let Some(items) = fields.take(FILES).and_then(|node| self.list(node, FILES)) else {
            return Vec::new();
        };
        let mut first: HashMap<FileName, (Sha256, Position)> = HashMap::with_capacity(items.len());
        let mut entries = Vec::with_capacity(items.len());
        for item in items {
            let Some(entry) = self.file_entry(item, stores) else { continue };
            match first.get(&entry.name) {
                Some((sha256, place)) => {
                    let what = if *sha256 == entry.sha256 { "" } else { " with another hash" };
                    self.wrong(
                        entry.position,
                        format!(
                            "the file `{}` is listed twice{what}, first in line {}",
                            entry.name, place.line
                        ),
                    );
                }
                None => {
                    first.insert(entry.name.clone(), (entry.sha256, entry.position));
                    entries.push(entry);
                }
            }
        }
        entries
    }

    fn file_entry(&mut self, node: &Node, stores: &[&StoreUrl]) -> Option<FileEntry> {
        let mut fields = self.fields(node, &["name", "sha256"])?;
        let name = match fields.take("name") {
            Some(node) => self.file_name(node, stores),
            None => {
                self.wrong(node.position, "the file has no `name`");
                None
            }
        };
        let sha256 = match fields.take("sha256") {
            Some(node) => self.value(node, "a file's `sha256`"),
            None => {
                self.wrong(node.position, "the file has no `sha256`");
                None
            }
        };
        let manifest = self.source.file().clone();
        Some(FileEntry { name: name?, sha256: sha256?, manifest, position: node.position })
    }

    fn file_name(&mut self, node: &Node, stores: &[&StoreUrl]) -> Option<FileName> {
        let name: FileName = self.value(node, "a file's `name`")?;
        match stores.iter().find(|store| !store.fits(&name)) {
            None => Some(name),
            Some(store) => {
                self.wrong(
                    node.position,
                    format!("below {store} this makes the name of an object of more than 1024 bytes"),
                );
                None
            }
        }
    }
}
