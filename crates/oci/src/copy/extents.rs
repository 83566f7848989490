//! Allocation of space in a file.

use std::collections::BTreeMap;

/// The free extents of a file of fixed length, as start and length in bytes. No extent is empty, and no two are adjacent.
#[derive(Debug)]
pub(super) struct Extents {
    free: BTreeMap<u64, u64>,
}

impl Extents {
    /// Constructs the free extents of an unused file of `length` bytes.
    pub(super) fn new(length: u64) -> Self {
        Self { free: (length > 0).then_some((0, length)).into_iter().collect() }
    }

    /// Allocates the first free extent of `length` bytes and returns its start; `None` if there is none. Taking the first one
    /// keeps the file short.
    pub(super) fn take(&mut self, length: u64) -> Option<u64> {
        let (start, available) =
            self.free.iter().find(|(_, available)| **available >= length).map(|(s, l)| (*s, *l))?;
        self.free.remove(&start);
        if available > length {
            self.free.insert(start + length, available - length);
        }
        Some(start)
    }

    /// Frees an extent.
    pub(super) fn give_back(&mut self, mut start: u64, mut length: u64) {
        if length == 0 {
            return;
        }
        if let Some((before, available)) = self.free.range(..start).next_back().map(|(s, l)| (*s, *l))
            && before + available == start
        {
            self.free.remove(&before);
            (start, length) = (before, available + length);
        }
        if let Some(available) = self.free.remove(&(start + length)) {
            length += available;
        }
        self.free.insert(start, length);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In any order of allocations and frees, no two extents overlap and none exceeds the file. When all are freed, one
        /// extent covers the whole file.
        #[test]
        fn extents_never_overlap_and_merge_when_they_are_freed(
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
    fn an_empty_file_has_no_free_extent() {
        assert_eq!(Extents::new(0).take(1), None);
    }
}
