//! Room in a file, given out and taken back.

use std::collections::BTreeMap;

/// The free stretches of a file of a fixed length: start and length, in bytes, none empty, none touching another.
#[derive(Debug)]
pub(super) struct Extents {
    free: BTreeMap<u64, u64>,
}

impl Extents {
    /// All of a file of `length` bytes.
    pub(super) fn new(length: u64) -> Self {
        Self { free: (length > 0).then_some((0, length)).into_iter().collect() }
    }

    /// Takes the first stretch of `length` bytes and gives its start; `None` where there is none. Taking the first keeps the
    /// file short.
    pub(super) fn take(&mut self, length: u64) -> Option<u64> {
        let (start, budget) =
            self.free.iter().find(|(_, budget)| **budget >= length).map(|(s, r)| (*s, *r))?;
        self.free.remove(&start);
        if budget > length {
            self.free.insert(start + length, budget - length);
        }
        Some(start)
    }

    /// Takes a stretch back.
    pub(super) fn give_back(&mut self, mut start: u64, mut length: u64) {
        if length == 0 {
            return;
        }
        if let Some((before, budget)) = self.free.range(..start).next_back().map(|(s, r)| (*s, *r))
            && before + budget == start
        {
            self.free.remove(&before);
            (start, length) = (before, budget + length);
        }
        if let Some(budget) = self.free.remove(&(start + length)) {
            length += budget;
        }
        self.free.insert(start, length);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is taken and given back in whatever order: no two stretches overlap, none leaves the file, and what is
        /// all given back is whole again.
        #[test]
        fn stretches_never_overlap_and_all_come_together_again(
            steps in proptest::collection::vec((1_u64..40, any::<prop::sample::Index>(), any::<bool>()), 1..200),
        ) {
            let mut extents = Extents::new(100);
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for (length, which, take) in steps {
                if take || taken.is_empty() {
                    let Some(start) = extents.take(length) else { continue };
                    prop_assert!(start + length <= 100);
                    prop_assert!(taken.iter().all(|(s, l)| start + length <= *s || s + l <= start));
                    taken.push((start, length));
                } else {
                    let (start, length) = taken.swap_remove(which.index(taken.len()));
                    extents.give_back(start, length);
                }
            }
            for (start, length) in taken {
                extents.give_back(start, length);
            }
            prop_assert_eq!(extents.take(100), Some(0));
        }
    }

    #[test]
    fn a_file_of_no_length_has_no_room() {
        assert_eq!(Extents::new(0).take(1), None);
    }
}
