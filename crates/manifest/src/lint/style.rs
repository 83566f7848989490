//! The rules about the style of a single file: order, quotes, deprecated fields.

use std::cmp::Ordering;
use std::ops::Range;

use oci_types::{Digest, RepositoryPath, Tag};

use super::blocks::{reorder, reorder_flow};
use super::flaw::{Change, Flaw, Reason};
use super::layout::{Layout, Node, Value, layout};
use super::order::{Order, first_unsorted, is_by_digest, moves, placed, sorted};
use super::rule::Rule;
use super::text::Text;

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    /// A plain manifest.
    Plain,
    /// The registries of a thin manifest.
    Registries,
    /// The images of a thin manifest.
    Images,
}

/// Returns the flaws of a file, ordered by position. Returns none for a text that is not valid YAML.
pub(super) fn flaws(kind: FileKind, text: &str) -> Vec<Flaw> {
    let Some(layout) = layout(text) else { return Vec::new() };
    let Some(root) = &layout.root else { return Vec::new() };
    let mut file = File { text: Text::new(text), layout: &layout, by_digest: false, flaws: Vec::new() };
    let images = match kind {
        FileKind::Images => Some(root),
        FileKind::Plain => root.field("images"),
        FileKind::Registries => {
            file.deprecated(root);
            None
        }
    };
    if let Some(images) = images {
        file.images(images);
    }
    let mut flaws = file.flaws;
    flaws.sort_by_key(|flaw| flaw.at);
    flaws
}

struct File<'a> {
    text: Text<'a>,
    layout: &'a Layout<'a>,
    /// Whether all digests of the file are sorted as text.
    by_digest: bool,
    flaws: Vec<Flaw>,
}

/// A digest with its tags.
type Row<'n> = (&'n str, Vec<&'n str>);

impl File<'_> {
    fn images(&mut self, list: &Node<'_>) {
        let items = list.items();
        let name = |item: &Node<'_>| {
            let name = item.field("name").and_then(Node::text)?;
            name.parse::<RepositoryPath>().ok().map(|_| name.to_owned())
        };
        // If a name is invalid, the sorted position of the image is unknown.
        if let Some(names) = items.iter().map(name).collect::<Option<Vec<String>>>()
            && let Some(at) = first_unsorted(&names, Ord::cmp)
        {
            let order = sorted(&names, Ord::cmp);
            let entries: Vec<Range<usize>> = items.iter().map(|item| item.range.clone()).collect();
            let fix = reorder(&self.text, self.layout, &entries, &order, "-");
            let message =
                format!("images are not sorted by name: `{}` comes after `{}`", names[at], names[at - 1]);
            self.found(
                Rule::UnsortedImages,
                place(&items[at], "name"),
                message,
                fix.map(|change| vec![change]),
            );
        }
        let dmaps: Vec<&Node<'_>> = items.iter().filter_map(|item| item.field("dmap")).collect();
        let rows: Vec<Vec<Row<'_>>> = dmaps.iter().filter_map(|dmap| rows(dmap)).collect();
        self.by_digest = is_by_digest(&rows);
        for dmap in dmaps {
            self.digests(dmap);
        }
    }

    fn digests(&mut self, dmap: &Node<'_>) {
        let pairs = dmap.pairs();
        for (key, tags) in pairs {
            self.quotes(key);
            self.tags(tags);
        }
        // If a digest or a tag is invalid, the sorted position of the entry is unknown.
        let Some(rows) = rows(dmap) else { return };
        if self.by_digest {
            return;
        }
        let failed = Order::ALL.iter().map(|order| placed(&rows, *order).err()).collect::<Option<Vec<_>>>();
        let Some(failed) = failed else { return };
        // A row that moves is sorted by its smallest tag.
        let by = |order: Order| {
            let smallest = move |row: &Row<'_>| {
                row.1.iter().copied().min_by(|a, b| order.compare(a, b)).unwrap_or_default().to_owned()
            };
            let keys: Vec<(String, &str)> = rows.iter().map(|row| (smallest(row), row.0)).collect();
            sorted(&keys, |a, b| order.compare(&a.0, &b.0).then_with(|| a.1.cmp(b.1)))
        };
        let orders = Order::ALL.into_iter().zip(failed).map(|(order, failed)| (by(order), order, failed));
        let Some((order, sorting, (at, before))) = orders.min_by_key(|(order, ..)| moves(order)) else {
            return;
        };
        let entries: Vec<Range<usize>> =
            pairs.iter().map(|(key, value)| key.range.start..key.range.end.max(value.range.end)).collect();
        let fix = reorder(&self.text, self.layout, &entries, &order, "");
        let smallest = rows[at].1.iter().copied().min_by(|a, b| sorting.compare(a, b)).unwrap_or_default();
        let message = format!(
            "the digests are not sorted by tag: {} comes after {}",
            shown(rows[at].0, smallest),
            shown(rows[at - 1].0, before)
        );
        self.found(Rule::UnsortedDigests, pairs[at].0.range.start, message, fix.map(|change| vec![change]));
    }

    fn tags(&mut self, list: &Node<'_>) {
        let Value::List { items, is_flow } = &list.value else { return };
        let Some(tags) = items.iter().map(tag).collect::<Option<Vec<&str>>>() else { return };
        let by = |order: usize| move |a: &&str, b: &&str| Order::ALL[order].compare(a, b);
        let Some(Unsorted { order, at }) = unsorted(&tags, by) else { return };
        let fix = if *is_flow {
            reorder_flow(&self.text, self.layout, list, &order)
        } else {
            let entries: Vec<Range<usize>> = items.iter().map(|item| item.range.clone()).collect();
            reorder(&self.text, self.layout, &entries, &order, "-").map(|change| vec![change])
        };
        let message = format!("the tags are not sorted: `{}` comes after `{}`", tags[at], tags[at - 1]);
        self.found(Rule::UnsortedTags, items[at].range.start, message, fix);
    }

    fn quotes(&mut self, key: &Node<'_>) {
        let Value::Scalar { text, is_plain: true } = &key.value else { return };
        let Ok(digest) = text.parse::<Digest>() else { return };
        let range = key.range.clone();
        // A scalar with an escape or a line break is not equal to its text in the file.
        let is_whole = self.text.text.get(range.clone()) == Some(text);
        let fix = if is_whole {
            let quote = |at: usize| Change { range: at..at, text: "\"".to_owned() };
            Ok(vec![quote(range.start), quote(range.end)])
        } else {
            Err("it is not written on one line")
        };
        self.found(Rule::UnquotedDigest, range.start, format!("the digest {digest} is not quoted"), fix);
    }

    fn deprecated(&mut self, root: &Node<'_>) {
        for (key, value) in root.pairs().iter().filter(|(key, _)| key.text() == Some("imagesPath")) {
            let fix = self.removal(key, value);
            let message = "the field `imagesPath` is deprecated and has no effect: the images of the project `NAME` are in \
                           `images/NAME/images.yaml`";
            self.found(Rule::DeprecatedField, key.range.start, message.to_owned(), fix);
        }
    }

    /// Returns the change that removes a field with all of its lines.
    fn removal(&self, key: &Node<'_>, value: &Node<'_>) -> Result<Vec<Change>, Reason> {
        if self.layout.has_anchors {
            return Err("the file has anchors, aliases or YAML tags");
        }
        let end = key.range.end.max(value.range.end);
        let (first, last) = (self.text.line_of(key.range.start), self.text.line_of(end));
        if first != last || !matches!(value.value, Value::Scalar { .. }) {
            return Err("it is not written on one line");
        }
        let range = self.text.bytes(first..last + 1);
        let (before, after) = (self.text.before(key.range.start), &self.text.text[end..range.end]);
        if !before.is_empty() || after.contains('#') || after.contains([',', '}']) {
            return Err("there is something else on its line");
        }
        Ok(vec![Change { range, text: String::new() }])
    }

    fn found(&mut self, rule: Rule, at: usize, message: String, fix: Result<Vec<Change>, Reason>) {
        self.flaws.push(Flaw { rule, at, message, fix });
    }
}

/// Returns the start of a field's value.
fn place(item: &Node<'_>, field: &str) -> usize {
    item.field(field).map_or(item.range.start, |value| value.range.start)
}

fn tag<'n>(node: &'n Node<'_>) -> Option<&'n str> {
    node.text().filter(|text| text.parse::<Tag>().is_ok())
}

/// Returns the rows of a `dmap`. `None` if any of them is invalid.
fn rows<'n>(dmap: &'n Node<'_>) -> Option<Vec<Row<'n>>> {
    dmap.pairs().iter().map(row).collect()
}

fn row<'n>((key, tags): &'n (Node<'_>, Node<'_>)) -> Option<Row<'n>> {
    let digest = key.text().filter(|text| matches!(text.parse(), Ok(Digest::Sha256(_))))?;
    let tags = match &tags.value {
        Value::List { items, .. } => items.iter().map(tag).collect::<Option<Vec<&str>>>()?,
        // A digest with an empty value has no tags.
        Value::Scalar { text, is_plain: true } if matches!(&**text, "" | "~" | "null" | "Null" | "NULL") => {
            Vec::new()
        }
        _ => return None,
    };
    Some((digest, tags))
}

/// Describes a digest by one of its tags.
fn shown(digest: &str, tag: &str) -> String {
    match tag {
        "" => format!("{digest} without a tag"),
        tag => format!("`{tag}`"),
    }
}

/// How to sort an unsorted list.
struct Unsorted {
    /// The indices of the values in sorted order.
    order: Vec<usize>,
    /// The index of the first value that is out of place.
    at: usize,
}

/// Returns how to sort a list that is sorted in none of the orders, by the order that moves the fewest values. `None` if the list
/// is sorted in one of the orders.
fn unsorted<T, F: Fn(&T, &T) -> Ordering>(values: &[T], compare: impl Fn(usize) -> F) -> Option<Unsorted> {
    let first = |by: usize| first_unsorted(values, compare(by));
    let firsts: Vec<usize> = (0..Order::ALL.len()).map(first).collect::<Option<_>>()?;
    let orders = firsts.into_iter().enumerate();
    let orders = orders.map(|(by, at)| Unsorted { order: sorted(values, compare(by)), at });
    orders.min_by_key(|unsorted| moves(&unsorted.order))
}
