//! Where a new entry belongs, in the order that a file is sorted in.

use std::cmp::Ordering;

use crate::lint::layout::Node;
use crate::lint::order::Order;

/// Returns the index at which a new value is out of order with the fewest values. In a sorted list this is its sorted place; at a
/// tie, the last such index. `compare` compares a value with the new one.
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

/// Returns the order in which the lists of tags of a file are sorted: the one with the fewest exceptions, or else text.
pub(super) fn order_of_tags(images: &[Node<'_>]) -> Order {
    best(|order| {
        let lists = images.iter().filter_map(|image| image.field("dmap")).flat_map(Node::pairs);
        let tags = lists.map(|(_, tags)| tags.items().iter().filter_map(Node::text).collect::<Vec<_>>());
        tags.map(|tags| descents(&tags, |a, b| order.compare(a, b))).sum()
    })
}

/// Returns the order in which the digests of a file are sorted by their smallest tags.
pub(super) fn order_of_digests(images: &[Node<'_>]) -> Order {
    best(|order| {
        let rows = images.iter().filter_map(|image| image.field("dmap")).map(|dmap| {
            dmap.pairs().iter().map(|(key, tags)| digest_key(key, tags, order)).collect::<Vec<_>>()
        });
        rows.map(|keys| descents(&keys, |a, b| compare_digests(order, *a, *b))).sum()
    })
}

/// The key by which a digest is sorted: its smallest tag, then the digest.
pub(super) type DigestKey<'n> = (&'n str, &'n str);

pub(super) fn digest_key<'n>(key: &'n Node<'_>, tags: &'n Node<'_>, order: Order) -> DigestKey<'n> {
    let tags = tags.items().iter().filter_map(Node::text);
    let smallest = tags.min_by(|a, b| order.compare(a, b)).unwrap_or_default();
    (smallest, key.text().unwrap_or_default())
}

pub(super) fn compare_digests(order: Order, a: DigestKey<'_>, b: DigestKey<'_>) -> Ordering {
    order.compare(a.0, b.0).then_with(|| a.1.cmp(b.1))
}

fn best(exceptions: impl Fn(Order) -> usize) -> Order {
    // At a tie the first order wins, which is text.
    Order::ALL.into_iter().min_by_key(|order| exceptions(*order)).unwrap_or(Order::Text)
}

fn descents<T>(values: &[T], compare: impl Fn(&T, &T) -> Ordering) -> usize {
    values.windows(2).filter(|pair| compare(&pair[0], &pair[1]).is_gt()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_goes_to_its_sorted_place_and_an_outlier_does_not_draw_it_away() {
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
