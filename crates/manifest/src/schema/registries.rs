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

/// What a manifest says beside its images, as far as it can be read.
#[derive(Debug)]
pub(in super::super) struct Registries {
    /// The registries that are marked as the source: one, where nothing is wrong.
    pub(in super::super) sources: Vec<RegistryRoot>,
    /// The registries that images go to. `None` where there is no list of registries.
    pub(in super::super) destinations: Option<Vec<Destination>>,
    /// The policy for the source.
    pub(in super::super) declared: PolicyDeclaration,
    /// The place of the policy, or else of the source.
    pub(in super::super) span: Span,
}

impl Registries {
    /// Those of a file that is not text, or was not read. It may declare a policy for any source.
    pub(in super::super) fn unreadable(file: &Arc<str>) -> Self {
        let declared = PolicyDeclaration::Unknown(Reach::Everything);
        Self { sources: Vec::new(), destinations: None, declared, span: Span::of_file(file) }
    }

    /// All of them.
    pub(super) fn roots(&self) -> Vec<&RegistryRoot> {
        let destinations = self.destinations.iter().flatten().map(|destination| &destination.root);
        destinations.chain(&self.sources).collect()
    }
}

/// An entry of `registries`.
enum Role {
    Source(RegistryRoot),
    Destination(Destination),
    /// It is wrong, which is reported; with its name where that can be read. It may be the source.
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
        // Where no source can be read, a fault counts as a hidden policy only if the text may have one.
        let hides_block = self.hides_block && (!sources.is_empty() || self.may_declare());
        let declared = match policy {
            None if !hides_block => PolicyDeclaration::Policy(None),
            Some(Ok(None)) if !hides_block => PolicyDeclaration::Policy(None),
            Some(Ok(policy)) if !hides_block && sources.len() == 1 => PolicyDeclaration::Policy(policy),
            _ => PolicyDeclaration::Unknown(reach),
        };
        Registries { sources, destinations, declared, span: Span::new(&self.source, place) }
    }

    /// The registries of a file that is not YAML, or no mapping. Whether it declares a policy is told from its text.
    pub(super) fn illegible(&self) -> Registries {
        let declared = if self.may_declare() {
            PolicyDeclaration::Unknown(self.reach_of_text())
        } else {
            PolicyDeclaration::Policy(None)
        };
        let span = Span::of_file(self.source.file());
        Registries { sources: Vec::new(), destinations: None, declared, span }
    }

    /// Whether the text may have a policy that is not off. YAML can write names with escapes, which begin with a backslash.
    fn may_declare(&self) -> bool {
        let text = self.source.text();
        [PROVENANCE, "mode", "\\"].iter().any(|sign| text.contains(sign))
    }

    /// The sources for which a policy may hold in a file that is not YAML: the registries that its lines name, where one is
    /// marked as the source and each name is valid; otherwise any.
    fn reach_of_text(&self) -> Reach {
        let lines = || self.source.text().lines().map(|line| line.trim_start_matches([' ', '\t', '-']));
        let names = lines().filter_map(|line| line.strip_prefix("name:")).map(|name| {
            let name = name.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
            name.trim_end_matches('/').parse().ok()
        });
        let names: Option<Vec<RegistryRoot>> = names.collect();
        match names {
            // One name is that of the source, or the source has none.
            Some(names) if names.len() > 1 && lines().any(|line| line.starts_with("src:")) => {
                Reach::Below(names)
            }
            _ => Reach::Everything,
        }
    }

    /// The entries of `registries`. `None` where there are none.
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

    /// The registries that are marked as the source, and the position of the first. Any other number than one is an error.
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
        // An entry that is wrong may have been meant as the source.
        let is_clear = !roles.iter().any(|(role, _)| matches!(role, Role::Unclear(_)));
        if let (true, true, Some((_, position))) = (roots.is_empty(), is_clear, roles.first()) {
            self.wrong(*position, "no registry has `src: true`: it is not said where images come from");
        }
        (roots.into_iter().cloned().collect(), positions.first().copied())
    }

    /// The registries that images go to, each once.
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

/// The name of an entry that is wrong. `None` where it has none that is valid, or several.
fn name_of(entry: &Node) -> Option<RegistryRoot> {
    let Value::Map(pairs) = &entry.value else { return None };
    let mut names =
        pairs.iter().filter(|(key, _)| matches!(&key.value, Value::Text(name) if **name == *"name"));
    let (Some((_, name)), None) = (names.next(), names.next()) else { return None };
    let Value::Text(name) = &name.value else { return None };
    name.trim_end_matches('/').parse().ok()
}

/// The sources for which a policy may hold where no entry is known to be the source: the entries that are wrong, if there are
/// any and all have a name; otherwise any source.
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
