//! The orders in which tags may be sorted, and the smallest change that sorts a list.

use std::cmp::Ordering;

/// An order of tags. Manifests written by a tool are sorted as text. Manifests written by hand are often sorted by version, so
/// that `v1.10.0` follows `v1.9.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As text, byte by byte.
    Text,
    /// Digits count as numbers. A pre-release precedes its release, as in Semantic Versioning.
    Version,
    /// Digits count as numbers. A version with a suffix after a dash, like `v1.0.0-gke.1`, follows the version without it.
    Suffix,
}

impl Order {
    pub(crate) const ALL: [Self; 3] = [Self::Text, Self::Version, Self::Suffix];

    pub(crate) fn compare(self, a: &str, b: &str) -> Ordering {
        match self {
            Self::Text => a.cmp(b),
            Self::Version => natural(a, b, true),
            Self::Suffix => natural(a, b, false),
        }
    }
}

/// Checks that rows are sorted, each by one of its tags and then by its digest. The key of a row is its smallest tag that does
/// not precede the key of the previous row, so that a tag such as `latest` beside the version does not make the row unsorted. The
/// key of a row without tags is the empty text. Returns the key of each row.
///
/// # Errors
/// If all tags of a row precede the key of the previous row. Returns the index of the first such row, and the key of the row
/// before.
pub(crate) fn placed<'n>(
    rows: &[(&'n str, Vec<&'n str>)],
    order: Order,
) -> Result<Vec<&'n str>, (usize, &'n str)> {
    let mut keys: Vec<&str> = Vec::with_capacity(rows.len());
    let mut before: Option<(&str, &str)> = None;
    for (index, (digest, tags)) in rows.iter().enumerate() {
        let follows = |tag: &&str| {
            before.is_none_or(|(key, other)| order.compare(key, tag).then_with(|| other.cmp(digest)).is_le())
        };
        let none = [""];
        let tags = if tags.is_empty() { &none[..] } else { tags };
        let key = tags.iter().copied().filter(follows).min_by(|a, b| order.compare(a, b));
        let Some(key) = key else { return Err((index, before.map_or("", |(key, _)| key))) };
        keys.push(key);
        before = Some((key, digest));
    }
    Ok(keys)
}

/// Returns whether the digests of all images are sorted as text, as in a snapshot, and those of at least one image are not sorted
/// by tag. Each image is given by its rows.
pub(crate) fn is_by_digest(images: &[Vec<(&str, Vec<&str>)>]) -> bool {
    let is_sorted = |rows: &Vec<(&str, Vec<&str>)>| rows.is_sorted_by(|a, b| a.0 <= b.0);
    let has_order =
        |rows: &Vec<(&str, Vec<&str>)>| Order::ALL.iter().any(|order| placed(rows, *order).is_ok());
    images.iter().all(is_sorted) && !images.iter().all(has_order)
}

/// Compares texts piece by piece. A piece is a number or a single other character.
fn natural(a: &str, b: &str, dash_is_less: bool) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        match (piece(left), piece(right)) {
            (None, None) => return a.cmp(b),
            (None, Some((next, _))) => {
                let is_less = dash_is_less && next == "-";
                return if is_less { Ordering::Greater } else { Ordering::Less };
            }
            (Some((next, _)), None) => {
                let is_less = dash_is_less && next == "-";
                return if is_less { Ordering::Less } else { Ordering::Greater };
            }
            (Some((x, rest_of_left)), Some((y, rest_of_right))) => {
                let order = compare_pieces(x, y);
                if order != Ordering::Equal {
                    return order;
                }
                (left, right) = (rest_of_left, rest_of_right);
            }
        }
    }
}

/// Splits off the first piece.
fn piece(text: &str) -> Option<(&str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let length = if digits > 0 { digits } else { text.chars().next()?.len_utf8() };
    Some(text.split_at(length))
}

fn compare_pieces(a: &str, b: &str) -> Ordering {
    let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    if is_number(a) && is_number(b) {
        let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
        // Numbers may have any length. The longer one is larger.
        return a.len().cmp(&b.len()).then_with(|| a.cmp(b));
    }
    a.cmp(b)
}

/// Returns the indices of a list in sorted order. Equal values keep their order.
pub(super) fn sorted<T>(values: &[T], compare: impl Fn(&T, &T) -> Ordering) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..values.len()).collect();
    indices.sort_by(|a, b| compare(&values[*a], &values[*b]));
    indices
}

/// Returns the index of the first value that is smaller than the one before it.
pub(super) fn first_unsorted<T>(values: &[T], compare: impl Fn(&T, &T) -> Ordering) -> Option<usize> {
    (1..values.len()).find(|at| compare(&values[at - 1], &values[*at]) == Ordering::Greater)
}

/// Returns how many values must move to get a permutation: all except its longest increasing subsequence.
pub(super) fn moves(permutation: &[usize]) -> usize {
    // The smallest last element of an increasing subsequence of each length.
    let mut ends: Vec<usize> = Vec::new();
    for index in permutation {
        let at = ends.partition_point(|end| end < index);
        match ends.get_mut(at) {
            Some(end) => *end = *index,
            None => ends.push(*index),
        }
    }
    permutation.len() - ends.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_orders_differ_in_numbers_and_in_suffixes_after_a_dash() {
        let sorted = |order: Order| {
            let mut tags =
                ["v1.10.0", "v1.9.0", "latest", "v1.9.0-rc.1", "v1.9.0-rc.10", "v1.9.0-rc.2", "v01.9.0"];
            tags.sort_by(|a, b| order.compare(a, b));
            tags.join(" ")
        };
        assert_eq!(sorted(Order::Text), "latest v01.9.0 v1.10.0 v1.9.0 v1.9.0-rc.1 v1.9.0-rc.10 v1.9.0-rc.2");
        assert_eq!(
            sorted(Order::Version),
            "latest v1.9.0-rc.1 v1.9.0-rc.2 v1.9.0-rc.10 v01.9.0 v1.9.0 v1.10.0"
        );
        assert_eq!(
            sorted(Order::Suffix),
            "latest v01.9.0 v1.9.0 v1.9.0-rc.1 v1.9.0-rc.2 v1.9.0-rc.10 v1.10.0"
        );
    }

    #[test]
    fn every_order_is_a_total_order() {
        let tags = ["", "-", "-1", "1", "01", "1-", "1-0", "1-00", "1.", "1.0", "a", "a1", "a01", "a-", "0"];
        for order in Order::ALL {
            for a in tags {
                for b in tags {
                    assert_eq!(order.compare(a, b), order.compare(b, a).reverse(), "{order:?} {a} {b}");
                    assert_eq!(order.compare(a, b) == Ordering::Equal, a == b, "{order:?} {a} {b}");
                    for c in tags {
                        let is_chain = order.compare(a, b).is_le() && order.compare(b, c).is_le();
                        assert!(!is_chain || order.compare(a, c).is_le(), "{order:?} {a} {b} {c}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_is_sorted_by_one_of_its_tags() {
        let rows = |text: &'static str| -> Vec<(&str, Vec<&str>)> {
            let row = |row: &'static str| row.split_once('=').unwrap();
            text.split(' ')
                .map(row)
                .map(|(digest, tags)| (digest, tags.split_terminator(',').collect()))
                .collect()
        };
        for (text, expected) in [
            ("a= b=latest,v1 c=v2", Ok(vec!["", "latest", "v2"])),
            ("a=v1 b=latest,v2 c=v3", Ok(vec!["v1", "v2", "v3"])),
            ("a=v1 b=latest,v2 c=beta,v1.5", Err((2, "v2"))),
            ("a=v1 b=", Err((1, "v1"))),
            ("a= b=", Ok(vec!["", ""])),
            ("b= a=", Err((1, ""))),
        ] {
            assert_eq!(placed(&rows(text), Order::Text), expected, "{text}");
        }
        assert!(is_by_digest(&[rows("a=v2 b=v1"), rows("a=v1 b=v2")]));
        assert!(!is_by_digest(&[rows("a=v1 b=v2")]), "sorted by tag too");
        assert!(!is_by_digest(&[rows("a=v2 b=v1"), rows("b=v1 a=v2")]));
    }

    #[test]
    fn the_fewest_moves_are_counted() {
        assert_eq!(moves(&[0, 1, 2]), 0);
        assert_eq!(moves(&[2, 0, 1]), 1);
        assert_eq!(moves(&[1, 2, 3, 0]), 1);
        assert_eq!(moves(&[3, 2, 1, 0]), 3);
    }
}
