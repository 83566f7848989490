//! Determines the index of a new entry from the sort order of a file.

use std::cmp::Ordering;

use crate::lint::layout::Node;
use crate::lint::order::{Order, is_by_digest, placed};

/// Returns the index at which a new value is out of order with the fewest values; if there are several, the last one. In a sorted
/// list this is the sorted position. `compare` compares a value with the new one.
pub(super) fn place<T>(values: &[T], compare: impl Fn(&T) -> Ordering) -> usize {
    let orders: Vec<Ordering> = values.iter().map(compare).collect();
    let mut wrong = orders.iter().filter(|order| order.is_lt()).count();
    let (mut best, mut fewest) = (0, wrong);
    for (index, order) in orders.iter().enumerate() {
        match order {
            Ordering::Less => wrong -= 1,
            Ordering::Greater => wrong += 1,
            Ordering::Equal => {}
        }
        if wrong <= fewest {
            (best, fewest) = (index + 1, wrong);
        }
    }
    best
}

/// Returns the order in which the lists of tags of a file are sorted: the order with the fewest exceptions, or text for a tie.
fn order_of_tags(images: &[Node<'_>]) -> Order {
    best(|order| {
        let lists = images.iter().filter_map(|image| image.field("dmap")).flat_map(Node::pairs);
        let tags = lists.map(|(_, tags)| tags.items().iter().filter_map(Node::text).collect::<Vec<_>>());
        tags.map(|tags| descents(&tags, |a, b| order.compare(a, b))).sum()
    })
}

/// A digest with its tags.
type Row<'n> = (&'n str, Vec<&'n str>);

/// Returns the rows of a `dmap`.
fn rows<'n>(dmap: &'n Node<'_>) -> Vec<Row<'n>> {
    let row = |(key, tags): &'n (Node<'_>, Node<'_>)| {
        (key.text().unwrap_or_default(), tags.items().iter().filter_map(Node::text).collect())
    };
    dmap.pairs().iter().map(row).collect()
}

/// Returns the index of a new digest with one tag in a `dmap` of a file. A `dmap` that lint accepts as sorted stays sorted.
pub(super) fn place_of_digest(images: &[Node<'_>], dmap: &Node<'_>, digest: &str, tag: &str) -> usize {
    let all: Vec<Vec<Row<'_>>> = images.iter().filter_map(|image| image.field("dmap")).map(rows).collect();
    let own = rows(dmap);
    if is_by_digest(&all) {
        return place(&own, |row| row.0.cmp(digest));
    }
    let usual = order_of_digests(&all);
    let sorted = [usual].into_iter().chain(Order::ALL);
    let sorted = sorted.filter_map(|order| Some((order, placed(&own, order).ok()?))).next();
    let (order, keys) =
        sorted.unwrap_or_else(|| (usual, own.iter().map(|row| smallest(row, usual)).collect()));
    let keys: Vec<(&str, &str)> = keys.into_iter().zip(own.iter().map(|row| row.0)).collect();
    place(&keys, |key| compare_digests(order, *key, (tag, digest)))
}

/// Returns the order in which the digests of a file are sorted by their smallest tags.
fn order_of_digests(images: &[Vec<Row<'_>>]) -> Order {
    best(|order| {
        let keys = images.iter().map(|rows| rows.iter().map(|row| (smallest(row, order), row.0)).collect());
        keys.map(|keys: Vec<_>| descents(&keys, |a, b| compare_digests(order, *a, *b))).sum()
    })
}

fn smallest<'n>(row: &Row<'n>, order: Order) -> &'n str {
    row.1.iter().copied().min_by(|a, b| order.compare(a, b)).unwrap_or_default()
}

/// Compares digests by a tag, then by digest.
fn compare_digests(order: Order, a: (&str, &str), b: (&str, &str)) -> Ordering {
    order.compare(a.0, b.0).then_with(|| a.1.cmp(b.1))
}

/// Returns the index of a new tag in a list of tags of a file. A list that lint accepts as sorted stays sorted.
pub(super) fn place_of_tag(images: &[Node<'_>], tags: &[&str], tag: &str) -> usize {
    let usual = order_of_tags(images);
    let is_sorted = |order: &Order| descents(tags, |a, b| order.compare(a, b)) == 0;
    let order = [usual].into_iter().chain(Order::ALL).find(is_sorted).unwrap_or(usual);
    place(tags, |other| order.compare(other, tag))
}

fn best(exceptions: impl Fn(Order) -> usize) -> Order {
    // For a tie, the first order wins, which is text.
    Order::ALL.into_iter().min_by_key(|order| exceptions(*order)).unwrap_or(Order::Text)
}

fn descents<T>(values: &[T], compare: impl Fn(&T, &T) -> Ordering) -> usize {
    values.windows(2).filter(|pair| compare(&pair[0], &pair[1]).is_gt()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_gets_its_sorted_index_in_spite_of_outliers() {
        for (list, new, expected) in [
            ("", "b", 0),
            ("ac", "b", 1),
            ("bc", "a", 0),
            ("ab", "c", 2),
            ("zabc", "b", 3),
            ("acdz0", "b", 1),
            ("pk", "l", 2),
        ] {
            let values: Vec<char> = list.chars().collect();
            let new = new.chars().next().unwrap();
            assert_eq!(place(&values, |value| value.cmp(&new)), expected, "{list} {new}");
        }
    }
}
