//! The registries of a manifest, and the policy that it declares for its source.

use std::collections::HashSet;
use std::sync::Arc;

use oci_types::RegistryRoot;

use super::super::declared::{PolicyDeclaration, Reach};
use super::super::diagnostic::Span;
use super::super::model::Destination;
use super::super::source::Position;
use super::super::tree::{Node, Value};
use super::reader::{Fields, PROVENANCE, Reader};

/// The content of a manifest besides its images, as far as it can be read.
#[derive(Debug)]
pub(in super::super) struct Registries {
    /// The registries that are marked as the source: exactly one in a valid manifest.
    pub(in super::super) sources: Vec<RegistryRoot>,
    /// The destination registries. `None` if there is no list of registries.
    pub(in super::super) destinations: Option<Vec<Destination>>,
    /// The policy for the source.
    pub(in super::super) declared: PolicyDeclaration,
    /// The position of the policy, or of the source if there is no policy.
    pub(in super::super) span: Span,
}

impl Registries {
    /// The registries of a file that is not text, or that was not read. Such a file may declare a policy for any source.
    pub(in super::super) fn unreadable(file: &Arc<str>) -> Self {
        let declared = PolicyDeclaration::Unknown(Reach::Everything);
        Self { sources: Vec::new(), destinations: None, declared, span: Span::of_file(file) }
    }

    /// Returns the source and destination registries.
    pub(super) fn roots(&self) -> Vec<&RegistryRoot> {
        let destinations = self.destinations.iter().flatten().map(|destination| &destination.root);
        destinations.chain(&self.sources).collect()
    }
}

/// An entry of `registries`.
enum Role {
    Source(RegistryRoot),
    Destination(Destination),
    /// The entry is invalid, which has been reported. The name is present if it can be read. The entry may be the source.
    Unclear(Option<RegistryRoot>),
}

impl Reader<'_> {
    /// Reads the registries and the policy of the mapping that begins at `parent`.
    pub(super) fn registries(&mut self, parent: Position, mut fields: Fields<'_>) -> Registries {
        let block = fields.take(PROVENANCE);
        let policy = block.map(|node| self.provenance(node));
        let roles = self.roles(parent, fields.take("registries"));
        let (sources, place) = self.sources(roles.as_deref().unwrap_or_default());
        let reach = if sources.is_empty() {
            reach_of(roles.as_deref().unwrap_or_default())
        } else {
            Reach::Below(sources.clone())
        };
        let destinations = roles.map(|roles| self.destinations(roles, sources.first()));
        let place = block.map(|node| node.position).or(place).unwrap_or(parent);
        // If no source can be read, a fault counts as a hidden policy only if the text may contain one.
        let hides_block = self.hides_block && (!sources.is_empty() || self.may_declare());
        let declared = match policy {
            None if !hides_block => PolicyDeclaration::Policy(None),
            Some(Ok(None)) if !hides_block => PolicyDeclaration::Policy(None),
            Some(Ok(policy)) if !hides_block && sources.len() == 1 => PolicyDeclaration::Policy(policy),
            _ => PolicyDeclaration::Unknown(reach),
        };
        Registries { sources, destinations, declared, span: Span::new(&self.source, place) }
    }

    /// The registries of a file that is not a YAML mapping. A text search determines whether the file may declare a policy.
    pub(super) fn illegible(&self) -> Registries {
        let declared = if self.may_declare() {
            PolicyDeclaration::Unknown(self.reach_of_text())
        } else {
            PolicyDeclaration::Policy(None)
        };
        let span = Span::of_file(self.source.file());
        Registries { sources: Vec::new(), destinations: None, declared, span }
    }

    /// Whether the text may contain a policy that is not off. A backslash counts too, because YAML can write names with
    /// escapes.
    fn may_declare(&self) -> bool {
        let text = self.source.text();
        [PROVENANCE, "mode", "\\"].iter().any(|sign| text.contains(sign))
    }

    /// Determines from the lines of a file that is not YAML which sources a policy may apply to. If one registry is marked as
    /// the source and every name is valid, these are the named registries. Otherwise it is any source.
    fn reach_of_text(&self) -> Reach {
        let lines = || self.source.text().lines().map(|line| line.trim_start_matches([' ', '\t', '-']));
        let names = lines().filter_map(|line| line.strip_prefix("name:")).map(|name| {
            let name = name.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
            name.trim_end_matches('/').parse().ok()
        });
        let names: Option<Vec<RegistryRoot>> = names.collect();
        match names {
            // A single name may belong to a destination while the source has no name.
            Some(names) if names.len() > 1 && lines().any(|line| line.starts_with("src:")) => {
                Reach::Below(names)
            }
            _ => Reach::Everything,
        }
    }

    /// Reads the entries of `registries`. Returns `None` if there are none.
    fn roles(&mut self, parent: Position, node: Option<&Node>) -> Option<Vec<(Role, Position)>> {
        let items = node.map_or(Some(&[][..]), |node| self.list(node, "registries"))?;
        if items.is_empty() {
            self.wrong(node.map_or(parent, |node| node.position), "`registries` is missing or empty");
            return None;
        }
        let role = |item: &Node| {
            let role = self.registry(item).unwrap_or_else(|| Role::Unclear(name_of(item)));
            (role, item.position)
        };
        Some(items.iter().map(role).collect())
    }

    /// Returns the registries that are marked as the source, and the position of the first. Any number of sources other than
    /// one is an error.
    fn sources(&mut self, roles: &[(Role, Position)]) -> (Vec<RegistryRoot>, Option<Position>) {
        let sources = roles.iter().filter_map(|(role, position)| match role {
            Role::Source(root) => Some((root, *position)),
            _ => None,
        });
        let (roots, positions): (Vec<&RegistryRoot>, Vec<Position>) = sources.unzip();
        for (root, position) in roots.iter().zip(&positions).skip(1) {
            let message = format!("{root} also has `src: true`: images come from one registry");
            self.wrong(*position, message);
        }
        // An invalid entry may have been meant as the source.
        let is_clear = !roles.iter().any(|(role, _)| matches!(role, Role::Unclear(_)));
        if let (true, true, Some((_, position))) = (roots.is_empty(), is_clear, roles.first()) {
            self.wrong(*position, "no registry has `src: true`: the source of the images is unknown");
        }
        (roots.into_iter().cloned().collect(), positions.first().copied())
    }

    /// Returns the destination registries, each once.
    fn destinations(
        &mut self,
        roles: Vec<(Role, Position)>,
        source: Option<&RegistryRoot>,
    ) -> Vec<Destination> {
        let mut seen = HashSet::new();
        let mut destinations = Vec::new();
        for (role, position) in roles {
            let Role::Destination(destination) = role else { continue };
            if Some(&destination.root) == source {
                self.wrong(position, format!("the destination {} is also the source", destination.root));
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
}

/// Returns the name of an invalid entry, or `None` if it has no valid name or more than one.
fn name_of(entry: &Node) -> Option<RegistryRoot> {
    let Value::Map(pairs) = &entry.value else { return None };
    let mut names =
        pairs.iter().filter(|(key, _)| matches!(&key.value, Value::Text(name) if **name == *"name"));
    let (Some((_, name)), None) = (names.next(), names.next()) else { return None };
    let Value::Text(name) = &name.value else { return None };
    name.trim_end_matches('/').parse().ok()
}

/// Determines which sources a policy may apply to if no entry is known to be the source. If there are invalid entries and all
/// of them have a name, these are the sources. Otherwise it is any source.
fn reach_of(roles: &[(Role, Position)]) -> Reach {
    let unclear = roles.iter().filter_map(|(role, _)| match role {
        Role::Unclear(name) => Some(name.clone()),
        _ => None,
    });
    match unclear.collect::<Option<Vec<RegistryRoot>>>() {
        Some(names) if !names.is_empty() => Reach::Below(names),
        _ => Reach::Everything,
    }
}
