//! The `provenance` block of a manifest.

use std::fmt::Display;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;

use super::super::diagnostic::Diagnostic;
use super::super::source::Position;
use super::super::tree::{Node, Value};
use super::reader::Reader;
use crate::policy::{
    BuildLevel, BuilderSpec, ENTRIES_MAX, Mode, Policy, PolicyError, PolicyField, PolicySpec, Problem,
};
use crate::policy::{InvalidPattern, SignerPattern};

/// The maximum length of an unknown mode in a message, in characters.
const MODE_SHOWN: usize = 60;

/// The maximum length of a policy's text field, in bytes. Patterns are compiled, so their length must be bounded.
const TEXT_MAX: usize = 2_048;

/// The positions of the fields of a policy.
struct Places {
    block: Position,
    signers: List,
    builders: List,
    /// The positions of the signers of each builder.
    builder_signers: Vec<List>,
    sources: List,
    predicate_types: List,
    level: Option<Position>,
}

/// The positions of a list and of its entries.
#[derive(Default)]
struct List {
    list: Option<Position>,
    entries: Vec<Position>,
}

impl List {
    fn entry(&self, number: usize) -> Option<Position> {
        self.entries.get(number).copied()
    }
}

impl Places {
    fn of(&self, part: PolicyField) -> Position {
        let place = match part {
            PolicyField::Signers => self.signers.list,
            PolicyField::Signer(number) => self.signers.entry(number),
            PolicyField::Builders => self.builders.list,
            PolicyField::Builder(number) => self.builders.entry(number),
            PolicyField::BuilderSigner(builder, number) => {
                self.builder_signers.get(builder).and_then(|signers| signers.entry(number))
            }
            PolicyField::Sources => self.sources.list,
            PolicyField::Source(number) => self.sources.entry(number),
            PolicyField::PredicateTypes => self.predicate_types.list,
            PolicyField::PredicateType(number) => self.predicate_types.entry(number),
            PolicyField::Level => self.level,
        };
        place.unwrap_or(self.block)
    }
}

/// The block is invalid. The reader has reported why.
pub(super) struct WrongBlock;

impl Reader<'_> {
    /// Reads the policy that a block declares. Returns `None` if the policy is off.
    pub(super) fn provenance(&mut self, node: &Node) -> Result<Option<Arc<Policy>>, WrongBlock> {
        let start = self.wrong.count();
        let known = ["mode", "signers", "builders", "sources", "predicateTypes", "level"];
        let mut fields = self.fields(node, &known).ok_or(WrongBlock)?;
        let errors = self.wrong.count();
        let mode = fields.take("mode");
        let (signers, signer_places) = self.signers(fields.take("signers"));
        let (builders, builder_places) = self.each(fields.take("builders"), "builders", Self::builder);
        let (builders, builder_signers) = builders.into_iter().unzip();
        let (sources, source_places) = self.entries(fields.take("sources"), "sources", "a source");
        let (predicate_types, type_places) =
            self.entries(fields.take("predicateTypes"), "predicateTypes", "a predicate type");
        let level = fields.take("level").map(|node| (node.position, self.level(node)));
        let places = Places {
            block: node.position,
            signers: signer_places,
            builders: builder_places,
            builder_signers,
            sources: source_places,
            predicate_types: type_places,
            level: level.map(|(position, _)| position),
        };
        let draft = PolicySpec {
            mode: mode.and_then(|node| self.mode(node)),
            signers,
            builders,
            sources,
            predicate_types,
            level: level.and_then(|(_, level)| level),
        };
        // An unreadable field is absent from the draft, and would also be reported as missing.
        if self.wrong.count() > errors {
            return Err(WrongBlock);
        }
        let policy = draft.into_policy().map_err(|flaws| {
            self.flaws(&flaws, &places);
            WrongBlock
        })?;
        // A misspelled `mode` would turn the policy off.
        if self.wrong.count() > start {
            return Err(WrongBlock);
        }
        self.find_unmeant(mode.is_some(), policy.as_ref(), &places);
        Ok(policy.map(Arc::new))
    }

    fn flaws(&mut self, flaws: &[PolicyError], places: &Places) {
        for flaw in flaws {
            self.wrong(places.of(flaw.part), flaw.problem.to_string());
        }
    }

    /// Warns about parts of a valid policy that may be unintended.
    fn find_unmeant(&mut self, has_mode: bool, policy: Option<&Policy>, places: &Places) {
        if !has_mode {
            let message = "this policy has no `mode`: it is off, and images need no provenance";
            let help = "write `mode: require`, `mode: warn`, or `mode: off` if that is intended";
            self.warn(Diagnostic::at(&self.source, places.block, message).help(help));
        }
        for (signer, lowest, highest) in policy.into_iter().flat_map(Policy::undecided) {
            let message = format!(
                "{signer} may claim builders of level {lowest} and of level {highest}: only its claim \
                 distinguishes them"
            );
            let help = "list in each builder's `signers` who may claim it";
            self.warn(Diagnostic::at(&self.source, places.of(PolicyField::Builders), message).help(help));
        }
    }

    fn mode(&mut self, node: &Node) -> Option<Mode> {
        let text = self.text(node, "the `mode`")?;
        match &**text {
            "require" => Some(Mode::Require),
            "warn" => Some(Mode::Warn),
            "off" => None,
            other => {
                let other: String = other.chars().take(MODE_SHOWN).collect();
                self.wrong(
                    node.position,
                    format!("`{other}` is not a mode: expected `off`, `warn` or `require`"),
                );
                None
            }
        }
    }

    fn level(&mut self, node: &Node) -> Option<BuildLevel> {
        self.value(node, "a `level`")
    }

    /// Reads the entries of a list that can be parsed, and the positions of all entries.
    fn entries<T: FromStr<Err: Display>>(
        &mut self,
        node: Option<&Node>,
        field: &'static str,
        what: &str,
    ) -> (Vec<T>, List) {
        self.each(node, field, |reader, item| {
            let text = reader.bounded(item, what)?;
            reader.parse(item.position, &text)
        })
    }

    fn signers(&mut self, node: Option<&Node>) -> (Vec<SignerPattern>, List) {
        self.each(node, "signers", |reader, item| {
            let text = reader.bounded(item, "a signer")?;
            text.parse().map_err(|error| reader.wrong(item.position, explain(&error))).ok()
        })
    }

    fn bounded(&mut self, node: &Node, what: &str) -> Option<Rc<str>> {
        let text = Rc::clone(self.text(node, what)?);
        if text.len() > TEXT_MAX {
            self.wrong(
                node.position,
                format!("{what} has at most {TEXT_MAX} bytes, this has {}", text.len()),
            );
            return None;
        }
        Some(text)
    }

    /// Reads the items of a list with `read`. Returns the valid ones, and the positions of all items.
    fn each<T>(
        &mut self,
        node: Option<&Node>,
        field: &'static str,
        mut read: impl FnMut(&mut Self, &Node) -> Option<T>,
    ) -> (Vec<T>, List) {
        let Some(node) = node else { return (Vec::new(), List::default()) };
        let items = self.list(node, field).unwrap_or_default();
        if items.len() > ENTRIES_MAX {
            self.wrong(node.position, Problem::TooMany(field).to_string());
            return (Vec::new(), List::default());
        }
        let entries = items.iter().filter_map(|item| read(self, item)).collect();
        // A null list counts as absent, and an absent list has no position.
        let list = (!matches!(node.value, Value::Null)).then_some(node.position);
        (entries, List { list, entries: items.iter().map(|item| item.position).collect() })
    }

    fn builder(&mut self, node: &Node) -> Option<(BuilderSpec, List)> {
        let mut fields = self.fields(node, &["id", "level", "signers"])?;
        let [id, level] = ["id", "level"].map(|name| {
            let field = fields.take(name);
            if field.is_none() {
                self.wrong(node.position, format!("the builder has no `{name}`"));
            }
            field
        });
        let id = id.and_then(|id| {
            let text = self.bounded(id, "a builder's `id`")?;
            self.parse(id.position, &text)
        });
        let level = level.and_then(|level| self.level(level));
        let (signers, places) = self.entries::<SignerPattern>(fields.take("signers"), "signers", "a signer");
        Some((BuilderSpec { id: id?, level: level?, signers }, places))
    }
}

/// Formats the error of a signer as one line. Errors of regular expressions have several lines, and the last one states the
/// reason.
fn explain(error: &InvalidPattern) -> String {
    match error {
        InvalidPattern::Regex { pattern, why } => {
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("`{pattern}` is not a regular expression: {why}")
        }
        other => other.to_string(),
    }
}
