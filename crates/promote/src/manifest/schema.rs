//! What a manifest may say. Everything that is wrong is collected; nothing is passed over.

mod provenance;

use std::collections::HashSet;
use std::fmt::Display;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;

use oci::{Digest, RegistryRoot, RepositoryPath, Tag};

use super::contents::Contents;
use super::declared::{Declared, Loaded};
use super::diagnostic::{Diagnostic, Diagnostics, Spot};
use super::source::{Position, Source};
use super::tree::{self, Node, Value};
use super::{Destination, Image, Manifest, Wish};

/// The policy block of a manifest.
const PROVENANCE: &str = "provenance";
/// The most of an unknown field's name that is shown, in characters.
const NAME_SHOWN: usize = 60;

/// The registries of a manifest: where images are read, and where they are written, and what must be attested of them.
#[derive(Debug)]
pub(super) struct Registries {
    source: RegistryRoot,
    destinations: Vec<Destination>,
    declared: Declared,
}

impl Registries {
    /// The manifest of these registries and the images of a file.
    pub(super) fn with_images(self, name: &str, images_file: Arc<str>, images: Vec<Image>) -> Loaded {
        let Self { source, destinations, declared } = self;
        Loaded {
            manifest: Manifest { name: name.into(), images_file, source, destinations, images },
            declared,
        }
    }

    fn all(&self) -> impl Iterator<Item = &RegistryRoot> {
        self.destinations.iter().map(|destination| &destination.root).chain([&self.source])
    }
}

/// Reads a whole plain manifest: `registries`, `images` and `provenance`.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn plain(name: &str, contents: &Contents) -> Result<Loaded, Diagnostics> {
    Reader::read(contents, |reader, root| {
        let mut fields = reader.fields(root, &["registries", "images", PROVENANCE])?;
        let declared = reader.provenance(fields.take(PROVENANCE));
        let registries = reader.registries(root.position, fields.take("registries"), declared);
        let images = fields.take("images").map(|node| reader.images(node)).unwrap_or_default();
        let images = reader.of_length(images, registries.as_ref());
        registries.map(|registries| registries.with_images(name, Arc::clone(&contents.file), images))
    })
}

/// Reads the `promoter-manifest.yaml` of a thin manifest: `registries` and `provenance`.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn registries(contents: &Contents) -> Result<Registries, Diagnostics> {
    Reader::read(contents, |reader, root| {
        // `imagesPath` is a leftover that real files have, and that means nothing.
        let mut fields = reader.fields(root, &["registries", "imagesPath", PROVENANCE])?;
        let declared = reader.provenance(fields.take(PROVENANCE));
        reader.registries(root.position, fields.take("registries"), declared)
    })
}

/// Reads the `images.yaml` of a thin manifest: a list of images. Its registries say how long their names may be; they are
/// not there where they are wrong themselves.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn images(
    contents: &Contents,
    registries: Option<&Registries>,
) -> Result<Vec<Image>, Diagnostics> {
    Reader::read(contents, |reader, root| {
        let images = reader.images(root);
        Some(reader.of_length(images, registries))
    })
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

/// What one entry of `registries` is.
enum Role {
    Source(RegistryRoot),
    Destination(Destination),
    /// Wrong, and said to be.
    Unclear,
}

/// Reads a file and remembers what is wrong with it.
struct Reader<'a> {
    source: Source<'a>,
    wrong: Diagnostics,
}

impl<'a> Reader<'a> {
    /// Reads a file by `interpret`, which gives nothing only after it has said why.
    fn read<T>(
        contents: &'a Contents,
        interpret: impl FnOnce(&mut Self, &Node) -> Option<T>,
    ) -> Result<T, Diagnostics> {
        let mut reader = Self { source: contents.text()?, wrong: Diagnostics::default() };
        let read = match tree::parse(reader.source.text()) {
            Ok(root) => interpret(&mut reader, &root),
            Err(error) => {
                reader.wrong(error.position, format!("not YAML that can be read: {}", error.message));
                None
            }
        };
        match read {
            Some(value) => reader.wrong.or(value),
            None => Err(reader.wrong.or(()).err().unwrap_or_default()),
        }
    }

    fn wrong(&mut self, position: Position, message: impl AsRef<str>) {
        let source = &self.source;
        self.wrong.push_with(|| Diagnostic::at(source, position, message));
    }

    fn wrong_with_help(&mut self, position: Position, message: &str, help: &str) {
        let source = &self.source;
        self.wrong.push_with(|| Diagnostic::at(source, position, message).help(help));
    }

    /// The pairs of a mapping; nothing is an empty mapping.
    fn pairs<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Node, Node)]> {
        match &node.value {
            Value::Map(pairs) => Some(pairs),
            Value::Null => Some(&[]),
            other => {
                self.wrong(node.position, format!("{what} is expected, this is {}", other.kind()));
                None
            }
        }
    }

    /// The fields of a mapping; unknown and repeated ones are wrong.
    fn fields<'n>(&mut self, node: &'n Node, known: &[&str]) -> Option<Fields<'n>> {
        let pairs = self.pairs(node, &format!("a mapping with `{}`", known[..2].join("`, `")))?;
        let mut fields: Vec<(&str, &Node)> = Vec::new();
        for (key, value) in pairs {
            let Value::Text(name) = &key.value else {
                self.wrong(key.position, format!("a field's name is expected, this is {}", key.value.kind()));
                continue;
            };
            if !known.contains(&&**name) {
                let name: String = name.chars().take(NAME_SHOWN).collect();
                let help = format!("known here: `{}`", known.join("`, `"));
                self.wrong_with_help(key.position, &format!("unknown field `{name}`"), &help);
            } else if fields.iter().any(|(other, _)| *other == &**name) {
                self.wrong(key.position, format!("the field `{name}` stands twice"));
            } else {
                fields.push((name, value));
            }
        }
        Some(Fields { pairs: fields })
    }

    /// The items of a list; nothing is an empty list.
    fn list<'n>(&mut self, node: &'n Node, of: &str) -> Option<&'n [Node]> {
        match &node.value {
            Value::List(items) => Some(items),
            Value::Null => Some(&[]),
            other => {
                self.wrong(node.position, format!("a list of {of} is expected, this is {}", other.kind()));
                None
            }
        }
    }

    /// A text that is not empty.
    fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n Rc<str>> {
        match &node.value {
            Value::Text(text) if !text.is_empty() => return Some(text),
            Value::Text(_) | Value::Null => self.wrong(node.position, format!("{what} is empty")),
            other => self.wrong(node.position, format!("{what} is expected, this is {}", other.kind())),
        }
        None
    }

    /// A value by its text.
    fn parse<T: FromStr<Err: Display>>(&mut self, position: Position, text: &str) -> Option<T> {
        text.parse().map_err(|error| self.wrong(position, format!("{error}"))).ok()
    }

    fn value<T: FromStr<Err: Display>>(&mut self, node: &Node, what: &str) -> Option<T> {
        let text = self.text(node, what)?;
        self.parse(node.position, text)
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

    fn registries(
        &mut self,
        parent: Position,
        node: Option<&Node>,
        declared: Option<Declared>,
    ) -> Option<Registries> {
        let items = node.map_or(Some(&[][..]), |node| self.list(node, "registries"))?;
        if items.is_empty() {
            self.wrong(node.map_or(parent, |node| node.position), "`registries` is missing or empty");
            return None;
        }
        let roles: Vec<(Role, Position)> =
            items.iter().map(|item| (self.registry(item).unwrap_or(Role::Unclear), item.position)).collect();
        let (source, position) = self.source_of(&roles)?;
        let destinations = self.destinations(roles, &source);
        let declared = declared.unwrap_or_else(|| Declared::nothing(Spot::new(&self.source, position)));
        Some(Registries { source, destinations, declared })
    }

    /// The one registry that images come from.
    fn source_of(&mut self, roles: &[(Role, Position)]) -> Option<(RegistryRoot, Position)> {
        let mut sources = roles.iter().filter_map(|(role, position)| match role {
            Role::Source(root) => Some((root, *position)),
            _ => None,
        });
        let first = sources.next();
        for (root, position) in sources {
            let message = format!("{root} also has `src: true`: images come from one registry");
            self.wrong(position, message);
        }
        // An unclear one may have been meant to be it.
        if first.is_none() && !roles.iter().any(|(role, _)| matches!(role, Role::Unclear)) {
            let position = roles.first().map_or(Position::new(1, 1), |(_, position)| *position);
            self.wrong(position, "no registry has `src: true`: it is not said where images come from");
        }
        first.map(|(root, position)| (root.clone(), position))
    }

    /// The registries that images go to, each once.
    fn destinations(&mut self, roles: Vec<(Role, Position)>, source: &RegistryRoot) -> Vec<Destination> {
        let mut seen = HashSet::new();
        let mut destinations = Vec::new();
        for (role, position) in roles {
            let Role::Destination(destination) = role else { continue };
            if destination.root == *source {
                self.wrong(position, format!("the destination {source} is also the source"));
            } else if seen.insert(destination.root.clone()) {
                destinations.push(destination);
            }
        }
        destinations
    }

    fn registry(&mut self, node: &Node) -> Option<Role> {
        let mut fields = self.fields(node, &["name", "service-account", "src"])?;
        let account = fields.take("service-account").filter(|node| !matches!(node.value, Value::Null));
        let service_account =
            account.and_then(|node| self.text(node, "an account")).map(|text| text.as_ref().into());
        let is_source = fields.take("src").is_some_and(|node| self.boolean(node));
        let Some(name) = fields.take("name") else {
            self.wrong(node.position, "the registry has no `name`");
            return None;
        };
        let text = self.text(name, "a registry's `name`")?;
        let root = self.parse(name.position, text.trim_end_matches('/'))?;
        let destination = Destination { root, service_account };
        Some(if is_source { Role::Source(destination.root) } else { Role::Destination(destination) })
    }

    /// The images of a list, and where their names stand.
    fn images(&mut self, node: &Node) -> Vec<(Image, Position)> {
        let items = self.list(node, "images").unwrap_or_default();
        items.iter().filter_map(|item| self.image(item)).collect()
    }

    fn image(&mut self, node: &Node) -> Option<(Image, Position)> {
        let mut fields = self.fields(node, &["name", "dmap"])?;
        let name = fields.take("name");
        if name.is_none() {
            self.wrong(node.position, "the image has no `name`");
        }
        let path: Option<RepositoryPath> = name.and_then(|name| self.value(name, "an image's `name`"));
        let digests = match fields.take("dmap") {
            Some(dmap) => self.digests(dmap),
            None => {
                self.wrong(node.position, "the image has no `dmap`");
                Vec::new()
            }
        };
        Some((Image { name: path?, digests }, name?.position))
    }

    fn digests(&mut self, node: &Node) -> Vec<Wish> {
        let Some(pairs) = self.pairs(node, "a mapping of digests to tags") else { return Vec::new() };
        if pairs.is_empty() {
            self.wrong(node.position, "`dmap` is empty: it is not said which digests to promote");
        }
        let mut seen = HashSet::new();
        let mut wishes = Vec::with_capacity(pairs.len());
        for (key, tags) in pairs {
            let digest = self.digest(key);
            let tags = self.tags(tags);
            let Some(digest) = digest else { continue };
            if seen.insert(digest) {
                wishes.push(Wish { digest, position: key.position, tags });
            } else {
                self.wrong(key.position, format!("the digest {digest} stands twice"));
            }
        }
        wishes
    }

    fn digest(&mut self, node: &Node) -> Option<Digest> {
        match self.value(node, "a digest")? {
            digest @ Digest::Sha256(_) => Some(digest),
            other @ Digest::Sha512(_) => {
                let message = format!("`{other}` is no SHA-256 digest, and images are promoted by these");
                self.wrong(node.position, message);
                None
            }
        }
    }

    fn tags(&mut self, node: &Node) -> Vec<(Tag, Position)> {
        let items = self.list(node, "tags").unwrap_or_default();
        let mut seen = HashSet::new();
        let mut tags = Vec::with_capacity(items.len());
        for item in items {
            let Some(tag) = self.value::<Tag>(item, "a tag") else { continue };
            if seen.insert(tag.clone()) {
                tags.push((tag, item.position));
            }
        }
        tags
    }

    /// The images, when their names are short enough for the registries they are in and go to.
    fn of_length(&mut self, images: Vec<(Image, Position)>, registries: Option<&Registries>) -> Vec<Image> {
        for (image, position) in &images {
            let too_long = |root: &&RegistryRoot| root.repository(&image.name).is_err();
            if let Some(root) = registries.and_then(|registries| registries.all().find(too_long)) {
                let message =
                    format!("below {root} this name makes a repository name of more than 255 characters");
                self.wrong(*position, message);
            }
        }
        images.into_iter().map(|(image, _)| image).collect()
    }
}
