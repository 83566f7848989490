//! What a manifest may say. Everything that is wrong is collected; nothing is passed over.

use std::collections::HashSet;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use oci::{Digest, RegistryRoot, RepositoryPath, Tag};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::tree::{self, Node, Position, Value};
use super::{Destination, Image, Wish};

/// The registries of a manifest.
#[derive(Debug)]
pub(super) struct Registries {
    pub(super) source: RegistryRoot,
    pub(super) destinations: Vec<Destination>,
}

/// A file that is being read, with what was found wrong so far.
pub(super) struct File<'a> {
    name: &'a Arc<str>,
    text: &'a str,
    wrong: Diagnostics,
}

/// Reads a whole plain manifest.
pub(super) fn plain(name: &Arc<str>, text: &str) -> Result<(Registries, Vec<Image>), Diagnostics> {
    let mut file = File::new(name, text);
    let parsed = file.parse().and_then(|root| {
        let mut fields = file.fields(&root, &["registries", "images"])?;
        let registries = file.registries(root.position, fields.take("registries"));
        let images = fields.take("images").map(|node| file.images(node)).unwrap_or_default();
        if let Some(registries) = &registries {
            file.check_lengths(registries, &images);
        }
        registries.map(|registries| (registries, images.into_iter().map(|(image, _)| image).collect()))
    });
    file.finish(parsed)
}

/// Reads the `promoter-manifest.yaml` of a thin manifest.
pub(super) fn thin_registries(name: &Arc<str>, text: &str) -> Result<Registries, Diagnostics> {
    let mut file = File::new(name, text);
    let parsed = file.parse().and_then(|root| {
        // `imagesPath` is a leftover that real files have, and that means nothing.
        let mut fields = file.fields(&root, &["registries", "imagesPath"])?;
        file.registries(root.position, fields.take("registries"))
    });
    file.finish(parsed)
}

/// Reads the `images.yaml` of a thin manifest, whose registries say how long its names may be.
pub(super) fn thin_images(
    name: &Arc<str>,
    text: &str,
    registries: Option<&Registries>,
) -> Result<Vec<Image>, Diagnostics> {
    let mut file = File::new(name, text);
    let parsed = file.parse().map(|root| {
        let images = file.images(&root);
        if let Some(registries) = registries {
            file.check_lengths(registries, &images);
        }
        images.into_iter().map(|(image, _)| image).collect()
    });
    file.finish(parsed)
}

/// The fields of a mapping, each at most once.
struct Fields<'n> {
    pairs: Vec<(&'n str, &'n Node)>,
}

impl<'n> Fields<'n> {
    fn take(&mut self, name: &str) -> Option<&'n Node> {
        let at = self.pairs.iter().position(|(key, _)| *key == name)?;
        Some(self.pairs.swap_remove(at).1)
    }
}

impl<'a> File<'a> {
    fn new(name: &'a Arc<str>, text: &'a str) -> Self {
        Self { name, text, wrong: Diagnostics::default() }
    }

    fn finish<T>(self, parsed: Option<T>) -> Result<T, Diagnostics> {
        match parsed {
            Some(value) => self.wrong.or(value),
            // Whoever gives up has said why.
            None => Err(self.wrong.or(()).err().unwrap_or_default()),
        }
    }

    fn wrong(&mut self, position: Position, message: impl Into<String>) {
        self.wrong.push_with(|| Diagnostic::at(self.name, self.text, position, message));
    }

    fn parse(&mut self) -> Option<Node> {
        match tree::parse(self.text) {
            Ok(root) => Some(root),
            Err(error) => {
                self.wrong(error.position, format!("not YAML that can be read: {}", error.message));
                None
            }
        }
    }

    /// The fields of a mapping; unknown and repeated ones are wrong.
    fn fields<'n>(&mut self, node: &'n Node, known: &[&str]) -> Option<Fields<'n>> {
        let pairs = match &node.value {
            Value::Map(pairs) => pairs.as_slice(),
            Value::Null => &[],
            other => {
                let expected = known.join("`, `");
                self.wrong(
                    node.position,
                    format!("a mapping with `{expected}` is expected, this is {}", other.kind()),
                );
                return None;
            }
        };
        let mut fields: Vec<(&str, &Node)> = Vec::new();
        for (key, value) in pairs {
            let Value::Text(name) = &key.value else {
                self.wrong(key.position, format!("a field's name is expected, this is {}", key.value.kind()));
                continue;
            };
            if name == "provenance" {
                self.wrong(key.position, "provenance policies are not yet in this build");
            } else if !known.contains(&name.as_str()) {
                let name: String = name.chars().take(60).collect();
                self.wrong.push_with(|| {
                    let unknown =
                        Diagnostic::at(self.name, self.text, key.position, format!("unknown field `{name}`"));
                    unknown.help(format!("known here: `{}`", known.join("`, `")))
                });
            } else if fields.iter().any(|(other, _)| other == name) {
                self.wrong(key.position, format!("the field `{name}` stands twice"));
            } else {
                fields.push((name, value));
            }
        }
        Some(Fields { pairs: fields })
    }

    /// The items of a list; nothing is an empty list.
    fn list<'n>(&mut self, node: &'n Node, of: &str) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            Value::Null => &[],
            other => {
                self.wrong(node.position, format!("a list of {of} is expected, this is {}", other.kind()));
                &[]
            }
        }
    }

    fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Value::Text(text) => Some(text),
            Value::Null => Some(""),
            other => {
                self.wrong(node.position, format!("{what} is expected, this is {}", other.kind()));
                None
            }
        }
    }

    /// A value that is written as a text.
    fn value<T: FromStr<Err: Display>>(&mut self, node: &Node, what: &str) -> Option<T> {
        let text = self.text(node, what)?;
        if text.is_empty() {
            self.wrong(node.position, format!("{what} is empty"));
            return None;
        }
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(node.position, format!("{error}"));
                None
            }
        }
    }

    fn registries(&mut self, parent: Position, node: Option<&Node>) -> Option<Registries> {
        let items = node.map(|node| self.list(node, "registries")).unwrap_or_default();
        if items.is_empty() {
            self.wrong(node.map_or(parent, |node| node.position), "`registries` is missing or empty");
            return None;
        }
        let mut sources: Vec<(RegistryRoot, Position)> = Vec::new();
        let mut destinations: Vec<(Destination, Position)> = Vec::new();
        let mut broken = false;
        for item in items {
            match self.registry(item) {
                Some((destination, true)) => sources.push((destination.root, item.position)),
                Some((destination, false)) => destinations.push((destination, item.position)),
                None => broken = true,
            }
        }
        if let Some((_, second)) = sources.get(1) {
            self.wrong(*second, "a second registry has `src: true`; images come from one");
        }
        let Some((source, _)) = sources.into_iter().next() else {
            // The broken one may have been it.
            if !broken {
                self.wrong(items[0].position, "no registry has `src: true`");
            }
            return None;
        };
        let mut seen = HashSet::new();
        let mut unique = Vec::new();
        for (destination, position) in destinations {
            if destination.root == source {
                self.wrong(position, format!("the destination {source} is the source"));
            } else if seen.insert(destination.root.clone()) {
                unique.push(destination);
            }
        }
        Some(Registries { source, destinations: unique })
    }

    fn registry(&mut self, node: &Node) -> Option<(Destination, bool)> {
        let mut fields = self.fields(node, &["name", "service-account", "src"])?;
        let service_account =
            fields.take("service-account").and_then(|n| self.text(n, "an account")).map(str::to_owned);
        let is_source = fields.take("src").is_some_and(|node| self.boolean(node));
        let Some(name) = fields.take("name") else {
            self.wrong(node.position, "the registry has no `name`");
            return None;
        };
        let text = self.text(name, "a registry")?;
        let trimmed =
            Node { position: name.position, value: Value::Text(text.trim_end_matches('/').to_owned()) };
        let root = self.value(&trimmed, "a registry's `name`")?;
        Some((Destination { root, service_account }, is_source))
    }

    fn boolean(&mut self, node: &Node) -> bool {
        let text = match &node.value {
            Value::Text(text) => text.to_ascii_lowercase(),
            _ => String::new(),
        };
        match text.as_str() {
            "true" | "yes" | "on" => true,
            "false" | "no" | "off" => false,
            _ => {
                self.wrong(node.position, "`true` or `false` is expected");
                false
            }
        }
    }

    /// The images of a list, with their places.
    fn images(&mut self, node: &Node) -> Vec<(Image, Position)> {
        let items = self.list(node, "images");
        items.iter().filter_map(|item| Some((self.image(item)?, item.position))).collect()
    }

    fn image(&mut self, node: &Node) -> Option<Image> {
        let mut fields = self.fields(node, &["name", "dmap"])?;
        let name: Option<RepositoryPath> = match fields.take("name") {
            Some(name) => self.value(name, "an image's `name`"),
            None => {
                self.wrong(node.position, "the image has no `name`");
                None
            }
        };
        let digests = match fields.take("dmap") {
            Some(dmap) => self.digests(dmap),
            None => {
                self.wrong(node.position, "the image has no `dmap`");
                Vec::new()
            }
        };
        Some(Image { name: name?, digests })
    }

    fn digests(&mut self, node: &Node) -> Vec<Wish> {
        let pairs = match &node.value {
            Value::Map(pairs) => pairs.as_slice(),
            Value::Null => &[],
            other => {
                let kind = other.kind();
                self.wrong(
                    node.position,
                    format!("a mapping of digests to tags is expected, this is {kind}"),
                );
                return Vec::new();
            }
        };
        if pairs.is_empty() {
            self.wrong(node.position, "`dmap` is empty");
        }
        let mut seen = HashSet::new();
        let mut wishes = Vec::with_capacity(pairs.len());
        for (key, tags) in pairs {
            let digest = self.digest(key);
            let tags = self.tags(tags);
            let Some(digest) = digest else { continue };
            if !seen.insert(digest) {
                self.wrong(key.position, format!("the digest {digest} stands twice"));
                continue;
            }
            wishes.push(Wish { digest, position: key.position, tags });
        }
        wishes
    }

    fn digest(&mut self, node: &Node) -> Option<Digest> {
        match self.value(node, "a digest")? {
            digest @ Digest::Sha256(_) => Some(digest),
            other @ Digest::Sha512(_) => {
                self.wrong(
                    node.position,
                    format!("`{other}` is not a SHA-256 digest, and images are promoted by these"),
                );
                None
            }
        }
    }

    fn tags(&mut self, node: &Node) -> Vec<(Tag, Position)> {
        let items = self.list(node, "tags");
        let mut seen = HashSet::new();
        let tags = items.iter().filter_map(|item| Some((self.value::<Tag>(item, "a tag")?, item.position)));
        tags.filter(|(tag, _)| seen.insert(tag.clone())).collect()
    }

    /// Finds names that are too long together with the registries they go to.
    fn check_lengths(&mut self, registries: &Registries, images: &[(Image, Position)]) {
        let roots = || registries.destinations.iter().map(|d| &d.root).chain([&registries.source]);
        for (image, position) in images {
            if let Some(error) = roots().find_map(|root| root.repository(&image.name).err()) {
                self.wrong(*position, error.to_string());
            }
        }
    }
}
