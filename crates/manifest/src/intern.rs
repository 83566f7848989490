//! Interned names with small numbers: 987,000 edges name 1,350 repositories, 22 hosts and 45,000 tags.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::num::NonZeroU32;

use indexmap::IndexSet;

/// The number of a name in its [`Interner`]. An `Id` and an `Option<Id>` both have four bytes.
pub struct Id<T>(NonZeroU32, PhantomData<fn() -> T>);

impl<T> Id<T> {
    fn at(index: usize) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "2^32 names do not fit into memory, and `index + 1` is not zero"
        )]
        let number =
            u32::try_from(index + 1).ok().and_then(NonZeroU32::new).expect("a number for every name");
        Self(number, PhantomData)
    }

    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

// Derived implementations would require the same traits of `T`.
impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<T> std::hash::Hash for Id<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A set of names, each with a number, in insertion order.
#[derive(Clone, Debug)]
pub struct Interner<T> {
    names: IndexSet<T>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { names: IndexSet::new() }
    }
}

impl<T: Clone + Eq + Hash> Interner<T> {
    /// Returns the number of a name. Assigns a new number if the name has none.
    pub fn intern(&mut self, name: &T) -> Id<T> {
        self.find(name).unwrap_or_else(|| Id::at(self.names.insert_full(name.clone()).0))
    }

    /// Returns the number of a name, or `None` if it is not interned.
    pub fn find(&self, name: &T) -> Option<Id<T>> {
        self.names.get_index_of(name).map(Id::at)
    }

    /// Returns the name of a number of this interner.
    pub fn name(&self, id: Id<T>) -> &T {
        &self.names[id.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_correspond_one_to_one() {
        let mut names = Interner::default();
        let (a, b) = (names.intern(&"a"), names.intern(&"b"));
        assert_eq!((names.intern(&"a"), *names.name(b), names.find(&"c")), (a, "b", None));
        assert_eq!(size_of::<Option<Id<String>>>(), 4);
    }
}
